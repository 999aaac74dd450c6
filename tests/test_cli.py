"""The command line: results on standard output, mistakes on standard error with exit code 2, never a traceback."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from gateway import process
from gateway.base.crypto_suite import SUITES
from gateway.base.errors import ConfigError, MediaError
from gateway.base.values import HostPort
from gateway.cli import names
from gateway.cli.audit.following import follow_log
from gateway.cli.commands import cli
from gateway.cli.users import UserStore
from gateway.config.load import LoadedConfig
from gateway.config.reference import reference
from gateway.demo import main as demo
from gateway.demo.main import DemoOptions
from gateway.sip.auth import compute_ha1
from gateway.trunks.dns import DnsClient, DnsError
from gateway.trunks.target import NextHop, TrunkTarget
from tests.config.files import Files, free_ports

ROOT = Path(__file__).parents[1]


def sip_gateway(*arguments: str | Path, typed: str = "") -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments], input=typed, prog_name="sip-gateway")


def refused(result: Result) -> str:
    """What a user is told; a mistake ends with exit code 2 and without a traceback."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert result.stdout == ""
    return result.stderr


@pytest.fixture(autouse=True)
def dns(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """DNS that knows every name but these: False where it says that there is none, True where it says nothing."""
    errors: dict[str, bool] = {}

    async def resolve(_client: DnsClient, target: TrunkTarget) -> Sequence[NextHop]:
        if errors.get(target.host):
            raise DnsError("not in time")
        hop = NextHop(target.transport, HostPort("192.0.2.1", target.port), target)
        return [] if target.host in errors else [hop]

    monkeypatch.setattr(names, "_resolve", resolve)
    return errors


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def free(files: Files) -> Files:
    return free_ports(files)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "users.yaml"


def add(store: Path, name: str = "alice", typed: str = "wonderland", realm: str = "pbx.example.com") -> Result:
    return sip_gateway("users", "add", store, name, "--realm", realm, "--password-stdin", typed=typed + "\n")


def test_check_prints_what_each_trunk_will_offer(files: Files) -> None:
    result = sip_gateway("check", "--elsewhere", files.write())
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    suites = ", ".join(suite.name for suite in SUITES)
    start, second = lines.index("trunk pbx, security strict"), lines.index("trunk carrier, security prefer")
    assert lines[start + 1 : second - 1] == [
        "signalling tls to pbx.example.com:5061, verified: the certificate must name pbx.example.com (CA: system)",
        f"offer RTP/SAVP with {suites}",
        "at best HOP_BY_HOP",
        "if refused the call ends",
        "at worst HOP_BY_HOP, anything weaker is refused",
        "calls in from 192.0.2.10/32; encrypted offers only",
    ]
    assert lines[second + 1 :] == [
        "signalling udp to sip.carrier.example:5060, not verified",
        f"offer RTP/SAVP with {suites}",
        "at best KEY_EXPOSED",
        "if refused a second INVITE with RTP/AVP without keys, logged",
        "at worst CLEARTEXT, logged and shown to the user",
        "calls in from 198.51.100.0/24; encrypted or plain, keyed when offered",
    ]


def test_check_refuses_a_strict_trunk_over_udp(files: Files) -> None:
    files.gateway = files.gateway.replace("prefer", "strict")
    assert "trunks.carrier.target: security strict refuses every call over udp" in refused(
        sip_gateway("check", files.write())
    )


@pytest.mark.parametrize(("profile", "offer"), [("legacy", "RTP/AVP without keys"), ("osrtp", "RTP/AVP with AEAD")])
def test_check_shows_the_offer_of_the_profile(files: Files, profile: str, offer: str) -> None:
    files.gateway = files.gateway.replace("prefer", profile)
    assert offer in sip_gateway("check", files.write()).stdout


@pytest.mark.parametrize(
    ("keying", "lines"),
    [
        ("[dtls]", ["at best UNAUTHENTICATED", "if refused a second INVITE with RTP/AVP"]),
        ("[dtls, sdes]", ["if refused a second INVITE with RTP/SAVP with", ", then a second INVITE with RTP/AVP"]),
    ],
)
def test_check_shows_how_a_trunk_is_keyed(files: Files, keying: str, lines: list[str]) -> None:
    files.gateway = files.gateway.replace("security: prefer\n", f"security: prefer\n    keying: {keying}\n")
    out = sip_gateway("check", files.write()).stdout
    assert "UDP/TLS/RTP/SAVP with AEAD_AES_256_GCM, AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80 by DTLS" in out
    for line in lines:
        assert line in " ".join(out.split())


def test_check_does_not_wrap_or_style_what_is_piped(files: Files) -> None:
    files.gateway = files.gateway.replace("pbx.example.com;", "a-rather-long-name-" * 6 + "x.example.com;")
    out = sip_gateway("check", files.write()).stdout
    assert "x.example.com:5061, verified" in out
    assert "\x1b" not in out


def test_check_tells_warnings_and_succeeds(files: Files) -> None:
    files.dialplan = files.dialplan.replace("emergency_trunks: [carrier]\n", "")
    result = sip_gateway("check", files.write())
    assert result.exit_code == 0
    assert "warning: " in result.stderr
    assert "999" in result.stderr


def test_check_tells_every_mistake_with_place_and_remedy(files: Files) -> None:
    files.gateway = files.gateway.replace("prefer", "maybe").replace("directory:", "folder:")
    told = refused(sip_gateway("check", files.write()))
    assert "gateway.yaml:14: trunks.carrier.security: should be 'strict', 'prefer'" in told
    assert "gateway.yaml:16: audit.folder: unknown key" in told
    assert told.count("remedy:") == told.count("error:")
    assert f"{told.count('error:')} mistakes" in told


def test_check_asks_dns_for_the_trunks(files: Files, dns: dict[str, bool]) -> None:
    dns["pbx.example.com"] = False
    told = refused(sip_gateway("check", files.write()))
    assert "gateway.yaml:10: trunks.pbx.target: DNS knows no address of pbx.example.com" in told
    assert "remedy: write the name as DNS has it" in told
    assert sip_gateway("check", "--elsewhere", files.write()).exit_code == 0


def test_check_names_the_one_of_several_targets_that_dns_does_not_know(files: Files, dns: dict[str, bool]) -> None:
    dns["b.example"] = False
    several = "targets: [sip:a.example, sip:b.example]"
    files.gateway = files.gateway.replace("target: sip:sip.carrier.example", several)
    told = refused(sip_gateway("check", files.write()))
    assert "gateway.yaml:12: trunks.carrier.targets[1]: DNS knows no address of b.example" in told


def test_check_only_warns_where_dns_gives_no_answer(files: Files, dns: dict[str, bool]) -> None:
    dns["sip.carrier.example"] = True
    result = sip_gateway("check", files.write())
    assert result.exit_code == 0
    assert "trunks.carrier.target: DNS did not say whether sip.carrier.example exists" in result.stderr


def test_check_finds_everything_in_one_round(files: Files, dns: dict[str, bool]) -> None:
    """Missing files, certificates, addresses and names: none hides another, and none is told twice."""
    dns["pbx.example.com"] = False
    files.gateway = (
        files.gateway.replace("users: users.yaml", "users: absent.yaml")
        .replace("udp:127.0.0.1", "udp:192.0.2.7")
        .replace("[192.0.2.10/32]}", "[192.0.2.10/32], tls: {certificate: no.pem, key: no.key}}")
    )
    files.dialplan = files.dialplan.replace("trunk: carrier", "trunk: nobody", 1)
    told = refused(sip_gateway("check", files.write()))
    assert "users: there is no file" in told
    assert "listen.sip[0]: cannot bind udp 192.0.2.7" in told
    assert "no.pem" in told
    assert "trunks.pbx.target: DNS knows no address" in told
    assert "there is no trunk nobody" in told
    places = [line.split(": ")[1:3] for line in told.splitlines() if line.startswith("error: ")]
    assert len(places) == len({tuple(place) for place in places}), places


def test_check_of_a_missing_file_names_it(tmp_path: Path) -> None:
    assert "absent.yaml: the file cannot be read" in refused(sip_gateway("check", tmp_path / "absent.yaml"))


def test_markup_in_a_message_is_only_text(files: Files) -> None:
    files.gateway += "'[red]boo[/nothing]': 1\n"
    assert "[red]boo[/nothing]" in refused(sip_gateway("check", files.write()))


def test_run_hands_the_configuration_to_the_gateway(free: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[LoadedConfig] = []
    monkeypatch.setattr(process, "main", lambda loaded, read: handed.extend((loaded, read())))
    assert sip_gateway("run", "-c", free.write()).exit_code == 0
    assert [loaded.config.realm for loaded in handed] == ["pbx.example.com"] * 2  # once to start with, once to reload


def test_run_tells_mistakes_before_anything_starts(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "main", lambda *_: pytest.fail("started"))
    files.gateway = files.gateway.replace("prefer", "maybe")
    assert "trunks.carrier.security" in refused(sip_gateway("run", "-c", files.write()))


def test_demo_hands_its_options_and_a_way_to_serve(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[DemoOptions] = []
    served: list[str] = []

    async def serve(loaded: LoadedConfig, *, ready: Callable[[], None]) -> None:
        served.append(loaded.config.realm)
        ready()

    def run_demo(options: DemoOptions, serve_file: demo.ServeFile) -> int:
        handed.append(options)
        asyncio.run(_awaited(serve_file(files.write(), lambda: served.append("ready"))))
        return 3

    monkeypatch.setattr(process, "serve", serve)
    monkeypatch.setattr(demo, "main", run_demo)
    result = sip_gateway("demo", "--port", "9443", "--directory", tmp_path)
    assert result.exit_code == 3
    assert handed == [DemoOptions(directory=tmp_path, port=9443)]
    assert served == ["pbx.example.com", "ready"]
    assert sip_gateway("demo").exit_code == 3
    assert handed[1] == DemoOptions()


async def _awaited(work: Awaitable[None]) -> None:
    await work


def test_a_failure_that_is_no_mistake_of_the_user_has_exit_code_1(free: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(loaded: LoadedConfig, read: object) -> None:
        raise MediaError("no worker came up")

    monkeypatch.setattr(process, "main", fail)
    result = sip_gateway("run", "-c", free.write())
    assert (result.exit_code, result.stderr) == (1, "error: no worker came up\n")


def test_users_add_writes_digests_and_never_the_password(store: Path) -> None:
    assert add(store).exit_code == 0
    text = store.read_text()
    assert compute_ha1("alice", "pbx.example.com", "wonderland", "MD5") in text
    assert compute_ha1("alice", "pbx.example.com", "wonderland", "SHA-256") in text
    assert "wonderland" not in text


def test_users_add_makes_a_file_only_its_owner_can_read(store: Path) -> None:
    before = os.umask(0)
    try:
        add(store)
    finally:
        os.umask(before)
    assert stat.S_IMODE(store.stat().st_mode) == 0o600
    assert [p.name for p in store.parent.iterdir()] == ["users.yaml"]


def test_users_add_asks_for_the_password_twice(store: Path) -> None:
    result = sip_gateway("users", "add", store, "bob", "--realm", "pbx.example.com", typed="wonderland\nwonderland\n")
    assert result.exit_code == 0
    assert result.stdout == f"added bob in {store}\n"
    assert compute_ha1("bob", "pbx.example.com", "wonderland", "MD5") in store.read_text()


def test_users_add_keeps_the_other_users_and_changes_a_known_one(store: Path) -> None:
    add(store)
    add(store, "no", "looking-glass")
    before = store.read_text()
    assert add(store, "alice", "another-one").stdout == f"changed alice in {store}\n"
    after = store.read_text()
    assert sip_gateway("users", "list", store).stdout == "alice@pbx.example.com\nno@pbx.example.com\n"
    assert before != after
    assert compute_ha1("no", "pbx.example.com", "looking-glass", "MD5") in after


def test_the_realm_of_a_digest_is_spelt_as_the_configuration_has_it(store: Path) -> None:
    add(store, realm="PBX.Example.com")
    assert compute_ha1("alice", "pbx.example.com", "wonderland", "MD5") in store.read_text()


def test_users_remove_takes_one_user_out(store: Path) -> None:
    add(store)
    add(store, "bob")
    assert sip_gateway("users", "remove", store, "alice").exit_code == 0
    assert sip_gateway("users", "list", store).stdout == "bob@pbx.example.com\n"
    assert sip_gateway("users", "remove", store, "bob").exit_code == 0
    assert sip_gateway("users", "list", store).stdout == ""
    assert "no user 'bob'" in refused(sip_gateway("users", "remove", store, "bob"))


@pytest.mark.parametrize(
    ("name", "password", "realm", "words"),
    [
        ("al ice", "wonderland", "pbx.example.com", "a user name has"),
        ("+49 30", "wonderland", "pbx.example.com", "a user name has"),
        ("alice", "tiny!", "pbx.example.com", "shorter than 8"),
        ("alice", "", "pbx.example.com", "shorter than 8"),
        ("alice", "wonder\x07land", "pbx.example.com", "cannot be typed"),
        ("alice", "wonderland", 'pbx"x', "realm is a domain name"),
    ],
)
def test_users_add_refuses_what_could_not_sign_in(
    store: Path, name: str, password: str, realm: str, words: str
) -> None:
    told = refused(add(store, name, password, realm))
    assert words in told
    assert not store.exists()
    assert not password or password not in told


@pytest.mark.parametrize("line", [b"x" * 5000 + b"\n", b"wonder\xffland\n", b""])
def test_a_password_line_that_is_no_password_is_refused(store: Path, line: bytes) -> None:
    arguments = ["users", "add", str(store), "alice", "--realm", "pbx.example.com", "--password-stdin"]
    told = refused(CliRunner().invoke(cli, arguments, input=line))
    assert "password" in told
    assert "xxx" not in told
    assert not store.exists()


def test_users_add_refuses_a_file_others_can_read(store: Path) -> None:
    add(store)
    store.chmod(0o644)
    before = store.read_text()
    assert f"chmod 600 {store}" in refused(add(store, "bob"))
    assert store.read_text() == before


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "users.yaml").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        UserStore(tmp_path / "users.yaml").save()
    assert [p.name for p in tmp_path.iterdir()] == ["users.yaml"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write another user's file")
def test_the_owner_of_the_users_file_stays_its_owner(store: Path) -> None:
    add(store)
    os.chown(store, 65534, 65534)
    add(store, "bob")
    assert (store.stat().st_uid, stat.S_IMODE(store.stat().st_mode)) == (65534, 0o600)


def test_users_add_into_a_directory_that_is_missing_is_told(tmp_path: Path) -> None:
    assert "cannot be written" in refused(add(tmp_path / "no" / "users.yaml"))


def test_what_a_users_file_takes_from_elsewhere_stays_elsewhere(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`${NAME}` and `file:` of users that are left alone, and of what does not change with a password."""
    add(store)
    add(store, "bob")
    digests = {
        line.split(":")[0].strip(): line.split(": ")[1] for line in store.read_text().splitlines() if "ha1" in line
    }
    monkeypatch.setenv("ALICE_MD5", digests["ha1_md5"].strip('"'))
    monkeypatch.setenv("EXTENSION", "4711")
    (store.parent / "alice.sha256").write_text(digests["ha1_sha256"].strip('"') + "\n")
    store.write_text(
        'users:\n  alice: {realm: pbx.example.com, ha1_md5: "${ALICE_MD5}", ha1_sha256: "file:alice.sha256",'
        ' number: "+49${EXTENSION}"}\n'
    )
    assert add(store, "carol").exit_code == 0
    kept = store.read_text()
    assert '"${ALICE_MD5}"' in kept
    assert '"file:alice.sha256"' in kept
    assert digests["ha1_md5"].strip('"') not in kept
    assert add(store, "alice", "another-wonderland").exit_code == 0
    changed = store.read_text()
    assert "${ALICE_MD5}" not in changed
    assert "file:alice.sha256" not in changed
    assert '"+49${EXTENSION}"' in changed
    assert sip_gateway("users", "remove", store, "carol").exit_code == 0
    assert '"+49${EXTENSION}"' in store.read_text()


def test_a_users_file_written_here_is_one_check_accepts(files: Files) -> None:
    path = files.write()
    (files.directory / "users.yaml").unlink()
    add(files.directory / "users.yaml")
    assert sip_gateway("check", path).exit_code == 0


def test_check_says_what_a_trunk_is_told_of_callers(files: Files) -> None:
    keys = 'identity: {from: fixed, number: "+4930", domain: a.example, send: preferred, privacy: pass}'
    files.gateway = files.gateway.replace("security: prefer", f"security: prefer\n    {keys}\n    number_format: e164")
    shown = sip_gateway("check", "--elsewhere", files.write()).stdout
    told = "From +4930 at a.example, P-Preferred-Identity, numbers as e164; who wants privacy is told with the wish"
    assert [line.split(None, 1)[1] for line in shown.splitlines() if line.strip().startswith("callers")] == [told]


def test_dialplan_explain_prints_the_way_of_a_call(files: Files) -> None:
    files.write()
    plan = files.directory / "plan.yaml"
    assert sip_gateway("dialplan", "explain", plan, "+49 30-1").stdout.splitlines() == [
        "+49 30-1 is read as +49301",
        "rule world (+*): matches",
        "trunk carrier gets +49301",
    ]
    assert sip_gateway("dialplan", "explain", plan, "--to", "+49301").stdout.splitlines()[-1] == (
        "trunk carrier gets +49301"
    )
    inbound = sip_gateway("dialplan", "explain", plan, "100", "--from-trunk", "pbx")
    assert inbound.stdout.splitlines()[-1] == "user alice rings"
    assert "cannot be dialled" in refused(sip_gateway("dialplan", "explain", plan, "a;b"))


def test_dialplan_explain_takes_the_gateway_file_too(files: Files) -> None:
    shown = sip_gateway("dialplan", "explain", files.write(), "+49 30-1")
    assert shown.stdout.splitlines()[-1] == "trunk carrier gets +49301"


def test_dialplan_explain_knows_the_users_of_a_gateway_file_it_may_read(files: Files) -> None:
    path = files.write()
    assert sip_gateway("dialplan", "explain", path, "alice").stdout.splitlines()[-1] == (
        "user alice rings, whose name it is"
    )
    assert sip_gateway("dialplan", "explain", path, "Alice").stdout.splitlines()[-1].endswith("refused with 404")
    alone = sip_gateway("dialplan", "explain", files.directory / "plan.yaml", "alice")
    assert alone.stdout.splitlines()[-1].endswith("unless it is the name of a user")
    (files.directory / "users.yaml").unlink()
    assert sip_gateway("dialplan", "explain", path, "alice").stdout == alone.stdout


def test_dialplan_explain_takes_a_caller_and_looks_at_what_she_may_call(files: Files) -> None:
    files.dialplan += "permissions: [{id: none, users: [alice], deny: ['+1900*']}]\n"
    path = files.write()
    shown = sip_gateway("dialplan", "explain", path, "--from", "alice", "--to", "+1900555")
    assert shown.stdout.splitlines() == [
        "rule world (+*): matches",
        "permission none (+1900*): forbidden",
        "the call is refused with 403: this caller may not call this number",
    ]
    assert "there is no user 'zoe'" in refused(sip_gateway("dialplan", "explain", path, "--from", "zoe", "--to", "1"))
    both = sip_gateway("dialplan", "explain", path, "--from", "alice", "--trunk", "pbx", "--to", "1")
    assert "from a user or from a trunk" in refused(both)
    assert "no number is given" in refused(sip_gateway("dialplan", "explain", path))


def test_dialplan_explain_for_programs_is_one_json_object(files: Files) -> None:
    shown = sip_gateway("dialplan", "explain", files.write(), "--to", "100", "--trunk", "pbx", "--json")
    found = json.loads(shown.stdout)
    assert (found["outcome"], found["user"], found["number"]) == ("route", "alice", "100")


def test_dialplan_explain_reads_the_gateway_file_of_this_directory(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files.write().parent)
    shown = sip_gateway("dialplan", "explain", "--from", "alice", "--to", "+49301")
    assert shown.stdout.splitlines()[-1] == "trunk carrier gets +49301"


def test_dialplan_explain_knows_how_a_trunk_writes_numbers(files: Files) -> None:
    files.gateway = files.gateway.replace("security: prefer", "security: prefer\n    number_format: national")
    files.dialplan = 'country: "49"\n' + files.dialplan
    shown = sip_gateway("dialplan", "explain", files.write(), "--to", "0049 301")
    assert shown.stdout.splitlines()[-1] == "trunk carrier gets 0301"


RECORD = {"type": "leg.violation", "ts": "2030-01-02T03:04:05.678901Z", "leg": "trunk", "codes": ["media.plain_rtp"]}


def test_audit_show_prints_one_line_per_record(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    log.write_text(json.dumps(RECORD) + "\n" + "torn\x1b[31m\n")
    for path in (log, tmp_path):
        shown = sip_gateway("audit", "show", path).stdout
        assert len(shown.splitlines()) == 2
        assert "media.plain_rtp" in shown
        assert "unreadable line: torn" in shown
        assert "\x1b" not in shown


def numbered(path: Path, *numbers: int, **facts: object) -> Path:
    """A log with records of these numbers."""
    record = {"type": "call.start", "user": "alice", "call_uid": "81f00d2a90c4", "ts": "2030-01-02T10:00:00Z"} | facts
    data = "".join(json.dumps({"v": 1, "seq": number} | record) + "\n" for number in numbers).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def test_audit_show_reads_rotated_files_in_order_and_names_missing_numbers_where_they_are(tmp_path: Path) -> None:
    numbered(tmp_path / "audit.jsonl", 9, 10)
    numbered(tmp_path / "audit.jsonl.1", 5, 6, 8)
    numbered(tmp_path / "audit.jsonl.2.gz", 1, 2, 3, 4, user="bob")
    lines = sip_gateway("audit", "show", tmp_path).stdout.splitlines()
    assert len(lines) == 10
    assert "record 7 is missing and no record says why" in lines[6]
    assert [line for line in lines if "missing" in line] == [lines[6]]
    chosen = sip_gateway("audit", "show", tmp_path, "--user", "bob").stdout.splitlines()
    assert len(chosen) == 5
    assert "record 7 is missing" in chosen[-1], "also where nothing near it was asked for"


def test_audit_show_gives_chosen_records_as_they_stand_in_the_log(tmp_path: Path) -> None:
    numbered(tmp_path / "audit.jsonl", 1, 2, 4)
    shown = sip_gateway("audit", "show", tmp_path, "--json", "--call", "c-81f00d2a", "--since", "2030-01-02 10:00")
    assert [json.loads(line)["seq"] for line in shown.stdout.splitlines()] == [1, 2, 4]
    assert sip_gateway("audit", "show", tmp_path, "--severity", "high", "--json").stdout == ""
    assert "is no time" in refused(sip_gateway("audit", "show", tmp_path, "--since", "yesterday"))


def test_audit_show_of_a_missing_file_is_told(tmp_path: Path) -> None:
    assert "cannot be read" in refused(sip_gateway("audit", "show", tmp_path / "absent"))


def test_audit_follow_prints_new_records_and_survives_rotation(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    log.write_text(json.dumps({"type": "call.start"}) + "\n")

    def steps() -> Iterator[None]:
        with log.open("a") as stream:
            stream.write(json.dumps(RECORD)[:20])
            stream.flush()
            yield
            stream.write(json.dumps(RECORD)[20:] + "\n")
        yield
        log.rename(tmp_path / "audit.1")
        yield
        log.write_text(json.dumps({"type": "call.final", "to": "x" * 1000}) + "\n")
        yield

    step = steps()
    lines = follow_log(log, wait=lambda seconds: next(step))
    assert "leg.violation" in next(lines).plain
    assert "call.final" in next(lines).plain
    lines.close()


def test_certs_dev_makes_a_ca_and_certificates(tmp_path: Path) -> None:
    result = sip_gateway("certs", "dev", tmp_path / "certs", "--host", "gw.example.com")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 4
    assert all(Path(name).is_file() for line in result.stdout.splitlines() for name in line.split())


def test_the_configuration_reference_is_current() -> None:
    result = sip_gateway("reference")
    assert result.stdout == reference()
    assert (ROOT / "docs" / "configuration.md").read_text() == reference(), "run `make docs`"


def test_the_reference_names_every_key_with_a_meaning() -> None:
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert not [row for row in rows if row.split(" | ")[-1] in ("|", " |")]


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("path", list(commands(cli)), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    result = sip_gateway(*path, "--help")
    assert result.exit_code == 0
    assert "Usage: sip-gateway" in result.stdout


def test_a_wrong_option_is_a_mistake_of_the_user() -> None:
    assert "No such option" in refused(sip_gateway("check", "--nonsense"))


def test_the_program_ends_with_words_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("realm: [\n")
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "check", str(tmp_path / "gateway.yaml")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "gateway.yaml:2: this is not YAML" in done.stderr
    assert "Traceback" not in done.stderr
