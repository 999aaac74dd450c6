"""Unfinished WebSocket messages are seen, whatever they are cut into (RFC 6455 5.2 and 5.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.net.frames import FrameMeter
from tests.attacks.wires import BINARY, PINGED, PONGED, TEXT, frame

CONTINUATION = 0
SIZES = [0, 1, 125, 126, 127, 65535, 65536, 70000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("masked", [True, False])
def test_a_message_is_pending_from_its_first_octet_to_its_last(size: int, masked: bool) -> None:
    meter, data = FrameMeter(), frame(b"x" * size, BINARY, masked=masked)
    meter.feed(data[:1], 1.0)
    assert meter.pending_since == 1.0
    meter.feed(data[1:-1], 2.0)
    assert meter.pending_since == 1.0
    meter.feed(data[-1:], 3.0)
    assert meter.pending_since is None


@pytest.mark.parametrize("opcode", [PINGED, PONGED])
def test_control_frames_between_fragments_do_not_complete_their_message(opcode: int) -> None:
    meter = FrameMeter()
    meter.feed(frame(b"begun", TEXT, final=False), 1.0)
    for now in (2.0, 3.0, 4.0):
        meter.feed(frame(b"alive", opcode) + frame(b"more", CONTINUATION, final=False), now)
        assert meter.pending_since == 1.0
    meter.feed(frame(b"end", CONTINUATION), 5.0)
    assert meter.pending_since is None


def test_the_beginning_of_the_next_message_is_pending_from_when_it_came() -> None:
    meter = FrameMeter()
    meter.feed(frame(b"whole") + frame(b"half")[:3], 7.0)
    assert meter.pending_since == 7.0


@given(
    st.lists(st.tuples(st.sampled_from([TEXT, BINARY, PINGED]), st.integers(0, 300)), max_size=8),
    st.lists(st.integers(1, 50), max_size=30),
    st.booleans(),
)
def test_no_cut_makes_whole_messages_look_unfinished_or_the_other_way_round(
    messages: list[tuple[int, int]], cuts: list[int], unfinished: bool
) -> None:
    data = b"".join(frame(b"x" * (min(size, 125) if opcode == PINGED else size), opcode) for opcode, size in messages)
    data += frame(b"the rest is missing")[:-1] if unfinished else b""
    meter, at = FrameMeter(), 0
    for cut in [*cuts, len(data)]:
        meter.feed(data[at : at + cut], 1.0)
        at += cut
    assert (meter.pending_since is not None) == unfinished
