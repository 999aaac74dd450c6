"""`sip-gateway policy`: what is explained is what is decided, a table of expectations holds, oddities are told."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.commands import cli
from gateway.cli.policy.explain import Question, binding, decide
from gateway.cli.policy.lint import lint
from gateway.cli.policy.table import PolicyTest
from gateway.config.load import load_config
from gateway.policy.book import PolicyBook
from gateway.policy.facts import Direction
from tests.config.files import NOW, Files
from tests.config.test_examples import USERS

ROOT = Path(__file__).parents[2]
POLICY = (ROOT / "deploy" / "policy.yaml").read_text()
TESTS = (ROOT / "deploy" / "policy-tests.yaml").read_text()
PAGE = (ROOT / "docs" / "policy.md").read_text()
NOON = "2030-01-02 12:00"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    plan = (ROOT / "dialplan" / "carrier.yaml").read_text()
    found = Files(tmp_path, users=USERS, dialplan=plan, policy=POLICY)
    found.gateway = found.gateway.replace("    security: prefer\n", "")
    return found


def run(files: Files, *args: str) -> Result:
    config = str(files.write())
    if args[0] != "test":
        args = (*args, "-c", config) if args[0] == "explain" else (*args, config)
    return CliRunner().invoke(cli, ["policy", *args])


def explained(files: Files, *args: str) -> str:
    result = run(files, "explain", *args, "--at", NOON)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_steps_to_a_decision_are_told_in_their_order(files: Files) -> None:
    told = explained(files, "--from", "alice", "--to", "0043 1 234567", "--trunk", "carrier", "--source", "10.20.0.7")
    assert [line.strip() for line in told.splitlines()][:9] == [
        "alice calls +431234567 over carrier from 10.20.0.7 by wss, Wed 2030-01-02 12:00 Europe/Berlin",
        "rule r10-sos: no match: dialled",
        "rule r20-premium: no match: dialled",
        "rule r30-sales: profile transition",
        "floor f10-abroad: require HOP_BY_HOP, suites AEAD_AES_256_GCM, AEAD_AES_128_GCM",
        "floor f20-wan: no match: direction",
        "=> profile transition: require HOP_BY_HOP, prefer HOP_BY_HOP",
        "offers RTP/SAVP with keys, or nothing",
        "suites AEAD_AES_256_GCM, AEAD_AES_128_GCM",
    ]


def test_how_keys_are_offered_and_which_are_taken_is_told_where_it_is_not_as_usual(files: Files) -> None:
    call = ("--from", "alice", "--to", "030123", "--trunk", "carrier", "--source", "10.20.0.7")
    assert "keys by" not in explained(files, *call)
    offer = "media: {offer: [dtls, sdes], answer: [dtls], fallback: retry"
    files.policy = files.policy.replace("media: {fallback: retry", offer, 1)
    told = [line.strip() for line in explained(files, *call).splitlines()]
    assert "keys by DTLS, SDES, in this order" in told
    assert "takes keys by DTLS alone" in told


def test_without_a_trunk_it_is_the_one_the_dialplan_leads_to(files: Files) -> None:
    assert "alice calls +4930123 over carrier" in explained(files, "--from", "alice", "--to", "030123")


def test_a_call_that_comes_in_is_for_whom_the_dialplan_rings(files: Files) -> None:
    told = explained(files, "--trunk", "carrier", "--to", "+4930123450", "--caller", "+4989", "--source", "203.0.113.9")
    assert "carrier calls +4930123450 (alice), caller +4989 from 203.0.113.9 by udp" in told
    assert "carrier calls +4930123450 (bob)" in told
    assert "denies key.sdes_cleartext" in told


def test_a_call_between_browsers_goes_over_no_trunk(files: Files) -> None:
    told = explained(files, "--from", "alice", "--to", "12")
    assert told.startswith("alice calls bob by wss")
    assert "require HOP_BY_HOP" in told


def test_a_refusal_names_its_rule_and_a_call_for_help_is_never_one(files: Files) -> None:
    assert "refused with 403 by rule r20-premium" in explained(
        files, "--from", "bob", "--to", "0900123", "--trunk", "pbx"
    )
    assert "never blocked" in explained(files, "--from", "bob", "--to", "112")


def test_other_programs_get_the_same(files: Files) -> None:
    (line,) = explained(files, "--from", "alice", "--to", "030123", "--json").splitlines()
    told = json.loads(line)
    assert (told["asked"]["dialled"], told["asked"]["groups"]) == ("+4930123", ["sales"])
    assert (told["policy"]["rule_id"], told["policy"]["require"]) == ("r30-sales", "CLEARTEXT")
    assert [step["id"] for step in told["steps"] if step["matched"]] == ["r30-sales"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--from", "zoe", "--to", "030123"), "there is no user 'zoe'"),
        (("--from", "alice", "--to", "030123", "--trunk", "gone"), "there is no trunk 'gone'"),
        (("--from", "alice", "--to", "0044123"), "no rule of the dialplan leads there"),
        (("--from", "alice", "--to", "0301;x"), "cannot be dialled"),
        (("--from", "alice", "--to", "030123", "--source", "here"), "is no address"),
        (("--direction", "in", "--to", "030123"), "a call that comes in is from a trunk"),
    ],
)
def test_what_is_no_call_is_told(files: Files, args: tuple[str, ...], told: str) -> None:
    result = run(files, "explain", *args)
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_time_is_read_by_the_clock_of_the_policy(files: Files) -> None:
    result = run(files, "explain", "--from", "alice", "--to", "030123", "--at", "2030-01-02T17:30Z")
    assert "rule r30-sales: no match: time" in result.stdout
    assert "Wed 2030-01-02 18:30 Europe/Berlin" in result.stdout
    assert run(files, "explain", "--from", "alice", "--to", "030123", "--at", "noon").exit_code == 2


def run_table(files: Files, table: str) -> Result:
    path = files.directory / "policy-tests.yaml"
    path.write_text(table)
    return run(files, "test", str(path))


def test_the_example_decides_what_its_table_expects(files: Files) -> None:
    result = run_table(files, TESTS)
    assert (result.exit_code, result.stdout) == (0, "7 as expected, 0 not\n")


def test_an_expectation_that_does_not_hold_is_told_with_its_place(files: Files) -> None:
    result = run_table(
        files, TESTS.replace("rule: r30-sales, require: CLEARTEXT", "rule: r40-pbx, require: HOP_BY_HOP")
    )
    assert result.exit_code == 1
    first, second, count = result.stdout.splitlines()
    place = f"{files.directory / 'policy-tests.yaml'}:4: sales in office hours, while the carrier is being moved"
    assert first == f"{place}: rule: expected r40-pbx, decided r30-sales"
    assert second == f"{place}: require: expected HOP_BY_HOP, decided CLEARTEXT"
    assert count == "6 as expected, 1 not"


@pytest.mark.parametrize(
    "key",
    ["profile", "rule", "require", "prefer", "deny", "suites", "offer", "answer", "floors", "exception", "reject"],
)
def test_each_thing_that_is_expected_is_compared(files: Files, key: str) -> None:
    other = {
        "require": "PARTIAL",
        "prefer": "PARTIAL",
        "deny": "[tls.old]",
        "suites": "[X]",
        "offer": "[dtls]",
        "answer": "[dtls]",
        "floors": "[x]",
        "reject": 480,
    }
    table = f"tests:\n  - {{from: alice, to: '030123', at: {NOON}, expect: {{{key}: {other.get(key, 'x')}}}}}\n"
    result = run_table(files, table)
    assert result.exit_code == 1
    assert f": {key}: expected" in result.stdout


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("tests: []\n", "tests: "),
        ("tests:\n  - {from: alice, to: '1', expect: {profile: strict}}\n", "tests[0].at"),
        ("tests:\n  - {from: alice, to: '1', at: now, expect: {}}\n", "`expect` names at least one"),
        ("tests:\n  - {from: alice, at: now, expect: {profle: strict}}\n", "did you mean `profile`?"),
    ],
)
def test_a_table_with_a_mistake_is_not_run(files: Files, table: str, told: str) -> None:
    result = run_table(files, table)
    assert result.exit_code == 2
    assert told in result.stderr


def test_an_expectation_of_a_call_that_is_none_does_not_hold(files: Files) -> None:
    result = run_table(files, f"tests:\n  - {{from: zoe, to: '1', at: {NOON}, expect: {{profile: strict}}}}\n")
    assert (result.exit_code, "there is no user 'zoe'" in result.stdout) == (1, True)


def found(files: Files) -> dict[str, str]:
    loaded = load_config(files.write(), environ={}, now=NOW)
    return {finding.key: finding.words for finding in lint(loaded.site, loaded.policy, NOW)}


def with_rule(files: Files, *rules: str, floors: str = "") -> Files:
    files.policy = files.policy.replace("\nfloors:", "".join(f"  - {rule}\n" for rule in rules) + "\nfloors:") + floors
    return files


def test_a_policy_without_oddities_has_no_findings(files: Files) -> None:
    files.policy = re.sub(r"  - \{id: r[34]0.*\n", "", POLICY).replace("house: [10", "house: [11")
    files.policy = re.sub(r"  transition:.*?(?=  emergency:)", "", files.policy, flags=re.DOTALL)
    files.policy = files.policy.replace("  pbx: [192.0.2.10/32]\n", "").replace(
        "  modern: [AEAD_AES_256_GCM, AEAD_AES_128_GCM, AES_256_CM_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_80]\n", ""
    )
    files.gateway = files.gateway.replace("sip:sip.carrier.example", "sip:sip.carrier.example;transport=tls")
    result = run(files, "lint")
    assert (result.exit_code, result.stdout) == (0, "nothing found\n")


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("{id: x, match: {direction: internal, trunk: pbx}, profile: strict}", "over no trunk"),
        ("{id: x, match: {direction: in, transport: wss}, profile: strict}", "trunks call over udp"),
        ("{id: x, match: {direction: internal, transport: udp}, profile: strict}", "browsers call over"),
        ("{id: x, match: {direction: in, method: REFER}, profile: strict}", "leads out"),
        (
            "{id: x, match: {transport: tls, not: {transport: [tls, tcp]}}, profile: strict}",
            "`not` takes everything out",
        ),
        ("{id: x, match: {direction: [out], dialled: ['+49900*']}, profile: strict}", None),
    ],
)
def test_a_rule_no_call_can_reach_is_found(files: Files, rule: str, why: str | None) -> None:
    if why is None:  # what one rule has all of is no finding: it is refused
        assert run(with_rule(files, rule), "lint").exit_code == 2
        return
    assert why in found(with_rule(files, rule))["rules[4] x"]


@pytest.mark.parametrize(
    ("first", "second", "late"),
    [
        ("trunk: pbx", "trunk: carrier", "trunk: [pbx, carrier], user: bob"),
        ("dialled: '+43[0-4]*'", "dialled: ['+43[5-9]*', '+43']", "dialled: '+43X*', trunk: pbx"),
    ],
)
def test_a_rule_that_those_before_it_cover_together_is_found(files: Files, first: str, second: str, late: str) -> None:
    rules = [
        f"{{id: {name}, match: {{{match}}}, profile: strict}}"
        for name, match in zip("abx", (first, second, late), strict=True)
    ]
    assert "together" in found(with_rule(files, *rules))["rules[6] x"]


def test_a_rule_that_only_some_before_it_cover_is_not(files: Files) -> None:
    rules = (
        "{id: a, match: {trunk: pbx, user: bob}, profile: strict}",
        "{id: b, match: {trunk: carrier}, profile: strict}",
    )
    told = found(with_rule(files, *rules, "{id: x, match: {trunk: [pbx, carrier]}, profile: strict}"))
    assert "rules[6] x" not in told


def test_members_of_no_such_group_are_found(files: Files) -> None:
    files.dialplan = files.dialplan.replace("groups:\n", "groups:\n  others: {members: [bob]}\n")
    told = found(with_rule(files, "{id: x, match: {user: alice, user_group: others}, profile: strict}"))
    assert "none of its users" in told["rules[4] x"]


def test_a_trunk_nothing_protects_is_found(files: Files) -> None:
    told = found(files)
    assert told["trunk carrier"].startswith(
        ("nothing protects its calls", "rule r30-sales lets its calls be CLEARTEXT")
    )
    files.policy += "  - {id: all, match: {}, require: HOP_BY_HOP}\n"
    assert not {key for key in found(files) if key.startswith("trunk")}


def test_what_loosens_on_hearsay_is_found(files: Files) -> None:
    told = found(with_rule(files, "{id: x, match: {caller: '+4989123', trunk: pbx}, profile: legacy}"))
    assert "proves nothing" in told["rules[4] x"]


def test_exceptions_that_lower_nothing_or_end_soon_are_found(files: Files) -> None:
    files.policy += (
        "exceptions:\n"
        "  - {id: idle, match: {direction: in}, require: CLEARTEXT, owner: it, reason: x, expires: 2030-01-01}\n"
        "  - {id: soon, match: {direction: out}, require: CLEARTEXT, owner: it, reason: x, expires: 2026-06-03}\n"
    )
    told = found(files)
    assert "lowers nothing" in told["exceptions[0] idle"]
    assert "it ends in 2 days: it answers for it" in told["exceptions[1] soon"]


def test_floors_that_leave_no_suite_are_found(files: Files) -> None:
    files.policy += "  - {id: none, match: {trunk: pbx}, suites: [AES_CM_128_HMAC_SHA1_80], min_key_bits: 256}\n"
    assert "no suite has keys" in found(files)["floors[2] none"]


def test_floors_that_leave_no_suite_a_browser_knows_are_found(files: Files) -> None:
    files.policy += "  - {id: sdes, match: {trunk: pbx}, suites: [AES_256_CM_HMAC_SHA1_80]}\n"
    assert "no browser knows" in found(files)["floors[2] sdes"]


def test_names_that_nothing_uses_are_found(files: Files) -> None:
    files.policy = files.policy.replace("networks:\n", "networks:\n  spare: [10.0.0.0/8]\n")
    files.policy = files.policy.replace("dial_sets:\n", "dial_sets:\n  spare: ['1']\n")
    told = found(files)
    assert (told["networks.spare"], told["dial_sets.spare"]) == ("nothing uses it", "nothing uses it")


def test_what_is_explained_is_what_the_book_decides(files: Files) -> None:
    site = load_config(files.write(), environ={}, now=NOW).site
    assert isinstance(site.policies, PolicyBook)
    at = datetime(2030, 1, 2, 11, tzinfo=UTC)
    (one,) = decide(site, Question(user="alice", to="030123", trunk="carrier", at=at))
    assert one.policy is site.policies.decide(one.facts)
    several = decide(site, Question(trunk="carrier", to="+4930123450", direction=Direction.IN, at=at))
    assert binding(several).rules.deny == {"key.sdes_cleartext"}


def test_the_page_shows_the_example_and_its_table() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert POLICY.split("\n\n", 1)[1] in blocks


def test_the_page_shows_what_is_explained(files: Files) -> None:
    (shown,) = re.findall(r"^\$ sip-gateway policy explain [^\n]*\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    told = explained(files, "--from", "alice", "--to", "0043 1 234567", "--trunk", "carrier", "--source", "10.20.0.7")
    assert told.startswith(shown)
    assert told[len(shown) :].strip().startswith("in records transition/")  # and a hash, which changes with anything


def test_the_exception_of_the_page_lowers_its_floor(files: Files) -> None:
    (text,) = [
        block for block in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) if "f1-finance" in block
    ]
    files.dialplan = files.dialplan.replace("groups:\n", "groups:\n  finance: {members: [bob]}\n")
    files.gateway = files.gateway.replace('transport=tls"', 'transport=tls", security: prefer')
    files.gateway = files.gateway.replace("sip:sip.carrier.example", "sip:sip.carrier.example;transport=tls")
    files.policy = text
    site = load_config(files.write(), environ={}, now=NOW).site
    for day, exception in (("2030-03-31", "e1"), ("2030-04-01", "")):
        at = datetime.fromisoformat(f"{day}T12:00+00:00")
        (one,) = decide(site, Question(user="bob", to="+4930123", trunk="pbx", at=at))
        assert one.policy.exception_id == exception


def test_a_test_needs_a_time_because_rules_do() -> None:
    assert PolicyTest.model_fields["at"].is_required()


def test_check_says_how_much_the_policy_file_says(files: Files) -> None:
    told = CliRunner().invoke(cli, ["check", "--elsewhere", str(files.write())]).stdout
    (line,) = [line for line in told.splitlines() if line.strip().startswith("policy")]
    sha256 = load_config(files.write(), environ={}, now=NOW).site.policies.sha256
    assert line.split(None, 1)[1] == f"2 profiles, 4 rules, 2 floors, 0 exceptions; {sha256}"
