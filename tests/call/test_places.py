"""Where a trunk's media may be: our socket's protocol, a unicast address of somebody else, and never ourselves."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import HostPort, LegKind
from gateway.call.legs.places import NO_PLACES, Bound, MediaPlaceError, OwnPlaces, check_places
from gateway.call.machine import effects as fx
from gateway.media.relay_commands import SetPeer
from tests.call.machine_scene import MachineScene, answer, trunk_flow, vector

OFFER = vector("chromium_offer")
BROWSER_ANSWER = OFFER.replace(b"setup:actpass", b"setup:active")
OWN = OwnPlaces(
    bound=(
        Bound("192.0.2.10", range(20000, 20100)),
        Bound("203.0.113.7", range(20000, 20100)),
        Bound("0.0.0.0", range(5060, 5061)),
        Bound("2001:db8::10", range(20000, 20100)),
        Bound("::", range(5061, 5062)),
    ),
    interfaces=tuple(
        ipaddress.ip_interface(text)
        for text in ("127.0.0.1/8", "192.0.2.10/24", "198.51.100.3/31", "::1/128", "2001:db8::10/64")
    ),
)


def at(address: str, *lines: str, port: int = 4002, kind: str = "") -> bytes:
    """A phone's description with media at this address."""
    kind = kind or ("IP6" if ":" in address else "IP4")
    return answer("RTP/AVP", *lines, port=port).replace(b"c=IN IP4 127.0.0.2", f"c=IN {kind} {address}".encode())


def flow(peer: str = "198.51.100.20") -> object:
    return replace(trunk_flow("udp"), remote=HostPort(peer, 5060))


def inbound(
    body: bytes, *, own: OwnPlaces = NO_PLACES, bind: str = "192.0.2.10", peer: str = "198.51.100.20"
) -> MachineScene:
    return MachineScene(
        profile=Profile.LEGACY,
        outbound=False,
        offer=body,
        flow=flow(peer),  # type: ignore[arg-type]
        own=own,
        media_bind=bind,
    ).calling()


def refused(scene: MachineScene, termination: Termination) -> None:
    assert not [e for e in scene.all if isinstance(e, fx.SendRequest)], "nobody may ring"
    assert scene.state.termination is termination
    warning = scene.responses[-1].headers.get("Warning") or ""
    assert (scene.responses[-1].status, warning[:3]) == (488, str(termination.warning))


# The network protocol.


@pytest.mark.parametrize(
    ("bind", "address"),
    [
        ("192.0.2.10", "2001:db8::1"),
        ("0.0.0.0", "2001:db8::1"),
        ("192.0.2.10", "fe80::1"),
        ("192.0.2.10", "fe80::1%eth0"),
        ("192.0.2.10", "::1"),
        ("192.0.2.10", "2002:c633:6401::1"),
        ("2001:db8::10", "198.51.100.20"),
        ("::", "198.51.100.20"),
        ("2001:db8::10", "::ffff:198.51.100.20"),
    ],
)
def test_an_offer_over_a_protocol_the_leg_does_not_have_is_488_with_warning_300(bind: str, address: str) -> None:
    refused(inbound(at(address), bind=bind), Termination.NETWORK_INCOMPATIBLE)


@pytest.mark.parametrize(
    ("bind", "address"), [("2001:db8::10", "2001:db8::1"), ("::", "2001:db8::1"), ("0.0.0.0", "198.51.100.20")]
)
def test_a_leg_with_a_socket_of_that_protocol_takes_the_offer(bind: str, address: str) -> None:
    scene = inbound(at(address), bind=bind).reply(200, BROWSER_ANSWER)
    assert scene.responses[-1].status == 200
    assert [e.rtp for e in scene.relayed(SetPeer)][-1] == HostPort(address, 4002)


@pytest.mark.parametrize("address", ["::ffff:198.51.100.20", "::FFFF:c633:6414", "0:0:0:0:0:ffff:198.51.100.20"])
def test_a_mapped_ipv4_address_is_the_ipv4_address(address: str) -> None:
    scene = inbound(at(address)).reply(200, BROWSER_ANSWER)
    assert scene.responses[-1].status == 200
    assert [e.rtp for e in scene.relayed(SetPeer)][-1] == HostPort("198.51.100.20", 4002)


@pytest.mark.parametrize("address", ["::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:224.0.0.1"])
def test_a_mapped_address_is_judged_as_the_ipv4_address(address: str) -> None:
    refused(inbound(at(address)), Termination.BAD_SDP)


@pytest.mark.parametrize(
    ("kind", "address"),
    [("IP4", "2001:db8::1"), ("IP6", "198.51.100.20"), ("IP4", "::ffff:198.51.100.20"), ("IP4", "::")],
)
def test_an_address_that_is_not_of_its_type_is_refused(kind: str, address: str) -> None:
    refused(inbound(at(address, kind=kind)), Termination.BAD_SDP)


@pytest.mark.parametrize("address", ["phone.example", "localhost", "010.0.0.1", "1.2.3", "198.51.100.20:4000"])
def test_a_name_is_488_with_warning_301(address: str) -> None:
    refused(inbound(at(address, kind="IP4")), Termination.ADDRESS_INCOMPATIBLE)


def test_the_address_of_rtcp_is_judged_like_that_of_rtp() -> None:
    good = "198.51.100.20"
    refused(inbound(at(good, "a=rtcp:4003 IN IP6 2001:db8::1")), Termination.NETWORK_INCOMPATIBLE)
    refused(inbound(at(good, "a=rtcp:4003 IN IP4 2001:db8::1")), Termination.BAD_SDP)
    refused(inbound(at(good, "a=rtcp:4003 IN IP4 127.0.0.1")), Termination.BAD_SDP)
    refused(inbound(at(good, "a=rtcp:20001 IN IP4 192.0.2.10"), own=OWN), Termination.BAD_SDP)


@pytest.mark.parametrize(
    ("address", "termination"),
    [("2001:db8::1", Termination.NETWORK_INCOMPATIBLE), ("phone.example", Termination.ADDRESS_INCOMPATIBLE)],
)
def test_an_answer_with_such_an_address_is_acknowledged_and_hung_up_on(address: str, termination: Termination) -> None:
    scene = MachineScene(profile=Profile.LEGACY, flow=flow(), media_bind="192.0.2.10").calling()  # type: ignore[arg-type]
    scene.reply(200, at(address, kind="IP6" if ":" in address else "IP4"))
    assert scene.state.termination is termination
    assert (scene.responses[-1].status, (scene.responses[-1].headers.get("Warning") or "")[:3]) == (
        488,
        str(termination.warning),
    )
    assert [e.request.method for e in scene.all if isinstance(e, fx.SendRequest)] == ["INVITE", "BYE"]
    assert len([e for e in scene.all if isinstance(e, fx.SendAck)]) == 1


def established(own: OwnPlaces = NO_PLACES) -> MachineScene:
    scene = inbound(at("198.51.100.20"), own=own)
    scene.reply(200, BROWSER_ANSWER).ack().feed(scene.keyed())
    return scene.clear()


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize(
    ("body", "warning"),
    [
        (at("2001:db8::1"), "300"),
        (at("phone.example", kind="IP4"), "301"),
        (at("2001:db8::1", kind="IP4"), "399"),
        (at("192.0.2.10", port=20010), "399"),
        (at("198.51.100.20", "a=rtcp:4003 IN IP6 2001:db8::1"), "300"),
    ],
)
def test_a_change_to_such_an_address_is_488_and_the_session_stays(method: str, body: bytes, warning: str) -> None:
    scene = established(OWN).inside(LegKind.TRUNK, method, body, cseq=900)
    assert scene.responses[-1].status == 488
    assert (scene.responses[-1].headers.get("Warning") or "")[:3] == warning
    assert scene.told(SetPeer) == []
    assert scene.state.live


# This gateway, and what nobody's phone is.


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("192.0.2.10", 20000),
        ("192.0.2.10", 20099),
        ("203.0.113.7", 20050),  # advertised for a 1:1 NAT
        ("192.0.2.10", 5060),  # a listener on every address
        ("198.51.100.3", 5060),
        ("::ffff:192.0.2.10", 20000),
    ],
)
def test_media_is_never_sent_to_a_port_of_ours(address: str, port: int) -> None:
    refused(inbound(at(address, port=port), own=OWN), Termination.BAD_SDP)


@pytest.mark.parametrize(("address", "port"), [("2001:db8::10", 20000), ("2001:db8::10", 5061), ("::1", 5061)])
def test_nor_to_one_of_our_ipv6_ports(address: str, port: int) -> None:
    scene = inbound(
        at(address, port=port), own=OWN, bind="2001:db8::10", peer="::1" if address == "::1" else "2001:db8::9"
    )
    refused(scene, Termination.BAD_SDP)


def test_nor_to_loopback_ports_of_ours_when_the_trunk_is_on_this_machine() -> None:
    refused(inbound(at("127.0.0.9", port=5060), own=OWN, peer="127.0.0.1"), Termination.BAD_SDP)


@pytest.mark.parametrize(("address", "port"), [("192.0.2.10", 19998), ("192.0.2.10", 20100), ("198.51.100.3", 20000)])
def test_a_phone_on_this_machine_has_ports_that_are_not_ours(address: str, port: int) -> None:
    assert [e for e in inbound(at(address, port=port), own=OWN).all if isinstance(e, fx.SendRequest)]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "169.254.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "169.254.170.2",
        "169.254.170.23",
        "0.0.0.1",
        "0.1.2.3",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.255",  # everybody in our own network
    ],
)
def test_no_media_goes_to_this_host_to_groups_or_to_the_clouds_secrets(address: str) -> None:
    refused(inbound(at(address), own=OWN), Termination.BAD_SDP)


@pytest.mark.parametrize(
    "address",
    [
        "ff02::1",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "fe80::a9fe:a9fe",
        "fe80::1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2001:0:53aa:64c::80ff:fffe",  # 127.0.0.1 by Teredo, each bit turned
        "2001:0:53aa:64c::5601:5601",  # 169.254.169.254
        "100::1",
    ],
)
def test_nor_by_the_spellings_of_ipv6(address: str) -> None:
    refused(inbound(at(address), own=OWN, bind="2001:db8::10", peer="2001:db8::9"), Termination.BAD_SDP)


def test_a_public_address_behind_nat64_is_a_place_for_media() -> None:
    check_places([HostPort("64:ff9b::808:808", 4000)], bind="2001:db8::10", peer="2001:db8::9", own=OWN)


def test_a_trunk_on_this_machine_has_loopback_media_by_either_protocol() -> None:
    for host, bind in (("127.0.0.9", "127.0.0.1"), ("::1", "::1")):
        check_places([HostPort(host, 4000)], bind=bind, peer=host, own=OWN)


@pytest.mark.parametrize("peer", ["169.254.1.1", "169.254.169.254"])
def test_a_link_local_trunk_has_link_local_media_but_never_the_clouds_secrets(peer: str) -> None:
    assert [e for e in inbound(at("169.254.1.2"), peer=peer).all if isinstance(e, fx.SendRequest)]
    for secrets in ("169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.42.42"):
        refused(inbound(at(secrets), peer=peer), Termination.BAD_SDP)


def test_a_network_of_two_has_no_broadcast_address() -> None:
    check_places([HostPort("198.51.100.3", 4000)], bind="192.0.2.10", peer="198.51.100.2", own=OWN)


def test_candidates_of_a_trunk_lead_nowhere() -> None:
    """A trunk leg does no ICE: only `c=` and `a=rtcp` say where media goes."""
    lines = [
        "a=ice-ufrag:abcd",
        "a=ice-pwd:0123456789abcdefghijklmn",
        "a=candidate:1 1 udp 2130706431 192.0.2.10 20000 typ host",
        "a=candidate:2 1 udp 2130706431 169.254.169.254 80 typ host",
    ]
    scene = inbound(at("198.51.100.20", *lines), own=OWN).reply(200, BROWSER_ANSWER)
    places = scene.relayed(SetPeer)
    assert {(place.rtp, place.rtcp) for place in places} == {
        (HostPort("198.51.100.20", 4002), HostPort("198.51.100.20", 4003))
    }


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_the_old_way_to_hold_sends_nothing_and_is_allowed_whatever_its_protocol(address: str) -> None:
    scene = established(OWN).inside(LegKind.TRUNK, "INVITE", at(address), cseq=900)
    assert scene.responses[-1].status == 200


def test_what_a_leg_faces_is_not_ours_to_it_and_everything_else_still_is() -> None:
    """A proxy has joined two legs of this gateway: each is at the other's place."""
    facing = OWN.but([HostPort("192.0.2.10", 20000)])
    check_places([HostPort("192.0.2.10", 20000)], bind="192.0.2.10", peer="198.51.100.2", own=facing)
    for port in (20001, 20002):
        with pytest.raises(MediaPlaceError):
            check_places([HostPort("192.0.2.10", port)], bind="192.0.2.10", peer="198.51.100.2", own=facing)


def test_a_place_error_says_what_ends_the_call() -> None:
    with pytest.raises(MediaPlaceError) as error:
        check_places([None, HostPort("name", 1)], bind="", peer="", own=NO_PLACES)
    assert error.value.termination is Termination.ADDRESS_INCOMPATIBLE
