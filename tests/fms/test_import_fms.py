"""`import-fms`: what is carried over, and what is said of the rest."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import cli
from rtmp_sync.bandwidth_limit import BandwidthLimit
from rtmp_sync.config import load_config

CODE = "from rtmp_sync import Application\nclass Chat(Application): pass\n"


def imported(fms: Path, tmp_path: Path, *options: str) -> Path:
    output = tmp_path / "out" / "origin.toml"
    output.parent.mkdir(exist_ok=True)
    assert cli.run(["import-fms", str(fms), "--output", str(output), *options]) == 0
    return output


def report(
    fms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The keys, and the reasons by path."""
    imported(fms, tmp_path, "--json", "--force")
    said = json.loads(capsys.readouterr().out)
    keys = {one["key"]: one for one in said["mapped"]}
    return keys, {one["path"]: one["reason"] for one in said["unmapped"]}


def test_what_has_a_key_is_carried_over_and_the_file_is_good(
    fms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out" / "apps").mkdir(parents=True)
    (tmp_path / "out" / "apps" / "chat.py").write_text(CODE)
    output = imported(fms, tmp_path, "--id", "B")
    assert cli.run(["config", "check", "--config", str(output)]) == 0, capsys.readouterr().err
    config = load_config(output)
    assert config.node.id == "B"
    assert str(config.rtmp.listen) == "10.0.0.1:1935"
    assert (config.rtmp.chunk_size, config.rtmp.max_connections) == (4096, 500)
    assert str(config.admin.listen) == "0.0.0.0:1111"
    assert config.admin.allow == ["10.0.0.0/24", "192.168.0.0/16"]
    assert config.rtmp.deny == ["10.1.2.3/32"]
    assert config.storage.virtual == {"/vod": fms / "media"}
    assert config.storage.media == fms / "media" / "twice"
    assert config.application_object == {
        "dept_name": 'Tech "A"',
        "env_name": "staging",
        "room": "blue",
    }
    assert config.rtmp.max_byte_rate == 100_000_000
    assert config.apps.bandwidth_limit("vod") == BandwidthLimit(1_250_000, 2_500_000)
    assert config.apps.bandwidth_limit("chat") == BandwidthLimit(25_600, 2_500_000)


def test_ports_that_are_left_out_are_named_beside_the_one_that_is_not(
    fms: Path, tmp_path: Path
) -> None:
    text = imported(fms, tmp_path).read_text()
    assert "HostPort; not 80, 443: one for SSL is `rtmp.tls_listen`\n" in text


def test_a_folder_that_is_not_there_waits_as_a_comment(
    fms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (fms / "media" / "twice" / ".keep").unlink()
    (fms / "media" / "twice").rmdir()
    output = imported(fms, tmp_path)
    text = output.read_text()
    assert f'# media = "{fms}/media/twice"  # _defaultRoot_' in text
    assert "create or mount it, then take the # away" in text
    assert cli.run(["config", "check", "--config", str(output)]) == 0
    assert load_config(output).storage.media is None


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("Root/Server/Mask", "UMask="),
        ("Root/Server/Process/UID", "symbol SERVER.PROCESS_UID is defined nowhere"),
        ("Root/Server/Process/GID", "Group="),
        ("Root/Server/Sparkle", "has no counterpart"),
        ("Root/Server/Sparkle@shape", "has no counterpart"),
        ("Root/Server/AdminServer/Deny", "admin.allow"),
        ("Root/UserList/User@name", "admin.password_file"),
        ("Adaptor/HostPortList/HostPort", "one is enough for rtmp.listen"),
        ("Adaptor/HostPortList/HostPort@ctl_channel", "one listener"),
        ("Adaptor/Allow", "everybody"),
        ("Adaptor/Order", "rtmp.deny"),
        ("Adaptor/HTTPTunneling/Enable", "RTMPT"),
        ("VirtualHost/AppsDir", "Python"),
        ("VirtualHost/VirtualDirectory/Streams", "storage.media"),
        ("VirtualHost/Proxy/RouteTable/RouteEntry", "load balancer's address"),
        ("Application/FileObject/VirtualDirectory", "folder of Windows"),
        ("Application/Client@override", "environments.NAME"),
        ("Application/Client/Bandwidth/ServerToClient", "any number"),
        ("Application/Client/BandwidthCap/ServerToClient", "set_bandwidth_limit"),
        ("Application/Client/BandwidthCap/ClientToServer", "not for one application"),
        ("Application/Client/BandwidthDetection/MaxRate", "checkBandwidth"),
        ("Application/JSEngine/RuntimeSize", "Python"),
        ("Application/StreamManager/StorageDir", "not for one application"),
        ("Application/SWFVerification@enabled", "not looked at"),
    ],
)
def test_what_has_none_is_named_with_the_reason(
    fms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str, reason: str
) -> None:
    _, reasons = report(fms, tmp_path, capsys)
    assert reason in reasons[path]
    assert f"#   {path} = " in (tmp_path / "out" / "origin.toml").read_text()


def test_every_element_is_a_key_or_a_comment(
    fms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, reasons = report(fms, tmp_path, capsys)
    written = (tmp_path / "out" / "origin.toml").read_text()
    for path in [*(one["path"] for one in keys.values()), *reasons]:
        assert path in written


def test_the_name_of_an_application_is_carried_over_whatever_it_is(
    fms: Path, tmp_path: Path
) -> None:
    name = 'a "b".c [d]'
    (fms / "applications" / "chat").rename(fms / "applications" / name)
    output = imported(fms, tmp_path)
    assert load_config(output).apps.configured == []  # there is none yet
    assert (
        '# [apps."a \\"b\\".c [d]"]\n# client_to_server_rate = 25600  # a "b"' in output.read_text()
    )
    (tmp_path / "out" / "apps" / f"{name}.py").write_text(CODE)
    config = load_config(imported(fms, tmp_path, "--force"))
    assert config.apps.bandwidth_limit(name).to_server == 25_600


def test_secrets_are_not_written_down(
    fms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = imported(fms, tmp_path, "--json")
    for secret in ("5up3r", "tell nobody", "1234-SERIAL"):
        assert secret not in output.read_text() + capsys.readouterr().out


def test_nothing_in_a_value_gets_out_of_its_comment_or_string(fms: Path, tmp_path: Path) -> None:
    evil = 'x&#10;[apps]&#10;directory = "/evil"&#13;&#133;&#127;y'
    (fms / "conf" / "Server.xml").write_text(f"<Root><Server><Mask>{evil}</Mask></Server></Root>")
    (fms / "applications" / "chat" / "Application.xml").write_text(
        f"<Application><JSEngine><ApplicationObject><a>{evil}</a></ApplicationObject></JSEngine>"
        "</Application>"
    )
    read = tomllib.loads(imported(fms, tmp_path).read_text())
    assert read["apps"]["directory"] == "apps"
    assert read["application_object"]["a"] == 'x\n[apps]\ndirectory = "/evil"\r\x85\x7fy'


def test_nothing_in_a_reason_gets_out_of_its_comment(fms: Path, tmp_path: Path) -> None:
    prefix = "a&#10;[apps]&#10;directory = 'evil' #;/tmp"
    (fms / "applications" / "chat" / "Application.xml").unlink()
    (fms / "conf" / "_defaultRoot_" / "_defaultVHost_" / "Vhost.xml").write_text(
        f"<VirtualHost><VirtualDirectory><Streams>{prefix}</Streams><Streams>{prefix}</Streams>"
        "</VirtualDirectory></VirtualHost>"
    )
    text = imported(fms, tmp_path).read_text()
    assert "one is enough for storage.virtual./a [apps]" in text
    assert tomllib.loads(text)["apps"]["directory"] == "apps"


def test_every_character_of_a_value_is_carried_over(fms: Path, tmp_path: Path) -> None:
    (fms / "applications" / "chat" / "Application.xml").write_text(
        "<Application><JSEngine><ApplicationObject><a>\U0001f600 ä\u2028 \\u0041</a>"
        "</ApplicationObject></JSEngine></Application>",
        encoding="utf-8",
    )
    read = tomllib.loads(imported(fms, tmp_path).read_text(encoding="utf-8"))
    assert read["application_object"]["a"] == "\U0001f600 ä\u2028 \\u0041"


def test_other_virtual_hosts_are_named_and_can_be_chosen(
    fms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = "_defaultRoot_/www.example.com"
    assert f"--vhost): {host}" in imported(fms, tmp_path).read_text()
    chosen = imported(fms, tmp_path, "--vhost", host, "--force").read_text()
    assert "max_connections" not in chosen
    assert 'listen = "10.0.0.1:1935"' in chosen
    capsys.readouterr()
    assert cli.run(["import-fms", str(fms), "--vhost", "no/where"]) == 2
    assert f"known: _defaultRoot_/_defaultVHost_, {host}" in capsys.readouterr().err


def test_a_port_that_two_listeners_would_have_waits(fms: Path, tmp_path: Path) -> None:
    ini = fms / "conf" / "fms.ini"
    ini.write_text(ini.read_text().replace("= :1111", "= :1935").replace("10.0.0.1:", ":"))
    output = imported(fms, tmp_path)
    assert cli.run(["config", "check", "--config", str(output)]) == 0


def test_a_file_that_is_there_is_written_over_by_force_only(
    fms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = imported(fms, tmp_path)
    output.write_text("mine")
    assert cli.run(["import-fms", str(fms), "--output", str(output)]) == 2
    assert "add --force" in capsys.readouterr().err
    assert output.read_text() == "mine"
    imported(fms, tmp_path, "--force")
    assert output.read_text() != "mine"


def test_the_summary_and_stdout(
    fms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imported(fms, tmp_path)
    said = capsys.readouterr().out
    assert "rtmp.max_connections" in said
    assert "elements without one are comments" in said
    assert cli.run(["import-fms", str(fms / "conf"), "--output", "-"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["rtmp"]["max_connections"] == 500


LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><Root><Server>&b;</Server></Root>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><Root>&a;</Root>'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (LAUGHS, "EntitiesForbidden"),
        (OUTSIDE, "EntitiesForbidden"),
        ("<Root><Server></Root>", "is not valid XML"),
        ('<?xml version="1.0" encoding="nonsense"?><Root/>', "nonsense"),
        ("<Root>" + "<aaaaaaaaaa>" * 200 + "</aaaaaaaaaa>" * 200 + "</Root>", "too deep"),
        ("<Root>" + "<a/>" * 20_100 + "</Root>", "too many elements"),
        ("<Root>" + " " * (4 * 1024 * 1024) + "</Root>", "is longer than"),
    ],
    ids=["billion laughs", "external", "broken", "encoding", "deep", "many", "long"],
)
def test_a_file_that_is_no_configuration_is_refused_in_a_line(
    fms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, said: str
) -> None:
    (fms / "conf" / "Server.xml").write_text(content)
    assert cli.run(["import-fms", str(fms), "--output", str(tmp_path / "x.toml")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Server.xml" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "x.toml").exists()


def test_symbols_that_double_each_other_stay_small(fms: Path, tmp_path: Path) -> None:
    lines = ["S0 = xxxxxxxxxx", *(f"S{n} = ${{S{n - 1}}}${{S{n - 1}}}" for n in range(1, 100))]
    (fms / "conf" / "fms.ini").write_text("\n".join(lines))
    (fms / "conf" / "Server.xml").write_text("<Root><Server><Mask>${S99}</Mask></Server></Root>")
    assert imported(fms, tmp_path).stat().st_size < 20_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["nowhere"], "there is no Server.xml"), (["--id", "a b"], "node.id")],
)
def test_wrong_use_is_a_line(
    fms: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    folder = [] if arguments[0] == "nowhere" else [str(fms)]
    assert cli.run(["import-fms", *folder, *arguments, "--output", "-"]) == 2
    assert said in capsys.readouterr().err
