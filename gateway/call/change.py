"""Mid-call: re-INVITE, UPDATE, hold and session refresh. Every offer is judged again before it is answered.

A change is answered at once from what the other leg's peer wants; then the other leg is re-offered when its
direction must follow. So hold works even where the other side refuses re-INVITEs.
"""

from __future__ import annotations

from gateway.base.codes import Code
from gateway.base.errors import SdpError, SipError
from gateway.base.termination import Termination
from gateway.call import answering, bridge, direction, ending, flows, forks, glare, report, security, transfer
from gateway.call.agreed import AgreedMedia
from gateway.call.effects import ClearTimer, Purpose, Respond, SendAck, SetTimer, Timer
from gateway.call.events import RequestIn, ResponseIn
from gateway.call.leg import ALLOW, KeyingError, Leg, warning
from gateway.call.places import termination_of
from gateway.call.state import CallState, Phase
from gateway.sdp.media import Direction, RemoteAudio
from gateway.sdp.negotiation import common_codecs
from gateway.sip.dialog import request_dialog_key
from gateway.sip.message import Request
from gateway.sip.reason import read_reasons

MAX_GLARE_RETRIES = 2
MAX_WEAKENING_ATTEMPTS = 2
"""POLICY A2 mid.crypto_removed: the first try is refused, the second ends the call."""


def request(call: CallState, event: RequestIn) -> None:
    """A request inside a dialog of the call."""
    leg = call.legs.get(event.leg)
    if leg is None or not flows.admits(call, leg, event):
        return
    tag = event.request.from_.tag or ""
    lost = leg.dialog is not None and request_dialog_key(event.request) != leg.dialog.key
    if lost or tag in leg.done_with or leg.hung_up or (leg.gone and event.request.method != "BYE"):
        _of_a_lost_fork(call, leg, event)
        return
    dialog = leg.dialog or leg.early_dialog(tag)
    if dialog is not None:
        try:
            dialog.accept_sequence(event.request)
        except SipError as error:
            call.emit(Respond(event.key, leg.respond(event.request, error.status)))
            return
    handler = _HANDLERS.get(event.request.method)
    if handler is None:
        response = leg.respond(event.request, 405, headers=(("Allow", ALLOW),))
        call.emit(Respond(event.key, response))
        return
    handler(call, leg, event)


def _of_a_lost_fork(call: CallState, leg: Leg, event: RequestIn) -> None:
    """A dialog our INVITE made besides the one that won: it may end, the call goes on."""
    status = 200 if event.request.method == "BYE" else 481
    call.emit(Respond(event.key, leg.respond(event.request, status)))


def _bye(call: CallState, leg: Leg, event: RequestIn) -> None:
    if not (leg.confirmed or leg.is_caller):
        forks.hung_up_early(call, leg, event)
        return
    hung_up = Termination.HANGUP_BROWSER if leg.habits.is_person else Termination.HANGUP_TRUNK
    if not leg.confirmed:
        hung_up = Termination.CANCELLED
    call.emit(Respond(event.key, leg.respond(event.request, 200)))  # who knows already need not wait for the record
    if transfer.lets_go(call, leg):
        return
    ending.terminate(call, hung_up, by=leg.id, reasons=read_reasons(event.request.headers))


def _options(call: CallState, leg: Leg, event: RequestIn) -> None:
    call.emit(Respond(event.key, leg.respond(event.request, 200, headers=(("Allow", ALLOW),))))


def _offer(call: CallState, leg: Leg, event: RequestIn) -> None:
    """A re-INVITE or UPDATE (RFC 3261 14.2, RFC 3311 5.2)."""
    if not flows.keeps_its_target(call, leg, event):
        return
    status = _not_now(call, leg, event.request)
    if status:
        retry = (("Retry-After", str(glare.retry_after(call.context.tokens))),) if status == 500 else ()
        call.emit(Respond(event.key, leg.respond(event.request, status, headers=retry)))
        return
    if not event.request.body:
        _no_offer(call, leg, event)
        return
    memory = leg.remember()
    if not _judged(call, leg, event):
        leg.restore(memory)


def _not_now(call: CallState, leg: Leg, request: Request) -> int:
    """Status of a change that must wait, or 0 (glare table of RFC 3261 14.2 and RFC 3311 5.2)."""
    if call.phase is Phase.ENDED:
        return 481
    if not request.body and request.method == "UPDATE":
        return 0
    if not leg.confirmed:
        return 500 if leg.is_caller else 491  # its INVITE waits for our answer; ours waits for its
    if call.phase is not Phase.ESTABLISHED or call.changes.reoffer == leg.id:
        return 491
    if not call.changes.ack_offer_key:
        return 0
    ours_is_open = request.method == "UPDATE" and call.changes.ack_offer_leg == leg.id
    return 491 if ours_is_open else 500


def _no_offer(call: CallState, leg: Leg, event: RequestIn) -> None:
    """A session refresh without a body is just agreed to; a re-INVITE without one gets our offer (RFC 3261 14.2)."""
    if event.request.method == "UPDATE":
        _accept(call, leg, event, b"")
        return
    leg.plan_again(security.policy_of(call, leg))
    leg.keep_pace_with(call.other(leg))
    try:
        body = leg.build_offer(
            leg.local.codecs if leg.local else leg.usable_codecs, direction.offer_from(call.other(leg))
        )
    except SdpError as error:
        call.emit(Respond(event.key, leg.respond(event.request, error.status)))
        return
    call.changes.ack_offer_key, call.changes.ack_offer_leg = event.key, leg.id
    _accept(call, leg, event, body)


def _accept(call: CallState, leg: Leg, event: RequestIn, body: bytes) -> None:
    headers = report.announce(call, leg)
    report.note_party(call, leg, event.request)
    if event.request.method == "INVITE":
        leg.reinvite_key = event.key
    if leg.dialog is not None:
        leg.dialog.refresh_target(event.request)  # only what is accepted moves the target (RFC 6141 4.2)
    call.emit(Respond(event.key, leg.respond(event.request, 200, body=body, headers=headers)))


def _judged(call: CallState, leg: Leg, event: RequestIn) -> bool:
    """Checkpoint P5: an offer that weakens the leg is refused before anything of it is taken; whether it was taken."""
    try:
        agreed = leg.inspect_offer(event.request.body)
    except KeyingError as error:
        security.violation(call, leg, error.codes, error.termination)
        return _weakening(call, leg, event, error.termination)
    except SdpError as error:
        return _unacceptable(call, leg, event, termination_of(error))
    other = call.other(leg)
    if other is None or other.remote is None or not common_codecs(agreed.remote.codecs, other.remote.codecs):
        return _unacceptable(call, leg, event, Termination.NO_COMMON_CODEC)
    refused = _refused_change(call, leg, agreed)
    if refused is not None:
        return _weakening(call, leg, event, refused)
    leg.take(agreed)
    return _answer(call, leg, event, agreed.remote)


def _refused_change(call: CallState, leg: Leg, agreed: AgreedMedia) -> Termination | None:
    """Why policy refuses the change, after recording that it does; None when it may be taken."""
    verdict = security.judge_mid_call(call, leg, agreed)
    if not verdict.allowed:
        termination = verdict.termination or Termination.ENCRYPTION_REQUIRED
        security.violation(call, leg, verdict.codes, termination, leg.vector_of(agreed), kind=verdict.kind)
        return termination
    if Code.MID_CRYPTO_REMOVED in verdict.codes:
        leg.history = leg.history | {Code.MID_CRYPTO_REMOVED}
    return None


def _weakening(call: CallState, leg: Leg, event: RequestIn, why: Termination) -> bool:
    """An insecure change is refused once; whoever insists ends the call, unless nothing may end it (POLICY A2)."""
    call.changes.weakening_attempts += 1
    _unacceptable(call, leg, event, why)
    if call.changes.weakening_attempts >= MAX_WEAKENING_ATTEMPTS and not call.policy.emergency:
        ending.terminate(call, why)
    return False


def _unacceptable(call: CallState, leg: Leg, event: RequestIn, why: Termination) -> bool:
    """488: the session goes on as it was (RFC 3261 14.2)."""
    call.emit(Respond(event.key, leg.respond(event.request, 488, headers=warning(why))))
    return False


def _answer(call: CallState, leg: Leg, event: RequestIn, remote: RemoteAudio) -> bool:
    """Answer an offer policy accepts: the record first, then the relay, then the peer, then the other side."""
    other = call.other(leg)
    codecs = bridge.agreed_codecs(leg, other) if other else ()
    if other is None or not codecs:
        return _unacceptable(call, leg, event, Termination.NO_COMMON_CODEC)
    leg.note_offer(remote.direction)
    leg.keep_pace_with(other)
    try:
        body = leg.build_answer(codecs, direction.answer_to(leg, other))
    except SdpError:
        return _unacceptable(call, leg, event, Termination.BAD_SDP)
    security.posture_changed(call, leg)
    bridge.connect(call)
    _accept(call, leg, event, body)
    follow(call, other)
    return True


def follow(call: CallState, leg: Leg) -> None:
    """Re-offer this leg if its direction or codec no longer is what the other side has."""
    other = call.other(leg)
    wanted = direction.offer_from(other)
    if leg.local is None or other is None or not call.live:
        return
    changes = call.changes
    if changes.reoffer is not None or changes.ack_offer_key or call.phase is not Phase.ESTABLISHED:
        changes.again.add(leg.id)  # looked at again when the change under way has come to its end
    elif not (_same_for_peer(leg, wanted) and bridge.have_common(leg, other)):
        reoffer(call, leg, wanted)


def follow_other(call: CallState, leg: Leg) -> None:
    """This leg's peer has spoken: does the other one have to hear of it?"""
    other = call.other(leg)
    if other is not None:
        follow(call, other)


def _same_for_peer(leg: Leg, wanted: Direction) -> bool:
    """An answer narrowed by the peer's own hold does not count as a difference."""
    now = leg.local.direction if leg.local else wanted
    return (not leg.wants_to_receive or now.sends == wanted.sends) and (
        not leg.wants_to_send or now.receives == wanted.receives
    )


def reoffer(call: CallState, leg: Leg, wanted: Direction) -> None:
    """Send our own re-INVITE with the same keys and another direction, or with codecs the other side has too."""
    other = call.other(leg)
    codecs = leg.local.codecs if leg.local else ()
    if other is not None and not bridge.have_common(leg, other):
        codecs = bridge.possible_codecs(leg, other)
    leg.keep_pace_with(other)
    try:
        body = leg.build_offer(codecs, wanted)
    except SdpError:
        return
    request = leg.in_dialog("INVITE", body, report.announce(call, leg))
    call.changes.reoffer, call.changes.reoffer_sequence = leg.id, request.cseq.number
    call.send(leg, request, leg.next_hop(), Purpose.REINVITE)


def response(call: CallState, leg: Leg, event: ResponseIn) -> None:
    """A response to our re-INVITE; a 2xx that is repeated is acknowledged again and means nothing more."""
    status = event.response.status
    if status < 200:
        return
    call.asks.answered(event.ask)
    if status < 300:
        _acknowledge(call, leg, event)
    changes = call.changes
    if changes.reoffer != leg.id or event.response.cseq.number != changes.reoffer_sequence:
        return
    changes.reoffer = None
    if not call.live:
        return
    if status == 491 and changes.glare_retries < MAX_GLARE_RETRIES:
        _wait_for_glare(call, leg)
        return
    if status < 300:
        _reoffer_answered(call, leg, event)
    else:
        report.reinvite_refused(call, leg, status)
        _reoffer_refused(call, leg, status)
    if changes.again:
        _next(call)


def unanswered(call: CallState, leg: Leg, purpose: Purpose) -> None:
    """Our re-INVITE or UPDATE got no answer, or could not be sent: the session stays as it was (RFC 3261 14.1).

    That the peer's signalling is dead is for those to find who ask for nothing else (RFC 3261 12.2.1.2: 481, 408).
    """
    report.missed(call, leg)
    if purpose is Purpose.UPDATE or call.changes.reoffer != leg.id:
        return
    leg.withdraw_offer()
    call.changes.reoffer = None
    if call.live and call.changes.again:
        _next(call)


def ack_lost(call: CallState, leg: Leg, key: str) -> None:
    """The connection closed before the ACK of a change: without the answer it may have held, our offer is void."""
    if call.changes.ack_offer_key == key:
        call.changes.ack_offer_key = ""
        leg.withdraw_offer()
    if call.live:
        again(call)


def _acknowledge(call: CallState, leg: Leg, event: ResponseIn) -> None:
    if leg.dialog is not None:
        if flows.note_target(call, leg, event.response, event.flow):
            leg.dialog.refresh_target(event.response)
        call.emit(SendAck(leg.id, leg.dialog.ack(event.response.cseq.number, leg.contact), leg.next_hop()))


def _reoffer_answered(call: CallState, leg: Leg, event: ResponseIn) -> None:
    call.changes.glare_retries = 0
    report.note_party(call, leg, event.response)
    if answering.take_answer(call, leg, event.response.body):
        bridge.connect(call)


def _wait_for_glare(call: CallState, leg: Leg) -> None:
    leg.withdraw_offer()
    if leg.told is not None:
        leg.told.forget()
    call.changes.glare_retries += 1
    call.changes.again.add(leg.id)
    wait = glare.wait_seconds(call.context.tokens, owns_call_id=not leg.is_caller)
    call.emit(SetTimer(Timer.GLARE, wait))


def _reoffer_refused(call: CallState, leg: Leg, status: int) -> None:
    leg.withdraw_offer()
    if status in (408, 481):  # RFC 3261 12.2.1.2: the dialog is over; after 481 the peer knows
        ending.terminate(call, Termination.PEER_TIMEOUT, by=leg.id if status == 481 else None)


def again(call: CallState) -> None:
    """The glare wait is over, or the peer has acknowledged its own change."""
    if call.changes.reoffer is None and call.changes.again:
        _next(call)


def _next(call: CallState) -> None:
    """What had to wait while another change was under way."""
    waiting, call.changes.again = sorted(call.changes.again), set()
    call.emit(ClearTimer(Timer.GLARE))
    for number in waiting:
        leg = call.legs.get(number)
        if leg is not None:
            follow(call, leg)


_HANDLERS = {
    "BYE": _bye,
    "INVITE": _offer,
    "UPDATE": _offer,
    "OPTIONS": _options,
    "REFER": transfer.refer,
    "SUBSCRIBE": transfer.subscribed,
}
