"""The softphone's pure modules, run by Node.js: what the header, the statistics and the failures say in words."""

from __future__ import annotations

import atexit
import functools
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.base.crypto_suite import AEAD_AES_256_GCM
from gateway.base.grades import Grade
from gateway.base.keying import Keying, Proto
from gateway.base.signalling import Signalling
from gateway.base.values import CALLER, LegId, LegKind
from gateway.call.legs.party import HIDDEN, Party
from gateway.policy.header import report_of
from gateway.policy.model import effective_policy
from gateway.policy.posture import CallPosture, SecurityVector

SOURCES = Path(__file__).resolve().parents[2] / "gateway" / "web" / "softphone" / "src"
NODE = shutil.which("node")

RUNNER = """
import { createInterface } from 'node:readline';
for await (const line of createInterface({ input: process.stdin })) {
  const [module, expression, given] = JSON.parse(line);
  const value = new Function('m', 'a', `return (${expression});`)(await import(module), given);
  process.stdout.write(`${JSON.stringify(value ?? null)}\\n`);
}
"""


@functools.cache
def node() -> subprocess.Popen[str]:
    """One Node.js for all tests: starting it takes longer than they do. `make test` installs it."""
    assert NODE is not None, "Node.js is not installed: apt-get install nodejs"
    command = [NODE, "--input-type=module", "-e", RUNNER]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.communicate)  # the end of its input ends it
    return process


def run_module(module: str, expression: str, *arguments: object) -> Any:
    """The value of a JavaScript expression in which `m` is the module and `a` the list of arguments."""
    process = node()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps([(SOURCES / module).as_uri(), expression, arguments]) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def parse(header: object) -> Any:
    return run_module("callsecurity.js", "m.parseCallSecurity(a[0])", header)


HEADER = (
    'grade=HOP_BY_HOP;worst=CLEARTEXT;scope="to pbx";browser="dtls,pending,wss";'
    'trunk="sdes,AES_CM_128_HMAC_SHA1_80,tls1.3,verified";rec=yes;seq=2;policy="strict/9f3c";id=c-81f'
)


def test_header_gives_grade_legs_and_qualifiers() -> None:
    report = parse(HEADER)
    assert (report["grade"], report["worst"], report["scope"]) == ("HOP_BY_HOP", "CLEARTEXT", "to pbx")
    assert (report["recorded"], report["sequence"], report["policy"]) == (True, 2, "strict/9f3c")
    assert report["browser"] == {
        "keying": "dtls",
        "pending": True,
        "suite": "",
        "transport": "wss",
        "tls": "",
        "verified": None,
    }
    assert report["trunk"]["suite"] == "AES_CM_128_HMAC_SHA1_80"
    assert (report["trunk"]["tls"], report["trunk"]["verified"]) == ("tls1.3", True)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "grade",
        "grade=",
        "grade=GREEN",
        "grade=hop_by_hop",
        'scope="grade=HOP_BY_HOP"',
        'x="a;grade=HOP_BY_HOP',
        "grade=HOP_BY_HOP;" + "x" * 3000,
        "constructor=1;__proto__=2",
    ],
)
def test_header_without_a_known_grade_is_no_report(header: str | None) -> None:
    assert parse(header) is None


def test_semicolon_and_escape_inside_quotes_belong_to_the_value() -> None:
    assert parse(r'scope="a;b \"c\" \\";grade=PARTIAL')["scope"] == 'a;b "c" \\'


def test_unknown_worst_grade_counts_as_the_grade() -> None:
    assert parse("grade=PARTIAL;worst=SPLENDID")["worst"] == "PARTIAL"


def test_leg_of_words_nobody_knows_is_grey() -> None:
    leg = parse('grade=HOP_BY_HOP;trunk="constructor,toString,__proto__"')["trunk"]
    assert (leg["keying"], leg["suite"], leg["transport"], leg["tls"]) == ("", "", "", "")
    assert run_module("callsecurity.js", "m.legColour(a[0])", leg) == "grey"


BROWSER = SecurityVector(leg=LegKind.BROWSER, signalling=Signalling("wss", "TLSv1.3", True), keying=Keying.PENDING)


def trunk(keying: Keying, signalling: Signalling) -> SecurityVector:
    return SecurityVector(
        leg=LegKind.TRUNK,
        signalling=signalling,
        keying=keying,
        suite=AEAD_AES_256_GCM if keying.keyed else None,
        proto=Proto.AVP if keying is Keying.NONE else Proto.SAVP,
    )


@pytest.mark.parametrize(
    ("vector", "colour", "words"),
    [
        (trunk(Keying.NONE, Signalling("udp")), "red", "Plain RTP"),
        (trunk(Keying.SDES, Signalling("tls", "TLSv1.3", True)), "green", "TLS 1.3, certificate verified"),
        (trunk(Keying.SDES, Signalling("tls", "TLSv1.2")), "amber", "TLS 1.2, certificate not verified"),
        (trunk(Keying.SDES, Signalling("tcp")), "red", "signalling over TCP, not encrypted"),
        (trunk(Keying.PENDING, Signalling("tls", "TLSv1.3", True)), "grey", "keys not agreed yet"),
    ],
)
def test_header_as_the_gateway_writes_it_is_understood(vector: SecurityVector, colour: str, words: str) -> None:
    posture = CallPosture()
    posture.update(CALLER, BROWSER)
    posture.update(LegId(2), vector)
    policy = effective_policy("legacy", "pbx")  # type: ignore[arg-type]
    header = report_of(posture, policy, BROWSER, vector, seq=1, call_id="c-1").header
    expression = "(r => [r.grade, m.legColour(r.trunk), m.describeLeg(r.trunk), m.describeLeg(r.browser)])"
    grade, shown, trunk_words, browser_words = run_module(
        "callsecurity.js", f"{expression}(m.parseCallSecurity(a[0]))", header
    )
    assert grade == posture.current.name
    assert shown == colour
    assert words in trunk_words
    assert browser_words == "SRTP, keys not agreed yet (DTLS); signalling over a secure WebSocket."


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ("browser", "Some of the sound for you is lost: the gateway cannot pass it on."),
        ("trunk", "Some of your sound is lost: the gateway cannot pass it on."),
        ("both", "Some sound is lost in both directions: the gateway cannot pass it on."),
        ("constructor", ""),
        ("", ""),
    ],
)
def test_lost_sound_is_said_in_words(lost: str, words: str) -> None:
    header = f"{HEADER};lost={lost}" if lost else HEADER
    assert run_module("callsecurity.js", "m.describeLoss(m.parseCallSecurity(a[0]))", header) == words


def test_only_the_two_best_grades_are_green() -> None:
    colours = run_module("callsecurity.js", "a[0].map(m.colourOf)", [grade.name for grade in Grade])
    assert colours == ["red", "red", "amber", "amber", "green", "green"]
    assert run_module("callsecurity.js", "[m.colourOf('UNKNOWN'), m.colourOf('constructor')]") == ["grey", "grey"]


def test_page_knows_exactly_the_gateways_grades() -> None:
    assert run_module("callsecurity.js", "m.GRADES") == [grade.name for grade in Grade]


@pytest.mark.parametrize(
    ("grade", "words"),
    [
        ("CLEARTEXT", "Anyone on the network path between this gateway and pbx could listen."),
        ("KEY_EXPOSED", "the key crossed the network unprotected"),
        ("PARTIAL", "could hear or forge parts"),
        ("UNAUTHENTICATED", "did not prove who it is"),
        ("HOP_BY_HOP", "Only this gateway and whoever carries the call beyond pbx."),
        ("END_TO_END", "Nobody but the two of you."),
        ("UNKNOWN", "Treat it as if anyone could listen."),
    ],
)
def test_every_grade_says_who_could_listen(grade: str, words: str) -> None:
    report = {"grade": grade, "scope": "to pbx", "browser": None, "trunk": None}
    assert words in run_module("callsecurity.js", "m.whoCouldListen(a[0])", report)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("AES_CM_128_HMAC_SHA1_80", "SRTP_AES128_CM_HMAC_SHA1_80"),
        ("AES_CM_128_HMAC_SHA1_80", "SRTP_AES128_CM_SHA1_80"),
        ("AES_CM_256_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_80"),
        ("AEAD_AES_256_GCM", "SRTP_AEAD_AES_256_GCM"),
    ],
)
def test_names_of_one_suite_are_equal(one: str, other: str) -> None:
    assert run_module("callsecurity.js", "m.suiteName(a[0]) === m.suiteName(a[1])", one, other)
    assert not run_module("callsecurity.js", "m.suiteName(a[0]) === m.suiteName('AES_CM_128_HMAC_SHA1_32')", one)


@pytest.mark.parametrize(
    ("claimed", "observed", "verdict"),
    [
        ("AEAD_AES_256_GCM", {"state": "connected", "suite": "AEAD_AES_256_GCM"}, "confirmed"),
        ("", {"state": "connected", "suite": "AEAD_AES_256_GCM"}, "confirmed"),
        ("", {"state": "new", "suite": ""}, "checking"),
        ("AEAD_AES_256_GCM", {"state": "connecting", "suite": ""}, "checking"),
        ("AEAD_AES_256_GCM", {"state": "connected", "suite": "AES_CM_128_HMAC_SHA1_80"}, "contradicted"),
        ("AEAD_AES_256_GCM", {"state": "failed", "suite": ""}, "contradicted"),
        ("AEAD_AES_256_GCM", {"state": "connected", "suite": ""}, "unknown"),
        ("AEAD_AES_256_GCM", None, "unknown"),
    ],
)
def test_claim_of_the_gateway_is_checked_against_the_browser(
    claimed: str, observed: dict[str, str] | None, verdict: str
) -> None:
    assert run_module("mediastats.js", "m.crossCheck(a[0], a[1])", {"suite": claimed}, observed) == verdict


MESSAGE = "{status_code: a[0], reason_phrase: a[1], getHeader: name => a[2][name]}"


def failure(status: int, phrase: str, headers: dict[str, str], cause: str = "", originator: str = "remote") -> Any:
    event = f"{{originator: a[3], cause: a[4], message: a[0] ? {MESSAGE} : null}}"
    return run_module("reasons.js", f"m.describeFailure({event})", status, phrase, headers, originator, cause)


def test_warning_text_is_the_reason_and_names_the_status() -> None:
    told = failure(488, "Not Acceptable Here", {"Warning": '302 gw "Encryption is required and was refused"'})
    assert told["words"] == "Encryption is required and was refused."
    assert told["detail"] == "488 Not Acceptable Here"
    assert told["security"] == "Encryption is required and was refused"


@pytest.mark.parametrize(
    ("status", "phrase", "words"),
    [
        (404, "Not Found", "This number cannot be called from here."),
        (486, "Busy Here", "The line is busy."),
        (499, "Odd", "Odd."),
    ],
)
def test_status_without_warning_is_told_in_words(status: int, phrase: str, words: str) -> None:
    assert failure(status, phrase, {}) == {"words": words, "detail": f"{status} {phrase}", "security": ""}


def test_what_the_gateway_says_for_an_administrator_is_the_detail() -> None:
    told = failure(404, "Not Found", {"Warning": '399 gw "No dialplan rule matches this number"'})
    assert told["words"] == "This number cannot be called from here."
    assert told["detail"] == "No dialplan rule matches this number. 404 Not Found"


@pytest.mark.parametrize(
    "warning", ["", "302", "302 gw", '302 gw "open', "abc gw 'x'", '99999 gw "x"', "\x00", '302 "gw"']
)
def test_malformed_warning_falls_back_to_the_status(warning: str) -> None:
    assert failure(486, "Busy Here", {"Warning": warning})["words"] == "The line is busy."


def test_very_long_text_of_a_peer_is_cut() -> None:
    told = failure(486, "B" * 5000, {"Warning": f'399 gw "{"W" * 5000}"'})
    assert len(told["words"]) + len(told["detail"]) < 650


@pytest.mark.parametrize(
    ("status", "cause", "words"),
    [
        (503, 34, "The telephone network has no line free for the call now."),
        (480, 19, "Nobody answered in time."),
        (480, 20, "The other side cannot be reached now."),
        (503, 17, "The line is busy."),
        (603, 16, "The call was declined."),
        (503, 125, "The telephone network cannot be reached now."),
    ],
)
def test_the_cause_of_the_telephone_network_says_more_than_the_status(status: int, cause: int, words: str) -> None:
    assert failure(status, "x", {"Reason": f'Q.850;cause={cause};text="n"'})["words"] == words


CANCELLED = "{originator: 'remote', cause: 'Canceled', message: {getHeader: () => a[0]}}"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ('SIP;cause=200;text="Call completed elsewhere"', "Answered on another device."),
        ("SIP;cause=200", "Answered on another device."),
        ("Q.850;cause=26", "Answered elsewhere."),
    ],
)
def test_a_call_another_phone_took_is_told_as_such(reason: str, words: str) -> None:
    assert run_module("reasons.js", f"m.describeFailure({CANCELLED})", reason)["words"] == words
    assert run_module("reasons.js", f"m.wasMissed({CANCELLED})", reason) is False


@pytest.mark.parametrize("reason", [None, "", "Q.850;cause=16", "SIP;cause=487", "constructor", "SIP"])
def test_a_call_nobody_took_was_missed(reason: str | None) -> None:
    assert run_module("reasons.js", f"m.wasMissed({CANCELLED})", reason) is True


def test_a_call_that_was_declined_or_failed_was_not_missed() -> None:
    for event in ("{originator: 'local', cause: 'Rejected'}", "{originator: 'remote', cause: 'Internal Error'}"):
        assert run_module("reasons.js", f"m.wasMissed({event})") is False


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (403, {}, "This transfer is not allowed."),
        (488, {}, "The call could not be carried on there, or not as well protected."),
        (488, {"Reason": 'SIP;cause=488;text="less protected there"'}, "Less protected there."),
        (480, {"Reason": "Q.850;cause=19"}, "Nobody answered in time."),
        (403, {"Warning": '399 gw "No such number"'}, "No such number."),
        (503, {}, "The telephone network cannot be reached now."),
        (499, {}, "Odd."),
    ],
)
def test_a_refused_transfer_is_told_in_words(status: int, headers: dict[str, str], words: str) -> None:
    expression = f"m.describeRefer({MESSAGE}, '')"
    assert run_module("reasons.js", expression, status, "Odd" if status == 499 else "x", headers) == words


def test_a_transfer_nobody_answered_is_told_by_its_cause() -> None:
    assert run_module("reasons.js", "m.describeRefer(null, 'Request Timeout')") == "The gateway did not answer in time."


@pytest.mark.parametrize("attended", [True, False])
@pytest.mark.parametrize("step", ["holding", "asked", "trying", "ringing", "joined", "failed"])
def test_every_step_of_a_transfer_has_its_words(step: str, attended: bool) -> None:
    facts = {"step": step, "who": "Carol", "to": "602", "attended": attended, "reason": "Busy."}
    words = run_module("transfer.js", "m.describeTransfer(a[0])", facts)
    assert "602" in words
    assert "undefined" not in words
    assert words.endswith("Busy.") is (step == "failed")


@pytest.mark.parametrize(
    ("far", "trunk", "browser"),
    [
        ("", "dtls,AEAD_AES_256_GCM,wss", True),
        ("", "dtls,pending,ws", True),
        ("", "sdes,AEAD_AES_256_GCM,tls1.3,verified", False),
        ("browser", "pending", True),
        ("trunk", "dtls,AEAD_AES_256_GCM,wss", False),
        ("room", "dtls,AEAD_AES_256_GCM,wss", False),
    ],
)
def test_the_other_end_is_a_browser_when_the_gateway_or_its_leg_says_so(far: str, trunk: str, browser: bool) -> None:
    header = f'grade=HOP_BY_HOP;scope="to bob";trunk="{trunk}"' + (f";far={far}" if far else "")
    assert run_module("callsecurity.js", "m.endsInBrowser(a[0])", parse(header)) is browser
    words = run_module("callsecurity.js", "m.whoCouldListen(a[0])", parse(header))
    assert words.startswith("Only this gateway and the two of you.") is browser


def test_another_browser_is_known_from_the_header_as_the_gateway_writes_it() -> None:
    policy = effective_policy("legacy", "pbx")  # type: ignore[arg-type]
    header = report_of(CallPosture(), policy, BROWSER, BROWSER, seq=1, call_id="c-1", next_hop="bob").header
    assert run_module("callsecurity.js", "m.endsInBrowser(a[0])", parse(header))
    assert run_module("callsecurity.js", "m.legColour(a[0])", parse(header)["trunk"]) == "grey"


def test_of_no_report_nothing_is_known_about_the_other_end() -> None:
    assert run_module("callsecurity.js", "m.endsInBrowser(a[0])", None) is False


def test_own_decisions_are_told_as_such() -> None:
    assert failure(0, "", {}, "Canceled", "local")["words"] == "You cancelled the call."
    assert failure(0, "", {}, "Rejected", "local")["words"] == "You declined the call."
    assert "microphone" in failure(0, "", {}, "User Denied Media Access", "local")["words"]


@pytest.mark.parametrize(
    ("originator", "cause", "reason", "words", "detail"),
    [
        ("remote", "Terminated", 'SIP;cause=488;text="encryption removed"', "Encryption removed.", "SIP 488"),
        ("remote", "Terminated", "", "The other side hung up.", ""),
        ("local", "Terminated", "", "You hung up.", ""),
        ("remote", "Terminated", "Q.850;cause=16", "The other side hung up.", ""),
        ("remote", "Terminated", 'Q.850;cause=16;text="Normal call clearing"', "The other side hung up.", ""),
        ("remote", "Terminated", "SIP;cause=200", "The other side hung up.", ""),
        ("remote", "Terminated", 'SIP;cause=200;text="Call completed elsewhere"', "Answered on another device.", ""),
        ("remote", "Terminated", "Q.850;cause=34", "The other side hung up.", "Q.850 34"),
        ("remote", "Terminated", 'Q.850;cause=38;text="x"', "The other side hung up.", "Q.850 38: x"),
        ("system", "RTP Timeout", "", "No audio arrived any more.", ""),
    ],
)
def test_end_of_a_call_is_told_with_its_reason(
    originator: str, cause: str, reason: str, words: str, detail: str
) -> None:
    event = "{originator: a[0], cause: a[1], message: {getHeader: () => a[2]}}"
    assert run_module("reasons.js", f"m.describeEnd({event})", originator, cause, reason) == {
        "words": words,
        "detail": detail,
    }


CALL: dict[str, object] = {
    "report": {
        "grade": "HOP_BY_HOP",
        "worst": "HOP_BY_HOP",
        "scope": "to pbx",
        "browser": None,
        "trunk": None,
        "policy": "",
    },
    "refusal": "",
    "ended": False,
    "answered": True,
    "answeredAt": 1000,
    "hadEarlyMedia": False,
    "reportOverdue": False,
    "observed": {"state": "connected", "suite": "AEAD_AES_256_GCM", "version": ""},
}


def card(now: int = 1500, **facts: object) -> tuple[str, str, str]:
    """Title, colour and words of the card."""
    shown = run_module("securitycard.js", "m.cardFor(a[0], a[1])", CALL | facts, now)
    return shown["title"], shown["colour"], shown["words"]


def test_while_dtls_is_new_the_card_is_checking_and_raises_no_alarm() -> None:
    assert card(observed={"state": "new", "suite": "", "version": ""})[:2] == (
        "Checking: Encrypted on every hop",
        "grey",
    )
    assert card(observed=None)[:2] == ("Checking: Encrypted on every hop", "grey")
    assert card()[:2] == ("Encrypted on every hop", "green")


def test_dtls_that_does_not_come_up_in_time_or_fails_is_doubted() -> None:
    assert card(7000, observed={"state": "connecting", "suite": "", "version": ""})[:2] == (
        "Your browser does not confirm this",
        "amber",
    )
    assert card(observed={"state": "failed", "suite": "", "version": ""})[1] == "amber"


def test_the_last_call_is_told_in_the_past() -> None:
    title, colour, words = card(ended=True)
    assert (title, colour) == ("Your last call: encrypted on every hop", "green")
    assert words == "Only this gateway and whoever carried the call beyond pbx. Nobody on the network in between."


@pytest.mark.parametrize("grade", [grade.name for grade in Grade])
def test_no_sentence_of_the_last_call_is_in_the_present(grade: str) -> None:
    report = {"grade": grade, "scope": "to pbx", "browser": None, "trunk": None}
    words = run_module("callsecurity.js", "m.whoCouldListen(a[0], {past: true})", report)
    assert not re.search(r"\b(can|could listen|carries|do not)\b", words)


def test_a_call_that_never_had_sound_gets_no_verdict() -> None:
    report = dict(CALL["report"], grade="CLEARTEXT") if isinstance(CALL["report"], dict) else None
    title, colour, words = card(ended=True, answered=False, report=report)
    assert (title, colour) == ("No call was made", "grey")
    assert words == "It ended before anything was said, so there was nothing to hear."
    assert card(ended=True, answered=False, report=report, incoming=True)[0] == "Not answered here"
    assert card(ended=True, answered=False, report=report, hadEarlyMedia=True)[1] == "red"


@pytest.mark.parametrize(
    ("party", "shown"),
    [
        (Party("Alice Example", "+49301234"), "Alice Example (+49301234)"),
        (Party('O"Neil \\ Söhne', "600"), 'O"Neil \\ Söhne (600)'),
        (Party("", "*21#"), "*21#"),
        (Party("600", "600"), "600"),
        (HIDDEN, "anonymous"),
    ],
)
def test_who_is_connected_is_read_as_the_gateway_writes_it(party: Party, shown: str) -> None:
    address = str(party.address("example.test"))
    assert run_module("party.js", "m.nameOf(m.parseIdentity(a[0]))", address) == shown


@pytest.mark.parametrize("header", [None, "", "x", "<tel:1>", '"open <sip:1@x>', "<sip:1>"])
def test_what_is_no_identity_leaves_the_name_as_it_is(header: str | None) -> None:
    assert run_module("party.js", "m.parseIdentity(a[0])", header) is None


def test_a_name_cannot_turn_the_line_around() -> None:
    assert run_module("party.js", "m.nameOf(m.parseIdentity(a[0]))", '"a\u202eb\u0007" <sip:1@x>') == "ab (1)"
