"""A configuration folder as an FMS has one, written for these tests."""

from __future__ import annotations

from pathlib import Path

import pytest

INI = """\
; written by the installer
SERVER.ADMIN_USERNAME = boss
SERVER.ADMIN_PASSWORD = 5up3r
SERVER.ADMINSERVER_HOSTPORT = :1111
ADAPTOR.HOSTPORT = 10.0.0.1:1935,80,-443
VHOST.APPSDIR = ${ROOT}/applications
"""

SUBSTITUTION = """\
<Root>
  <Symbols><MEDIA>${ROOT}/media</MEDIA><TWICE>${MEDIA}/twice</TWICE></Symbols>
  <KeyValueFile>${CONF}/more.txt</KeyValueFile>
</Root>
"""

SERVER = """\
<Root>
  <Server>
    <!-- a comment -->
    <Mask>017</Mask>
    <LicenseInfo>1234-SERIAL</LicenseInfo>
    <Process><UID>${SERVER.PROCESS_UID}</UID><GID/></Process>
    <AdminServer>
      <HostPort>${SERVER.ADMINSERVER_HOSTPORT}</HostPort>
      <Allow>10.0.0.0/24, 192.168.*</Allow>
      <Deny></Deny>
    </AdminServer>
    <ResourceLimits><FLVCacheSize>500</FLVCacheSize></ResourceLimits>
    <Sparkle shape="round">yes</Sparkle>
  </Server>
</Root>
"""

USERS = """\
<Root><UserList>
  <User name="${SERVER.ADMIN_USERNAME}">
    <Password encrypt="false">${SERVER.ADMIN_PASSWORD}</Password><Allow></Allow>
  </User>
</UserList></Root>
"""

ADAPTOR = """\
<Adaptor>
  <HostPortList>
    <HostPort name="edge1" ctl_channel="localhost:19350">${ADAPTOR.HOSTPORT}</HostPort>
    <HostPort>:8080</HostPort>
  </HostPortList>
  <Allow>all</Allow><Deny>10.1.2.3</Deny><Order>Allow,Deny</Order>
  <HTTPTunneling><Enable>true</Enable></HTTPTunneling>
  <SSL><SSLServerCtx><SSLPassPhrase>tell nobody</SSLPassPhrase></SSLServerCtx></SSL>
</Adaptor>
"""

VHOST = """\
<VirtualHost>
  <AppsDir>${VHOST.APPSDIR}</AppsDir>
  <ResourceLimits><MaxConnections>500</MaxConnections><MaxStreams>-1</MaxStreams></ResourceLimits>
  <VirtualDirectory><Streams>vod;${MEDIA}</Streams><Streams>;/everything</Streams></VirtualDirectory>
  <Proxy><RouteTable><RouteEntry>*:*; 10.269.20.06:1935</RouteEntry></RouteTable></Proxy>
</VirtualHost>
"""

APPLICATION = r"""<Application>
  <StreamManager><StorageDir>${TWICE}</StorageDir></StreamManager>
  <FileObject><VirtualDirectory>/ myFMSfiles;\\NAS\FMSfiles\</VirtualDirectory></FileObject>
  <Client override="no">
    <OutChunkSize>4096</OutChunkSize>
    <Bandwidth override="yes">
      <ClientToServer>1250000</ClientToServer><ServerToClient>2500000</ServerToClient>
    </Bandwidth>
    <BandwidthCap override="yes">
      <ClientToServer>100000000</ClientToServer><ServerToClient>100000000</ServerToClient>
    </BandwidthCap>
    <BandwidthDetection enabled="true"><MaxRate>-1</MaxRate></BandwidthDetection>
  </Client>
  <JSEngine>
    <RuntimeSize>20480</RuntimeSize>
    <ApplicationObject><config>
      <dept_name>Tech &quot;A&quot;</dept_name><env_name>staging</env_name>
    </config></ApplicationObject>
  </JSEngine>
  <SWFVerification enabled="false"/>
</Application>
"""

CHAT = """\
<Application><JSEngine><ApplicationObject><room>blue</room></ApplicationObject></JSEngine>
<StreamManager><StorageDir>/chat</StorageDir></StreamManager>
<Client><Bandwidth><ClientToServer>25600</ClientToServer><ServerToClient>-1</ServerToClient></Bandwidth>
<BandwidthCap><ClientToServer>50000</ClientToServer></BandwidthCap></Client></Application>
"""

FILES = {
    "conf/fms.ini": INI,
    "conf/substitution.xml": SUBSTITUTION,
    "conf/more.txt": "FURTHER = x\n",
    "conf/Server.xml": SERVER,
    "conf/Users.xml": USERS,
    "conf/_defaultRoot_/Adaptor.xml": ADAPTOR,
    "conf/_defaultRoot_/_defaultVHost_/Vhost.xml": VHOST,
    "conf/_defaultRoot_/_defaultVHost_/Application.xml": APPLICATION,
    "conf/_defaultRoot_/www.example.com/Vhost.xml": "<VirtualHost><AppsDir/></VirtualHost>",
    "applications/chat/Application.xml": CHAT,
    "applications/vod/main.asc": "",
    "media/twice/.keep": "",
}


@pytest.fixture
def fms(tmp_path: Path) -> Path:
    """The folder with `conf` in it."""
    for name, content in FILES.items():
        path = tmp_path / "fms" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path / "fms"
