"""Loading: text typed by the schema, the environment and secret files filled in, every mistake told with its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.base.errors import ConfigError, ConfigErrors
from gateway.base.profiles import Profile
from gateway.base.values import Secret
from gateway.config import schema
from gateway.config.explain import MAX_SUGGESTED_KEYS
from gateway.config.load import LoadedConfig, load_config, read_admin_socket, read_dialplan
from tests.config.files import NOW, Files, make_certificate

PASSWORD = "correct horse battery"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def load(files: Files) -> LoadedConfig:
    return load_config(files.write(), environ=files.environ, now=NOW)


def mistakes(files: Files) -> tuple[ConfigError, ...]:
    with pytest.raises(ConfigErrors) as caught:
        load(files)
    return caught.value.errors


def only_mistake(files: Files) -> ConfigError:
    found = mistakes(files)
    assert len(found) == 1, [str(e) for e in found]
    return found[0]


def test_a_whole_configuration_is_typed(files: Files) -> None:
    loaded = load(files)
    assert loaded.config.listen.web.address.port == 8443
    assert loaded.config.trunks["pbx"].security is Profile.STRICT
    assert loaded.config.trunks["carrier"].security is Profile.PREFER
    assert loaded.users.users["alice"].ha1_md5.reveal() == "0a" * 16
    assert loaded.dialplan.outbound[0].dialled == "+*"
    assert loaded.warnings == ()


def test_paths_are_relative_to_the_file_that_names_them(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    loaded = load(files)
    assert loaded.config.users == files.directory / "users.yaml"
    assert loaded.config.audit.directory == files.directory / "audit"


def test_an_absolute_path_stays_absolute(files: Files) -> None:
    files.gateway = files.gateway.replace("directory: audit", "directory: /var/log/gateway")
    assert load(files).config.audit.directory == Path("/var/log/gateway")


def test_a_number_in_the_dialplan_keeps_its_zeros_and_plus(files: Files) -> None:
    files.dialplan = files.dialplan.replace('"100"', "0900").replace('"1*"', "+4912").replace('"+*"', '"0*"')
    plan = load(files).dialplan
    assert plan.inbound[0].dialled == "0900"
    assert plan.outbound[1].dialled == "+4912"


def test_a_user_may_be_called_no(files: Files) -> None:
    files.users = files.users.replace("alice:", "no:")
    files.dialplan = files.dialplan.replace("user: alice", "user: no")
    assert list(load(files).users.users) == ["no"]


def test_an_unknown_key_is_told_with_the_nearest_name(files: Files) -> None:
    files.gateway = files.gateway.replace("    security: prefer", "    securty: prefer")
    error = only_mistake(files)
    assert (error.key, error.line, error.message) == ("trunks.carrier.securty", 14, "unknown key")
    assert error.remedy == "did you mean `security`?"
    assert error.file == str(files.directory / "gateway.yaml")


def test_an_unknown_key_without_a_near_name_lists_the_known_ones(files: Files) -> None:
    files.dialplan += "zzzz: 1\n"
    assert only_mistake(files).remedy == f"known keys here: {', '.join(schema.DialplanFile.model_fields)}"


def test_a_long_list_of_known_keys_says_that_it_is_not_all_of_them(files: Files) -> None:
    files.gateway += "zzzz: 1\n"
    known = list(schema.GatewayConfig.model_fields)[:MAX_SUGGESTED_KEYS]
    assert only_mistake(files).remedy == f"known keys here: {', '.join(known)}, and more, see docs/configuration.md"


def test_a_key_at_the_wrong_depth_is_told_where_it_belongs(files: Files) -> None:
    files.gateway = files.gateway.replace("  sip: [", "sip: [")
    found = {e.key: e for e in mistakes(files)}
    assert found["sip"].remedy == "this is a key of `listen`: look at the indentation"


def test_a_mistake_between_two_keys_sends_to_both(files: Files) -> None:
    files.gateway = files.gateway.replace("{address", "{key: server.key, address", 1)
    error = only_mistake(files)
    assert (error.key, error.line) == ("listen.web", 3)
    assert error.remedy.startswith("change the keys under `listen.web`")


@pytest.mark.parametrize("content", ["", "# nothing yet\n", "- realm\n", "realm\n", "realm: a\x07b\n"])
def test_a_file_without_keys_is_told_with_a_remedy(files: Files, content: str) -> None:
    files.gateway = content
    error = only_mistake(files)
    assert Path(error.file).name == "gateway.yaml"
    assert error.remedy


@pytest.mark.parametrize(("key", "name"), [("users", "users.yaml"), ("dialplan", "plan.yaml")])
def test_a_file_that_is_missing_or_a_directory_is_told_by_the_key_that_names_it(
    files: Files, key: str, name: str
) -> None:
    path = files.write()
    (files.directory / name).unlink()
    for words in ("there is no file", "is a directory"):
        with pytest.raises(ConfigErrors) as caught:
            load_config(path, environ={}, now=NOW)
        (error,) = caught.value.errors
        assert (error.key, Path(error.file).name, error.line > 0) == (key, "gateway.yaml", True)
        assert words in error.message
        assert error.remedy
        (files.directory / name).mkdir(exist_ok=True)


def test_a_byte_order_mark_and_dos_line_ends_change_nothing(files: Files) -> None:
    path = files.write()
    path.write_bytes(b"\xef\xbb\xbf" + files.gateway.replace("\n", "\r\n").encode())
    assert load_config(path, environ={}, now=NOW).config == load(files).config


def test_a_mistake_of_the_machine_gets_file_and_line(files: Files) -> None:
    loaded = load(files)
    placed = loaded.placed(ConfigError("taken", key="listen.sip[1]", remedy="free it"))
    assert str(placed) == f"{files.directory / 'gateway.yaml'}:4: listen.sip[1]: taken\n  remedy: free it"
    elsewhere = ConfigError("broken", file="other.pem", key="realm")
    assert loaded.placed(elsewhere) is elsewhere


def test_a_misspelt_required_key_is_one_mistake_not_two(files: Files) -> None:
    files.gateway = files.gateway.replace("realm:", "raelm:")
    error = only_mistake(files)
    assert (error.key, error.remedy) == ("raelm", "did you mean `realm`?")


def test_a_missing_key_is_told_at_its_parent_with_its_meaning(files: Files) -> None:
    files.gateway = files.gateway.replace(", ports: 20000-20099", "")
    error = only_mistake(files)
    assert (error.key, error.line) == ("media.trunk.ports", 7)
    assert error.message == "a required key is missing"
    assert "two per call" in error.remedy


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        (
            "security: prefer",
            "security: prefer\n    display_name: 'a;b'",
            "trunks.carrier.display_name",
            "64 printable characters",
        ),
        ("security: prefer", "security: maybe", "trunks.carrier.security", "'strict', 'prefer', 'osrtp' or 'legacy'"),
        ("127.0.0.1:8443", "localhost:8443", "listen.web.address", "expected an IPv4 or IPv6 address"),
        ("127.0.0.1:8443", "127.0.0.1:99999", "listen.web.address", "port: should be less than or equal to 65535"),
        ("udp:127.0.0.1:5060", "sctp:127.0.0.1:5060", "listen.sip[0]", "transport: should be 'udp', 'tcp' or 'tls'"),
        ("tcp:127.0.0.1:5060", "tls:127.0.0.1:5061", "listen", "a tls: listener needs listen.tls"),
        ("10000-10001", "10001-10000", "media.browser.ports", "the first port is above the last"),
        ("20000-20099", "20001-20002", "media.trunk", "an even port"),
        ("20000-20099}", "20000-20001}\n  workers: 2", "media", "media.trunk.ports needs an even port"),
        ("20000-20099}", "20001-20004}\n  workers: 2", "media", "media.trunk.ports needs an even port"),
        ("20000-20099}", "20000-20099}\n  quality: {good: 3.5}", "media.quality", "good is below bad"),
        (
            "20000-20099}",
            "20000-20099}\n  quality: {seconds: 1}",
            "media.quality.seconds",
            "greater than or equal to 5",
        ),
        ("origins: [", "allow_missing_origin: 2, origins: [", "listen.web.allow_missing_origin", "yes or no"),
        ("realm: pbx", "limits: {calls: many}\nrealm: pbx", "limits.calls", "expected a whole number"),
        ("realm: pbx", "limits: 12\nrealm: pbx", "limits", "expected keys with values"),
        ("networks: [198.51.100.0/24]", "networks: 198.51.100.0/24", "trunks.carrier.networks", "expected a list"),
        ("realm: pbx.example.com", "realm: [a]", "realm", "expected one value"),
        ("192.0.2.10/32", "192.0.2.10/24", "trunks.pbx.networks[0]", "without host bits"),
        ("https://pbx.example.com", "*", "listen.web.origins[0]", "expected scheme://host"),
        ("https://pbx.example.com", "https://pbx.example.com/", "listen.web.origins[0]", "without a path"),
        ("https://pbx.example.com", "https://pbx.example.com:443", "listen.web.origins[0]", "default port"),
        ("  carrier:", "  'my carrier':", "trunks.my carrier", "expected 1 to 32 of"),
        ("target: sip:sip.carrier.example", "target: mailto:x@y", "trunks.carrier.target", ""),
        ("sip:sip.carrier.example", "sip:sip.carrier.example;transport=tsl", "trunks.carrier.target", ""),
        (
            "audit: {directory: audit}",
            "audit: {directory: audit, buffer_mb: lots}",
            "audit.buffer_mb",
            "expected a number",
        ),
        ("audit: {directory: audit}", "audit: {directory: ''}", "audit.directory", "path of a file"),
        ("trunks:", "trunks: []\nlog_level: INFO\nx:", "trunks", "expected keys with values"),
    ],
)
def test_a_wrong_value_is_told_with_key_and_reason(files: Files, old: str, new: str, key: str, words: str) -> None:
    assert old in files.gateway
    files.gateway = files.gateway.replace(old, new)
    found = {e.key: e for e in mistakes(files)}
    assert words in found[key].message
    assert found[key].line > 0
    assert found[key].remedy


def test_mistakes_of_one_file_are_told_together(files: Files) -> None:
    files.gateway = files.gateway.replace("prefer", "maybe").replace("directory:", "folder:").replace("8443", "port")
    assert {e.key for e in mistakes(files)} >= {"trunks.carrier.security", "audit.folder", "listen.web.address"}


def test_mistakes_of_the_users_file_and_the_dialplan_are_told_together(files: Files) -> None:
    files.users = files.users.replace("ha1_md5", "md5")
    files.dialplan = files.dialplan.replace("trunk: carrier", "trunk: 'a b'")
    assert {Path(e.file).name for e in mistakes(files)} == {"users.yaml", "plan.yaml"}


def test_a_variable_is_replaced_from_the_environment(files: Files) -> None:
    files.gateway = files.gateway.replace("sip:sip.carrier.example", '"sip:${HOST}:${PORT}"')
    files.environ = {"HOST": "sip.example.net", "PORT": "5070"}
    assert load(files).config.trunks["carrier"].target == "sip:sip.example.net:5070"


def test_a_missing_variable_is_named(files: Files) -> None:
    files.gateway = files.gateway.replace("sip:sip.carrier.example", '"sip:${CARRIER_HOST}"')
    error = only_mistake(files)
    assert (error.key, error.line) == ("trunks.carrier.target", 12)
    assert error.message == "the environment variable CARRIER_HOST is not set"


def test_a_missing_variable_hides_no_other_mistake(files: Files) -> None:
    files.gateway = files.gateway.replace("udp:127.0.0.1:5060", "udp:${IP}:5060").replace("prefer", "maybe")
    assert {e.key for e in mistakes(files)} == {"listen.sip[0]", "trunks.carrier.security"}


@pytest.mark.parametrize("text", ["${", "${}", "${A B}", "${A", "a${-}"])
def test_a_broken_variable_is_an_error(files: Files, text: str) -> None:
    files.gateway = files.gateway.replace("directory: audit", f"directory: '{text}'")
    assert "${ without a NAME" in str(mistakes(files)[0])


def test_a_doubled_dollar_writes_the_characters_themselves(files: Files) -> None:
    files.gateway = files.gateway.replace("directory: audit", "directory: 'a$$b$${c}$d'")
    assert load(files).config.audit.directory.name == "a$$b${c}$d"


def with_certificate(files: Files, password: str, *, key_password: str | None = None) -> None:
    make_certificate(files.directory, password=key_password or PASSWORD)
    web = f'{{certificate: server.pem, key: server.key, key_password: "{password}", address'
    files.gateway = files.gateway.replace("{address", web, 1)


@pytest.mark.parametrize(
    "written", [PASSWORD, "${KEY_PASSWORD}", "file:password.txt", "file:${SECRET_DIR}/password.txt"]
)
def test_a_secret_comes_from_text_environment_or_file(files: Files, written: str) -> None:
    (files.directory / "password.txt").write_text(PASSWORD + "\n")
    files.environ = {"KEY_PASSWORD": PASSWORD, "SECRET_DIR": str(files.directory)}
    with_certificate(files, written)
    assert load(files).config.listen.web.key_password == Secret(PASSWORD)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read: No such file"), (b"", "is empty"), (b"\xff", "not UTF-8"), (b"x" * 70000, "larger than")],
)
def test_a_secret_file_that_gives_no_secret_is_told(files: Files, content: bytes | None, words: str) -> None:
    if content is not None:
        (files.directory / "password.txt").write_bytes(content)
    with_certificate(files, "file:password.txt")
    error = only_mistake(files)
    assert error.key == "listen.web.key_password"
    assert words in error.message


@pytest.mark.parametrize("written", ["wrong horse", "${KEY_PASSWORD}", "file:password.txt"])
def test_no_error_repeats_a_secret(files: Files, written: str) -> None:
    (files.directory / "password.txt").write_text("wrong horse")
    files.environ = {"KEY_PASSWORD": "wrong horse"}
    with_certificate(files, written)
    error = only_mistake(files)
    assert error.key == "listen.web.key"
    files.gateway = files.gateway.replace("realm:", "raelm:").replace("prefer", "maybe")
    files.gateway = files.gateway.replace("address: 127.0.0.1:8443", f'address: "{written}"')
    assert "wrong horse" not in "".join(str(e) for e in (error, *mistakes(files)))


def test_a_secret_that_breaks_a_key_is_not_repeated(files: Files) -> None:
    files.users = files.users.replace("0a" * 16, "cafe" * 7)
    error = only_mistake(files)
    assert error.key == "users.alice.ha1_md5"
    assert "cafe" not in str(error)
    assert "expected 32 lower-case hexadecimal characters" in error.message


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602])
def test_a_users_file_others_can_read_or_write_is_refused(files: Files, mode: int) -> None:
    files.users_mode = mode
    error = only_mistake(files)
    assert error.remedy == f"chmod 600 {files.directory / 'users.yaml'}"


def test_a_missing_users_file_is_told_with_the_command_that_makes_it(files: Files) -> None:
    path = files.write()
    (files.directory / "users.yaml").unlink()
    with pytest.raises(ConfigErrors) as caught:
        load_config(path, environ={}, now=NOW)
    assert "sip-gateway users add" in str(caught.value)


def test_a_billion_laughs_configuration_is_refused(files: Files) -> None:
    lines = ["a0: &a0 x"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    files.gateway = "\n".join(lines)
    assert "aliases counted in full" in only_mistake(files).message


@pytest.mark.parametrize(
    ("emergency", "words"),
    [
        ('["١١٢"]', "one emergency number"),
        ('["*"]', "one emergency number"),
        ('["+49*"]', "one emergency number"),
        ('["0123456789"]', "at most 8 digits"),
    ],
)
def test_no_pattern_passes_as_an_emergency_number(files: Files, emergency: str, words: str) -> None:
    files.dialplan = f"emergency: {emergency}\n" + files.dialplan
    assert words in only_mistake(files).message


def test_no_pattern_passes_as_an_emergency_rule(files: Files) -> None:
    files.dialplan = files.dialplan.replace("trunk: pbx}\ninbound", "trunk: pbx, emergency: yes}\ninbound")
    assert only_mistake(files).key == "outbound[1]"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("", "one of `trunk`, `trunks`, `user` and `group`"),
        (", trunk: pbx, user: alice", "one of `trunk`, `trunks`, `user` and `group`"),
        (", user: alice, group: sales", "one of `trunk`, `trunks`, `user` and `group`"),
        (", user: alice, strip: 1", "are for rules with a `trunk`"),
        (", user: alice, prefix: '0'", "are for rules with a `trunk`"),
        (", user: alice, emergency: yes", "are for rules with a `trunk`"),
    ],
)
def test_a_rule_leads_to_one_trunk_or_one_user(files: Files, keys: str, words: str) -> None:
    files.dialplan = files.dialplan.replace('dialled: "1*", trunk: pbx', f'dialled: "112"{keys}')
    error = only_mistake(files)
    assert words in error.message
    assert error.key == "outbound[1]"
    assert "outbound[1]" in error.remedy


def test_a_dialplan_is_read_by_itself(files: Files) -> None:
    files.write()
    assert [r.id for r in read_dialplan(files.directory / "plan.yaml").outbound] == ["world", "house"]


def test_a_file_that_is_named_by_a_variable_is_found_wherever_it_is_asked_for(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.gateway = files.gateway.replace("plan.yaml", "${PLAN}.yaml") + "admin: {socket: '${RUN}/admin'}\n"
    path = files.write()
    with pytest.raises(ConfigErrors) as caught:
        read_admin_socket(path)
    assert [(error.key, error.line) for error in caught.value.errors] == [("admin.socket", 17)]
    monkeypatch.setenv("PLAN", "plan")
    monkeypatch.setenv("RUN", "/run/there")
    assert [r.id for r in read_dialplan(path).outbound] == ["world", "house"]
    assert read_admin_socket(path) == Path("/run/there/admin")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("codecs: []", "should have at least 1 item, not 0"),
        ("codecs: PCMU", "expected a list, `[one, two]`"),
        ("tls: {ca: [a, b]}", "expected the path of a file, not a list or keys"),
        ("tls: {pin_sha256: abc}", "expected a SHA-256 digest: 64 hexadecimal digits, or 44 characters of base64"),
        ("auth: {user: '', password: a}", "should have at least 1 character"),
        ("auth: acme", "expected keys with values, `key: value`"),
    ],
)
def test_what_is_wrong_with_a_value_is_said_in_the_language_of_the_file(files: Files, keys: str, message: str) -> None:
    files.gateway = files.gateway.replace("security: prefer", f"security: prefer\n    {keys}")
    assert only_mistake(files).message == message


def test_every_error_names_file_line_key_and_remedy(files: Files) -> None:
    files.gateway = files.gateway.replace("prefer", "maybe")
    text = str(only_mistake(files))
    assert re.match(r".*gateway\.yaml:14: trunks\.carrier\.security: should be .*\n  remedy: .+", text)
