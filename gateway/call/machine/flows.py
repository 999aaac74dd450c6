"""Which flow may speak for a leg: each message is judged by the flow it came over, never by its dialog's first one.

A dialog is found by its tags. Then the flow must prove as much as the one that set the leg up (`sip.flow.shortfall`);
if not, the message is refused and recorded. Our answers leave on the flow of their request, so no key of ours goes out
over a weaker one. Only the end of a call is taken from any flow of the trunk: ending never weakens.
"""

from __future__ import annotations

from gateway.audit import record
from gateway.base.codes import Code
from gateway.base.errors import SipError
from gateway.base.signalling import ENCRYPTED
from gateway.base.termination import Termination
from gateway.call.legs.leg import Leg
from gateway.call.machine import ending, invite, liveness, returning, security, transfer
from gateway.call.machine.effects import Respond, WriteAudit
from gateway.call.machine.events import ConnectionClosed, FlowMoved, FlowRefused, RequestIn
from gateway.call.machine.hunt import Refused
from gateway.call.machine.judging import policy_of
from gateway.call.machine.state import CallState
from gateway.sip.dialog import TARGET_REFRESH
from gateway.sip.flow import Flow, objection, shortfall
from gateway.sip.message import Message, Response
from gateway.sip.uri import SipUri

MAX_RECORDS = 8
"""Records one call writes about weaker flows: one for each kind of message, flow and lack; more is somebody trying."""
SIPS_NOT_ALLOWED = ("Warning", '380 gw "SIPS Not Allowed"')
"""Nothing weaker can carry what was begun over TLS (RFC 5630 5.1.3)."""


def admits(call: CallState, leg: Leg, event: RequestIn) -> bool:
    """Whether a request inside a dialog may be looked at; else it has been answered 403."""
    why = leg.objection_to(event.flow)
    if not why:
        _heard_on(call, leg, event.flow)
        return True
    method = event.request.method
    if method == "BYE":
        _record(call, leg, event.flow, method, why, allowed=True, status=200)
        return True
    _record(call, leg, event.flow, method, why, status=403)
    call.emit(Respond(event.key, leg.respond(event.request, 403)))
    return False


def _heard_on(call: CallState, leg: Leg, flow: Flow) -> None:
    """Another connection is as good: a trunk's is kept in mind, and a browser is where it was heard last."""
    if flow.id == leg.flow.id:
        return
    if leg.habits.returns:
        returning.found(call, leg, flow)
    else:
        leg.heard_on = flow


def noticed(call: CallState, event: FlowRefused | FlowMoved | ConnectionClosed) -> None:
    """The stack, or the lookup of dialogs, has turned a message away; or a leg lost its connection, or has a new one.

    Our next requests leave over it; the leg is judged by the one it was founded on as before. Who lost a connection is
    asked over a new one whether it still knows the call: that a connection closes says nothing about the call.
    """
    leg = call.legs.get(event.leg)
    if leg is None or leg.gone:
        return
    if isinstance(event, FlowRefused):
        _record(call, leg, event.flow, event.what, event.why, status=event.status)
    elif isinstance(event, ConnectionClosed):
        leg.device = event.device or leg.device
        _connection_closed(call, leg)
    elif leg.habits.returns:
        _comes_back(call, leg, event.flow)
    elif not objection(event.flow, leg.founding):
        leg.move_to(event.flow)


def _connection_closed(call: CallState, leg: Leg) -> None:
    """A browser that talks may come back; any other one is gone with its connection, and with it the call, unless it
    only rang there."""
    if leg.habits.reconnects:
        liveness.ask(call, leg)
    elif leg is call.caller or leg.invitation.is_confirmed:
        if leg not in call.pair or transfer.is_cut_off(call, leg, knows=True):
            return
        if returning.is_waited_for(call, leg):
            returning.lost(call, leg)
        else:
            ending.terminate(call, Termination.FLOW_LOST)
    elif leg.id in call.hunt.ringing:
        invite.lose(call, leg, Refused(0, Termination.FLOW_LOST))


def _comes_back(call: CallState, leg: Leg, flow: Flow) -> None:
    """The device of a browser registered over another connection; one that proves less is none for this call."""
    if flow.id == leg.flow.id and not leg.is_away:
        return
    why = shortfall(flow, leg.founding)
    if why:
        _record(call, leg, flow, "REGISTER", why)
    elif leg.invitation.is_open or leg.is_away:
        leg.admit(flow)
        returning.found(call, leg, flow)


def keeps_its_target(call: CallState, leg: Leg, event: RequestIn) -> bool:
    """Whether a re-INVITE or UPDATE leaves the leg on a transport as good as it was set up on; else it has got 480."""
    why = _weaker_target(leg, event.request)
    if not why:
        return True
    _record(call, leg, event.flow, event.request.method, why, status=480)
    call.emit(Respond(event.key, leg.respond(event.request, 480, headers=(SIPS_NOT_ALLOWED,))))
    return False


def note_target(call: CallState, leg: Leg, message: Message, flow: Flow) -> bool:
    """False when a message that cannot be refused would move the leg to a weaker transport: we stay, and record it."""
    why = _weaker_target(leg, message)
    if why:
        what = f"{message.status} {message.cseq.method}" if isinstance(message, Response) else message.method
        _record(call, leg, flow, what, why)
    return not why


def _weaker_target(leg: Leg, message: Message) -> str:
    """How Contact or the nearest Record-Route would take a leg off TLS: by naming another transport. Else "".

    Without a transport parameter nothing is asked for: many trunks leave it out and mean the connection they are on.
    """
    secure = leg.habits.names_transports and leg.founding.is_secure
    if not secure or message.cseq.method not in TARGET_REFRESH:
        return ""
    try:
        routes = message.record_route
        nearest = [routes[-1 if isinstance(message, Response) else 0].uri] if routes else []
        contact = [message.contact.uri] if message.contact is not None else []
        asked = [_transport(uri) for uri in (*nearest, *contact)]
    except SipError:
        return ""
    weaker = [name for name in asked if name and name not in ENCRYPTED]
    return f"moves the dialog to {weaker[0]}" if weaker else ""


def _transport(uri: SipUri) -> str:
    """What the URI names; TLS for `sips:`, whatever its parameter says (RFC 5630 3.1.3)."""
    return "tls" if uri.scheme == "sips" else uri.transport or ""


def _record(
    call: CallState, leg: Leg, flow: Flow, what: str, why: str, *, allowed: bool = False, status: int = 0
) -> None:
    """Write leg.violation, once for each kind, within `MAX_RECORDS`; nothing comes after the final record."""
    kind = (leg.id, what, why, flow.transport, flow.remote.host)
    if not call.live or kind in call.flows_recorded or len(call.flows_recorded) >= MAX_RECORDS:
        return
    call.flows_recorded.add(kind)
    call.posture.note(Code.SIG_SIPS_NOT_HONOURED)
    judged = record.flow_judged(
        security.info(call, leg),
        policy_of(call, leg),
        leg=leg.kind.value,
        leg_id=leg.id,
        checkpoint=security.checkpoint(call, leg),
        what=what,
        why=why,
        came=flow,
        founding=leg.founding,
        allowed=allowed,
        sip_status=status,
    )
    call.emit(WriteAudit(judged))
