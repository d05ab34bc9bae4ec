"""A wrong configuration is one line with key, value and fix; a right one means what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtmp_sync.config import Address, Config, ConfigError, WrongConfig, load_config
from rtmp_sync.server import descriptors

SINGLE = '[node]\nid = "A"\n'
HTTP = '[http]\nlisten = "127.0.0.1:8081"\nmax_connections = 800\n'

PAIR = """
[node]
id = "A"
[replication]
listen = "127.0.0.1:19361"
peer = "127.0.0.1:19362"
secret_file = "secret"
{replication}
[failover]
pair_file = "MainOriginConfig.txt"
peer_admin = "127.0.0.1:19442"
{failover}
[admin]
user = "admin"
password_file = "password"
[health]
listen = "127.0.0.1:19441"
"""


def pair(**sections: str) -> str:
    """A right pair configuration with lines added to the named sections."""
    return PAIR.format(**{"replication": "", "failover": "", **sections})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Everything that `PAIR` names, right."""
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "text.py").touch()
    (tmp_path / "MainOriginConfig.txt").write_text("A\\B")
    for name, content in (("secret", "0123456789abcdef"), ("password", "correct horse")):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    return tmp_path


def load(folder: Path, text: str) -> Config:
    path = folder / "config.toml"
    path.write_text(text)
    return load_config(path)


def errors(folder: Path, text: str) -> list[str]:
    with pytest.raises(WrongConfig) as caught:
        load(folder, text).check()
    return [str(error) for error in caught.value.errors]


def test_a_single_origin_needs_only_its_id(folder: Path) -> None:
    config = load(folder, SINGLE)
    assert config.check() == []
    assert config.coordinator == "none"
    assert not config.is_pair
    assert config.rtmp.listen == Address("0.0.0.0", 1935)


def test_a_configuration_can_be_built_in_code() -> None:
    config = Config.model_validate({"node": {"id": "A"}, "rtmp": {"listen": "127.0.0.1:0"}})
    assert str(config.rtmp.listen) == "127.0.0.1:0"


def test_a_complete_pair_passes_without_a_warning(folder: Path) -> None:
    config = load(folder, pair())
    assert config.check() == []
    assert config.coordinator == "file"
    assert config.secrets() == [b"0123456789abcdef"]
    assert config.password() == "correct horse"


def test_relative_paths_count_from_the_file(folder: Path) -> None:
    config = load(folder, SINGLE)
    assert config.apps.directory == folder / "apps"
    assert config.storage.state == folder / "state"


def test_numbers_follow_the_profile_unless_given(folder: Path) -> None:
    timing = load(folder, pair(failover='profile = "fast"\nmargin = 0.3')).timing()
    assert (timing.t_conf, timing.margin, timing.ack_timeout) == (1.0, 0.3, 0.5)
    timing = load(folder, pair(replication="ack_timeout = 2.0")).timing()
    assert (timing.t_conf, timing.ack_timeout) == (3.0, 2.0)


def test_the_environment_of_the_node_overrides_the_rest(folder: Path) -> None:
    text = (
        '[node]\nid = "A"\nenvironment = "Production"\n'
        '[rtmp]\nlisten = "127.0.0.1:1"\nchunk_size = 1000\n'
        '[environments.production.rtmp]\nlisten = "127.0.0.1:2"\n'
        '[environments.staging.rtmp]\nlisten = "127.0.0.1:3"\n'
    )
    config = load(folder, text)
    assert config.rtmp.listen.port == 2
    assert config.rtmp.chunk_size == 1000


ARTICLE = (
    '[node]\nid = "A"\nenvironment = "{name}"\n'
    '[replication]\npeer = "127.0.0.1:19362"\nsecret_file = "secret"\n'
    '[failover]\npeer_admin = "127.0.0.1:19442"\n'
    '[admin]\nuser = "admin"\npassword_file = "password"\n'
    '[application_object]\ndept_name = "News"\nenv_name = "none"\n'
    '[environments.staging.failover]\npair_file = "staging/MainOriginConfig.txt"\n'
    '[environments.staging.application_object]\nenv_name = "staging"\n'
    '[environments.production.failover]\npair_file = "production/MainOriginConfig.txt"\n'
    '[environments.production.application_object]\nenv_name = "production"\n'
)


@pytest.mark.parametrize("name", ["staging", "production"])
@pytest.mark.parametrize("by_variable", [False, True])
def test_an_environment_has_its_own_pair_file_and_free_keys(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, by_variable: bool
) -> None:
    if by_variable:
        monkeypatch.setenv("RTMP_SYNC_ENVIRONMENT", name)
    text = ARTICLE.format(name="staging" if by_variable else name)
    config = load(folder, text)
    assert config.node.environment == name
    assert config.failover.pair_file == folder / name / "MainOriginConfig.txt"
    assert config.application_object == {"dept_name": "News", "env_name": name}


def test_a_variable_that_names_no_environment_is_wrong(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RTMP_SYNC_ENVIRONMENT", "prod")
    fix = r"there is no \[environments.prod\] table \(known: 'staging', 'production'\)"
    with pytest.raises(WrongConfig, match=f"RTMP_SYNC_ENVIRONMENT = 'prod': {fix}"):
        load(folder, ARTICLE.format(name="staging"))


def test_an_application_reads_its_overrides_and_free_keys(folder: Path) -> None:
    text = SINGLE + (
        '[apps.text]\npublic_types = ["Type1"]\n'
        '[apps.text.allow]\nType1 = ["setText"]\nGuest = { setText = false }\n'
        '[application_object]\ndept_name = "News"\n'
    )
    config = load(folder, text)
    assert config.apps.section("text").allow == {"Type1": ["setText"], "Guest": {"setText": False}}
    assert config.apps.section("other").allow == {}
    assert config.application_object == {"dept_name": "News"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["node = (not given): this key is needed"]),
        ("[node]\n", ["node.id = (not given): this key is needed"]),
        (
            '[node]\nidd = "A"\n',
            [
                "node.id = (not given): this key is needed",
                "node.idd = 'A': unknown key; did you mean node.id?",
            ],
        ),
        (
            SINGLE + "[rtpm]\n",
            ["rtpm = '{…}': unknown key; did you mean rtmp?"],
        ),
        (
            SINGLE + '[rtmp]\npeer = "b:1"\n',
            ["rtmp.peer = 'b:1': unknown key; it belongs into [replication]"],
        ),
        (
            SINGLE + '[rtmp]\nchunk_size = "4096"\n',
            ["rtmp.chunk_size = '4096': give a whole number without quotes"],
        ),
        (
            SINGLE + "[rtmp]\nlisten = 1935\n",
            ['rtmp.listen = 1935: give "host:port" in quotes'],
        ),
        (
            SINGLE + '[rtmp]\nlisten = "localhost"\n',
            ['rtmp.listen = \'localhost\': give "host:port", for example "127.0.0.1:1935"'],
        ),
        (
            SINGLE + '[rtmp]\nlisten = "localhost:70000"\n',
            ["rtmp.listen = 'localhost:70000': the port must be at most 65535"],
        ),
        (
            '[node]\nid = "A\\\\B"\n',
            [
                "node.id = 'A\\\\B': "
                "use 1 to 64 letters, digits, '.', '_' or '-', a letter or digit first"
            ],
        ),
        (
            SINGLE + '[failover]\ncold_start_alone = "soon"\n',
            ["failover.cold_start_alone = 'soon': give 'never', or a number without quotes"],
        ),
        (
            SINGLE + '[replication]\nmode = "sync"\n',
            ["replication.mode = 'sync': give 'async', 'semi' or 'strict'"],
        ),
        (
            SINGLE + "[apps.text]\npublic = 1\n",
            ["apps.text.public = 1: unknown key; did you mean apps.text.public_types?"],
        ),
        (
            SINGLE + "[apps.txt]\n",
            ["apps.txt = 'txt': there is no {folder}/apps/txt.py; did you mean text?"],
        ),
        (
            SINGLE + '[apps]\ndirectory = "nowhere"\n',
            [
                "apps.directory = '{folder}/nowhere': there is no such folder; "
                "create it or give the one with your applications"
            ],
        ),
        (
            '[node]\nid = "A"\nenvironment = "prod"\n[environments.production]\n',
            [
                "node.environment = 'prod': there is no [environments.prod] table "
                "(known: 'production')"
            ],
        ),
        (  # two that differ by case: neither is meant by a third spelling
            '[node]\nid = "A"\nenvironment = "PROD"\n[environments.prod]\n[environments.Prod]\n',
            [
                "node.environment = 'PROD': there is no [environments.PROD] table "
                "(known: 'prod', 'Prod')"
            ],
        ),
        (  # in force or not
            '[node]\nid = "A"\nenvironment = "a"\n[environments.a.rtmp]\nlisten = 5\n'
            "[environments.b.rtmp]\nlisen = 1\n",
            [
                'environments.a.rtmp.listen = 5: give "host:port" in quotes',
                "environments.b.rtmp.lisen = 1: unknown key; did you mean rtmp.listen?",
            ],
        ),
        (  # rules between keys, likewise
            '[node]\nid = "A"\nenvironment = "a"\n[environments.a.failover]\nhb_interval = 1.5\n'
            '[environments.b.admin]\nlisten = "127.0.0.1:1935"\n',
            [
                "environments.a.failover.hb_interval = 1.5: "
                "three heartbeats must fit into t_conf: below 1",
                "environments.b.admin.listen = '127.0.0.1:1935': "
                "rtmp.listen (0.0.0.0:1935) takes the same port; give another one",
            ],
        ),
        (
            SINGLE + "[environments.a]\nrtpm = 1\n[environments.a.environments]\n",
            [
                "environments.a.environments = (not given): "
                "an environment cannot hold environments; remove it"
            ],
        ),
        (
            SINGLE + '[admin]\nlisten = "127.0.0.1:1935"\n',
            [
                "admin.listen = '127.0.0.1:1935': "
                "rtmp.listen (0.0.0.0:1935) takes the same port; give another one"
            ],
        ),
        (
            SINGLE + '[admin]\nuser = "admin"\n',
            ["admin.password_file = (not given): a user needs a password file"],
        ),
        (
            SINGLE + '[failover]\ncoordinator = "zookeeper"\n[replication]\npeer = "b:1"\n',
            [
                "replication.secret_file = (not given): "
                "give a file with the secret that both origins share",
                "failover.peer_admin = (not given): "
                "give the host:port of the other origin's health listener",
                "admin.user = (not given): a pair needs it, the same on both origins",
                "admin.password_file = (not given): a pair needs it, the same on both origins",
            ],
        ),
        (
            SINGLE + '[firewall]\ndriver = "listner"\n',
            ["firewall.driver = 'listner': there is no such driver; known: {firewalls}"],
        ),
    ],
)
def test_a_wrong_configuration_names_key_value_and_fix(
    folder: Path, text: str, expected: list[str]
) -> None:
    import rtmp_sync

    drivers = sorted(
        path.stem
        for path in (Path(rtmp_sync.__file__).parent / "firewalls").glob("*.py")
        if path.stem != "base" and "_" not in path.stem
    )
    names = {"folder": str(folder), "firewalls": ", ".join(drivers)}
    filled = [line.replace("{folder}", names["folder"]) for line in expected]
    filled = [line.replace("{firewalls}", names["firewalls"]) for line in filled]
    assert errors(folder, text) == filled


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        (
            {"replication": 'mode = "async"'},
            "failover.promote_lag_max = (not given): mode async needs it: the number of "
            "Changes that may be lost at a takeover, for example 1000",
        ),
        (
            {"failover": "hb_interval = 1.5"},
            "failover.hb_interval = 1.5: three heartbeats must fit into t_conf: below 1",
        ),
        (
            {"replication": "ack_timeout = 3.5"},
            "replication.ack_timeout = 3.5: must be below t_conf (3)",
        ),
        (
            {"failover": "guard_deadline = 4.0"},
            "failover.guard_deadline = 4.0: must be below t_conf (3)",
        ),
        (
            {"failover": 'coordinator = "none"'},
            "failover.coordinator = 'none': a pair needs one: give failover.pair_file, "
            "the file that both origins mount, or failover.etcd and failover.nodes",
        ),
    ],
)
def test_a_pair_whose_keys_do_not_fit_together_is_refused(
    folder: Path, sections: dict[str, str], expected: str
) -> None:
    assert errors(folder, pair(**sections)) == [expected]


def test_a_peer_equal_to_self_is_refused(folder: Path) -> None:
    text = pair().replace("127.0.0.1:19362", "localhost:19361").replace("19442", "19441")
    assert errors(folder, text) == [
        "replication.peer = 'localhost:19361': this is the origin's own replication.listen; "
        "give the other origin's address",
        "failover.peer_admin = '127.0.0.1:19441': this is the origin's own health.listen; "
        "give the other origin's address",
    ]


def test_a_missing_pair_file_is_refused(folder: Path) -> None:
    (folder / "MainOriginConfig.txt").unlink()
    assert errors(folder, pair()) == [
        f"failover.pair_file = '{folder}/MainOriginConfig.txt': cannot be read "
        "(No such file or directory); write PRIMARY\\SECONDARY into it"
    ]


def test_a_missing_pair_file_is_left_to_the_origin_when_there_are_records(folder: Path) -> None:
    (folder / "MainOriginConfig.txt").unlink()
    (folder / "MainOriginConfig.txt.d").mkdir()
    assert load(folder, pair()).check() == []


def test_an_id_that_is_not_in_the_pair_file_is_refused(folder: Path) -> None:
    (folder / "MainOriginConfig.txt").write_text("B\\C\r\n")
    assert errors(folder, pair()) == [
        f"node.id = 'A': is not in the pair file {folder}/MainOriginConfig.txt (B and C)"
    ]


def test_a_pair_file_without_a_pair_line_is_refused(folder: Path) -> None:
    (folder / "MainOriginConfig.txt").write_text("")
    assert errors(folder, pair()) == [
        f"failover.pair_file = '{folder}/MainOriginConfig.txt': must hold one line, "
        "PRIMARY\\SECONDARY or PRIMARY\\SECONDARY\\secondaryUP"
    ]


@pytest.mark.parametrize("name", ["secret", "password"])
def test_a_missing_secret_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    key = {"secret": "replication.secret_file", "password": "admin.password_file"}[name]
    assert errors(folder, pair()) == [
        f"{key} = '{folder}/{name}': cannot be read (No such file or directory); "
        "create it with mode 0600"
    ]


def test_a_short_secret_is_refused_and_an_empty_password(folder: Path) -> None:
    (folder / "secret").write_text("short\n")
    (folder / "password").write_text("\n")
    assert errors(folder, pair()) == [
        f"replication.secret_file = '{folder}/secret': "
        "holds 5 bytes; make it at least 16 random ones",
        f"admin.password_file = '{folder}/password': is empty; write a password into it",
    ]


def test_a_secret_that_others_may_read_is_a_warning(folder: Path) -> None:
    (folder / "secret").chmod(0o644)
    assert load(folder, pair()).check() == [
        f"replication.secret_file = '{folder}/secret': others may read it (mode 0644); chmod 600 it"
    ]


def test_the_other_origin_among_the_load_balancers_is_a_warning(folder: Path) -> None:
    listed = pair() + '[rtmp]\nproxy_protocol_from = ["10.0.0.0/24", "127.0.0.1"]\n'
    assert load(folder, listed).check() == [
        "rtmp.proxy_protocol_from = ['10.0.0.0/24', '127.0.0.1/32']: holds the other origin "
        "(127.0.0.1), whose probes send no header; list load balancers"
    ]


@pytest.mark.parametrize(
    ("http", "allowed", "clients"), [("", 500, "400 clients"), (HTTP, 1300, "1200 with browsers")]
)
def test_more_clients_than_open_files_are_a_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch, http: str, allowed: int, clients: str
) -> None:
    monkeypatch.setattr(descriptors, "allowed", lambda: allowed)
    config = load(folder, f"{SINGLE}[rtmp]\nmax_connections = 400\n{http}")
    assert config.check() == [
        f"rtmp.max_connections = 400: {clients} are more than a process may have here: {allowed} "
        "open files, of which 200 are for other things; raise `ulimit -Hn` (systemd: "
        "LimitNOFILE), or allow fewer clients"
    ]
    monkeypatch.setattr(descriptors, "allowed", lambda: allowed + 100)
    assert config.check() == []


def test_a_file_that_is_missing_or_not_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--config = .*cannot be read \(No such file"):
        load_config(tmp_path / "nothing.toml")
    (tmp_path / "bad.toml").write_text("[node\n")
    with pytest.raises(ConfigError, match=r"--config = .*is not valid TOML"):
        load_config(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:1935", "127.0.0.1", 1935),
        (":1935", "0.0.0.0", 1935),
        ("[::1]:1", "::1", 1),
        ("origin-a.example:0", "origin-a.example", 0),
    ],
)
def test_an_address_is_read_and_written(text: str, host: str, port: int) -> None:
    address = Address.parse(text)
    assert address == (host, port)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    ["", "host", "host:", "host:-1", "::1:5", "rtmp://a:1", "a b:1", "a..b:1", f"{'x' * 64}.de:1"],
)
def test_a_malformed_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is for people
        Address.parse(text)
