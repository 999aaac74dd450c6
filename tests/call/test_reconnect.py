"""Connections come and go: a request whose connection is gone leaves over a new one that proves as much."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.errors import OLD_TLS
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import HostPort, LegKind
from gateway.call import manager
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.sip.events import AckReceived, TransportFailed
from gateway.sip.flow import Flow
from gateway.sip.message import Headers, Request
from tests.call.machine_scene import BROWSER_FLOW, MachineScene, answer, sdes_answer, trunk_flow, vector
from tests.call.office import Office
from tests.call.test_change import established, from_browser, held
from tests.call.test_flows import KEYED, WEAKER, call_up, in_dialog
from tests.net.harness import until

TLS = trunk_flow()
AGAIN = replace(TLS, id=40, local=HostPort("127.0.0.1", 40123))
TARGET = HostPort("127.0.0.2", 5061)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


async def established_call(office: Office) -> tuple[Request, Flow]:
    sent, flow = await call_up(office)
    office.manager.on_event(AckReceived("in-1", Request("ACK", "sip:x", Headers()), BROWSER_FLOW))
    await office.settle()
    return sent, flow


def hang_up(office: Office) -> None:
    """The browser says BYE."""
    (accepted,) = [r for k, r in office.sip.answers if k == "in-1" and r.status == 200]
    headers = [("Via", "SIP/2.0/WSS c.invalid;branch=z9hG4bKbye"), ("Max-Forwards", "70")]
    headers.append(("From", "<sip:alice@example.test>;tag=caller"))
    headers.append(("To", str(accepted.to)))
    headers.append(("Call-ID", accepted.call_id))
    headers.append(("CSeq", "2 BYE"))
    office.request(Request("BYE", "sip:gateway@example.test", Headers(headers)), key="bye")


def hold(office: Office) -> None:
    """The browser holds."""
    (accepted,) = [r for k, r in office.sip.answers if k == "in-1" and r.status == 200]
    headers = [("Via", "SIP/2.0/WSS c.invalid;branch=z9hG4bKhold"), ("Max-Forwards", "70")]
    headers.append(("From", "<sip:alice@example.test>;tag=caller"))
    headers.append(("To", str(accepted.to)))
    headers.append(("Call-ID", accepted.call_id))
    headers.append(("CSeq", "2 INVITE"))
    headers.append(("Contact", "<sip:alice@client.invalid;transport=ws>"))
    headers.append(("Content-Type", "application/sdp"))
    body = vector("chromium_offer").replace(b"a=sendrecv", b"a=sendonly")
    office.request(Request("INVITE", "sip:gateway@example.test", Headers(headers), body), key="hold")


def over(office: Office, method: str) -> list[int]:
    """The flows requests of this method left on, after the first INVITE."""
    return [flow.id for request, flow in list(office.sip.sent.values())[1:] if request.method == method]


@pytest.mark.asyncio
async def test_a_bye_whose_connection_is_gone_leaves_over_a_new_one(office: Office) -> None:
    _, flow = await established_call(office)
    office.sip.gone.add(flow.id)
    office.sip.again["pbx"] = AGAIN
    hang_up(office)
    await office.settle()
    assert over(office, "BYE") == [AGAIN.id]
    assert office.sip.places == [TARGET]


@pytest.mark.asyncio
async def test_a_hold_goes_over_a_new_connection_and_what_follows_stays_there(office: Office) -> None:
    _, flow = await established_call(office)
    office.sip.gone.add(flow.id)
    office.sip.again["pbx"] = AGAIN
    hold(office)
    await office.settle()
    assert over(office, "INVITE") == [AGAIN.id]
    reinvite = [request for request, _ in office.sip.sent.values() if request.method == "INVITE"][-1]
    office.reply("INVITE", 200, sdes_answer(reinvite.body).replace(b"sendrecv", b"recvonly"))
    await office.settle()
    hang_up(office)
    await office.settle()
    assert over(office, "BYE") == [AGAIN.id]
    assert len(office.sip.places) == 1


@pytest.mark.parametrize("weaker", WEAKER.values(), ids=WEAKER)
@pytest.mark.asyncio
async def test_nothing_is_sent_over_a_new_connection_that_proves_less(office: Office, weaker: Flow) -> None:
    _, flow = await established_call(office)
    office.sip.gone.add(flow.id)
    office.sip.again["pbx"] = weaker
    hold(office)
    await office.settle()
    assert over(office, "INVITE") == []
    assert office.statuses("hold") == [200]
    (said,) = [r for r in office.audit.records if r["type"] == "leg.violation"]
    assert (said["codes"], said["message"]) == (["sig.sips_not_honoured"], "INVITE")
    assert "call.final" not in office.audit.types()


@pytest.mark.asyncio
async def test_a_hold_that_cannot_be_sent_leaves_the_call_as_it_is(office: Office) -> None:
    _, flow = await established_call(office)
    office.sip.gone.add(flow.id)
    hold(office)
    await office.settle()
    assert office.statuses("hold") == [200]
    assert "call.final" not in office.audit.types()
    hang_up(office)
    await office.settle()
    assert office.statuses("bye") == [200]
    assert "call.final" in office.audit.types()


@pytest.mark.asyncio
async def test_a_request_whose_connection_breaks_under_it_goes_once_more(office: Office) -> None:
    """The peer closed its idle connection while our BYE was on the way."""
    _, flow = await established_call(office)
    office.sip.again["pbx"] = AGAIN
    hang_up(office)
    await office.settle()
    assert over(office, "BYE") == [flow.id]
    office.sip.gone.add(flow.id)
    office.manager.on_event(TransportFailed(_key(office, "BYE")))
    await office.settle()
    assert over(office, "BYE") == [flow.id, AGAIN.id]
    office.sip.gone.add(AGAIN.id)
    office.manager.on_event(TransportFailed(_key(office, "BYE")))
    await office.settle()
    assert over(office, "BYE") == [flow.id, AGAIN.id]
    assert office.manager.live_calls == 0


def _key(office: Office, method: str) -> str:
    return [key for key, (request, _) in office.sip.sent.items() if request.method == method][-1]


@pytest.mark.asyncio
async def test_where_the_trunk_cannot_be_reached_its_own_second_connection_is_used(office: Office) -> None:
    sent, flow = await established_call(office)
    second = replace(TLS, id=9, initiated=False)
    office.request(in_dialog(sent, "OPTIONS"), key="ping", flow=second)
    office.sip.gone.add(flow.id)
    hang_up(office)
    await office.settle()
    assert over(office, "BYE") == [second.id]


@pytest.mark.asyncio
async def test_an_ack_whose_connection_is_gone_leaves_over_a_new_one(office: Office) -> None:
    office.call()
    await office.settle()
    flow = trunk_flow()
    office.sip.gone.add(flow.id)
    office.sip.again["pbx"] = AGAIN
    invite = [request for request, _ in office.sip.sent.values()][-1]
    office.reply("INVITE", 200, sdes_answer(invite.body))
    await office.settle()
    assert [ack.method for ack in office.sip.acks] == ["ACK"]
    assert office.sip.places == [TARGET]


# --- the machine


def test_a_new_connection_is_named_in_our_contact() -> None:
    scene = established()
    scene.feed(events.FlowMoved(scene.id(LegKind.TRUNK), AGAIN))
    from_browser(scene, "INVITE", held(b"sendonly"))
    (sent,) = scene.take(fx.SendRequest)
    assert sent.flow == AGAIN
    assert str(AGAIN.local.port) in sent.request.headers.get_all("Contact")[0]


@pytest.mark.parametrize("weaker", WEAKER.values(), ids=WEAKER)
def test_a_leg_never_moves_to_a_flow_that_proves_less(weaker: Flow) -> None:
    scene = established().feed(lambda scene: events.FlowMoved(scene.id(LegKind.TRUNK), weaker))
    assert scene.trunk_leg is not None
    assert scene.trunk_leg.flow == scene.flow


@pytest.mark.parametrize("transport", [True, False], ids=["connection lost", "no answer"])
@pytest.mark.parametrize("profile", [Profile.STRICT, Profile.LEGACY])
def test_a_reinvite_nobody_answers_leaves_the_old_session(transport: bool, profile: Profile) -> None:
    scene = established(profile)
    from_browser(scene, "INVITE", held(b"sendonly"))
    (sent,) = scene.take(fx.SendRequest)
    before = scene.trunk_leg.talk.session
    scene.feed(events.RequestFailed(sent.ask, transport=transport))
    assert scene.state.live
    assert scene.trunk_leg.talk.ours_is_open is None
    assert scene.trunk_leg.talk.session is before
    scene.clear()
    scene.inside(LegKind.BROWSER, "INVITE", held(b"sendrecv").replace(b"o=- ", b"o=- 1"), cseq=9)
    assert scene.responses[-1].status == 200


@pytest.mark.parametrize("status", [408, 481])
def test_a_dialog_the_peer_says_is_dead_ends_the_call(status: int) -> None:
    """RFC 3261 12.2.1.2."""
    scene = established()
    from_browser(scene, "INVITE", held(b"sendonly"))
    scene.reply(status, purpose=fx.Purpose.REINVITE)
    assert scene.state.termination is Termination.PEER_TIMEOUT


def test_a_connection_lost_before_the_ack_of_a_change_ends_no_call() -> None:
    scene = established().inside(LegKind.TRUNK, "INVITE", KEYED, cseq=900)
    scene.feed(events.AckMissing("trunk-900", transport=True))
    assert scene.state.live
    scene.clear().inside(LegKind.TRUNK, "INVITE", cseq=901)
    assert b"inline" in scene.responses[-1].body
    scene.feed(events.AckMissing("trunk-901", transport=True))
    assert scene.state.live
    scene.inside(LegKind.TRUNK, "INVITE", KEYED, cseq=902)
    assert scene.responses[-1].status == 200


def test_a_change_of_the_callee_that_is_never_acknowledged_is_the_callees_loss() -> None:
    """Not the caller's, who was there all the time; and none where the browser may come back for it."""
    scene = established().inside(LegKind.TRUNK, "INVITE", KEYED, cseq=900)
    scene.feed(events.AckMissing("trunk-900"))
    assert scene.state.termination is Termination.ACK_MISSING
    inbound = MachineScene(profile=Profile.LEGACY, flow=trunk_flow("udp"), outbound=False, offer=answer()).calling()
    sent = [e for e in inbound.all if isinstance(e, fx.SendRequest)][-1]
    inbound.feed(inbound.answer_to(sent, 200, vector("chromium_answer_to_rtpengine")))
    inbound.feed(events.AckIn("invite-key", inbound.invite)).clear()
    offer = vector("chromium_answer_to_rtpengine").replace(b"setup:active", b"setup:actpass")
    inbound.inside(LegKind.BROWSER, "INVITE", offer.replace(b"sendrecv", b"sendonly"), cseq=5)
    assert inbound.responses[-1].status == 200
    inbound.feed(events.AckMissing("browser-5", transport=True))
    assert inbound.state.live
    inbound.feed(events.ConnectionClosed(inbound.id(LegKind.BROWSER)))
    inbound.feed(events.TimerFired(fx.Timer.RETURN, inbound.id(LegKind.BROWSER)))
    assert inbound.state.termination is Termination.FLOW_LOST


def test_a_trunk_whose_connection_closes_while_it_waits_for_the_answer_has_given_up() -> None:
    """Its transport layer told it 503 (RFC 3261 8.1.3.1): the browser stops ringing, and the loss is the trunk's."""
    scene = MachineScene(profile=Profile.STRICT, outbound=False, offer=KEYED).calling()
    scene.feed(events.AckMissing("invite-key", transport=True))
    assert scene.state.termination is Termination.TRUNK_UNREACHABLE
    assert scene.take(fx.CancelInvite)


def test_a_trunk_whose_connection_closes_before_it_answers_is_unreachable() -> None:
    """RFC 3261 8.1.3.1: as if it had answered 503."""
    scene = MachineScene().calling()
    (sent,) = scene.take(fx.SendRequest)
    scene.feed(events.RequestFailed(sent.ask, transport=True))
    assert scene.state.termination is Termination.TRUNK_UNREACHABLE
    assert scene.responses[-1].status == 503


# --- the watch on connections


@pytest.mark.asyncio
async def test_when_a_trunks_connection_closes_its_calls_are_asked_over_a_new_one(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "ASK_AFTER_SECONDS", 0.0)
    _, flow = await established_call(office)
    office.sip.gone.add(flow.id)
    office.sip.again["pbx"] = AGAIN
    office.manager.flow_closed(flow)
    await until(lambda: over(office, "OPTIONS"))
    assert over(office, "OPTIONS") == [AGAIN.id]
    office.reply("OPTIONS", 200)
    await office.settle()
    assert "call.final" not in office.audit.types()


@pytest.mark.parametrize(("status", "ends"), [(481, True), (408, True), (405, False), (200, False)])
def test_a_trunk_that_no_longer_knows_the_call_ends_it(status: int, ends: bool) -> None:
    scene = established().feed(lambda scene: events.ConnectionClosed(scene.id(LegKind.TRUNK)))
    (asked,) = scene.take(fx.SendRequest)
    assert asked.request.method == "OPTIONS"
    scene.feed(scene.answer_to(asked, status))
    assert scene.state.live is not ends


@pytest.mark.parametrize("transport", [True, False])
def test_a_trunk_that_cannot_be_asked_while_its_media_flows_keeps_its_call(transport: bool) -> None:
    scene = established().feed(lambda scene: events.ConnectionClosed(scene.id(LegKind.TRUNK)))
    (asked,) = scene.take(fx.SendRequest)
    scene.feed(events.RequestFailed(asked.ask, transport=transport))
    assert scene.state.live


# --- what TLS proved


@pytest.mark.asyncio
async def test_a_trunk_that_connects_to_us_is_recorded_once_with_what_it_proved(office: Office) -> None:
    sent, _ = await established_call(office)
    second = replace(TLS, id=9, initiated=False)
    for number in range(3):
        office.request(
            in_dialog(sent, "OPTIONS", cseq=number + 1), key=f"o{number}", flow=replace(second, id=9 + number)
        )
    (said,) = [r for r in office.audit.records if r["type"] == "tls.peer" and r["outgoing"] is False]
    assert (said["trunk"], said["verified"], said["verified_name"]) == ("pbx", True, "pbx.example")


def test_a_trunk_that_speaks_no_tls_1_2_leaves_tls_old() -> None:
    scene = MachineScene().begin().unreachable("too old", OLD_TLS)
    assert scene.record("leg.violation")["codes"] == ["tls.old"]
    assert scene.state.termination is Termination.TRUNK_UNVERIFIED
