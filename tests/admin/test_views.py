"""What is shown of trunks, users and calls: facts of now, in words, and no key, password or token among them."""

from __future__ import annotations

import json

import pytest

from gateway.admin import views
from gateway.admin.views import TrunkFacts, UserFacts
from gateway.base.profiles import Profile
from gateway.base.values import HostPort, LegKind
from gateway.call.machine import events
from gateway.location import registrar
from gateway.location.binding import Binding
from gateway.media.relay_counters import PacketCounters
from gateway.media.relay_quality import LegQuality, Reception
from gateway.sip.flow import Flow
from gateway.trunks.health import TrunkHealth
from gateway.trunks.registering import Shown
from gateway.trunks.registration import Standing
from gateway.trunks.target import Spot
from tests import messages
from tests.call.machine_scene import BROWSER_FLOW, MachineScene, answer, sdes_answer, trunk_flow
from tests.sites import made_trunk

KEY = "Q" * 40


def trunk_row(health: TrunkHealth, *flows: Flow, now: float = 100.0) -> views.Row:
    trunk = made_trunk("sip:pbx.example;transport=tls")
    return views.trunk(TrunkFacts(trunk, health.standing("pbx"), flows, 2, 7), now)


def test_a_trunk_nothing_came_from_is_neither_up_nor_down() -> None:
    row = trunk_row(TrunkHealth())
    assert (row["state"], row["since"], row["heard"], row["verified_name"]) == ("unheard", None, None, "")
    assert (row["transport"], row["security"], row["calls_live"], row["calls_total"]) == ("tls", "strict", 2, 7)


def test_a_trunk_is_up_since_its_first_word_and_was_heard_at_its_last() -> None:
    health = TrunkHealth()
    health.heard("pbx", 40.0)
    health.heard("pbx", 90.0)
    row = trunk_row(health, trunk_flow())
    assert (row["state"], row["since"], row["heard"], row["verified_name"]) == ("up", 60.0, 10.0, "pbx.example")


def test_a_trunk_is_down_since_it_was_asked_in_vain_first() -> None:
    health = TrunkHealth()
    health.heard("pbx", 10.0)
    health.silent("pbx", 40.0)
    health.silent("pbx", 60.0)
    row = trunk_row(health)
    assert (row["state"], row["since"], row["heard"]) == ("down", 60.0, 90.0)
    health.heard("pbx", 99.0)
    assert trunk_row(health)["state"] == "up"
    assert trunk_row(health)["since"] == 1.0


def test_a_connection_says_who_opened_it_and_what_name_it_proved() -> None:
    row = trunk_row(TrunkHealth(), trunk_flow(), trunk_flow(verified=False))
    connections = row["connections"]
    assert isinstance(connections, list)
    assert [c["verified_name"] for c in connections] == ["pbx.example", ""]
    assert connections[0] | {"remote": "127.0.0.2:5061", "opened_by": "us", "tls": "TLSv1.3"} == connections[0]


def test_a_trunk_shows_its_targets_the_places_they_lead_to_and_what_is_registered_there() -> None:
    trunk = made_trunk("sip:pbx.example;transport=tls")
    place = (Spot("tls", HostPort("192.0.2.5", 5061)), trunk.target, "shut")
    shown = Shown("pbx", "sip:acme@pbx.example", Standing.REFUSED, "403 Forbidden", 0.0)
    facts = TrunkFacts(trunk, TrunkHealth().standing("pbx"), (), 0, 0, [place], [shown])
    row = views.trunk(facts, 100.0)
    assert row["targets"] == [str(trunk.target)]
    assert row["places"] == [{"place": "tls:192.0.2.5:5061", "target": str(trunk.target), "state": "shut"}]
    assert row["registrations"] == [
        {"aor": "sip:acme@pbx.example", "state": "refused", "why": "403 Forbidden", "expires": 0.0}
    ]


def bound(user_agent: str = "JsSIP 3.13.8") -> Binding:
    lines = messages.fields(
        "REGISTER",
        via="SIP/2.0/WSS client.invalid;branch=z9hG4bK1",
        from_="<sip:alice@example.test>;tag=a",
        to="<sip:alice@example.test>",
        call_id="id",
        contact='<sip:x@client.invalid;transport=ws>;+sip.instance="<urn:uuid:1>";expires=600',
        extra=[f"User-Agent: {user_agent}"],
    )
    found = registrar.read(messages.request("REGISTER", "sip:example.test", lines), "alice", BROWSER_FLOW, "here", ())
    assert isinstance(found, registrar.Change)
    return found.bound[0]


def test_a_binding_shows_who_is_there_and_how_old_its_connection_is() -> None:
    facts = UserFacts("alice", True, [bound()], flows=1, opened={BROWSER_FLOW.id: 70.0}, node="here")
    (row,) = views.registrations(facts, 100.0)
    assert (row["user_agent"], row["instance"], row["flow_age"]) == ("JsSIP 3.13.8", "<urn:uuid:1>", 30.0)
    assert (row["transport"], row["remote"], row["expires"], row["node"]) == (
        "wss",
        "192.0.2.99:50000",
        600,
        "this one",
    )


def test_a_binding_of_another_process_has_no_age_here() -> None:
    facts = UserFacts("alice", True, [bound()], opened={BROWSER_FLOW.id: 70.0}, node="elsewhere")
    (row,) = views.registrations(facts, 100.0)
    assert (row["flow_age"], row["node"]) == (None, "here")


def test_what_a_client_calls_itself_cannot_steer_a_terminal() -> None:
    (row,) = views.registrations(UserFacts("alice", True, [bound("x\x1b[2Jy" + "z" * 500)]), 100.0)
    assert "\x1b" not in str(row)
    assert len(str(row["user_agent"])) < 200


@pytest.mark.parametrize(("bindings", "flows", "word"), [(1, 1, "registered"), (0, 1, "connected"), (0, 0, "away")])
def test_a_user_is_registered_connected_or_away(bindings: int, flows: int, word: str) -> None:
    row = views.user(UserFacts("alice", True, [bound()] * bindings, flows=flows), 100.0)
    assert (row["state"], row["bindings"], row["connections"]) == (word, bindings, flows)


def test_a_call_that_is_being_set_up_has_no_grade_yet() -> None:
    scene = MachineScene().calling()
    row = views.call(scene.state, scene.now + 3)
    assert (row["id"], row["from"], row["to"], row["trunk"]) == ("c-1", "alice", "600", "pbx")
    assert (row["state"], row["age"], row["talking"]) == ("calling", 3.0, None)
    callee = row["legs"][1]  # type: ignore[index]
    assert (callee["kind"], callee["state"], callee["grade"], callee["codes"]) == ("trunk", "calling", None, [])


def test_a_call_shows_the_grade_and_the_codes_of_each_leg() -> None:
    scene = MachineScene(profile=Profile.LEGACY).calling()
    scene.reply(200, answer()).ack()
    scene.feed(scene.keyed())
    row = views.call(scene.state, scene.now + 60)
    assert (row["grade"], row["worst"], row["talking"], row["codec"]) == ("CLEARTEXT", "CLEARTEXT", 60.0, "PCMU/8000")
    legs = {leg["kind"]: leg for leg in row["legs"]}  # type: ignore[attr-defined]
    assert legs["browser"]["grade"] == "HOP_BY_HOP"
    assert (legs["trunk"]["grade"], legs["trunk"]["codes"]) == ("CLEARTEXT", ["media.plain_rtp"])
    assert legs["trunk"]["verified_name"] == "pbx.example"


def test_each_leg_shows_packets_loss_jitter_and_opinion_and_how_it_has_been_lately() -> None:
    scene = MachineScene(profile=Profile.LEGACY).calling()
    scene.reply(200, answer()).ack()
    ids = {kind: scene.id(kind) for kind in (LegKind.BROWSER, LegKind.TRUNK)}
    counted = LegQuality(Reception(1000, 100, 0.004), Reception(990, 0, 0.002), 0.03)
    numbers = views.CallNumbers(
        {ids[LegKind.TRUNK]: PacketCounters(rtp_rx=900, rtp_tx=990)}, {ids[LegKind.TRUNK]: counted}
    )
    rows = {leg["kind"]: leg for leg in views.call(scene.state, scene.now, numbers)["legs"]}  # type: ignore[attr-defined]
    trunk = rows["trunk"]
    assert trunk["packets"] == {"received": 900, "sent": 990}
    assert (trunk["sound"]["heard"]["loss_percent"], trunk["sound"]["sent"]["loss_percent"]) == (10.0, 0.0)
    assert (trunk["sound"]["heard"]["jitter_ms"], trunk["sound"]["rtt_ms"]) == (4.0, 30.0)
    assert trunk["sound"]["mos"] == trunk["sound"]["heard"]["mos"] < 4.0
    assert (trunk["quality"], trunk["mos_now"]) == (None, None)
    assert (rows["browser"]["packets"], rows["browser"]["sound"]) == (None, None)
    scene.feed(events.Measured({ids[LegKind.TRUNK]: counted}))
    again = views.call(scene.state, scene.now)["legs"]
    assert [leg["quality"] for leg in again if leg["kind"] == "trunk"] == ["good"]  # type: ignore[attr-defined]


def test_no_key_and_no_password_of_ice_is_in_what_is_shown_of_a_call() -> None:
    scene = MachineScene().calling()
    scene.reply(200, sdes_answer(scene.invite.body, key=KEY)).ack()
    scene.feed(scene.keyed())
    text = json.dumps(views.call(scene.state, scene.now))
    assert '"HOP_BY_HOP"' in text
    ours = [line for line in scene.invite.body.decode().splitlines() if "inline:" in line]
    for secret in (KEY, scene.browser_leg.first_ice.pwd, *(line.split("inline:")[1] for line in ours)):
        assert secret.strip()
        assert secret not in text


def test_an_inbound_call_names_its_caller_and_its_trunk() -> None:
    scene = MachineScene(Profile.LEGACY, outbound=False, offer=answer(), flow=trunk_flow("udp")).calling()
    row = views.call(scene.state, scene.now)
    assert (row["direction"], row["from"], row["to"]) == ("in", "4711", "600")
    assert [leg["kind"] for leg in row["legs"]] == [LegKind.TRUNK, LegKind.BROWSER]  # type: ignore[attr-defined]
