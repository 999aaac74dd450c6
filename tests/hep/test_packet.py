"""The octets of HEP: what a collector reads is what was written, whatever a peer put into it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.signalling import TransportName
from gateway.base.values import HostPort, Secret
from gateway.hep.packet import MAX_CORRELATION, MAX_PACKET, MAX_PASSWORD, Frame, Kind, Sender, encode, room
from tests.effort import examples
from tests.hep.decoder import HepError, decoded, split

SOURCE, DESTINATION = HostPort("192.0.2.1", 5060), HostPort("198.51.100.2", 5061)
VECTOR = bytes.fromhex(
    "48455033 0065 0000 0001 0007 02 0000 0003 000a c0000201 0000 0004 000a c6336402"
    "0000 0002 0007 11 0000 0007 0008 13c4 0000 0008 0008 13c5 0000 0009 000a 386d4380 0000 000a 000a 0003d090"
    "0000 000b 0007 01 0000 000c 000a 000007d1 0000 000f 0008 6869"
)
"""Octets put together by hand from the specification."""


def frame(**fields: object) -> Frame:
    known: dict[str, object] = {"kind": Kind.SIP, "at": 946_684_800.25, "source": SOURCE, "destination": DESTINATION}
    return Frame(**{**known, **fields})  # type: ignore[arg-type]


def test_a_packet_is_octet_for_octet_what_the_specification_says() -> None:
    assert encode(frame(), b"hi", Sender(2001)) == VECTOR


@pytest.mark.parametrize(("transport", "protocol"), [("udp", 17), ("tcp", 6), ("tls", 6), ("ws", 6), ("wss", 6)])
def test_a_packet_tells_where_from_where_to_when_and_over_what(transport: TransportName, protocol: int) -> None:
    sender = Sender(7, Secret("key"))
    found = decoded(encode(frame(transport=transport, correlation="a@b"), b"INVITE", sender))
    assert (found.source, found.destination, found.protocol) == (SOURCE, DESTINATION, protocol)
    assert (found.at, found.kind, found.capture_id) == (946_684_800.25, 1, 7)
    assert (found.password, found.correlation, found.payload) == ("key", "a@b", b"INVITE")


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        ("2001:db8::1", "2001:db8::2", ("2001:db8::1", "2001:db8::2")),
        ("fe80::1%eth0", "2001:db8::2", ("fe80::1", "2001:db8::2")),
        ("0.0.0.0", "2001:db8::2", ("::", "2001:db8::2")),
        ("pbx.example.com", "192.0.2.9", ("0.0.0.0", "192.0.2.9")),
        ("", "", ("0.0.0.0", "0.0.0.0")),
    ],
)
def test_both_addresses_are_of_one_family_and_what_is_no_address_is_none(
    source: str, destination: str, expected: tuple[str, str]
) -> None:
    packet = encode(frame(source=HostPort(source, 1), destination=HostPort(destination, 2)), b"", Sender(1))
    found = decoded(packet)
    assert (found.source.host, found.destination.host) == expected


def test_what_does_not_fit_goes_from_the_end_of_the_payload() -> None:
    sender = Sender(1, Secret("p" * 500))
    sent = frame(correlation="c" * 5000)
    payload = bytes(range(256)) * 300
    packet = encode(sent, payload, sender)
    found = decoded(packet)
    assert len(packet) == MAX_PACKET
    assert found.payload == payload[: room(sent, sender)]
    assert (len(found.correlation), len(found.password)) == (MAX_CORRELATION, MAX_PASSWORD)


@settings(max_examples=examples(300), deadline=None)
@given(
    correlation=st.text(max_size=600),
    payload=st.binary(max_size=9000) | st.just(VECTOR) | st.just(b"\0\0\0\x0c\0\x0a\0\0\0\1"),
    host=st.sampled_from(["192.0.2.1", "2001:db8::1", "name", "1.2.3", "\0\0\0\x01"]),
    port=st.integers(-1, 70_000),
    at=st.floats(allow_nan=False, allow_infinity=False, width=32),
)
def test_no_value_can_pretend_to_be_another_chunk(
    correlation: str, payload: bytes, host: str, port: int, at: float
) -> None:
    sent = frame(correlation=correlation, source=HostPort(host, port), at=at)
    packet = encode(sent, payload, Sender(9, Secret("secret")))
    found = decoded(packet)
    assert (found.capture_id, found.password, found.kind) == (9, "secret", 1)
    assert found.payload == payload[: room(sent, Sender(9, Secret("secret")))]
    assert split(packet + packet)[0][1].payload == found.payload


def test_the_decoder_of_these_tests_takes_nothing_but_packets() -> None:
    for octets in (
        b"",
        VECTOR[:-1],
        VECTOR + b"x",
        b"HEP2" + VECTOR[4:],
        VECTOR[:6] + VECTOR[6:].replace(b"\7\2", b"\6\2"),
    ):
        with pytest.raises(HepError):
            decoded(octets)
