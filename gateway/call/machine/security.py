"""Judging the legs of a call and recording the verdict: the one place where a call meets policy and audit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.audit import exceptions, record
from gateway.audit.clean import cleaned_text
from gateway.audit.facts import CallInfo, Checkpoint
from gateway.base.codes import Code
from gateway.base.errors import OLD_TLS
from gateway.base.keying import Keying, Proto
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.legs.leg import Leg
from gateway.call.legs.targets import TrunkTarget
from gateway.call.machine import ending
from gateway.call.machine.effects import Finished, WriteAudit
from gateway.call.machine.events import TrunkFailed
from gateway.call.machine.hunt import Goal, Stage
from gateway.call.machine.judging import Judged, contradicted, judged, policy_of
from gateway.call.machine.state import CallState, Phase
from gateway.media.relay_commands import DropKeys, SetKeys, SetPeer
from gateway.media.relay_events import SourceLearned, SourceRejected
from gateway.policy import pins
from gateway.policy.evaluate import Verdict, denies
from gateway.policy.model import EffectivePolicy
from gateway.policy.offering import OfferPlan, Refusal
from gateway.policy.posture import SecurityVector
from gateway.sdp.summary import Described, protection

_HANDSHAKE_CODES = {
    Termination.FINGERPRINT_MISMATCH: Code.DTLS_FP_MISMATCH,
    Termination.BROWSER_SUITE_UNKNOWN: Code.SUITE_UNKNOWN,
}
"""What a handshake failed for, where it is known: another certificate, no suite in common."""


def info(call: CallState, leg: Leg | None = None) -> CallInfo:
    """Who and what the call's records are about; with `leg`, whose Call-ID is named beside the other side's."""
    named = [found for found in (leg, *call.pair) if found is not None]
    ids = {found.kind: found.call_id for found in reversed(named)}
    browsers = [found for found in call.pair if found.kind is LegKind.BROWSER]
    between_two = len(browsers) > 1
    peer = next((found for found in named if between_two and found is not browsers[0]), None)
    return CallInfo(
        call_uid=call.facts.uid,
        direction=call.facts.way,
        trunk=call.trunk_id,
        user=call.facts.user or _who_answered(call),
        caller=parties(call)[0],
        called=parties(call)[1],
        browser_call_id=browsers[0].call_id if between_two else ids.get(LegKind.BROWSER, ""),
        trunk_call_id=ids.get(LegKind.TRUNK, ""),
        peer_call_id=peer.call_id if peer is not None else "",
    )


def _who_answered(call: CallState) -> str:
    """The user of ours who took a call that was for a group; "" while it rings."""
    answered = call.callee if call.hunt.stage is Stage.OVER else None
    return answered.number if answered is not None and answered.habits.is_person else ""


def parties(call: CallState) -> tuple[str, str]:
    """Who calls whom, as records name them."""
    facts = call.facts
    return (facts.user if facts.outbound else facts.calling_number), facts.number


def start_record(call: CallState) -> WriteAudit:
    """call.start: the first record of every call."""
    flow, invite = call.caller.flow, call.caller.invite
    agent = (invite.headers.get("User-Agent") or "") if invite else ""
    return WriteAudit(
        record.call_start(
            info(call),
            call.policy,
            source=flow.remote,
            transport=flow.transport,
            user_agent=agent,
            dialled=call.facts.dialled,
        )
    )


def exception_used(call: CallState, policy: EffectivePolicy) -> None:
    """Say, before the call goes on, that an exception lowers a floor for it: once for each exception."""
    if policy.exception_id and policy.exception_id not in call.exceptions_told:
        call.exceptions_told.add(policy.exception_id)
        exemption = call.site.policies.exception(policy.exception_id)
        call.emit(WriteAudit(exceptions.exception_used(info(call), policy, exemption)))


def checkpoint(call: CallState, leg: Leg) -> str:
    """Where in the life of the call the leg is judged (POLICY A5 step 9)."""
    if leg.keyed is not None and leg.recorded is None:
        return Checkpoint.KEYED
    if call.phase is Phase.ESTABLISHED:
        return Checkpoint.CHANGE
    if call.phase is Phase.PREPARING:
        return Checkpoint.OFFER_RECEIVED if leg is call.caller else Checkpoint.BEFORE_OFFER
    return Checkpoint.PROVISIONAL if leg.early_media else Checkpoint.ANSWER


def posture_changed(
    call: CallState,
    leg: Leg,
    *,
    found: frozenset[Code] = frozenset(),
    gone: frozenset[Code] = frozenset(),
    kind: str = "",
    where: str = "",
    step: Judged | None = None,
) -> Verdict | None:
    """A leg is protected otherwise than it was: the one way to say so, whatever caused it.

    The record comes first, then the relay is told what makes it true; the browser hears of it when the event has been
    dealt with (`telling`). Nothing is written, commanded or told twice for one state.

    Args:
        found: weaknesses that no description shows, for example what the relay saw of the packets; they stay.
        gone: weaknesses found before that are no more.
        kind: D4 where signalling and media contradict each other; else the verdict's own.
        where: the checkpoint, if it is another than the leg's state says.
        step: the verdict on this very step, where it was made before it was taken.

    Returns:
        The verdict that was recorded, or None when nothing is new.
    """
    leg.history = (leg.history - gone) | found
    vector = leg.vector
    if leg in call.pair:
        call.posture.update(leg.id, vector)
    is_news = vector != leg.recorded and vector.keying is not Keying.PENDING
    verdict = _record(call, leg, vector, kind, where, step) if is_news else None
    _tell_relay(call, leg)
    return verdict


def noticed(call: CallState, leg: Leg, code: Code) -> bool:
    """Something is about to happen to a leg that no description shows: whether policy lets it.

    What it lets happen is in the leg's record from now on, what it denies is a violation and does not happen; either is
    recorded once.
    """
    if code in leg.history:
        return True
    if denies(policy_of(call, leg), code):
        if code not in leg.denied:
            leg.denied |= {code}
            violation(call, leg, (code,), Termination.ENCRYPTION_REQUIRED)
        return False
    posture_changed(call, leg, found=frozenset({code}))
    return True


def _tell_relay(call: CallState, leg: Leg) -> None:
    """Keys when they are new; where the peer is after each description, for the relay counts its silence from there."""
    if leg.agreed is None or leg.agreed is leg.relay_follows:
        return
    commands, leg.relay_follows = leg.relay_commands(), leg.agreed
    for command in commands:
        if isinstance(command, DropKeys):
            call.relay_knows.pop((SetKeys, leg.id), None)
        call.tell_relay(command, leg.id, again=isinstance(command, SetPeer | DropKeys))


def _record(call: CallState, leg: Leg, vector: SecurityVector, kind: str, where: str, step: Judged | None) -> Verdict:
    if step is None or not step.holds(vector, leg.recorded):
        step = judged(call, leg, vector, leg.recorded)
    verdict = replace(step.verdict, kind=kind or step.verdict.kind)
    if contradicted(vector):
        verdict = replace(verdict, termination=None)  # it is the packets that are refused; nothing is answered
    call.emit(_leg_record(call, leg, verdict, vector, where))
    leg.recorded = vector
    return verdict


def leave_none_unrecorded(call: CallState) -> None:
    """The call ends now: a leg it agreed on, and any of an answered call, gets a record before the end if it has none.

    That is a leg whose keys or whose answer never came: leg.pending, which proves nothing and says so.
    """
    end = next((n for n, effect in enumerate(call.out) if isinstance(effect, Finished)), len(call.out))
    before, after = call.out[:end], call.out[end:]
    for leg in call.pair if after else ():
        if not leg.judged and (call.answered_at is not None or leg.is_agreed):
            verdict = replace(judged(call, leg, leg.vector).verdict, record="leg.pending")
            before.append(_leg_record(call, leg, verdict, leg.vector, Checkpoint.END))
    call.out = [*before, *after]


def _leg_record(call: CallState, leg: Leg, verdict: Verdict, vector: SecurityVector, where: str = "") -> WriteAudit:
    leg.judged = True
    before, now = _described(call, leg)
    return WriteAudit(
        record.leg_record(
            info(call, leg),
            policy_of(call, leg),
            verdict,
            vector,
            leg_id=leg.id,
            checkpoint=where or checkpoint(call, leg),
            before=leg.recorded,
            source=leg.flow.remote,
            identity=leg.flow.tls,
            described_before=before,
            described=now,
        )
    )


def _described(call: CallState, leg: Leg) -> tuple[Described | None, Described | None]:
    """What the peer's description said of protection when the leg was recorded last, where that was other than now."""
    before, now = call.described.get(leg.id), protection(leg.remote) if leg.remote is not None else None
    if now is not None:
        call.described[leg.id] = now
    return (before if before != now else None), now


def settle(call: CallState, leg: Leg) -> bool:
    """Judge a leg as it stands: record it, or record the violation and end the call."""
    verdict = judged(call, leg, leg.vector).verdict
    if verdict.allowed:
        posture_changed(call, leg)
        return True
    termination = verdict.termination or Termination.ENCRYPTION_REQUIRED
    violation(call, leg, verdict.codes, termination)
    ending.terminate(call, termination)
    return False


def is_hopeless(call: CallState, leg: Leg) -> bool:
    """Checkpoint P0: a caller that is known to be too weak is refused before anybody's phone rings."""
    termination = weakness(call, leg)
    if termination is not None:
        ending.terminate(call, termination)
    return termination is not None


def weakness(call: CallState, leg: Leg) -> Termination | None:
    """Why a leg cannot be used, by what is known of it already; that is recorded as a violation."""
    verdict = judged(call, leg, leg.vector).verdict
    if verdict.allowed:
        return None
    termination = verdict.termination or Termination.ENCRYPTION_REQUIRED
    violation(call, leg, verdict.codes, termination)
    return termination


def violation(
    call: CallState,
    leg: Leg,
    codes: tuple[Code, ...],
    termination: Termination,
    vector: SecurityVector | None = None,
    *,
    kind: str = "D1",
    where: str = "",
) -> None:
    """Record that a leg, or a change of it, was refused; the refusal itself follows.

    Args:
        kind: D1 shortfall (D3 of a peer known to encrypt), D2 regression in mid-call, D4 signalling and media disagree
            (POLICY A1).
        where: the checkpoint, if it is another than the leg's state says.
    """
    found = vector or leg.vector
    codes = (*codes, *_handed_over(call, leg), *_bid_down(call, leg, codes))
    kind = "D3" if kind == "D1" and Code.PIN_BID_DOWN in codes else kind
    found = replace(found, extra_codes=found.extra_codes | frozenset(codes))  # graded as what was refused would be
    call.refused = found.grade
    verdict = Verdict(False, call.refused, tuple(sorted(set(codes))), kind, "leg.violation", termination)
    call.emit(_leg_record(call, leg, verdict, found, where))


def bid_down(call: CallState, leg: Leg, refusal: Refusal) -> None:
    """Record that a peer known to encrypt, perhaps from this very call, refuses it: plain media is not offered then."""
    plain = replace(leg.vector, keying=Keying.NONE, proto=Proto.AVP, suite=None)
    kind = "D2" if leg.recorded is not None else "D3"
    violation(call, leg, (refusal.code,), refusal.termination, plain, kind=kind)


def lost_fork(call: CallState, leg: Leg, vector: SecurityVector) -> None:
    """Record how well an answer of another phone would have protected the leg; that phone is hung up on."""
    verdict = judged(call, leg, vector).verdict
    mixed = frozenset({Code.FORK_MIXED}) if vector.grade != leg.vector.grade else frozenset()
    codes = tuple(sorted({*verdict.codes, *mixed}))
    lost = replace(verdict, allowed=False, record="leg.lost", termination=Termination.CANCELLED, codes=codes)
    call.emit(_leg_record(call, leg, lost, vector))


def muted(call: CallState, leg: Leg, codes: tuple[Code, ...], vector: SecurityVector | None) -> None:
    """Record, once for a leg, that early media is too weak to be played; the call goes on, and may still be answered
    well (POLICY A2 early.plain)."""
    if leg.early_refused:
        return
    leg.early_refused = True
    found = (*codes, Code.EARLY_PLAIN)
    if vector is None:
        refused_offer(call, leg, Refusal(Code.EARLY_PLAIN, Termination.ENCRYPTION_REQUIRED, frozenset(found)))
        return
    refused = replace(vector, extra_codes=vector.extra_codes | frozenset(found))
    verdict = Verdict(False, refused.grade, tuple(sorted(set(found))), "D1", "leg.violation", None)
    call.emit(_leg_record(call, leg, verdict, refused, Checkpoint.PROVISIONAL))


def _handed_over(call: CallState, leg: Leg) -> frozenset[Code]:
    """What it means besides that a leg is too weak which somebody is to be handed over to."""
    is_target = call.hunt.goal is Goal.TRANSFER and leg.id in call.hunt.ringing
    return frozenset({Code.MID_TRANSFER_WEAKER}) if is_target else frozenset()


def _bid_down(call: CallState, leg: Leg, codes: Iterable[Code]) -> frozenset[Code]:
    """What it means besides that whoever is known to encrypt brings no keys."""
    if leg.habits.is_person:
        pinned = call.context.pins.hold(pins.of_user(leg.number), call.wall)
    else:
        pinned = policy_of(call, leg).pinned
    return pins.bid_down(leg.kind, frozenset(codes)) if pinned else frozenset()


def refused_offer(call: CallState, leg: Leg, refusal: Refusal, *, kind: str = "D1", where: str = "") -> None:
    """Record that policy said no before there was anything to grade, or for what no vector shows.

    Args:
        where: the checkpoint, if it is another than the leg's state says.
    """
    refusal = replace(refusal, also=refusal.also | _handed_over(call, leg) | _bid_down(call, leg, refusal.codes))
    call.emit(
        WriteAudit(
            record.offer_refused(
                info(call, leg),
                policy_of(call, leg),
                refusal,
                leg=leg.kind.value,
                leg_id=leg.id,
                checkpoint=where or checkpoint(call, leg),
                source=leg.flow.remote,
                kind=kind,
            )
        )
    )


def retry(call: CallState, leg: Leg, plan: OfferPlan, status: int) -> None:
    """Record that the secure offer was refused, before the weaker one leaves."""
    policy = policy_of(call, leg)
    call.emit(WriteAudit(record.offer_retry(info(call, leg), policy, plan, leg_id=leg.id, refused_status=status)))


def dtls_violation(call: CallState, leg: Leg, termination: Termination, code: Code) -> None:
    """Record a handshake that failed or never came about; a foreign certificate is never tolerable (RFC 5763 5)."""
    known = _HANDSHAKE_CODES.get(termination, code)
    violation(call, leg, (known,), leg.blame(termination), kind="D4", where=Checkpoint.KEYED)


def unverified_record(call: CallState, target: TrunkTarget, event: TrunkFailed) -> WriteAudit:
    """Record that the trunk's certificate was refused, with the verifier's reason."""
    code = Code.TLS_OLD if event.verification == OLD_TLS else Code.TLS_UNVERIFIED
    verdict = Refusal(code, Termination.TRUNK_UNVERIFIED)
    refused = record.offer_refused(
        info(call), target.policy, verdict, leg="trunk", leg_id=event.leg, checkpoint=Checkpoint.BEFORE_OFFER
    )
    return WriteAudit({**refused, "verification": cleaned_text(event.verification)})


def source_record(call: CallState, leg: Leg, event: SourceLearned | SourceRejected) -> WriteAudit:
    """Record what the relay learned, or refused to learn, about where media comes from."""
    learned = isinstance(event, SourceLearned)
    return WriteAudit(
        record.media_latch(
            info(call, leg),
            leg=leg.kind.value,
            leg_id=leg.id,
            address=event.address,
            expected=isinstance(event, SourceLearned) and event.address == event.expected,
            accepted=learned,
            code="" if isinstance(event, SourceLearned) else event.code,
            required=policy_of(call, leg).demands_protection,
            flood=isinstance(event, SourceRejected) and event.flood,
        )
    )


def expect(call: CallState) -> None:
    """At the answer, count the legs that are still being keyed as what they will be at best."""
    for leg in call.pair:
        if call.posture.vector(leg.id) is None:
            call.posture.update(leg.id, leg.vector)
