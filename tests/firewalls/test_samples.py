"""The scripts of docs/samples, run as the driver does, with doubles of the programs that they call.

What a BIG-IP or AWS itself answers is not tested.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from rtmp_sync.firewalls.command import ACTIONS, CommandFilter

SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"

# Keeps the member as it was patched; answers without spaces, as iControl REST does.
CURL = """
import json, os, sys
member = {"session": "monitor-enabled", "state": "up"}
if os.path.exists("member"):
    member = json.load(open("member"))
arguments = sys.argv[1:]
if "--data" in arguments:
    member |= json.loads(arguments[arguments.index("--data") + 1])
    json.dump(member, open("member", "w"))
open("urls", "a").write(arguments[-1] + "\\n")
print(json.dumps({"kind": "tm:ltm:pool:members:membersstate", **member}, separators=(",", ":")))
"""

# Keeps the permissions; a rule's id is its place.
AWS = """
import json, os, sys
rules = json.load(open("rules")) if os.path.exists("rules") else {}
action, arguments = sys.argv[2], sys.argv[3:]
if action == "describe-security-group-rules":
    print("\\t".join(rules))
elif action == "authorize-security-group-ingress":
    rules[f"sgr-{len(rules)}"] = arguments[arguments.index("--ip-permissions") + 1]
else:
    for rule in arguments[arguments.index("--security-group-rule-ids") + 1:]:
        del rules[rule]
json.dump(rules, open("rules", "w"))
"""


def sample(
    monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, double: str, *arguments: str
) -> CommandFilter:
    """The script, which finds `double` under the name of its program."""
    program, text = double, {"curl": CURL, "aws": AWS}[double]
    (folder / program).write_text(f"#!{sys.executable}\n{text}")
    (folder / program).chmod(0o755)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    command: Sequence[str] = [str(SAMPLES / name), *arguments]
    variables = {
        "RTMP_SYNC_PORT": "1935",
        "RTMP_SYNC_HTTP_PORT": "8080",
        "RTMP_SYNC_ALLOW": "10.0.0.0/24 fd77::/64",
    }
    return CommandFilter(
        dict.fromkeys(ACTIONS, command), variables, deadline_seconds=20, verify_seconds=1
    )


async def test_a_pool_member_of_a_big_ip_is_offline_while_the_gate_is_closed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arguments = ("10.0.0.9", "~Common~rtmp", "10.0.0.1")
    gate = sample(monkeypatch, tmp_path, "gate-big-ip.sh", "curl", *arguments)
    assert await gate.verify() == "open"
    await gate.close()
    assert await gate.verify() == "closed"
    await gate.open(1, 0.0)
    assert await gate.verify() == "open"
    url = "https://10.0.0.9/mgmt/tm/ltm/pool/~Common~rtmp/members/~Common~10.0.0.1:1935"
    assert set((tmp_path / "urls").read_text().splitlines()) == {url}


@pytest.mark.parametrize(
    "double", ["print('<html>login</html>')", "import sys; sys.exit(22)"], ids=["html", "error"]
)
async def test_what_a_big_ip_does_not_answer_is_not_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, double: str
) -> None:
    gate = sample(monkeypatch, tmp_path, "gate-big-ip.sh", "curl", "10.0.0.9", "rtmp", "10.0.0.1")
    (tmp_path / "curl").write_text(f"#!{sys.executable}\n{double}\n")
    with pytest.raises(OSError, match="verify_command"):
        await gate.verify()


async def test_a_security_group_is_empty_while_the_gate_is_closed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gate = sample(monkeypatch, tmp_path, "gate-aws-security-group.sh", "aws", "sg-1")
    await gate.close()
    assert await gate.verify() == "closed"
    await gate.open(1, 0.0)
    await gate.open(1, 0.0)
    assert await gate.verify() == "open"
    rules = (tmp_path / "rules").read_text()
    assert rules.count("IpProtocol=tcp,FromPort=1935,ToPort=1935") == 2
    assert rules.count("IpProtocol=tcp,FromPort=8080,ToPort=8080") == 2
    assert "IpRanges=[{CidrIp=10.0.0.0/24}]" in rules
    assert "Ipv6Ranges=[{CidrIpv6=fd77::/64}]" in rules
    await gate.close()
    assert await gate.verify() == "closed"
