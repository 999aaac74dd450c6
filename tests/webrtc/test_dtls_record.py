"""Where DTLS records begin and end (RFC 6347 4.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.webrtc.dtls_record import MAX_DATAGRAM, pack_records, split_records


def record(length: int, *, content: int = 22, version: bytes = b"\xfe\xfd") -> bytes:
    return bytes([content]) + version + bytes(8) + length.to_bytes(2, "big") + bytes(length)


def test_a_datagram_may_hold_several_records() -> None:
    records = [record(5), record(0, content=20), record(40, version=b"\xfe\xff")]
    assert list(split_records(b"".join(records))) == records


@pytest.mark.parametrize(
    "broken",
    [record(50)[:-1], record(50)[:12], record(5, content=24), record(5, content=0x80), record(5, version=b"\x03\x03")],
    ids=["cut short", "half a header", "unknown content", "SRTP", "TLS version"],
)
def test_from_the_first_malformed_record_on_nothing_is_read(broken: bytes) -> None:
    whole = record(5)
    assert list(split_records(whole + broken)) == [whole]


@pytest.mark.parametrize("broken", [record(5, content=24), record(5, content=0x80), record(5, version=b"\x03\x03")])
def test_nothing_behind_a_malformed_record_is_read(broken: bytes) -> None:
    assert list(split_records(broken + record(5))) == []


def test_packing_keeps_records_whole() -> None:
    assert [len(d) for d in pack_records(record(500) * 5)] == [1026, 1026, 513]


@given(st.binary(max_size=200))
def test_any_octets_are_split_or_left(data: bytes) -> None:
    assert data.startswith(b"".join(split_records(data)))


@given(st.lists(st.integers(0, MAX_DATAGRAM - 13), max_size=12))
def test_packed_datagrams_hold_every_record_in_order_and_fit(lengths: list[int]) -> None:
    records = [record(length) for length in lengths]
    datagrams = pack_records(b"".join(records))
    assert [r for d in datagrams for r in split_records(d)] == records
    assert all(len(d) <= MAX_DATAGRAM for d in datagrams)
