"""Host names of a trunk's media: what is asked for, where an answer may lead, and that both have an end."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from gateway.base.values import HostPort
from gateway.call.legs.media_names import MAX_NAMES, MAX_NAMES_KEPT, MediaNames
from gateway.sdp.description import SessionDescription
from gateway.sdp.media import RemoteAudio, read_audio
from tests.call.machine_scene import answer

NETWORKS = (ip_network("198.51.100.0/24"), ip_network("2001:db8::/32"))


def described(*names: str) -> bytes:
    """A description whose audio lines are at these hosts."""
    lines = "".join(f"m=audio {4100 + 2 * n} RTP/AVP 0\r\nc=IN IP4 {name}\r\n" for n, name in enumerate(names))
    return answer() + lines.encode()


def line(host: str) -> RemoteAudio:
    found = read_audio(SessionDescription.parse(answer()))
    return replace(found, rtp=HostPort(host, 4000), rtcp=HostPort(host, 4001))


def test_a_name_is_asked_for_once_however_it_is_written() -> None:
    names = MediaNames()
    assert names.unknown(described("media.example", "MEDIA.example")) == ("media.example",)
    names.learn([("media.example", ())], "", NETWORKS)
    assert names.unknown(described("Media.Example")) == ()


@pytest.mark.parametrize("host", ["192.0.2.1", "0.0.0.0", "nobody.invalid"])
def test_what_is_no_name_is_not_asked_for(host: str) -> None:
    assert MediaNames().unknown(described(host)) == ()


@pytest.mark.parametrize("body", [b"", b"no description"])
def test_what_cannot_be_read_names_nobody(body: bytes) -> None:
    assert MediaNames().unknown(body) == ()


@pytest.mark.parametrize(
    ("bind", "addresses", "address"),
    [
        ("", ("203.0.113.9", "198.51.100.9", "198.51.100.8"), "198.51.100.9"),
        ("0.0.0.0", ("2001:db8::9", "198.51.100.9"), "198.51.100.9"),
        ("::", ("198.51.100.9", "2001:db8::9"), "2001:db8::9"),
    ],
)
def test_it_stands_for_the_first_address_we_can_reach_in_the_networks_of_the_trunk(
    bind: str, addresses: tuple[str, ...], address: str
) -> None:
    names = MediaNames()
    names.learn([("media.example", addresses)], bind, NETWORKS)
    placed = names.placed(line("Media.Example"))
    assert (placed.rtp, placed.rtcp) == (HostPort(address, 4000), HostPort(address, 4001))


def test_the_first_answer_holds_for_the_call() -> None:
    names = MediaNames()
    for address in ("198.51.100.9", "198.51.100.8"):
        names.learn([("media.example", (address,))], "", NETWORKS)
    assert names.known == {"media.example": "198.51.100.9"}


def test_a_name_that_leads_elsewhere_stays_a_name() -> None:
    names = MediaNames()
    names.learn([("media.example", ("203.0.113.9",))], "", NETWORKS)
    assert names.placed(line("media.example")) == line("media.example")


def test_a_description_and_a_call_have_so_many_names_and_no_more() -> None:
    names = MediaNames()
    assert len(names.unknown(described(*(f"n{n}.example" for n in range(MAX_NAMES + 3))))) == MAX_NAMES
    names.learn([(f"n{n}.example", ()) for n in range(MAX_NAMES_KEPT)], "", NETWORKS)
    assert names.unknown(described("one-more.example")) == ()
