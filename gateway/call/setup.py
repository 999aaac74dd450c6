"""From the caller's INVITE to the callee's: policy before every step, the record before every action.

The way is the same in both directions; what differs is inside the legs. It goes on in `responses`.
"""

from __future__ import annotations

from gateway.base.errors import SdpError
from gateway.base.termination import Termination
from gateway.base.values import Secret
from gateway.call import direction, ending, flows, report, security
from gateway.call.browser_leg import BrowserLeg, InsecureBrowserError
from gateway.call.effects import (
    CancelInvite,
    ClearTimer,
    ConnectTrunk,
    OpenMedia,
    ProbeTrunk,
    Purpose,
    SetTimer,
    Timer,
)
from gateway.call.events import MediaOpened, TrunkConnected, TrunkFailed
from gateway.call.leg import Leg
from gateway.call.places import termination_of
from gateway.call.state import CallState, Phase
from gateway.call.trunk_leg import TrunkKeyingError, TrunkLeg
from gateway.policy.evaluate import OfferPlan, Refusal, accept_offer, plan_late_offer, plan_offer
from gateway.sip.dialog import InviteDialogs
from gateway.trunks.health import SILENT_SECONDS, TRY_SECONDS
from gateway.webrtc.ice_lite import IceCredentials


def start(call: CallState) -> None:
    """The INVITE is in and routed: read its offer, then find the other side."""
    if not _read_caller_offer(call) or security.is_hopeless(call, call.caller):
        return
    if call.outbound:
        call.emit(ConnectTrunk(call.trunk_id))
    else:
        _open_media(call)


def _read_caller_offer(call: CallState) -> bool:
    body = call.caller.invite.body if call.caller.invite else b""
    if call.caller.invite is not None:
        flows.note_target(call, call.caller, call.caller.invite, call.caller.flow)
    call.late_offer = not body
    try:
        if isinstance(call.caller, TrunkLeg):
            return _judge_trunk_offer(call, call.caller, body)
        if body:
            remote = call.caller.read_offer(body)
            call.caller.note_offer(remote.direction)
    except InsecureBrowserError as error:
        security.violation(call, call.caller, error.codes, Termination.BROWSER_OFFER_INSECURE)
        ending.refuse(call, Termination.BROWSER_OFFER_INSECURE)
        return False
    except SdpError as error:
        ending.refuse(call, termination_of(error))
        return False
    return True


def _judge_trunk_offer(call: CallState, leg: TrunkLeg, body: bytes) -> bool:
    """Checkpoint P0 for a call from a trunk; without an offer, what we would offer is judged."""
    if not body:
        return _plan(call, leg, plan_late_offer(call.policy, leg.signalling))
    try:
        agreed = leg.inspect_offer(body)
    except TrunkKeyingError as error:
        security.violation(call, leg, error.codes, error.termination)
        ending.refuse(call, error.termination)
        return False
    refusal = accept_offer(
        call.policy,
        leg.signalling,
        keyed=agreed.remote.proto.keyed,
        has_crypto=agreed.agreement.suite is not None,
        codes=agreed.remote.crypto_problems,
    )
    if refusal is not None:
        return _refused(call, leg, refusal)
    leg.take(agreed)
    leg.note_offer(agreed.remote.direction)
    return True


def _refused(call: CallState, leg: Leg, refusal: Refusal) -> bool:
    security.refused_offer(call, leg, refusal)
    ending.refuse(call, refusal.termination)
    return False


def _plan(call: CallState, leg: TrunkLeg, plan: OfferPlan | Refusal) -> bool:
    """What policy wants the trunk offered, or that nothing can be."""
    if isinstance(plan, Refusal):
        return _refused(call, leg, plan)
    leg.plan = plan
    return True


def trunk_connected(call: CallState, event: TrunkConnected) -> None:
    """The trunk can be reached; what it may be offered depends on how well it proved itself."""
    if call.callee is not None:
        return
    call.callee_flow, call.trunk_down = event.flow, event.down
    call.callee = call.context.make_callee(call, event.flow)
    if not _is_worth_calling(call, call.callee):
        return
    if call.media is None:
        _open_media(call)
    else:
        media_opened(call, call.media)  # the session of the trunk tried before


def _is_worth_calling(call: CallState, callee: Leg) -> bool:
    """Checkpoint P1: the callee can be offered something that policy would accept the answer to."""
    if isinstance(callee, TrunkLeg) and not _plan(call, callee, plan_offer(call.policy, callee.signalling)):
        return False
    return not security.is_hopeless(call, callee)


def trunk_failed(call: CallState, event: TrunkFailed) -> None:
    """No flow to the trunk. An emergency call tries the next trunk; it never falls back from TLS to clear."""
    if event.verification:
        call.emit(security.unverified_record(call, event))
    if not try_next_trunk(call):
        ending.refuse(call, Termination.TRUNK_UNVERIFIED if event.verification else Termination.TRUNK_UNREACHABLE)


def try_next_trunk(call: CallState) -> bool:
    """Go on with the next trunk of an emergency call, before or after the first one was called; False: none is left.

    Once there is a relay session, a trunk that wants its media at another address cannot take over.
    """
    for index, name in enumerate(call.alternatives):
        config = call.site.trunks[name]
        if call.media is None or config.media == call.trunk_config.media:
            _abandon(call)
            call.trunk_id, call.trunk_config, call.alternatives = name, config, call.alternatives[index + 1 :]
            call.policy = call.site.policies.decide(name, emergency=True)
            call.callee, call.callee_flow, call.phase = None, None, Phase.PREPARING
            call.emit(ClearTimer(Timer.RING), ConnectTrunk(name))
            return True
    return False


def _abandon(call: CallState) -> None:
    """The next trunk is called while the INVITE to this one has no answer: whatever comes of it is not the call."""
    callee = call.callee
    if callee is None or not callee.invite_pending:
        return
    asks = [ask for ask, (_, purpose) in call.outstanding.items() if purpose is Purpose.INVITE]
    call.abandoned.update({ask: callee for ask in asks if ask not in call.abandoned})
    call.emit(CancelInvite(), ClearTimer(Timer.SILENT))


def unheard(call: CallState) -> None:
    """The trunk has not even said 100: it is asked whether it is there, or not waited for any longer."""
    if call.phase is not Phase.CALLING or call.callee_heard:
        return
    if _is_only_tried(call):
        silent(call, call.trunk_id)
    else:
        call.emit(ProbeTrunk(call.trunk_id))


def silent(call: CallState, trunk: str) -> None:
    """The trunk does not answer the question either. An emergency call tries the next one at once."""
    waits = call.phase is Phase.CALLING and not call.callee_heard and call.trunk_id == trunk
    if waits and not try_next_trunk(call):
        ending.refuse(call, Termination.TRUNK_SILENT)


def _is_only_tried(call: CallState) -> bool:
    """A trunk that is down gets little time, but for the last one that an emergency call has."""
    return call.trunk_down and (bool(call.alternatives) or not call.policy.emergency)


def _open_media(call: CallState) -> None:
    if call.callee is None and call.callee_flow is not None:
        call.callee = call.context.make_callee(call, call.callee_flow)
        if not _is_worth_calling(call, call.callee):
            return
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
    call.ring_until = call.now + call.site.limits.ring_seconds
    call.emit(SetTimer(Timer.RING, call.site.limits.ring_seconds))
    send_invite(call, call.callee)


def send_invite(call: CallState, callee: Leg) -> None:
    """Send the callee's INVITE; a retry keeps Call-ID and tag and counts CSeq up (RFC 3261 8.1.3.5)."""
    callee.keep_pace_with(call.caller)
    try:
        body = callee.build_offer(call.caller_codecs, direction.offer_from(call.caller))
    except SdpError:
        ending.refuse(call, Termination.NO_COMMON_CODEC)
        return
    invite = callee.initial_invite(call.callee_call_id, body, call.context.hop_marks.new(), call.max_forwards - 1)
    if isinstance(callee, BrowserLeg):
        invite = invite.with_added(report.announce(call))
    callee.invite, callee.invite_pending, call.callee_heard = invite, True, False
    if isinstance(callee, TrunkLeg):
        call.emit(SetTimer(Timer.SILENT, TRY_SECONDS if _is_only_tried(call) else SILENT_SECONDS))
    callee.dialogs, callee.done_with = InviteDialogs(invite), frozenset()
    call.send(callee.name, invite, callee.flow, Purpose.INVITE)
