"""Mid-call: re-INVITE, UPDATE, hold and session refresh. Every offer is judged again before it is answered.

A change is answered at once from what the other leg's peer wants; then the other leg is re-offered when its
direction must follow. So hold works even where the other side refuses re-INVITEs.
"""

from __future__ import annotations

from gateway.base.codes import Code
from gateway.base.errors import SdpError, SipError
from gateway.base.termination import Termination
from gateway.base.values import Secret
from gateway.call import answering, direction, ending, flows, forks, glare, report, security, wiring
from gateway.call.agreed import AgreedMedia
from gateway.call.browser_leg import BrowserLeg, InsecureBrowserError
from gateway.call.effects import ClearTimer, LegName, Purpose, Respond, RestartIce, SendAck, SetTimer, Timer
from gateway.call.events import RequestIn, ResponseIn
from gateway.call.leg import ALLOW, Leg, warning
from gateway.call.places import termination_of
from gateway.call.state import CallState, Phase
from gateway.call.trunk_leg import TrunkKeyingError, TrunkLeg
from gateway.policy.evaluate import OfferPlan, plan_late_offer
from gateway.sdp.media import Direction, RemoteAudio
from gateway.sdp.negotiation import common_codecs
from gateway.sip.dialog import request_dialog_key
from gateway.sip.message import Request
from gateway.sip.reason import read_reasons
from gateway.webrtc.ice_lite import IceCredentials

MAX_GLARE_RETRIES = 2
MAX_WEAKENING_ATTEMPTS = 2
"""POLICY A2 mid.crypto_removed: the first try is refused, the second ends the call."""


def request(call: CallState, event: RequestIn) -> None:
    """A request inside a dialog of the call."""
    leg = call.leg(event.leg)
    if leg is None or not flows.admits(call, leg, event):
        return
    tag = event.request.from_.tag or ""
    lost = leg.dialog is not None and request_dialog_key(event.request) != leg.dialog.key
    if lost or tag in leg.done_with:
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
    hung_up = Termination.HANGUP_BROWSER if leg.name is LegName.BROWSER else Termination.HANGUP_TRUNK
    if not leg.confirmed:
        hung_up = Termination.CANCELLED
    call.emit(Respond(event.key, leg.respond(event.request, 200)))  # who knows already need not wait for the record
    ending.terminate(call, hung_up, by=leg.name, reasons=read_reasons(event.request.headers))


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
    taken = _trunk_offer(call, leg, event) if isinstance(leg, TrunkLeg) else _browser_offer(call, leg, event)
    if not taken:
        leg.restore(memory)


def _not_now(call: CallState, leg: Leg, request: Request) -> int:
    """Status of a change that must wait, or 0 (glare table of RFC 3261 14.2 and RFC 3311 5.2)."""
    if call.phase is Phase.ENDED:
        return 481
    if not request.body and request.method == "UPDATE":
        return 0
    if not leg.confirmed:
        return 500 if leg.is_caller else 491  # its INVITE waits for our answer; ours waits for its
    if call.phase is not Phase.ESTABLISHED or call.reoffer is leg.name:
        return 491
    if not call.ack_offer_key:
        return 0
    ours_is_open = request.method == "UPDATE" and call.ack_offer_leg is leg.name
    return 491 if ours_is_open else 500


def _no_offer(call: CallState, leg: Leg, event: RequestIn) -> None:
    """A session refresh without a body is just agreed to; a re-INVITE without one gets our offer (RFC 3261 14.2)."""
    if event.request.method == "UPDATE":
        _accept(call, leg, event, b"")
        return
    if isinstance(leg, TrunkLeg):
        _plan_anew(call, leg)
    leg.keep_pace_with(call.other(leg))
    try:
        body = leg.build_offer(
            leg.local.codecs if leg.local else leg.usable_codecs, direction.offer_from(call.other(leg))
        )
    except SdpError as error:
        call.emit(Respond(event.key, leg.respond(event.request, error.status)))
        return
    call.ack_offer_key = event.key
    call.ack_offer_leg = leg.name
    _accept(call, leg, event, body)


def _plan_anew(call: CallState, leg: TrunkLeg) -> None:
    """A trunk in the clear that asks for our offer is offered keys again where policy wants them (RFC 3261 14.2)."""
    plan = plan_late_offer(call.policy, leg.signalling)
    if isinstance(plan, OfferPlan):
        leg.offer_keys_again(plan)


def _accept(call: CallState, leg: Leg, event: RequestIn, body: bytes) -> None:
    headers = report.announce(call) if isinstance(leg, BrowserLeg) else ()
    if isinstance(leg, TrunkLeg):
        report.note_party(call, event.request)
    if event.request.method == "INVITE":
        leg.reinvite_key = event.key
    if leg.dialog is not None:
        leg.dialog.refresh_target(event.request)  # only what is accepted moves the target (RFC 6141 4.2)
    call.emit(Respond(event.key, leg.respond(event.request, 200, body=body, headers=headers)))


def _browser_offer(call: CallState, leg: Leg, event: RequestIn) -> bool:
    """Whether the offer was taken."""
    try:
        remote = leg.read_offer(event.request.body)
    except InsecureBrowserError as error:
        security.violation(call, leg, error.codes, Termination.BROWSER_OFFER_INSECURE)
        return _weakening(call, leg, event, Termination.BROWSER_OFFER_INSECURE)
    except SdpError:
        return _unacceptable(call, leg, event, Termination.BAD_SDP)
    if isinstance(leg, BrowserLeg) and leg.restarts:
        leg.ice = IceCredentials.generate(call.context.tokens)
    return _answer(call, leg, event, remote)


def _trunk_offer(call: CallState, leg: TrunkLeg, event: RequestIn) -> bool:
    """Checkpoint P5: an offer that weakens the leg is refused before anything of it is taken."""
    try:
        agreed = leg.inspect_offer(event.request.body)
    except TrunkKeyingError as error:
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


def _refused_change(call: CallState, leg: TrunkLeg, agreed: AgreedMedia) -> Termination | None:
    """Why policy refuses the change, after recording that it does; None when it may be taken."""
    after = leg.vector_of(agreed)
    verdict = security.judge_mid_call(call, leg.vector, after)
    if not verdict.allowed:
        termination = verdict.termination or Termination.ENCRYPTION_REQUIRED
        security.violation(call, leg, verdict.codes, termination, after, kind=verdict.kind)
        return termination
    if Code.MID_CRYPTO_REMOVED in verdict.codes:
        leg.history = leg.history | {Code.MID_CRYPTO_REMOVED}
    return None


def _weakening(call: CallState, leg: Leg, event: RequestIn, why: Termination) -> bool:
    """An insecure change is refused once; whoever insists ends the call, unless nothing may end it (POLICY A2)."""
    call.weakening_attempts += 1
    _unacceptable(call, leg, event, why)
    if call.weakening_attempts >= MAX_WEAKENING_ATTEMPTS and not call.policy.emergency:
        ending.terminate(call, why)
    return False


def _unacceptable(call: CallState, leg: Leg, event: RequestIn, why: Termination) -> bool:
    """488: the session goes on as it was (RFC 3261 14.2)."""
    call.emit(Respond(event.key, leg.respond(event.request, 488, headers=warning(why))))
    return False


def _answer(call: CallState, leg: Leg, event: RequestIn, remote: RemoteAudio) -> bool:
    """Answer an offer policy accepts: the record first, then the relay, then the peer, then the other side."""
    other = call.other(leg)
    codecs = wiring.agreed_codecs(leg, other) if other else ()
    if other is None or not codecs:
        return _unacceptable(call, leg, event, Termination.NO_COMMON_CODEC)
    leg.note_offer(remote.direction)
    leg.keep_pace_with(other)
    try:
        body = leg.build_answer(codecs, direction.answer_to(leg, other))
    except SdpError:
        return _unacceptable(call, leg, event, Termination.BAD_SDP)
    if isinstance(leg, TrunkLeg):
        security.posture_changed(call, leg)
    if isinstance(leg, BrowserLeg) and leg.restarts and leg.ice is not None:
        call.emit(RestartIce(leg.ice.ufrag, Secret(leg.ice.pwd)))
    wiring.connect_media(call)
    _accept(call, leg, event, body)
    follow(call, other)
    return True


def follow(call: CallState, leg: Leg) -> None:
    """Re-offer this leg if its direction or codec no longer is what the other side has."""
    other = call.other(leg)
    wanted = direction.offer_from(other)
    if leg.local is None or other is None or not call.live:
        return
    if call.reoffer is not None or call.ack_offer_key or call.phase is not Phase.ESTABLISHED:
        call.reoffer_again.add(leg.name)  # looked at again when the change under way has come to its end
    elif not (_same_for_peer(leg, wanted) and wiring.have_common(leg, other)):
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
    if other is not None and not wiring.have_common(leg, other):
        codecs = wiring.possible_codecs(leg, other)
    leg.keep_pace_with(other)
    try:
        body = leg.build_offer(codecs, wanted)
    except SdpError:
        return
    headers = report.announce(call) if isinstance(leg, BrowserLeg) else ()
    request = leg.in_dialog("INVITE", body, headers)
    call.reoffer, call.reoffer_sequence = leg.name, request.cseq.number
    call.send(leg.name, request, leg.next_hop(), Purpose.REINVITE)


def response(call: CallState, leg: Leg, event: ResponseIn) -> None:
    """A response to our re-INVITE; a 2xx that is repeated is acknowledged again and means nothing more."""
    status = event.response.status
    if status < 200:
        return
    call.answered(event.ask)
    if status < 300:
        _acknowledge(call, leg, event)
    if call.reoffer is not leg.name or event.response.cseq.number != call.reoffer_sequence:
        return
    call.reoffer = None
    if not call.live:
        return
    if status == 491 and call.glare_retries < MAX_GLARE_RETRIES:
        _wait_for_glare(call, leg)
        return
    if status < 300:
        _reoffer_answered(call, leg, event)
    else:
        _unread(call, leg, status)
        _reoffer_refused(call, leg, status)
    if call.reoffer_again:
        _next(call)


def unanswered(call: CallState, leg: Leg, purpose: Purpose) -> None:
    """Our re-INVITE or UPDATE got no answer, or could not be sent: the session stays as it was (RFC 3261 14.1).

    That the peer's signalling is dead is for those to find who ask for nothing else (RFC 3261 12.2.1.2: 481, 408).
    """
    if leg.name is LegName.BROWSER:
        report.missed(call)
    if purpose is Purpose.UPDATE or call.reoffer is not leg.name:
        return
    leg.withdraw_offer()
    call.reoffer = None
    if call.live and call.reoffer_again:
        _next(call)


def ack_lost(call: CallState, leg: Leg, key: str) -> None:
    """The connection closed before the ACK of a change: without the answer it may have held, our offer is void."""
    if call.ack_offer_key == key:
        call.ack_offer_key = ""
        leg.withdraw_offer()
    if call.live:
        again(call)


def _acknowledge(call: CallState, leg: Leg, event: ResponseIn) -> None:
    if leg.dialog is not None:
        if flows.note_target(call, leg, event.response, event.flow):
            leg.dialog.refresh_target(event.response)
        call.emit(SendAck(leg.name, leg.dialog.ack(event.response.cseq.number, leg.contact), leg.next_hop()))


def _reoffer_answered(call: CallState, leg: Leg, event: ResponseIn) -> None:
    call.glare_retries = 0
    if isinstance(leg, TrunkLeg):
        report.note_party(call, event.response)
    if answering.take_answer(call, leg, event.response.body):
        wiring.connect_media(call)


def _wait_for_glare(call: CallState, leg: Leg) -> None:
    leg.withdraw_offer()
    if isinstance(leg, BrowserLeg):
        call.told = None
    call.glare_retries += 1
    call.reoffer_again.add(leg.name)
    wait = glare.wait_seconds(call.context.tokens, owns_call_id=not leg.is_caller)
    call.emit(SetTimer(Timer.GLARE, wait))


def _unread(call: CallState, leg: Leg, status: int) -> None:
    if isinstance(leg, BrowserLeg):
        report.reinvite_refused(call, status)


def _reoffer_refused(call: CallState, leg: Leg, status: int) -> None:
    leg.withdraw_offer()
    if status in (408, 481):  # RFC 3261 12.2.1.2: the dialog is over; after 481 the peer knows
        ending.terminate(call, Termination.PEER_TIMEOUT, by=leg.name if status == 481 else None)


def again(call: CallState) -> None:
    """The glare wait is over, or the peer has acknowledged its own change."""
    if call.reoffer is None and call.reoffer_again:
        _next(call)


def _next(call: CallState) -> None:
    """What had to wait while another change was under way."""
    names, call.reoffer_again = sorted(call.reoffer_again), set()
    call.emit(ClearTimer(Timer.GLARE))
    for name in names:
        leg = call.leg(name)
        if leg is not None:
            follow(call, leg)


_HANDLERS = {"BYE": _bye, "INVITE": _offer, "UPDATE": _offer, "OPTIONS": _options}
