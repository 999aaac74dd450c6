"""Every message of a call is judged by the flow it came over, not by the one the call was set up over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import HostPort, LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.flows import MAX_RECORDS
from gateway.media.relay_commands import SetKeys
from gateway.sip.events import FlowRefused, RequestReceived
from gateway.sip.flow import Flow
from gateway.sip.message import Headers, Request
from tests.call.machine_scene import BROWSER_FLOW, MachineScene, answer, sdes_answer, trunk_flow, vector
from tests.call.office import Office
from tests.call.test_change import established

TRUNK = LegKind.TRUNK
TLS = trunk_flow()
assert TLS.tls is not None
SECOND = replace(TLS, id=9, remote=HostPort("127.0.0.2", 51234), initiated=False)
"""The trunk connects to us and shows its client certificate."""
WEAKER = {
    "udp": replace(trunk_flow("udp"), id=9),
    "tcp": replace(trunk_flow("tcp"), id=9),
    "no certificate": replace(SECOND, tls=replace(TLS.tls, verified=False, verified_name="")),
    "other name": replace(SECOND, tls=replace(TLS.tls, verified_name="carrier.example")),
    "older version": replace(SECOND, tls=replace(TLS.tls, version="TLSv1.2")),
}
KEYED = answer("RTP/SAVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "B" * 40)
FLOWS = pytest.mark.parametrize("flow", WEAKER.values(), ids=WEAKER)


def violation(scene: MachineScene) -> dict[str, object]:
    found = scene.record("leg.violation")
    assert found["codes"] == ["sig.sips_not_honoured"]
    return found


def keys_out(scene: MachineScene) -> bytes:
    """Every body that left since the last `clear`."""
    answers = [e.response.body for e in scene.take(fx.Respond)]
    return b"".join([*answers, *(e.request.body for e in scene.take(fx.SendRequest))])


@FLOWS
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_change_over_a_weaker_flow_is_403_and_no_key_goes_out(flow: Flow, method: str) -> None:
    scene = established()
    scene.inside(TRUNK, method, KEYED, cseq=900, flow=flow)
    assert scene.responses[-1].status == 403
    assert b"inline" not in keys_out(scene)
    assert not scene.told(SetKeys)
    record = violation(scene)
    assert (record["decision"], record["message"], record["leg"]) == ("refused", method, "trunk")
    assert record["sip_sent"] == {"code": 403}
    came, founding = (cast("dict[str, object]", record[name]) for name in ("flow", "founding_flow"))
    assert (came["transport"], founding["transport"]) == (flow.transport, "tls")
    assert scene.order(fx.WriteAudit, fx.Respond)[-2:] == ["WriteAudit", "Respond"]
    assert scene.state.live


@FLOWS
@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "OPTIONS", "INFO", "PRACK", "REFER"])
def test_nothing_but_the_end_of_the_call_is_taken_over_a_weaker_flow(flow: Flow, method: str) -> None:
    scene = established().inside(TRUNK, method, cseq=900, flow=flow)
    assert scene.responses[-1].status == 403
    assert scene.state.live


def test_a_refused_request_counts_for_nothing_not_even_its_sequence_number() -> None:
    scene = established().inside(TRUNK, "INVITE", KEYED, cseq=5000, flow=WEAKER["udp"])
    scene.inside(TRUNK, "INVITE", KEYED, cseq=900)
    assert scene.responses[-1].status == 200


@FLOWS
def test_a_bye_of_the_trunk_ends_the_call_over_any_flow_and_is_recorded(flow: Flow) -> None:
    scene = established().inside(TRUNK, "BYE", cseq=900, flow=flow)
    assert scene.responses[-1].status == 200
    assert scene.state.termination is Termination.HANGUP_TRUNK
    assert (violation(scene)["decision"], violation(scene)["message"]) == ("allowed", "BYE")
    assert scene.order(fx.WriteAudit, fx.Finished)[-2:] == ["WriteAudit", "Finished"]
    assert "sig.sips_not_honoured" in scene.state.posture.codes_seen


@pytest.mark.parametrize("method", ["INVITE", "BYE"])
def test_from_elsewhere_nothing_is_taken(method: str) -> None:
    scene = established().inside(TRUNK, method, cseq=900, flow=replace(SECOND, trunk="carrier"))
    if method == "INVITE":
        assert scene.responses[-1].status == 403
        assert scene.state.live


def test_a_second_connection_of_the_same_verified_peer_is_as_good_as_the_first() -> None:
    scene = established().inside(TRUNK, "INVITE", KEYED, cseq=900, flow=SECOND)
    assert scene.responses[-1].status == 200
    assert "leg.violation" not in scene.records
    scene.clear().ack_of(TRUNK, 900).inside(TRUNK, "BYE", cseq=901, flow=SECOND)
    assert scene.state.termination is Termination.HANGUP_TRUNK
    assert "leg.violation" not in scene.records


def test_a_better_flow_is_taken_and_changes_nothing_of_what_was_exposed() -> None:
    """The keys of the leg went over UDP: a later message over TLS does not make them secret."""
    scene = MachineScene(profile=Profile.LEGACY, flow=trunk_flow("udp"), outbound=False, offer=KEYED).calling()
    scene.feed(answered(scene))
    scene.feed(events.AckIn("invite-key", scene.invite))
    scene.inside(TRUNK, "UPDATE", cseq=900, flow=TLS)
    assert scene.responses[-1].status == 200
    assert scene.trunk_leg is not None
    assert scene.trunk_leg.vector.signalling.transport == "udp"


def answered(scene: MachineScene) -> events.Event:
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest)][-1]
    return scene.answer_to(sent, 200, vector("chromium_answer_to_rtpengine"))


def test_what_is_said_of_flows_is_said_once_and_within_a_limit() -> None:
    scene = established()
    for number in range(900, 920):
        scene.inside(TRUNK, "INVITE", KEYED, cseq=number, flow=WEAKER["udp"])
    assert scene.records.count("leg.violation") == 1
    for number in range(50):
        flow = replace(WEAKER["udp"], remote=HostPort(f"127.0.0.{number}", 5060))
        scene.inside(TRUNK, "INVITE", KEYED, cseq=1000 + number, flow=flow)
    assert scene.records.count("leg.violation") == MAX_RECORDS
    assert scene.state.live


# --- where the dialog would go


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("transport", ["udp", "tcp", "UDP", "sctp", "ws"])
def test_a_change_that_moves_the_dialog_off_tls_is_480_with_warning_380(method: str, transport: str) -> None:
    scene = established()
    contact = f"<sip:pbx@127.0.0.2:5060;transport={transport}>"
    scene.inside(TRUNK, method, KEYED, cseq=900, contact=contact)
    refused = scene.responses[-1]
    assert (refused.status, refused.headers.get("Warning")) == (480, '380 gw "SIPS Not Allowed"')
    assert violation(scene)["why"] == f"moves the dialog to {transport.lower()}"
    assert b"inline" not in keys_out(scene)
    assert scene.trunk_leg is not None
    assert scene.trunk_leg.dialog is not None
    assert str(scene.trunk_leg.dialog.remote_target) == "sip:callee@127.0.0.2:5061"
    assert scene.state.live


@pytest.mark.parametrize(
    "contact",
    ["<sip:pbx@127.0.0.2>", "<sip:pbx@127.0.0.2:5061;transport=tls>", "<sips:pbx@127.0.0.2;transport=tcp>"],
)
def test_a_contact_that_stays_on_tls_moves_the_target(contact: str) -> None:
    scene = established().inside(TRUNK, "INVITE", KEYED, cseq=900, contact=contact)
    assert scene.responses[-1].status == 200
    assert scene.trunk_leg is not None
    assert scene.trunk_leg.dialog is not None
    assert str(scene.trunk_leg.dialog.remote_target) == contact.strip("<>")


def test_an_answer_that_names_a_weaker_transport_is_recorded_and_the_call_stays_on_tls() -> None:
    scene = MachineScene().calling()
    response = scene.answer_to(
        [e for e in scene.all if isinstance(e, fx.SendRequest)][-1], 200, sdes_answer(scene.invite.body)
    )
    assert isinstance(response, events.ResponseIn)
    routed = response.response.with_added([("Record-Route", "<sip:127.0.0.2;transport=udp;lr>")])
    scene.feed(replace(response, response=routed))
    assert violation(scene)["message"] == "200 INVITE"
    (ack,) = scene.take(fx.SendAck)
    assert ack.flow == scene.flow


def test_a_udp_trunk_may_name_udp() -> None:
    scene = established(Profile.LEGACY)
    scene.inside(TRUNK, "INVITE", answer(), cseq=900, contact="<sip:pbx@127.0.0.2;transport=udp>")
    assert scene.responses[-1].status == 200


# --- through the manager


async def call_up(office: Office) -> tuple[Request, Flow]:
    """A strict call over verified TLS; gives its INVITE and flow."""
    office.call()
    await office.settle()
    sent, flow = [found for found in office.sip.sent.values() if found[0].method == "INVITE"][-1]
    office.reply("INVITE", 200, sdes_answer(sent.body))
    await office.settle()
    return sent, flow


def in_dialog(sent: Request, method: str, body: bytes = b"", *, cseq: int = 1) -> Request:
    headers = [
        ("Via", f"SIP/2.0/UDP 127.0.0.2;branch=z9hG4bK{method}{cseq}"),
        ("From", f"{sent.to};tag=callee"),
        ("To", str(sent.from_)),
        ("Call-ID", sent.call_id),
        ("CSeq", f"{cseq} {method}"),
        ("Contact", "<sip:callee@127.0.0.2:5061>"),
    ]
    if body:
        headers.append(("Content-Type", "application/sdp"))
    return Request(method, "sip:gateway@127.0.0.1", Headers(headers), body)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


@pytest.mark.asyncio
@FLOWS
async def test_the_manager_hands_the_flow_of_the_message_to_the_call(office: Office, flow: Flow) -> None:
    sent, _ = await call_up(office)
    office.request(in_dialog(sent, "INVITE", KEYED), key="weak", flow=flow)
    assert office.statuses("weak") == [403]
    assert "leg.violation" in office.audit.types()
    assert office.manager.live_calls == 1
    office.request(in_dialog(sent, "BYE", cseq=2), key="bye", flow=flow)
    await office.settle()
    assert office.statuses("bye") == [200]
    assert "call.final" in office.audit.types()


@pytest.mark.asyncio
@pytest.mark.parametrize("method", ["BYE", "INVITE", "UPDATE"])
@pytest.mark.parametrize("flow", [replace(SECOND, trunk="old"), replace(BROWSER_FLOW, id=77), BROWSER_FLOW], ids=str)
async def test_the_tags_of_a_dialog_are_worth_nothing_elsewhere(office: Office, flow: Flow, method: str) -> None:
    sent, _ = await call_up(office)
    office.request(in_dialog(sent, method), key="foreign", flow=flow)
    await office.settle()
    assert office.statuses("foreign") == [481]
    assert "call.final" not in office.audit.types()
    assert [r["why"] for r in office.audit.records if r["type"] == "leg.violation"] == ["from elsewhere"]


@pytest.mark.asyncio
async def test_another_connection_of_the_browser_does_not_speak_for_its_call(office: Office) -> None:
    await call_up(office)
    other = replace(BROWSER_FLOW, id=55)
    office.manager.location.identities.authenticate(other, "alice")
    (accepted,) = [r for k, r in office.sip.answers if k == "in-1" and r.status == 200]
    bye = in_dialog(accepted, "BYE", cseq=2)  # type: ignore[arg-type]  # both have From, To and Call-ID
    bye = bye.with_header("From", "<sip:alice@example.test>;tag=caller")
    bye = bye.with_header("To", str(accepted.to))
    office.request(bye, key="bye", flow=other)
    await office.settle()
    assert office.statuses("bye") == [481]
    assert "call.final" not in office.audit.types()
    (said,) = [r for r in office.audit.records if r["type"] == "leg.violation"]
    assert said["leg"] == "browser"


@pytest.mark.asyncio
async def test_what_the_stack_turned_away_is_in_the_records_of_its_call(office: Office) -> None:
    sent, _ = await call_up(office)
    key = next(k for k, found in office.sip.sent.items() if found[0] is sent)
    weak = WEAKER["udp"]
    office.manager.on_event(FlowRefused(key, in_dialog(sent, "ACK"), weak, "udp instead of tls"))
    (said,) = [r for r in office.audit.records if r["type"] == "leg.violation"]
    assert (said["message"], said["why"], said["sip_sent"]) == ("ACK", "udp instead of tls", None)
    office.manager.on_event(FlowRefused("unknown", sent, weak, "udp instead of tls"))


@pytest.mark.asyncio
async def test_a_request_for_no_dialog_is_481(office: Office) -> None:
    sent, _ = await call_up(office)
    stray = in_dialog(sent, "BYE")
    stray = stray.with_header("Call-ID", "another")
    office.manager.on_event(RequestReceived("stray", stray, TLS))
    assert office.statuses("stray") == [481]
