from __future__ import annotations

import dataclasses
import inspect
import json
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import pytest

from gateway.audit import exceptions, notices, record
from gateway.audit.facts import CallInfo, CauseFacts, FlowFacts
from gateway.audit.final import call_final
from gateway.base.codes import Code
from gateway.base.crypto_suite import SUITES, CryptoSuite
from gateway.base.keying import Keying, Proto
from gateway.base.profiles import Profile
from gateway.base.signalling import Signalling, TlsInfo, TransportName
from gateway.base.termination import Termination
from gateway.base.values import CALLER, HostPort, LegId, LegKind
from gateway.policy.evaluate import Verdict, judge, judge_change
from gateway.policy.match import Match
from gateway.policy.model import EffectivePolicy, effective_policy
from gateway.policy.offering import OfferPlan, Refusal
from gateway.policy.posture import CallPosture, SecurityVector
from gateway.policy.rules import Exemption
from gateway.quality.leg import LegScore
from gateway.quality.watch import Turn
from gateway.sdp.summary import Described
from gateway.sip.flow import Flow
from gateway.sip.reason import Reason
from tests.audit.samples import CALL, PREFER, SOURCE, STRICT, TLS, answered, every_record
from tests.policy.facts import NOON
from tests.policy.vectors import browser, trunk

CANARY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
PLANTED = f"1 AES_CM_128_HMAC_SHA1_80 inline:{CANARY}|2^20|1:4"

BUILDERS: dict[str, Callable[..., dict[str, object]]] = {
    name: function
    for module in (record, exceptions)
    for name, function in vars(module).items()
    if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
}

SAMPLES: dict[object, object] = {
    str: PLANTED,
    int: 488,
    float: 1.5,
    bool: True,
    CallInfo: CallInfo(**{f.name: PLANTED for f in dataclasses.fields(CallInfo)}),
    EffectivePolicy: effective_policy(Profile.STRICT, PLANTED),
    Exemption: Exemption(id=PLANTED, match=Match(), owner=PLANTED, reason=PLANTED, expires=NOON),
    Verdict: judge(STRICT, trunk("sdes")),
    SecurityVector: replace(
        trunk("sdes"),
        signalling=Signalling("tls", PLANTED),
        dtls_version=PLANTED,
        fingerprint_algorithm=PLANTED,
    ),
    CallPosture: answered(),
    HostPort: HostPort(PLANTED, 1),
    Turn: Turn(True, LegScore(heard=None, sent=None, rtt=0.08), 1.5),
    Termination: Termination.HANGUP_TRUNK,
    Refusal: Refusal(Code.MEDIA_PLAIN_RTP, Termination.ENCRYPTION_REQUIRED),
    OfferPlan: OfferPlan(Proto.AVP),
    FlowFacts: Flow(1, "tls", HostPort(PLANTED, 1), HostPort(PLANTED, 2), tls=replace(TLS, reason=PLANTED)),
    TlsInfo: replace(TLS, peer_subject=PLANTED, reason=PLANTED, verified_name=PLANTED),
    Iterable[str]: [PLANTED],
    Iterable[EffectivePolicy]: [effective_policy(Profile.STRICT, PLANTED)],
    Mapping[str, Mapping[str, int]]: {PLANTED: {PLANTED: 1}},
    Mapping[str, float]: {PLANTED: 1.5},
    Mapping[str, str]: {PLANTED: PLANTED},
    Described: Described(PLANTED, PLANTED, (PLANTED,), (PLANTED,), (PLANTED,), (PLANTED,), PLANTED),
    Iterable[CauseFacts]: [Reason("Q.850", 17, PLANTED)],
}
"""Every type a builder may take. None of them holds a key; one that is not listed fails the test below."""


def sample(annotation: object) -> object:
    options = typing.get_args(annotation) if annotation not in SAMPLES else (annotation,)
    return next(SAMPLES[option] for option in options if option in SAMPLES)


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_no_builder_takes_anything_that_could_hold_a_key(name: str) -> None:
    hints = typing.get_type_hints(BUILDERS[name])
    hints.pop("return")
    for parameter, annotation in hints.items():
        options = {annotation} if annotation in SAMPLES else set(typing.get_args(annotation)) - {type(None)}
        assert options, parameter
        assert options <= set(SAMPLES), f"{name}({parameter}: {annotation})"
        assert not {"key", "secret", "password", "nonce", "sdp", "body", "message"} & set(parameter.split("_"))


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_a_key_planted_in_any_text_does_not_reach_the_record(name: str) -> None:
    hints = typing.get_type_hints(BUILDERS[name])
    hints.pop("return")
    built = BUILDERS[name](**{parameter: sample(annotation) for parameter, annotation in hints.items()})
    text = json.dumps(built)
    assert CANARY not in text
    assert CANARY[:8] not in text


def test_a_security_vector_has_no_room_for_a_key() -> None:
    words = {LegKind, Keying, Keying | None, Proto | None}
    values = {str, bool, bool | None, frozenset[Code], Signalling, CryptoSuite | None}
    hints = typing.get_type_hints(SecurityVector)
    assert set(hints.values()) <= words | values
    assert {name for name in hints if "key" in name} == {"keying"}
    assert set(typing.get_type_hints(Signalling).values()) == {TransportName, str, bool}
    assert {name for name in typing.get_type_hints(CryptoSuite) if "key" in name} == {"key_length"}


def test_every_record_is_json_as_it_stands() -> None:
    for built in every_record():
        assert json.loads(json.dumps(built, allow_nan=False)) == built


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_leg_record_shows_the_vector_it_was_graded_by(suite: CryptoSuite) -> None:
    vector = trunk("sdes", suite=suite)
    built = record.leg_record(
        CALL, STRICT, judge(STRICT, vector), vector, leg_id=2, checkpoint="P3", source=SOURCE, identity=TLS
    )
    assert built["type"] == "leg.secured"
    assert built["vector_after"] == vector.as_dict()
    assert (built["grade_after"], built["decision"], built["codes"]) == ("HOP_BY_HOP", "allowed", [])
    assert built["source"] == "192.0.2.10:5061"
    assert typing.cast(dict[str, object], built["tls"])["spki_sha256"] == "ab" * 32


def test_a_weak_leg_cannot_be_recorded_as_secured_by_calling_the_wrong_builder() -> None:
    plain = trunk("plain", "udp")
    assert (
        record.leg_record(CALL, PREFER, judge(PREFER, plain), plain, leg_id=2, checkpoint="P3")["type"]
        == "leg.downgraded"
    )
    assert (
        record.leg_record(CALL, STRICT, judge(STRICT, plain), plain, leg_id=2, checkpoint="P3")["type"]
        == "leg.violation"
    )


def test_a_refused_change_shows_before_after_and_what_was_answered() -> None:
    before, after = trunk("sdes"), trunk("plain", "udp")
    verdict = judge_change(STRICT, before, after)
    built = record.leg_record(CALL, STRICT, verdict, after, leg_id=2, checkpoint="P5", before=before, sip_status=488)
    assert (built["kind"], built["grade_before"], built["grade_after"]) == ("D2", "HOP_BY_HOP", "CLEARTEXT")
    assert built["vector_before"] == before.as_dict()
    assert built["codes"] == ["media.plain_rtp", "mid.crypto_removed"]
    assert built["sip_sent"] == {"code": 488, "warning": 302, "reason": "encryption-removed"}


def test_the_retry_in_the_clear_is_recorded_as_the_downgrade_it_is() -> None:
    plan = OfferPlan(Proto.AVP, codes=frozenset({Code.MEDIA_SAVP_RETRY}))
    built = record.offer_retry(CALL, PREFER, plan, leg_id=2, refused_status=606)
    assert (built["type"], built["codes"], built["refused_status"]) == ("leg.downgraded", ["media.savp_retry"], 606)
    assert built["grade_after"] == "CLEARTEXT"


def test_an_offer_refused_before_anything_was_seen_is_a_violation_without_a_vector() -> None:
    refusal = Refusal(Code.KEY_SDES_CLEARTEXT, Termination.ENCRYPTION_IMPOSSIBLE)
    built = record.offer_refused(CALL, STRICT, refusal, leg="trunk", leg_id=2, checkpoint="P1")
    assert (built["type"], built["codes"]) == ("leg.violation", ["key.sdes_cleartext"])
    assert built["sip_sent"] == {"code": 403, "warning": 399, "reason": "encryption-impossible"}
    assert "vector_after" not in built


def test_numbers_are_masked_and_names_are_not() -> None:
    built = record.call_start(CALL, STRICT)
    assert (built["from"], built["to"]) == ("alice", "+493*****56")
    assert "+4930123456" not in json.dumps(every_record())


def test_the_final_record_has_the_grades_of_the_call() -> None:
    posture = CallPosture()
    posture.update(CALLER, browser())
    posture.update(LegId(2), trunk("plain"))
    posture.mark_answered()
    posture.update(LegId(2), trunk("sdes"))
    built = call_final(CALL, PREFER, posture, Termination.HANGUP_TRUNK, duration=61.23456)
    assert (built["grade_at_answer"], built["grade_current"], built["grade_worst"]) == (
        "CLEARTEXT",
        "HOP_BY_HOP",
        "CLEARTEXT",
    )
    assert built["legs"] == {"browser": "HOP_BY_HOP", "trunk": "HOP_BY_HOP"}
    assert (built["duration"], built["termination"], built["party"]) == (61.235, "hangup-trunk", "callee")
    assert built["codes"] == ["media.plain_rtp"]


def test_a_leg_that_never_got_keys_has_no_grade_in_the_final_record() -> None:
    posture = CallPosture()
    posture.update(CALLER, browser(keying=Keying.PENDING))
    built = call_final(CALL, STRICT, posture, Termination.DTLS_FAILED, duration=0.0)
    assert built["legs"] == {"browser": "pending"}
    assert (built["answered"], built["grade_at_answer"]) == (False, None)


def test_a_call_refused_at_once_claims_no_grade() -> None:
    built = call_final(CALL, STRICT, CallPosture(), Termination.NO_ROUTE, duration=-1.0)
    assert (built["grade_current"], built["grade_worst"], built["legs"]) == (None, None, {})
    assert (built["duration"], built["sip_status"]) == (0.0, 404)


def test_a_tls_peer_that_proved_nothing_carries_the_code() -> None:
    stranger = replace(TLS, verified=False, verified_name="", reason="certificate has expired")
    built = notices.tls_peer(trunk="pbx", address=SOURCE, identity=stranger)
    assert (built["verified"], built["codes"], built["reason"]) == (
        False,
        ["tls.unverified"],
        "certificate has expired",
    )


def test_peer_text_is_harmless_and_short_in_every_record() -> None:
    hostile = "\r\n\x1b[2J\u2028\ud800" + "A" * 1_000_000
    call = CallInfo(call_uid=hostile, direction="in", user=hostile, caller=hostile, called=hostile)
    built = record.call_start(call, STRICT, user_agent=hostile, transport="udp")
    text = json.dumps(built, ensure_ascii=False)
    assert text.isprintable()
    assert len(text) < 4096
