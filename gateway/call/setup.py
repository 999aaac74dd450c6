"""From the caller's INVITE to its answer: policy before every step, the record before every action.

The way is the same in both directions; what differs is inside the legs.
"""

from __future__ import annotations

from gateway.base.errors import SdpError
from gateway.base.termination import Termination
from gateway.base.values import Secret
from gateway.call import direction, ending, security
from gateway.call.browser_leg import BrowserLeg, InsecureBrowserError
from gateway.call.effects import (
    ClearTimer,
    ConnectTrunk,
    OpenMedia,
    Purpose,
    Respond,
    SendAck,
    SendRequest,
    SetPayloads,
    SetTimer,
    StartDtls,
    Timer,
    TrackDialog,
)
from gateway.call.events import MediaOpened, ResponseIn, TrunkConnected, TrunkFailed
from gateway.call.leg import Leg
from gateway.call.state import CallState, Phase
from gateway.call.trunk_leg import TrunkKeyingError, TrunkLeg
from gateway.policy.codes import Code
from gateway.policy.evaluate import Refusal, accept_offer, plan_offer, plan_retry
from gateway.policy.model import effective_policy
from gateway.sdp.codecs import Codec
from gateway.sdp.negotiation import common_codecs, payload_map
from gateway.sip.dialog import Dialog, InviteDialogs
from gateway.sip.message import Response
from gateway.webrtc.ice_lite import IceCredentials

KEYED_SECONDS = 10.0
"""POLICY A5 checkpoint P4: media must be keyed this soon after the answer."""
UNACCEPTABLE = (415, 488, 606)
"""Answers that can mean "no SRTP here" (POLICY A3)."""


def start(call: CallState) -> None:
    """The INVITE is in and routed: read its offer, then find the other side."""
    call.emit(security.start_record(call))
    if not _read_caller_offer(call):
        return
    if call.outbound:
        call.emit(ConnectTrunk(call.trunk_id))
    else:
        _open_media(call)


def _read_caller_offer(call: CallState) -> bool:
    body = call.caller.invite.body if call.caller.invite else b""
    call.late_offer = not body
    try:
        if isinstance(call.caller, TrunkLeg):
            return _judge_trunk_offer(call, call.caller, body)
        if body:
            remote = call.caller.read_offer(body)
            call.caller.note_offer(remote.direction)
    except InsecureBrowserError as error:
        security.violation(call, call.caller, (error.code,), Termination.BROWSER_OFFER_INSECURE)
        ending.refuse(call, Termination.BROWSER_OFFER_INSECURE)
        return False
    except SdpError:
        ending.refuse(call, Termination.BAD_SDP)
        return False
    return True


def _judge_trunk_offer(call: CallState, leg: TrunkLeg, body: bytes) -> bool:
    """Checkpoint P0 for a call from a trunk; without an offer, what we would offer is judged."""
    if not body:
        return _plan(call, leg)
    try:
        remote, agreement = leg.inspect_offer(body)
    except TrunkKeyingError as error:
        security.violation(call, leg, (error.code,), error.termination)
        ending.refuse(call, error.termination)
        return False
    refusal = accept_offer(
        call.policy,
        leg.signalling,
        keyed=agreement.suite is not None,
        has_crypto=bool(remote.cryptos),
        codes=frozenset(),
    )
    if refusal is not None:
        return _refused(call, leg, refusal)
    leg.take(remote, agreement)
    leg.note_offer(remote.direction)
    return True


def _refused(call: CallState, leg: Leg, refusal: Refusal) -> bool:
    security.refused_offer(call, leg, refusal)
    ending.refuse(call, refusal.termination)
    return False


def _plan(call: CallState, leg: TrunkLeg) -> bool:
    """Checkpoint P1: decide what the trunk is offered, or that nothing can be."""
    plan = plan_offer(call.policy, leg.signalling)
    if isinstance(plan, Refusal):
        return _refused(call, leg, plan)
    leg.plan = plan
    return True


def trunk_connected(call: CallState, event: TrunkConnected) -> None:
    """The trunk can be reached; what it may be offered depends on how well it proved itself."""
    call.callee_flow = event.flow
    call.callee = call.context.make_callee(call, event.flow)
    if isinstance(call.callee, TrunkLeg) and not _plan(call, call.callee):
        return
    _open_media(call)


def trunk_failed(call: CallState, event: TrunkFailed) -> None:
    """No flow to the trunk. An emergency call tries the next trunk; it never falls back from TLS to clear."""
    if event.verification:
        call.emit(security.unverified_record(call, event))
    if call.alternatives:
        call.trunk_id, call.alternatives = call.alternatives[0], call.alternatives[1:]
        call.trunk_config = call.context.trunks[call.trunk_id]
        call.policy = effective_policy(call.trunk_config.security, call.trunk_id, emergency=True)
        call.emit(ConnectTrunk(call.trunk_id))
        return
    ending.refuse(call, Termination.TRUNK_UNVERIFIED if event.verification else Termination.TRUNK_UNREACHABLE)


def _open_media(call: CallState) -> None:
    if call.callee is None and call.callee_flow is not None:
        call.callee = call.context.make_callee(call, call.callee_flow)
    if call.browser is None:
        ending.refuse(call, Termination.INTERNAL_ERROR)
        return
    call.browser.ice = IceCredentials.generate(call.context.tokens)
    call.emit(OpenMedia(call.browser.ice.ufrag, Secret(call.browser.ice.pwd), call.trunk_id))


def media_opened(call: CallState, event: MediaOpened) -> None:
    """The relay has room: the callee may be called."""
    call.media = event
    browser, trunk = call.browser, call.trunk
    if browser is None or trunk is None or call.callee is None:
        ending.refuse(call, Termination.INTERNAL_ERROR)
        return
    browser.candidates = event.candidates
    trunk.rtp, trunk.rtcp = event.trunk_rtp, event.trunk_rtcp
    call.phase = Phase.CALLING
    call.callee_call_id = call.context.tokens(24)
    call.emit(SetTimer(Timer.RING, call.context.ring_seconds))
    send_invite(call, call.callee)


def send_invite(call: CallState, callee: Leg) -> None:
    """Send the callee's INVITE; a retry keeps Call-ID and tag and counts CSeq up (RFC 3261 8.1.3.5)."""
    try:
        body = callee.build_offer(call.caller_codecs, direction.offer_from(call.caller))
    except SdpError:
        ending.refuse(call, Termination.NO_COMMON_CODEC)
        return
    invite = callee.initial_invite(call.callee_call_id, body, call.context.hop_token, call.max_forwards - 1)
    if isinstance(callee, BrowserLeg):
        for name, value in security.header(call):
            invite.headers.add(name, value)
    callee.invite, callee.invite_pending = invite, True
    callee.dialogs = InviteDialogs(invite)
    call.outstanding.add((callee.name, Purpose.INVITE))
    call.emit(SendRequest(callee.name, invite, callee.flow, Purpose.INVITE))


def invite_response(call: CallState, callee: Leg, event: ResponseIn) -> None:
    """A response to the callee's INVITE."""
    status = event.response.status
    if status < 200:
        if call.phase is Phase.CALLING and status > 100:
            _provisional(call, callee, event.response)
    elif status < 300:
        _success(call, callee, event)
    else:
        call.outstanding.discard((callee.name, Purpose.INVITE))
        callee.invite_pending = False
        if call.phase is Phase.CALLING:
            _failure(call, callee, status)


def _provisional(call: CallState, callee: Leg, response: Response) -> None:
    dialog = callee.dialog_of(response)
    if dialog is not None:
        call.emit(TrackDialog(callee.name, dialog.key))
    early = bool(response.body) and isinstance(callee, TrunkLeg) and not call.late_offer
    if early and isinstance(callee, TrunkLeg) and _early_media(call, callee, response):
        _answer_caller(call, callee, 183)
    else:
        _relay_provisional(call, response.status)


def _early_media(call: CallState, callee: TrunkLeg, response: Response) -> bool:
    """Checkpoint P2: early media that policy would not accept as an answer is not played; the caller hears ringing.

    The offer stays open: another fork, or the 200, may answer it better (POLICY A2 early.plain, fork.mixed).
    """
    offered = callee.offered or callee.local
    try:
        callee.offered = offered
        remote, agreement = callee.inspect_answer(response.body)
    except SdpError:
        return False
    if not security.judge_vector(call, callee.vector_of(agreement, remote)).allowed:
        callee.offered = offered
        return False
    if not common_codecs(call.caller_codecs, remote.codecs):
        return False
    callee.take(remote, agreement)
    callee.answer_tag = response.to.tag or ""
    security.record_leg(call, callee)
    call.emit(*callee.media_effects())
    return True


def _relay_provisional(call: CallState, status: int) -> None:
    """Ringing stays ringing; early dialogs of forks share our one tag towards the caller."""
    if call.caller.invite is None or call.caller.confirmed:
        return
    status = 180 if status in (180, 183) else status
    if status not in (180, 181, 182):
        return
    headers = security.header(call) if call.outbound else ()
    call.emit(Respond(call.caller.invite_key, call.caller.respond(call.caller.invite, status, headers=headers)))


def _success(call: CallState, callee: Leg, event: ResponseIn) -> None:
    call.outstanding.discard((callee.name, Purpose.INVITE))
    dialog = callee.dialog_of(event.response)
    if dialog is None:
        return
    if callee.dialog is not None and dialog.key == callee.dialog.key:
        _acknowledge(call, callee, dialog, event.response)  # our ACK was lost
        return
    if callee.confirmed or call.phase is not Phase.CALLING:
        _acknowledge(call, callee, dialog, event.response)
        ending.release_dialog(call, callee, dialog, Termination.CANCELLED)
        return
    callee.confirm(dialog)
    call.emit(ClearTimer(Timer.RING), TrackDialog(callee.name, dialog.key))
    _acknowledge(call, callee, dialog, event.response)
    _accept_answer(call, callee, event.response)


def _acknowledge(call: CallState, callee: Leg, dialog: Dialog, response: Response) -> None:
    ack = dialog.ack(response.cseq.number, callee.contact)
    call.emit(SendAck(callee.name, ack, callee.next_hop(dialog)))


def _accept_answer(call: CallState, callee: Leg, response: Response) -> None:
    """Checkpoint P3: the callee answered; the caller hears of it only if policy accepts both legs."""
    answered_early = not response.body and callee.answer_tag == (response.to.tag or "")
    if not answered_early and not take_answer(call, callee, response.body):
        return
    caller = call.caller
    if isinstance(caller, TrunkLeg) and not call.late_offer and not security.settle(call, caller):
        return
    if call.late_offer:
        _offer_in_answer(call, callee)
    else:
        _answer_caller(call, callee, 200)


def take_answer(call: CallState, leg: Leg, body: bytes) -> bool:
    """Judge and take the answer to our offer on `leg`; False when the call was ended over it."""
    try:
        if isinstance(leg, TrunkLeg):
            return _take_trunk_answer(call, leg, body)
        remote = leg.read_answer(body)
        offered = leg.local.direction if leg.local else remote.direction
        leg.note_answer(remote.direction, offered)
        start_dtls(call)
    except InsecureBrowserError as error:
        security.violation(call, leg, (error.code,), Termination.BROWSER_OFFER_INSECURE)
        ending.terminate(call, Termination.BROWSER_OFFER_INSECURE)
        return False
    except SdpError:
        ending.terminate(call, Termination.BAD_SDP)
        return False
    return True


def _take_trunk_answer(call: CallState, leg: TrunkLeg, body: bytes) -> bool:
    if leg.offered is None:
        leg.offered = leg.local  # a 200 repeats or replaces the answer of an earlier 18x
    try:
        remote, agreement = leg.inspect_answer(body)
    except TrunkKeyingError as error:
        security.violation(call, leg, (error.code,), error.termination)
        ending.terminate(call, error.termination)
        return False
    if agreement.problem:
        leg.history = leg.history | {Code(agreement.problem)}
    offered = leg.offered.direction if leg.offered else remote.direction
    verdict = security.judge_vector(call, leg.vector_of(agreement, remote))
    if not verdict.allowed:
        termination = verdict.termination or Termination.ENCRYPTION_REQUIRED
        security.violation(call, leg, verdict.codes, termination, leg.vector_of(agreement, remote))
        ending.terminate(call, termination)
        return False
    leg.take(remote, agreement)
    leg.note_answer(remote.direction, offered)
    security.record_leg(call, leg)
    call.emit(*leg.media_effects())
    return True


def _offer_in_answer(call: CallState, callee: Leg) -> None:
    """The caller sent no offer: ours goes into the 200 (RFC 3261 13.3.1.4)."""
    codecs = callee.remote.codecs if callee.remote else ()
    try:
        body = call.caller.build_offer(codecs, direction.offer_from(callee))
    except SdpError:
        ending.terminate(call, Termination.NO_COMMON_CODEC)
        return
    call.ack_offer_key = call.caller.invite_key
    call.ack_offer_leg = call.caller.name
    _send_success(call, body)


def _answer_caller(call: CallState, callee: Leg, status: int) -> None:
    codecs = agreed_codecs(call.caller, callee)
    if not codecs:
        ending.terminate(call, Termination.NO_COMMON_CODEC)
        return
    try:
        body = call.caller.build_answer(codecs, direction.answer_to(call.caller, callee))
    except SdpError:
        ending.terminate(call, Termination.BAD_SDP)
        return
    call.emit(*call.trunk.media_effects() if call.trunk else ())
    connect_media(call)
    if status == 200:
        _send_success(call, body)
    elif call.caller.invite is not None:
        call.answer_sent = True
        response = call.caller.respond(call.caller.invite, status, body=body, headers=security.header(call))
        call.emit(Respond(call.caller.invite_key, response))


def _send_success(call: CallState, body: bytes) -> None:
    caller = call.caller
    if caller.invite is None:
        return
    headers = security.header(call) if call.outbound else ()
    response = caller.respond(caller.invite, 200, body=body, headers=headers)
    caller.dialog = Dialog.uas(caller.invite, caller.local_tag)
    caller.confirmed, call.answer_sent, call.phase = True, True, Phase.ANSWERED
    call.answered_at = call.now
    security.expect(call)
    call.posture.mark_answered()
    call.emit(TrackDialog(caller.name, caller.dialog.key))
    if call.browser is not None and call.browser.keyed is None:
        call.emit(SetTimer(Timer.KEYED, KEYED_SECONDS))
    call.emit(Respond(caller.invite_key, response))


def agreed_codecs(leg: Leg, other: Leg) -> tuple[Codec, ...]:
    """Codecs for our answer on `leg`: the first audio codec both sides have, and what accompanies it."""
    if leg.remote is None or other.remote is None:
        return ()
    common = common_codecs(leg.remote.codecs, other.remote.codecs)
    if not common:
        return ()
    rate = common[0].clock_rate
    return (common[0], *(c for c in common[1:] if c.is_companion and c.clock_rate == rate))


def connect_media(call: CallState) -> None:
    """Both sides are known: map payload types, open the directions, start the handshake."""
    browser, trunk = call.browser, call.trunk
    if browser is None or trunk is None:
        return
    if browser.local and browser.remote and trunk.local and trunk.remote:
        call.emit(
            SetPayloads(
                _both_numberings(browser, trunk.remote.codecs),
                _both_numberings(trunk, browser.remote.codecs),
            )
        )
    call.emit(direction.relay(call))
    start_dtls(call)


def _both_numberings(source: Leg, destination: tuple[Codec, ...]) -> tuple[tuple[int, int], ...]:
    """Map by our own description first (RFC 3264 6.1: it rules what we receive), then by the peer's, which many use."""
    numbers: dict[int, int] = {}
    for codecs in (source.local.codecs if source.local else (), source.remote.codecs if source.remote else ()):
        for number, mapped in payload_map(codecs, destination).items():
            numbers.setdefault(number, mapped)
    return tuple(numbers.items())


def start_dtls(call: CallState) -> None:
    """Begin the handshake as soon as both fingerprints are known; once per call."""
    browser = call.browser
    if call.dtls_started or browser is None or browser.remote is None or browser.role is None:
        return
    call.dtls_started = True
    role = "client" if browser.role.value == "active" else "server"
    call.emit(StartDtls(role, browser.remote.fingerprints))


def _failure(call: CallState, callee: Leg, status: int) -> None:
    """The callee refused: try weaker only where policy says so, else tell the caller."""
    if isinstance(callee, TrunkLeg) and status in UNACCEPTABLE:
        plan = plan_retry(call.policy, status, callee.plan)
        if plan is not None:
            security.retry(call, plan, status)
            callee.plan, callee.offered = plan, None
            callee.history = callee.history | plan.codes
            send_invite(call, callee)
            return
        if callee.plan and callee.plan.proto == "RTP/SAVP":
            security.violation(call, callee, (Code.MEDIA_PLAIN_RTP,), Termination.ENCRYPTION_REQUIRED)
            ending.refuse(call, Termination.ENCRYPTION_REQUIRED, status=488)
            return
    ending.refuse(call, *ending.from_status(status))


def late_answer(call: CallState, leg: Leg, body: bytes) -> None:
    """The ACK brought the answer to the offer in our 200."""
    call.ack_offer_key = ""
    other = call.other(leg)
    if other is None or not take_answer(call, leg, body):
        return
    if not agreed_codecs(leg, other):
        ending.terminate(call, Termination.NO_COMMON_CODEC)
        return
    connect_media(call)
