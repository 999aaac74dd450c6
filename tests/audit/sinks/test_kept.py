"""A connection that is kept knows when it is gone, and pauses after failures grow up to a bound."""

from __future__ import annotations

import asyncio

import pytest

from gateway.audit.sinks.kept import LAST_BACK_OFF_SECONDS, KeptConnection, back_off
from tests.audit.sinks.receivers import HOST, WAIT_SECONDS


@pytest.mark.asyncio
async def test_what_is_written_after_the_receiver_has_gone_counts_as_lost() -> None:
    async def goodbye(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        await gone.wait()
        writer.close()

    gone = asyncio.Event()
    server = await asyncio.start_server(goodbye, HOST, 0)
    connection = KeptConnection(WAIT_SECONDS)
    assert not KeptConnection(WAIT_SECONDS).is_open
    await connection.open(HOST, server.sockets[0].getsockname()[1], None, "")
    async with asyncio.timeout(WAIT_SECONDS):
        while connection.is_open:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.001)
    with pytest.raises(ConnectionResetError):
        await connection.write(b"a record")
    assert connection.lost_at is not None
    with pytest.raises(ConnectionResetError):
        await connection.write(b"another")
    gone.set()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("before", [0, 1, 4, 5, 6, 100])
def test_pauses_double_up_to_the_longest_with_some_chance_in_them(before: int) -> None:
    longest = min(LAST_BACK_OFF_SECONDS, 0.5 * 2**before)
    found = [back_off(0.5, before) for _ in range(50)]
    assert all(longest / 2 <= pause <= longest for pause in found)
    assert len(set(found)) > 1
