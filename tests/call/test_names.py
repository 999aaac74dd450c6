"""Host names where a trunk's media should be: looked up off the loop, and followed into the trunk's networks only."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import HostPort, LegKind
from gateway.call.legs.media_names import MAX_NAMES, MAX_NAMES_KEPT
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.names import MAX_WAITING
from gateway.media.relay_commands import OpenLeg, SetPeer
from tests.call.machine_scene import MachineScene, answer, browser_answer, request, trunk_flow, vector
from tests.call.test_setup import finished

OFFER = vector("chromium_offer")
NAME = "media.carrier.example"
KEY = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "B" * 40


def named(body: bytes, name: str = NAME) -> bytes:
    """The description with a name in its `c=`."""
    return body.replace(b"c=IN IP4 127.0.0.2", b"c=IN IP4 " + name.encode())


def stage(*, outbound: bool = True, offer: bytes = b"", networks: tuple[str, ...] = ("127.0.0.0/29",)) -> MachineScene:
    scene = MachineScene(profile=Profile.LEGACY, flow=trunk_flow("udp"), outbound=outbound, offer=offer or OFFER)
    media = ("127.0.9.0/24",) if networks else ()
    return scene.configure(
        networks=tuple(ip_network(text) for text in networks), media_networks=tuple(ip_network(text) for text in media)
    )


def found(scene: MachineScene, *addresses: str, name: str = NAME) -> MachineScene:
    return scene.feed(events.NamesFound(((name, addresses),)))


def asked(scene: MachineScene) -> list[tuple[str, ...]]:
    return [e.names for e in scene.all if isinstance(e, fx.ResolveNames)]


def ringing(networks: tuple[str, ...] = ("127.0.0.0/29",)) -> MachineScene:
    return stage(networks=networks).calling()


@pytest.mark.parametrize("address", ["127.0.0.3", "127.0.9.200"])
def test_a_name_in_an_answer_is_followed_to_its_address_in_the_trunks_networks(address: str) -> None:
    scene = ringing().reply(200, named(answer()))
    assert asked(scene) == [(NAME,)]
    assert not [r for r in scene.responses if r.status >= 200]
    found(scene, address)
    assert scene.responses[-1].status == 200
    where = scene.relay(SetPeer)
    assert (where.rtp, where.rtcp) == (HostPort(address, 4002), HostPort(address, 4003))


def test_a_name_in_an_offer_is_followed_before_anything_begins() -> None:
    scene = stage(outbound=False, offer=named(answer())).begin()
    assert asked(scene) == [(NAME,)]
    assert not scene.told(OpenLeg)
    found(scene, "127.0.0.3").locate().open_media()
    scene.reply(200, browser_answer(scene.invite.body))
    assert scene.responses[-1].status == 200
    assert scene.relay(SetPeer).rtp == HostPort("127.0.0.3", 4002)


@pytest.mark.parametrize(
    "addresses",
    [(), ("203.0.113.9",), ("169.254.169.254",), ("127.0.1.1",), ("::1",), ("no address",), ("192.0.2.1", "10.0.0.1")],
)
@pytest.mark.parametrize("outbound", [True, False])
def test_a_name_that_leads_elsewhere_or_nowhere_is_refused_in_words_that_say_so(
    addresses: tuple[str, ...], outbound: bool
) -> None:
    if outbound:
        scene = found(ringing().reply(200, named(answer())), *addresses)
    else:
        scene = found(stage(outbound=False, offer=named(answer())).begin(), *addresses)
    assert finished(scene) is Termination.ADDRESS_INCOMPATIBLE
    assert "networks of the trunk" in (scene.responses[-1].headers.get("Warning") or "")
    assert not scene.told(SetPeer)


def test_the_first_address_inside_is_taken() -> None:
    scene = found(ringing().reply(200, named(answer())), "203.0.113.9", "::1", "127.0.0.4", "127.0.0.5")
    assert scene.relay(SetPeer).rtp.host == "127.0.0.4"


def test_an_address_our_media_socket_cannot_reach_is_passed_over() -> None:
    scene = ringing(networks=("127.0.0.0/29", "2001:db8::/32")).reply(200, named(answer()))
    found(scene, "2001:db8::5", "127.0.0.4")
    assert scene.relay(SetPeer).rtp.host == "127.0.0.4"


def test_no_name_is_asked_for_when_nothing_it_could_lead_to_would_do() -> None:
    """Without networks every name is refused, and a peer must not make us ask DNS for nothing."""
    scene = ringing(networks=()).reply(200, named(answer()))
    assert asked(scene) == []
    assert finished(scene) is Termination.ADDRESS_INCOMPATIBLE


@pytest.mark.parametrize("name", ["holding.invalid", "x.INVALID."])
def test_a_name_that_stands_for_no_address_is_not_asked_for(name: str) -> None:
    assert asked(ringing().reply(200, named(answer(), name))) == []


def test_a_name_is_asked_for_once_and_keeps_its_address_for_the_call() -> None:
    """DNS that answers differently a minute later moves nobody's voice."""
    scene = found(ringing().reply(200, named(answer())), "127.0.0.3").ack()
    for cseq, body in enumerate((named(answer(direction="sendonly")), named(answer(), NAME.upper())), start=5):
        scene.inside(LegKind.TRUNK, "INVITE", body, cseq=cseq)
        assert scene.responses[-1].status == 200
        scene.ack_of(LegKind.TRUNK, cseq)
    assert asked(scene) == [(NAME,)]
    assert scene.relay(SetPeer).rtp.host == "127.0.0.3"
    found(scene, "127.0.0.6")
    assert scene.relay(SetPeer).rtp.host == "127.0.0.3"


def test_messages_of_the_trunk_keep_their_order_while_a_name_is_looked_up() -> None:
    scene = ringing()
    scene.reply(183, named(answer())).reply(200)
    assert not [r for r in scene.responses if r.status > 100]
    found(scene, "127.0.0.3")
    assert [r.status for r in scene.responses if r.status > 100] == [183, 200]


def test_a_later_message_with_a_name_of_its_own_is_looked_up_too() -> None:
    scene = ringing()
    scene.reply(183, named(answer())).reply(200, named(answer(), "other.example"))
    found(scene, "127.0.0.3")
    assert asked(scene) == [(NAME,), ("other.example",)]
    found(scene, "127.0.0.4", name="other.example")
    assert scene.responses[-1].status == 200
    assert scene.relay(SetPeer).rtp.host == "127.0.0.4"


def test_the_caller_may_give_up_while_a_name_is_looked_up() -> None:
    scene = stage(outbound=False, offer=named(answer())).begin()
    scene.feed(events.CancelIn())
    assert finished(scene) is Termination.CANCELLED
    found(scene, "127.0.0.3")
    assert not scene.told(OpenLeg)


def test_a_trunk_that_hangs_up_is_not_kept_waiting() -> None:
    scene = found(ringing().reply(200, named(answer())), "127.0.0.3").ack()
    scene.inside(LegKind.TRUNK, "INVITE", named(answer(), "slow.example"), cseq=5)
    scene.inside(LegKind.TRUNK, "BYE", cseq=6)
    assert finished(scene) is Termination.HANGUP_TRUNK
    found(scene, "127.0.0.3", name="slow.example")


def test_a_change_whose_name_leads_elsewhere_is_refused_and_the_session_stays() -> None:
    scene = found(ringing().reply(200, named(answer())), "127.0.0.3").ack()
    scene.inside(LegKind.TRUNK, "INVITE", named(answer(port=4100), "evil.example"), cseq=5)
    found(scene, "10.0.0.1", name="evil.example")
    assert scene.responses[-1].status == 488
    assert scene.relay(SetPeer).rtp == HostPort("127.0.0.3", 4002)
    assert finished(scene) is None


def test_rtcp_may_have_a_name_of_its_own() -> None:
    body = answer("RTP/AVP", "a=rtcp:5003 IN IP4 rtcp.example")
    scene = ringing().reply(200, body)
    assert asked(scene) == [("rtcp.example",)]
    found(scene, "127.0.0.5", name="rtcp.example")
    where = scene.relay(SetPeer)
    assert (where.rtp.host, where.rtcp) == ("127.0.0.2", HostPort("127.0.0.5", 5003))


def test_the_names_of_one_description_and_what_waits_for_them_are_limited() -> None:
    lines = "".join(f"m=audio {4100 + 2 * n} RTP/AVP 0\r\nc=IN IP4 n{n}.example\r\n" for n in range(20))
    scene = ringing().reply(183, answer() + lines.encode())
    assert [len(names) for names in asked(scene)] == [MAX_NAMES]
    for _ in range(MAX_WAITING + 5):
        scene.reply(180)
    assert len(scene.state.waiting.events) == MAX_WAITING


def test_dns_is_asked_for_a_limited_number_of_names_in_one_call() -> None:
    scene = found(ringing().reply(200, named(answer())), "127.0.0.3").ack()
    for n in range(MAX_NAMES_KEPT + 3):
        scene.inside(LegKind.TRUNK, "INVITE", named(answer(), f"n{n}.example"), cseq=5 + n)
        found(scene, "127.0.0.3", name=f"n{n}.example").ack_of(LegKind.TRUNK, 5 + n)
    assert len(asked(scene)) == MAX_NAMES_KEPT
    assert scene.responses[-1].status == 488
    assert finished(scene) is None


def test_the_answer_in_an_ack_may_have_a_name() -> None:
    scene = stage(outbound=False, offer=answer())
    assert scene.state.caller.invite is not None
    scene.state.caller.invite = scene.state.caller.invite.with_body(b"")
    scene.calling().reply(200, browser_answer(scene.invite.body))
    scene.feed(events.AckIn("invite-key", request("ACK", named(answer()), to_tag="gw-trunk")))
    assert asked(scene) == [(NAME,)]
    found(scene, "127.0.0.3")
    assert scene.relay(SetPeer).rtp.host == "127.0.0.3"
