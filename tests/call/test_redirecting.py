"""3xx of a trunk: followed inside the trunk, over what is as secure, for what the caller may dial; else a failure."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import HostPort
from gateway.call.legs.redirects import MAX_FOLLOWED
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.sip.flow import Flow
from gateway.trunks.target import TargetChoice, TrunkTarget
from tests.call.machine_scene import MachineScene, answer, sdes_answer, trunk_flow
from tests.sites import made_site, made_trunk

NETWORKS = (ip_network("127.0.0.0/24"),)


def calling(transport: str = "udp", profile: Profile = Profile.LEGACY) -> MachineScene:
    target = "sip:pbx.example" + ("" if transport == "udp" else f";transport={transport}")
    trunk = replace(made_trunk(target, security=profile.value), networks=NETWORKS)
    return MachineScene(profile=profile, flow=trunk_flow(transport), trunk=trunk).calling()


def moved(scene: MachineScene, *contacts: str, status: int = 302) -> MachineScene:
    """The trunk answers the INVITE sent last by sending it on."""
    sent = invites(scene)[-1]
    event = scene.answer_to(sent, status)
    assert isinstance(event, events.ResponseIn)
    response = event.response.without_header("Contact").with_added([("Contact", value) for value in contacts])
    return scene.feed(replace(event, response=response))


def invites(scene: MachineScene) -> list[fx.SendRequest]:
    return [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.INVITE]


def test_another_address_of_the_trunk_is_called_with_the_same_call_and_the_next_cseq() -> None:
    scene = moved(calling(), "<sip:600@127.0.0.9:5070>")
    first, second = invites(scene)
    assert second.request.uri == "sip:600@127.0.0.9:5070"
    assert second.flow == replace(first.flow, remote=HostPort("127.0.0.9", 5070))
    for name in ("Call-ID", "From", "To"):
        assert second.request.headers.get(name) == first.request.headers.get(name)
    assert second.request.cseq.number == first.request.cseq.number + 1
    scene.reply(200, answer())
    assert scene.state.live
    assert [r.status for r in scene.responses] == [200], "the caller hears nothing of it"


def test_early_media_of_where_it_was_sent_on_from_counts_no_more() -> None:
    scene = calling("tls", Profile.STRICT)
    scene.reply(183, sdes_answer(scene.invite.body))
    assert scene.state.posture.vector(scene.trunk_leg.id) is not None
    moved(scene, "<sip:600@pbx.example;user=phone>")
    assert scene.state.posture.vector(scene.trunk_leg.id) is None
    scene.reply(200, sdes_answer(scene.invite.body))
    assert scene.state.posture.vector(scene.trunk_leg.id) == scene.trunk_leg.vector


@pytest.mark.parametrize("status", [300, 301, 302, 305, 380])
def test_each_3xx_is_followed_alike(status: int) -> None:
    assert len(invites(moved(calling(), "<sip:600@127.0.0.9>", status=status))) == 2


def test_the_name_of_the_trunk_means_the_connection_there_is() -> None:
    scene = moved(calling("tls", Profile.STRICT), "<sip:600@PBX.example;user=phone>")
    first, second = invites(scene)
    assert second.flow == first.flow
    assert second.request.uri == "sip:600@pbx.example;user=phone"
    assert second.request.body != first.request.body, "the keys are new: it may be another box"


@pytest.mark.parametrize(
    "contact",
    [
        "<sip:600@192.0.2.1>",
        "<sip:600@evil.example>",
        "<sip:600@pbx.example.evil.example>",
        "<sip:600@169.254.169.254>",
        "<sip:600@[::1]>",
        "<tel:+49900123>",
        "<sip:600@127.0.0.9;transport=tcp>",
        "<sips:600@127.0.0.9>",
        "<sip:600@127.0.0.9;maddr=192.0.2.1>",
        "<<>>",
    ],
)
def test_what_leads_out_of_the_trunk_or_to_another_transport_is_a_failure(contact: str) -> None:
    scene = moved(calling(), contact)
    assert len(invites(scene)) == 1
    assert scene.state.termination is Termination.REDIRECT_REFUSED
    assert [r.status for r in scene.responses] == [480]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_nothing_leads_off_tls(transport: str) -> None:
    scene = moved(calling("tls", Profile.STRICT), f"<sip:600@127.0.0.9;transport={transport}>")
    assert scene.state.termination is Termination.REDIRECT_REFUSED
    assert len(invites(scene)) == 1


@pytest.mark.parametrize(
    ("host", "transport", "called"),
    [
        ("203.0.113.9", "udp", "203.0.113.9"),
        ("two.example", "udp", ""),
        ("two.example", "tcp", ""),
        ("203.0.113.9", "tcp", "203.0.113.9"),
        ("two.example", "tls", "two.example"),
    ],
)
def test_of_a_trunk_with_several_targets_each_address_is_its_own_and_a_name_where_it_is_proved(
    host: str, transport: str, called: str
) -> None:
    suffix = "" if transport == "udp" else f";transport={transport}"
    targets = [f"sip:{target}{suffix}" for target in ("one.example", "two.example", "203.0.113.9")]
    trunk = replace(
        made_trunk(targets[0], security="legacy"), targets=tuple(TargetChoice(TrunkTarget.parse(t)) for t in targets)
    )
    scene = MachineScene(profile=Profile.LEGACY, flow=trunk_flow(transport), trunk=trunk).calling()
    moved(scene, f"<sip:600@{host}>")
    places = [e.place.host for e in scene.all if isinstance(e, fx.ReachTrunk)]
    assert [*places, *(e.flow.remote.host for e in invites(scene)[1:])] == ([called] if called else [])


def test_a_3xx_without_a_contact_is_a_failure() -> None:
    assert moved(calling()).state.termination is Termination.REDIRECT_REFUSED


@pytest.mark.parametrize(("maddr", "host"), [("127.0.0.8", "127.0.0.8"), ("192.0.2.1", None)])
def test_maddr_is_where_it_goes_and_must_be_the_trunks_own_too(maddr: str, host: str | None) -> None:
    scene = moved(calling(), f"<sip:600@127.0.0.9;maddr={maddr}>")
    assert [e.flow.remote.host for e in invites(scene)[1:]] == ([host] if host else [])


def test_a_number_the_caller_could_not_dial_is_not_called_for_her() -> None:
    scene = moved(calling(), "<sip:+49900123456@127.0.0.9>")
    assert scene.state.termination is Termination.REDIRECT_REFUSED


@pytest.mark.parametrize(("trunk", "followed"), [("pbx", True), ("other", False)])
def test_a_number_she_could_dial_over_that_trunk_is(trunk: str, followed: bool) -> None:
    scene = calling()
    trunks = {name: {"target": f"sip:{name}.example", "security": "legacy"} for name in ("pbx", "other")}
    plan = {"outbound": [{"id": "seven", "dialled": "7*", "trunk": trunk}]}
    object.__setattr__(scene.state.context.make, "site", made_site(plan, trunks=trunks, people=["alice"]))
    moved(scene, "<sip:700@127.0.0.9>")
    assert len(invites(scene)) == (2 if followed else 1)


def test_contacts_are_tried_in_their_order_until_one_answers() -> None:
    scene = moved(calling(), "<sip:600@127.0.0.8>;q=0.1, <sip:600@127.0.0.9>;q=0.9")
    assert invites(scene)[-1].flow.remote.host == "127.0.0.9"
    scene.reply(404)
    assert invites(scene)[-1].flow.remote.host == "127.0.0.8"
    scene.reply(200, answer())
    assert scene.state.live


@pytest.mark.parametrize("status", [486, 600, 603])
def test_what_a_person_says_is_the_last_word(status: int) -> None:
    scene = moved(calling(), "<sip:600@127.0.0.8>;q=0.1, <sip:600@127.0.0.9>;q=0.9").reply(status)
    assert len(invites(scene)) == 2
    assert [r.status for r in scene.responses] == [status]


def test_to_and_fro_is_a_loop_and_ends_at_once() -> None:
    scene = moved(calling(), "<sip:600@127.0.0.8>")
    moved(scene, "<sip:600@127.0.0.9>")
    moved(scene, "<sip:600@127.0.0.8>")
    assert len(invites(scene)) == 3
    assert scene.state.termination is Termination.REDIRECT_REFUSED


def test_a_redirection_to_where_we_came_from_is_a_loop() -> None:
    scene = calling()
    moved(scene, f"<{invites(scene)[0].request.uri}>")
    assert len(invites(scene)) == 1


def test_a_trunk_cannot_send_us_on_for_ever() -> None:
    scene = calling()
    for number in range(20):
        if scene.state.live:
            moved(scene, f"<sip:600@127.0.0.9:{6000 + number}>")
    assert len(invites(scene)) == MAX_FOLLOWED + 1
    assert scene.state.termination is Termination.REDIRECT_REFUSED


# Over streams there must be a connection first.


def asked(scene: MachineScene) -> fx.ReachTrunk:
    (wanted,) = [e for e in scene.all if isinstance(e, fx.ReachTrunk)]
    return wanted


def connection(host: str = "127.0.0.9", *, verified: bool = True) -> Flow:
    return replace(trunk_flow(verified=verified), id=9, remote=HostPort(host, 5061))


def test_another_host_over_tls_is_connected_to_and_must_prove_to_be_the_trunk() -> None:
    scene = moved(calling("tls", Profile.STRICT), "<sip:600@127.0.0.9>")
    wanted = asked(scene)
    assert (wanted.trunk, wanted.place) == ("pbx", HostPort("127.0.0.9", 5061))
    scene.feed(events.TrunkReached(wanted.leg, wanted.place, connection()))
    assert invites(scene)[-1].flow.id == 9
    scene.reply(200, sdes_answer(scene.invite.body))
    assert scene.state.live


@pytest.mark.parametrize(
    "flow", [None, connection(verified=False), connection("127.0.0.2")], ids=["none", "weak", "elsewhere"]
)
def test_a_connection_that_cannot_be_had_proves_less_or_leads_elsewhere_is_a_failure(flow: Flow | None) -> None:
    scene = moved(calling("tls", Profile.STRICT), "<sip:600@127.0.0.9>")
    wanted = asked(scene)
    scene.feed(events.TrunkReached(wanted.leg, wanted.place, flow))
    assert len(invites(scene)) == 1
    assert scene.state.termination is Termination.TRUNK_UNREACHABLE


def test_a_connection_nobody_waits_for_any_more_calls_nobody() -> None:
    scene = moved(calling("tls", Profile.STRICT), "<sip:600@127.0.0.9>")
    wanted = asked(scene)
    there = events.TrunkReached(wanted.leg, wanted.place, connection())
    scene.feed(there).reply(200, sdes_answer(scene.invite.body)).clear().feed(there)
    assert not scene.take(fx.SendRequest)


def test_a_connection_for_a_call_that_ended_meanwhile_is_left_alone() -> None:
    scene = moved(calling("tls", Profile.STRICT), "<sip:600@127.0.0.9>")
    wanted = asked(scene)
    scene.feed(events.CancelIn()).clear()
    scene.feed(events.TrunkReached(wanted.leg, wanted.place, connection()))
    assert not scene.take(fx.SendRequest)
    assert scene.order(fx.Finished) == ["Finished"]


def test_a_connection_for_a_leg_that_is_called_no_more_is_left_alone() -> None:
    scene = moved(calling("tls", Profile.STRICT), "<sip:600@127.0.0.9>")
    wanted = asked(scene)
    scene.state.hunt.ringing.remove(wanted.leg)
    scene.clear().feed(events.TrunkReached(wanted.leg, wanted.place, connection()))
    assert not scene.take(fx.SendRequest)


def test_a_browser_sends_nobody_on() -> None:
    scene = MachineScene(profile=Profile.LEGACY, outbound=False, offer=answer()).calling()
    moved(scene, "<sip:600@127.0.0.2>")
    assert len(invites(scene)) == 1
    assert [r.status for r in scene.responses][-1] == 480
    assert scene.state.termination is not Termination.REDIRECT_REFUSED
