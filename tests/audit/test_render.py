from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.facts import Checkpoint
from gateway.audit.render import parse_line, render, render_line
from gateway.audit.severity import Severity, severity
from tests.audit.samples import every_record
from tests.audit.test_clean import ANY_TEXT, ANYTHING

ENVELOPE = {"v": 1, "seq": 4, "ts": "2030-03-17T17:46:40.250001Z", "mono_ns": 5, "boot_id": "b", "node": "n"}

LINES = [
    "INFO    admin.start     gateway 0.1.0 started",
    "INFO    policy.loaded   2 trunk policies in force",
    "INFO    call.start      c-c81f00d2  out alice -> +493*****56 via pbx, policy strict",
    "OK      leg.secured     c-c81f00d2  trunk leg allowed, HOP_BY_HOP, sdes AES_CM_128_HMAC_SHA1_80 tls TLSv1.2, "
    "at the answer",
    "LOW     leg.downgraded  c-c81f00d2  trunk leg tolerated, CLEARTEXT, plain udp, codes media.plain_rtp, "
    "at the answer",
    "HIGH    leg.violation   c-c81f00d2  trunk leg refused, HOP_BY_HOP -> CLEARTEXT, plain udp, "
    "codes media.plain_rtp mid.crypto_removed, answered 488 encryption-removed, during the call",
    "INFO    leg.pending     c-c81f00d2  browser leg allowed, HOP_BY_HOP, pending wss, at the answer",
    "HIGH    leg.violation   c-c81f00d2  trunk leg refused, codes key.sdes_cleartext, "
    "answered 403 encryption-impossible, before our offer",
    "LOW     leg.downgraded  c-c81f00d2  trunk leg tolerated, CLEARTEXT, codes media.savp_retry, before our offer",
    "INFO    call.transfer   c-c81f00d2  browser leg asks to hand the call over to +493*****99: allowed, answered 202",
    "LOW     call.transfer   c-c81f00d2  trunk leg asks to hand the call over to 900: refused, says it is sip:boss@x, "
    "answered 403",
    "MEDIUM  media.latch     c-c81f00d2  trunk media from 192.0.2.10:5061 refused, NOT the signalled address, "
    "codes media.latch_mismatch",
    "INFO    media.latch     c-c81f00d2  trunk media from 192.0.2.10:5061 allowed, as signalled",
    "OK      call.final      c-c81f00d2  out alice -> +493*****56 via pbx, answered, 12.346 s, worst HOP_BY_HOP, "
    "at answer HOP_BY_HOP, ended by hangup-browser",
    "LOW     call.final      c-c81f00d2  out alice -> +493*****56 via pbx, not answered, "
    "ended by encryption-impossible",
    "INFO    auth.ok         alice from 192.0.2.10:5061 over wss",
    "MEDIUM  auth.fail       mallory from 192.0.2.10:5061: wrong digest",
    "MEDIUM  auth.fail       17 times in 60.0 s from 192.0.2.0: alice bob and 3 with other names",
    "OK      tls.peer        trunk pbx TLSv1.3 verified as pbx.example.com",
    "INFO    admin.stop      gateway stopped: SIGTERM",
]


@pytest.mark.parametrize(("record", "line"), list(zip(every_record(), LINES, strict=True)))
def test_every_type_of_record_is_one_readable_line(record: dict[str, object], line: str) -> None:
    assert render(ENVELOPE | record) == "2030-03-17 17:46:40.250  " + line


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"type": "leg.downgraded", "grade_after": "KEY_EXPOSED"}, Severity.MEDIUM),
        ({"type": "leg.downgraded", "grade_after": "UNAUTHENTICATED"}, Severity.LOW),
        ({"type": "leg.downgraded"}, Severity.MEDIUM),
        ({"type": "call.final", "answered": True, "grade_worst": "CLEARTEXT"}, Severity.LOW),
        ({"type": "call.final", "answered": True}, Severity.MEDIUM),
        ({"type": "call.final", "answered": False, "grade_worst": "CLEARTEXT"}, Severity.INFO),
        ({"type": "tls.peer", "verified": False}, Severity.LOW),
        ({"type": "tls.peer", "verified": "yes"}, Severity.LOW),
        ({"type": "log.dropped"}, Severity.HIGH),
        ({"type": "log.recovered"}, Severity.MEDIUM),
        ({"type": "something.new"}, Severity.MEDIUM),
        ({}, Severity.MEDIUM),
    ],
)
def test_the_severity_word_follows_from_the_record(record: dict[str, object], expected: Severity) -> None:
    assert severity(record) is expected


def test_an_outage_is_told_in_words() -> None:
    recovered = {
        "type": "log.recovered",
        "reason": "No space left on device",
        "buffered": 3,
        "dropped": 1,
        "seconds": 2.5,
    }
    assert render(recovered).endswith("log writable again after 2.5 s (No space left on device): 3 waited, 1 lost")
    dropped = {"type": "log.dropped", "dropped": 1, "first_seq": 7, "last_seq": 7, "reason": "No space left on device"}
    assert render(dropped).endswith("1 records lost, sequence numbers 7..7 (No space left on device)")
    torn = {"type": "log.recovered", "cause": "torn_line", "octets": 33, "fragment": "{"}
    assert render(torn).endswith("an unfinished last line of 33 octets was cut off")


def test_a_call_no_rule_gave_a_trunk_says_so() -> None:
    words = render({"type": "call.final", "dir": "out", "from": "alice", "to": "700", "trunk": "-"})
    assert "out alice -> 700 without a trunk, not answered" in words


def test_the_legs_of_a_call_between_two_browsers_are_told_apart() -> None:
    call = {"dir": "internal", "trunk": "-", "from": "alice", "to": "bob"}
    final = render({"type": "call.final", **call, "answered": True, "duration": 2.0})
    assert "internal alice -> bob, answered, 2.0 s" in final
    leg = {"type": "leg.secured", **call, "leg": "browser", "leg_id": 2, "decision": "allowed"}
    assert "browser leg 2 allowed" in render(leg)
    verified = {"type": "leg.verified", **call, "leg": "browser", "leg_id": 1, "received": "authenticated"}
    assert "browser leg 1, packets received authenticated" in render(verified)


def test_every_checkpoint_has_words_and_a_later_one_is_shown_as_it_is() -> None:
    for checkpoint in Checkpoint:
        assert checkpoint.value not in render({"type": "leg.secured", "checkpoint": checkpoint.value})
    assert render({"type": "leg.secured", "checkpoint": "P9"}).endswith("at P9")


def test_an_unknown_type_shows_all_it_has() -> None:
    assert render({"type": "pin.other", "trunk": "pbx", "level": 3}).endswith('{"trunk": "pbx", "level": 3}')


@pytest.mark.parametrize(
    "line", [b"", b"not json\n", b"[1]\n", b"\xff\xfe\n", b"[" * 100_000, b'{"a":' * 20_000, b"1" * 9999]
)
def test_a_line_that_is_no_record_is_shown_as_such(line: bytes) -> None:
    assert parse_line(line) is None
    assert render_line(line).startswith("?  HIGH    unreadable line:")
    assert len(render_line(line)) < 512


def test_a_tampered_file_cannot_drive_the_terminal() -> None:
    evil = json.dumps({"type": "call.start", "from": "\x1b]0;owned\x07", "ts": "\x1b[2J", "trunk": "a\nb"})
    line = render_line(evil.encode())
    assert line.isprintable()
    assert "\\x1b" in line


@given(
    st.dictionaries(st.sampled_from(["type", "ts", "codes", "leg", "sip_sent", "vector_after"]) | ANY_TEXT, ANYTHING)
)
def test_any_record_renders_to_one_printable_line(record: dict[str, object]) -> None:
    assert render(record).isprintable()


@given(st.binary(max_size=200))
def test_any_bytes_render_to_one_printable_line(line: bytes) -> None:
    assert render_line(line).isprintable()
