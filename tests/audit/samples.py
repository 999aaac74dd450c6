"""One record of every type, as a call writes them."""

from __future__ import annotations

from gateway.audit import notices, record
from gateway.audit.facts import CallInfo, Checkpoint
from gateway.audit.final import call_final
from gateway.base.codes import Code
from gateway.base.keying import Keying, Proto
from gateway.base.profiles import Profile
from gateway.base.signalling import Signalling, TlsInfo
from gateway.base.termination import Termination
from gateway.base.values import CALLER, HostPort, LegId
from gateway.policy.evaluate import judge, judge_change
from gateway.policy.model import effective_policy
from gateway.policy.offering import OfferPlan, Refusal, plan_offer
from gateway.policy.posture import CallPosture
from tests.policy.vectors import browser, trunk

CALL = CallInfo(
    call_uid="c81f00d2",
    direction="out",
    trunk="pbx",
    user="alice",
    caller="alice",
    called="+4930123456",
    browser_call_id="one@browser",
    trunk_call_id="two@gateway",
)
TRUNK_LEG = LegId(2)
STRICT = effective_policy(Profile.STRICT, "pbx")
PREFER = effective_policy(Profile.PREFER, "carrier")
SOURCE = HostPort("192.0.2.10", 5061)
TLS = TlsInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", "CN=pbx.example.com", "ab" * 32, True, "pbx.example.com", "")


def answered() -> CallPosture:
    """A call whose both legs are secured."""
    posture = CallPosture()
    posture.update(CALLER, browser())
    posture.update(LegId(2), trunk("sdes"))
    posture.mark_answered()
    return posture


def refusal() -> Refusal:
    """Strict over UDP."""
    plan = plan_offer(STRICT, Signalling("udp"))
    assert isinstance(plan, Refusal)
    return plan


def every_record() -> list[dict[str, object]]:
    """One record of each type and shape."""
    secured, plain = trunk("sdes"), trunk("plain", "udp")
    removed = judge_change(STRICT, secured, plain)
    retry = OfferPlan(Proto.AVP, codes=frozenset({Code.MEDIA_SAVP_RETRY}))
    at = Checkpoint.ANSWER
    return [
        notices.gateway_started("0.1.0"),
        notices.policy_loaded([STRICT, PREFER]),
        record.call_start(CALL, STRICT, source=SOURCE, transport="wss", user_agent="JsSIP 3.10"),
        record.leg_record(
            CALL, STRICT, judge(STRICT, secured), secured, leg_id=TRUNK_LEG, checkpoint=at, source=SOURCE, identity=TLS
        ),
        record.leg_record(CALL, PREFER, judge(PREFER, plain), plain, leg_id=TRUNK_LEG, checkpoint=at),
        record.leg_record(
            CALL, STRICT, removed, plain, leg_id=TRUNK_LEG, checkpoint=Checkpoint.CHANGE, before=secured, sip_status=488
        ),
        record.leg_record(
            CALL,
            STRICT,
            judge(STRICT, browser(keying=Keying.PENDING)),
            browser(keying=Keying.PENDING),
            leg_id=TRUNK_LEG,
            checkpoint=at,
        ),
        record.offer_refused(
            CALL, STRICT, refusal(), leg="trunk", leg_id=TRUNK_LEG, checkpoint=Checkpoint.BEFORE_OFFER, source=SOURCE
        ),
        record.offer_retry(CALL, PREFER, retry, leg_id=TRUNK_LEG, refused_status=488),
        record.call_transfer(
            CALL, STRICT, leg="browser", leg_id=CALLER, target="+4930123999", claimed="", sip_status=202
        ),
        record.call_transfer(
            CALL, STRICT, leg="trunk", leg_id=TRUNK_LEG, target="900", claimed="sip:boss@x", sip_status=403
        ),
        record.media_latch(
            CALL,
            leg="trunk",
            leg_id=TRUNK_LEG,
            address=SOURCE,
            expected=False,
            accepted=False,
            code="media.latch_mismatch",
        ),
        record.media_latch(CALL, leg="trunk", leg_id=TRUNK_LEG, address=SOURCE, expected=True),
        call_final(
            CALL,
            STRICT,
            answered(),
            Termination.HANGUP_BROWSER,
            duration=12.3456,
            codecs=["opus", "telephone-event"],
            counters={"trunk": {"srtp_auth_failed": 3}},
        ),
        call_final(CALL, STRICT, CallPosture(), Termination.ENCRYPTION_IMPOSSIBLE, duration=0.0),
        notices.auth_ok(user="alice", source=SOURCE, transport="wss", method="REGISTER"),
        notices.auth_fail(user="mallory", source=SOURCE, transport="wss", reason="wrong digest", method="REGISTER"),
        notices.auth_fail_summary(
            source="192.0.2.0",
            transport="wss",
            count=17,
            seconds=60.0,
            users=("alice", "bob"),
            more_users=3,
            reasons={"wrong digest": 17},
        ),
        notices.tls_peer(trunk="pbx", address=SOURCE, identity=TLS),
        notices.gateway_stopped("SIGTERM"),
    ]
