"""Several messages of the relay protocol in one packet."""

from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import MediaError
from gateway.media.relay_codec import decode_command
from gateway.media.relay_commands import SendDtls
from gateway.media.relay_packet import apart, together
from gateway.media.relay_protocol import MAX_CONTROL_PACKET, MAX_MESSAGE, MAX_TOGETHER, WorkerConfig
from gateway.media.relay_worker import RelayWorker
from tests.effort import examples
from tests.media.peers import BROWSER


@settings(max_examples=examples(50))
@given(st.lists(st.binary(max_size=70), min_size=1, max_size=2 * MAX_TOGETHER))
def test_messages_come_apart_as_they_were_put_together(messages: list[bytes]) -> None:
    packet, count = together(messages)
    assert apart(packet) == messages[:count]
    assert count == min(len(messages), MAX_TOGETHER)


def test_a_packet_never_grows_beyond_its_limit() -> None:
    packet, count = together([bytes(MAX_MESSAGE), b"one more"])
    assert (len(packet), count) == (MAX_CONTROL_PACKET, 1)
    assert apart(packet) == [bytes(MAX_MESSAGE)]
    assert together([bytes(MAX_MESSAGE // 2)] * 3)[1] == 1


@pytest.mark.parametrize(
    "packet",
    [b"\0\0", b"\0\0\0\5four", b"\xff\xff\xff\xff", together([b"a"])[0] + b"\0", b"\0\0\0\1a" * (MAX_TOGETHER + 1)],
)
def test_a_packet_that_is_not_made_of_messages_is_refused_whole(packet: bytes) -> None:
    with pytest.raises(MediaError):
        apart(packet)


@pytest.mark.asyncio(loop_scope="session")
async def test_what_is_said_in_one_moment_travels_together_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # what other tests want: that commands leave at once
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    worker = RelayWorker(WorkerConfig(-1, ("127.0.0.1",), 0, 26000, 26009), lambda *_: None)
    worker._socket = ours
    commands = [SendDtls(BROWSER, bytes([number])) for number in range(MAX_TOGETHER + 1)]
    with ours, theirs:
        theirs.setblocking(False)
        for command in commands:
            worker.send(7, command)
        with pytest.raises(BlockingIOError):
            theirs.recv(MAX_CONTROL_PACKET)
        await asyncio.sleep(0)
        told = [apart(theirs.recv(MAX_CONTROL_PACKET)) for _ in range(2)]
        assert [len(messages) for messages in told] == [MAX_TOGETHER, 1]
        assert [decode_command(message) for messages in told for message in messages] == [(7, c) for c in commands]
        await worker.stop()
