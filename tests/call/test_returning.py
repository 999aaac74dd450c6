"""A browser that lost its connection in mid-call: kept for a time, heard over another one, missed in the end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.base.counters import Counter
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import CALLER, HostPort, LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Timer
from gateway.call.machine.handed import PENDING, hand_out
from gateway.call.machine.returning import MAX_RECORDS
from gateway.media.relay_commands import SetIce
from gateway.media.relay_events import ConsentLost, IceValidated
from gateway.sip.flow import Flow
from gateway.sip.replaces import Replaces
from tests.call import machine_scene
from tests.call.machine_scene import BROWSER_FLOW, MachineScene, answer, trunk_flow, vector
from tests.call.test_ice_restart import inbound, outbound, restarting
from tests.sites import made_site

OTHER = replace(BROWSER_FLOW, id=9, remote=HostPort("198.51.100.7", 41000))
"""The browser's address in another network."""
FIRST = vector("chromium_offer")
BROWSER, TRUNK = LegKind.BROWSER, LegKind.TRUNK
AWAY = events.ConnectionClosed(CALLER)
BACK = events.FlowMoved(CALLER, OTHER)
LATE = events.TimerFired(Timer.RETURN, CALLER)
CHECKED = IceValidated(CALLER, OTHER.remote)
BOTH_WAYS = pytest.mark.parametrize("make", [outbound, inbound], ids=["browser calls", "browser is called"])


def clocks(scene: MachineScene) -> list[float]:
    """The waits that have begun since the last `clear`, in seconds."""
    return [e.seconds for e in scene.take(fx.SetTimer) if e.name is Timer.RETURN]


def stopped(scene: MachineScene) -> bool:
    return fx.ClearTimer(Timer.RETURN, scene.id(BROWSER)) in scene.effects


def sent(scene: MachineScene) -> list[tuple[str, Flow]]:
    """What the browser was sent, and where, since the last `clear`."""
    browser = scene.id(BROWSER)
    return [(e.request.method, e.flow) for e in scene.take(fx.SendRequest) if e.leg == browser]


def of_browser(scene: MachineScene, event: type, *args: object) -> MachineScene:
    """Something happens to the browser's leg."""
    return scene.feed(event(scene.id(BROWSER), *args))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls wait for two minutes."""
    monkeypatch.setattr(machine_scene, "SITE", made_site(limits={"reconnect_seconds": 120}))


@BOTH_WAYS
def test_a_call_that_stands_is_kept_for_the_configured_time_and_then_lost_once(make: type[MachineScene]) -> None:
    scene = make()
    of_browser(scene, events.ConnectionClosed)
    assert scene.state.live
    assert clocks(scene) == [30.0]
    assert fx.Count(Counter.FLOWS_LOST) in scene.effects
    scene.feed(events.TimerFired(Timer.RETURN, scene.id(BROWSER)))
    assert scene.state.termination is Termination.FLOW_LOST
    assert len(scene.take(fx.Finished)) == 1


def test_a_gateway_that_is_told_not_to_wait_ends_the_call_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_scene, "SITE", made_site(limits={"reconnect_seconds": 0}))
    assert outbound().feed(AWAY).state.termination is Termination.FLOW_LOST
    assert outbound().feed(ConsentLost(CALLER)).state.termination is Termination.CONSENT_LOST


@BOTH_WAYS
def test_who_comes_back_goes_on_over_the_new_connection_in_both_directions(make: type[MachineScene]) -> None:
    scene = make()
    of_browser(scene, events.ConnectionClosed)
    scene.clear()
    of_browser(scene, events.FlowMoved, OTHER)
    assert stopped(scene)
    scene.feed(events.TimerFired(Timer.RETURN, scene.id(BROWSER)))
    assert scene.state.live, "a clock that had run out just then means nothing any more"
    scene.inside(BROWSER, "OPTIONS", cseq=900, flow=OTHER)
    assert scene.responses[-1].status == 200
    scene.clear().inside(TRUNK, "BYE", cseq=901)
    assert sent(scene) == [("BYE", OTHER)]


def test_a_restart_over_the_new_connection_is_answered_and_dtls_goes_on() -> None:
    scene = outbound().feed(AWAY).feed(BACK).clear()
    scene.inside(BROWSER, "INVITE", restarting(FIRST), cseq=2, flow=OTHER)
    assert scene.responses[-1].status == 200
    assert len(scene.told(SetIce)) == 1
    assert scene.take(fx.StartDtls) == []
    assert sent(scene) == []


def test_a_change_of_the_other_side_waits_until_the_browser_is_back() -> None:
    scene = outbound().feed(AWAY).clear()
    scene.inside(TRUNK, "INVITE", answer(direction="sendonly"), cseq=901)
    assert scene.responses[-1].status == 200, "the trunk does not wait"
    assert sent(scene) == []
    scene.feed(BACK)
    assert sent(scene) == [("INVITE", OTHER)]
    body = scene.take(fx.SendRequest)[-1].request.body
    assert b"a=sendonly" in body


def test_a_report_that_did_not_arrive_is_made_again_at_once() -> None:
    scene = outbound()
    told = scene.browser_leg.told
    assert told is not None
    scene.feed(AWAY)
    told.forget()
    scene.clear().inside(TRUNK, "OPTIONS", cseq=901)
    assert sent(scene) == [], "nobody would hear it now"
    told.waits = True
    scene.clear().feed(BACK)
    assert sent(scene) == [("UPDATE", OTHER)]


@pytest.mark.parametrize(
    "flow",
    [replace(OTHER, transport="ws"), replace(OTHER, transport="udp")],
    ids=lambda flow: flow.transport,
)
def test_a_connection_that_proves_less_is_no_way_back_and_is_recorded(flow: Flow) -> None:
    scene = outbound().feed(AWAY).feed(events.FlowMoved(CALLER, flow))
    found = scene.record("leg.violation")
    assert (found["message"], found["decision"]) == ("REGISTER", "refused")
    assert not scene.browser_leg.is_reached_by(flow)
    assert scene.feed(LATE).state.termination is Termination.FLOW_LOST


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "OPTIONS", "REFER", "INFO"])
def test_a_connection_nobody_was_found_on_does_not_speak_for_the_leg(method: str) -> None:
    scene = outbound().feed(AWAY).inside(BROWSER, method, cseq=900, flow=OTHER)
    assert scene.responses[-1].status == 403
    assert scene.browser_leg.is_away


def test_a_browser_is_where_it_was_heard_last_of_the_connections_it_has() -> None:
    """The old connection only seemed to be there; or two pages share the name of one device."""
    scene = outbound().feed(BACK)
    assert scene.browser_leg.flow == OTHER
    scene.inside(BROWSER, "OPTIONS", cseq=900, flow=BROWSER_FLOW)
    assert scene.responses[-1].status == 200
    assert scene.browser_leg.flow == BROWSER_FLOW
    assert scene.state.live


def test_the_way_back_is_on_record_within_a_limit() -> None:
    scene = outbound().feed(AWAY).feed(BACK)
    moved = scene.record("leg.moved")
    assert (moved["source"], moved["before"], moved["was_lost"]) == (
        "198.51.100.7:41000",
        "192.0.2.99:50000",
        True,
    )
    for number in range(20, 20 + 2 * MAX_RECORDS):
        scene.feed(AWAY).feed(events.FlowMoved(CALLER, replace(OTHER, id=number)))
    assert scene.records.count("leg.moved") == MAX_RECORDS
    assert scene.state.live


def test_the_leg_is_still_judged_by_the_connection_it_was_founded_on() -> None:
    before = outbound().feed(AWAY).browser_leg
    scene = outbound().feed(AWAY).feed(BACK)
    assert scene.browser_leg.founding == before.founding
    assert scene.browser_leg.vector == before.vector


# --- consent, which runs out in the same change of networks


def test_consent_that_runs_out_while_the_browser_is_away_ends_nothing() -> None:
    scene = outbound().feed(AWAY).clear().feed(ConsentLost(CALLER))
    assert scene.state.live
    assert clocks(scene) == []
    assert scene.feed(LATE).state.termination is Termination.FLOW_LOST


def test_who_is_back_without_media_has_the_time_again_to_restart_ice() -> None:
    scene = outbound().feed(AWAY).feed(ConsentLost(CALLER)).clear().feed(BACK)
    assert clocks(scene) == [30.0]
    restarted = scene.inside(BROWSER, "INVITE", restarting(FIRST), cseq=2, flow=OTHER).clear().feed(CHECKED)
    assert stopped(restarted)
    assert restarted.feed(LATE).state.live


def test_who_is_back_and_stays_without_media_is_lost_for_that_reason() -> None:
    scene = outbound().feed(AWAY).feed(ConsentLost(CALLER)).feed(BACK).feed(LATE)
    assert scene.state.termination is Termination.CONSENT_LOST


def test_who_comes_and_goes_and_is_never_heard_is_not_waited_for_without_end() -> None:
    """Each loss begins the time anew; twice the time is all there is until media has come back."""
    scene = outbound().feed(AWAY).feed(ConsentLost(CALLER))
    began, moved = scene.now, OTHER
    waits: list[float] = []
    for number in range(12):
        scene.now += 9.0
        moved = replace(OTHER, id=20 + number)
        scene.clear().feed(events.FlowMoved(CALLER, moved))
        waits += clocks(scene)
        scene.clear().feed(AWAY)
        waits += clocks(scene)
        if waits[-1] == 0.0:
            break
    assert scene.now - began < 2 * 30.0 + 9.0
    assert waits[:3] == [30.0, 30.0, 30.0]
    assert scene.feed(LATE).state.termination is Termination.FLOW_LOST


def test_media_that_was_back_meanwhile_gives_the_whole_time_again() -> None:
    scene = outbound().feed(AWAY).feed(ConsentLost(CALLER))
    for number in range(6):
        scene.now += 25.0
        scene.feed(events.FlowMoved(CALLER, replace(OTHER, id=20 + number))).feed(CHECKED)
        scene.now += 25.0
        scene.clear().feed(AWAY)
        assert clocks(scene) == [30.0]
        scene.feed(ConsentLost(CALLER))
    assert scene.state.live


def test_media_that_is_back_does_not_stand_in_for_the_connection() -> None:
    scene = outbound().feed(AWAY).feed(ConsentLost(CALLER)).feed(CHECKED).feed(LATE)
    assert scene.state.termination is Termination.FLOW_LOST


def test_where_the_connection_seems_to_be_there_the_life_of_consent_counts_as_time_waited() -> None:
    assert outbound().feed(ConsentLost(CALLER)).state.termination is Termination.CONSENT_LOST


def test_of_a_longer_time_the_rest_is_waited_for_media(patient: None) -> None:
    scene = outbound().clear().feed(ConsentLost(CALLER))
    assert clocks(scene) == [90.0]
    assert outbound().feed(ConsentLost(CALLER)).feed(CHECKED).feed(LATE).state.live
    assert outbound().feed(ConsentLost(CALLER)).feed(LATE).state.termination is Termination.CONSENT_LOST


# --- what else happens meanwhile


def test_the_other_side_may_hang_up_meanwhile_and_the_clock_stops() -> None:
    scene = outbound().feed(AWAY).clear().inside(TRUNK, "BYE", cseq=901)
    assert scene.state.termination is Termination.HANGUP_TRUNK
    assert stopped(scene)
    assert scene.feed(BACK).feed(LATE).state.termination is Termination.HANGUP_TRUNK


def test_a_change_whose_ack_is_lost_with_the_connection_ends_nothing() -> None:
    scene = outbound().inside(BROWSER, "INVITE", FIRST.replace(b"sendrecv", b"sendonly"), cseq=2)
    scene.feed(AWAY).feed(events.AckMissing("browser-2", transport=True)).feed(BACK)
    scene.inside(BROWSER, "INVITE", restarting(FIRST), cseq=3, flow=OTHER)
    assert scene.responses[-1].status == 200


def test_a_request_of_ours_that_broke_with_the_connection_ends_nothing() -> None:
    scene = outbound().clear().inside(TRUNK, "INVITE", answer(direction="sendonly"), cseq=901)
    (ours,) = [e for e in scene.take(fx.SendRequest) if e.leg == CALLER]
    scene.feed(AWAY).feed(events.RequestFailed(ours.ask, transport=True)).clear().feed(BACK)
    assert sent(scene) == [("INVITE", OTHER)], "it is said again"


def test_a_leg_nobody_is_at_cannot_be_taken_over_by_another_call() -> None:
    scene = inbound()
    named = Replaces("any", "to", "from", early_only=False)
    assert hand_out(scene.state, CALLER, named) != PENDING
    of_browser(scene, events.ConnectionClosed)
    assert hand_out(scene.state, CALLER, named) == PENDING


@pytest.mark.parametrize("outgoing", [True, False])
def test_who_has_not_answered_or_acknowledged_is_not_waited_for(outgoing: bool) -> None:
    scene = MachineScene(profile=Profile.LEGACY, flow=trunk_flow("udp"), outbound=outgoing)
    if outgoing:
        scene.calling().reply(200, answer())
    else:
        scene.offer = answer()
        scene = MachineScene(profile=Profile.LEGACY, flow=trunk_flow("udp"), outbound=False, offer=answer()).calling()
    of_browser(scene, events.ConnectionClosed)
    assert scene.state.termination is Termination.FLOW_LOST
