"""Checkpoint P4: the handshake of a leg finishes, fails, or takes too long; and ICE consent, which it stands on."""

from __future__ import annotations

from gateway.audit.facts import Checkpoint
from gateway.base.codes import Code
from gateway.base.termination import Termination
from gateway.call.legs.leg import Leg
from gateway.call.machine import ending, returning, security, transfer
from gateway.call.machine.effects import ClearTimer, ReleaseDtlsKeys, Timer
from gateway.call.machine.events import DtlsAskedAgain, DtlsConnected, DtlsFailed
from gateway.call.machine.state import CallState
from gateway.media.relay_events import ConsentLost, IceValidated


def connected(call: CallState, event: DtlsConnected) -> None:
    """The leg is keyed; the record first, then the keys."""
    leg = call.legs.get(event.leg)
    if leg is None or leg not in call.pair or not _is_awaited(leg, event.number) or leg.handshake is None:
        return
    leg.set_keyed(event.suite, event.version, event.fingerprint_algorithm)
    if security.settle(call, leg):
        call.emit(ClearTimer(Timer.KEYED, leg.id), ReleaseDtlsKeys(leg.id))


def _is_awaited(leg: Leg, number: int) -> bool:
    """Whether a handshake is the one the leg waits for; of an earlier one nobody wants to know any more."""
    return leg.awaits_keys and leg.handshake == leg.association and number == leg.handshakes


def failed(call: CallState, event: DtlsFailed) -> None:
    """The peer of the leg is not who the signalling said, or there is no agreeing with it.

    RTCP that has a handshake of its own may do without keys: then there is none. But not with somebody else.
    """
    leg = call.legs.get(event.leg)
    if leg is None or leg not in call.pair or event.number != leg.handshakes or leg.association != leg.handshake:
        return
    if not event.rtcp or event.code is Code.DTLS_FP_MISMATCH:
        _unkeyed(call, leg, event.termination, event.code)


def asked_again(call: CallState, event: DtlsAskedAgain) -> None:
    """The peer wanted new keys by the association it has: refused by the handshake (RFC 8827 6.5), and recorded."""
    leg = call.legs.get(event.leg)
    if leg is not None and leg in call.pair and not leg.awaits_keys and event.number == leg.handshakes:
        found = frozenset({Code.DTLS_RENEG})
        security.posture_changed(call, leg, found=found, kind="D4", where=Checkpoint.PACKETS)


def too_late(call: CallState, leg: Leg) -> None:
    """The call was answered and its media is still not keyed."""
    if call.answered_at is not None and leg in call.pair and leg.awaits_keys:
        _unkeyed(call, leg, Termination.MEDIA_NOT_KEYED, Code.EARLY_UNKEYED)


def _unkeyed(call: CallState, leg: Leg, termination: Termination, code: Code) -> None:
    security.dtls_violation(call, leg, termination, code)
    ending.terminate(call, leg.blame(termination))


def consent_lost(call: CallState, event: ConsentLost) -> None:
    """The browser does not answer checks any more (RFC 7675)."""
    leg = call.legs.get(event.leg)
    if leg is None or leg not in call.pair or transfer.steps_aside(call, leg):
        return
    if returning.is_waited_for(call, leg):
        returning.consent_lost(call, leg)
    else:
        returning.no_consent(call, leg)


def consented(call: CallState, event: IceValidated) -> None:
    """The browser answers checks: for the first time, or again."""
    leg = call.legs.get(event.leg)
    if leg is not None and leg in call.pair:
        returning.heard(call, leg)
