"""SIP over TCP on loopback sockets: framing, keepalive, and the patience a peer is shown (RFC 3261 18.3, RFC 5626)."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import time
from typing import Any

import pytest

from gateway.base.buckets import Rate
from gateway.base.counters import Counter
from gateway.base.errors import TransportError
from gateway.base.values import HostPort
from gateway.net.channel import MAX_WRITE_BUFFER, StreamLimits
from gateway.sip.message import Request, create_response, parse_message
from gateway.sip.stack import RequestReceived, ResponseReceived, TransportFailed
from gateway.trunks.model import Trunk
from tests.net.harness import MALFORMED, PATIENCE, PBX, Gateway, SocketPeer, options, until
from tests.rig.nameserver import nameserver
from tests.sites import made_trunk

pytestmark = pytest.mark.asyncio

TCP = "tcp:127.0.0.1:0"


def trunk_at(address: HostPort, **settings: Any) -> Trunk:
    return made_trunk(f"sip:{address};transport=tcp", **settings)


# --- framing -----------------------------------------------------------------------------------------------------


async def test_a_message_may_come_octet_by_octet() -> None:
    async with Gateway(TCP) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        for octet in options():
            peer.send(bytes([octet]))
            await asyncio.sleep(0)
        assert (await peer.response()).status == 200
        await peer.close()


async def test_one_segment_may_hold_two_messages_and_a_half() -> None:
    async with Gateway(TCP) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        third = options(call_id="c3", body="hello")
        peer.send(options(call_id="c1") + options(call_id="c2", body="hi") + third[:-3])
        assert [r.call_id for r in await peer.responses(2)] == ["c1", "c2"]
        peer.send(third[-3:])
        assert (await peer.response()).call_id == "c3"
        assert len({event.flow for event in gateway.requests}) == 1
        await peer.close()


async def test_a_double_line_end_is_answered_by_one() -> None:
    async with Gateway(TCP) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        peer.send(b"\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            assert await peer.reader.readexactly(2) == b"\r\n"
        peer.send(options())
        assert (await peer.response()).status == 200
        await peer.close()


async def test_a_malformed_request_is_answered_within_50_ms_and_the_connection_stays() -> None:
    async with Gateway(TCP) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        taken = []
        for _ in range(5):
            begin = time.monotonic()
            peer.send(MALFORMED)
            response = await peer.response()
            taken.append(time.monotonic() - begin)
            assert (response.status, response.call_id) == (400, "bad")
        assert min(taken) < 0.05
        assert gateway.counters[Counter.SIP_MALFORMED] == 5
        peer.send(options())
        assert (await peer.response()).status == 200
        await peer.close()


@pytest.mark.parametrize(
    ("broken", "status", "counter"),
    [
        (options().replace(b"Content-Length: 0\r\n", b""), b"400", Counter.SIP_MALFORMED),
        (options().replace(b"Content-Length: 0", b"Content-Length: -1"), b"400", Counter.SIP_MALFORMED),
        (options().replace(b"Content-Length: 0", b"Content-Length: 99999"), b"413", Counter.SIP_OVERSIZE),
        (b"\x16\x03\x01\x02\x00\x01\x00", b"", Counter.SIP_MALFORMED),
        (b"OPTIONS sip:x SIP/2.0\r\nX: " + b"x" * 40_000, b"", Counter.SIP_OVERSIZE),
    ],
    ids=["no length", "bad length", "oversize", "TLS on the TCP port", "endless head"],
)
async def test_broken_framing_is_answered_if_possible_and_ends_the_connection(
    broken: bytes, status: bytes, counter: Counter
) -> None:
    async with Gateway(TCP) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        peer.send(broken)
        rest = await peer.rest()
        assert rest[8:11] == status
        assert gateway.counters[counter] == 1
        await until(lambda: gateway.closed)
        await peer.close()


async def test_a_peer_that_is_still_sending_can_read_why_it_is_refused() -> None:
    """Closed with unread octets, a socket resets the connection, and the reset takes the answer away."""
    async with Gateway(TCP) as gateway:
        reader, writer = await asyncio.open_connection(gateway.address.host, gateway.address.port)
        head = options().partition(b"\r\n\r\n")[0]
        writer.write(head + b"\r\n" + b"X: y\r\n" * 400_000)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        assert answer.startswith(b"SIP/2.0 513 ")
        writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@pytest.mark.parametrize(
    ("broken", "last"),
    [
        (b"C\r\n\r\n", b""),
        (options(call_id="broken").replace(b"Content-Length: 0\r\n", b""), b"broken"),
        (options(call_id="broken").replace(b"Content-Length: 0", b"l: 1\r\nContent-Length: 0"), b"broken"),
        (b"\x16\x03\x01\x02\x00", b""),
        (b"\x00" * 2000, b""),
    ],
    ids=["a letter", "no length", "two lengths", "TLS", "NUL"],
)
async def test_requests_before_broken_octets_are_answered_and_only_what_is_broken_is_refused(
    broken: bytes, last: bytes
) -> None:
    async with Gateway(TCP) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        peer.send(options(call_id="c1") + options(call_id="c2") + broken + options(call_id="smuggled"))
        answers = (await peer.rest()).split(b"SIP/2.0 ")[1:]
        assert [a[:3] for a in answers] == [b"200", b"200"] + [b"400"] * bool(last)
        assert b"c1" in answers[0]
        assert b"c2" in answers[1]
        assert last in answers[-1]
        assert [event.request.call_id for event in gateway.requests] == ["c1", "c2"]
        await peer.close()


async def test_a_response_that_breaks_the_framing_still_ends_its_transaction() -> None:
    async with Gateway(TCP) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        peer.send(options())
        await peer.response()
        asked = parse_message(options(call_id="ours"), stream=True)
        assert isinstance(asked, Request)
        asked = asked.without_header("Via")
        gateway.endpoint.send_request(asked, gateway.requests[0].flow)
        async with asyncio.timeout(PATIENCE):
            sent = parse_message(await peer.reader.readuntil(b"\r\n\r\n"), stream=True)
        answer = bytes(create_response(sent, 200, to_tag="far")) if isinstance(sent, Request) else b""
        peer.send(answer.replace(b"Content-Length: 0\r\n", b""))
        await peer.rest()
        (heard,) = [event.response for event in gateway.events if isinstance(event, ResponseReceived)]
        assert (heard.status, heard.call_id, heard.unreadable) == (200, "ours", "Missing Content-Length")
        await peer.close()


async def test_a_broken_request_is_refused_also_when_it_came_in_pieces() -> None:
    async with Gateway(TCP) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        broken = options(call_id="pieces").replace(b"Content-Length: 0", b"Content-Length: x")
        for cut in (broken[:40], broken[40:90], broken[90:]):
            peer.send(cut)
            await peer.writer.drain()
            await asyncio.sleep(0.01)
        rest = await peer.rest()
        assert rest.startswith(b"SIP/2.0 400 ")
        assert b"pieces" in rest
        await peer.close()


async def test_nothing_after_broken_framing_is_believed() -> None:
    async with Gateway(TCP) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        peer.send(options().replace(b"Content-Length: 0\r\n", b""), options(call_id="smuggled"))
        await peer.rest()
        assert not gateway.requests
        await peer.close()


# --- patience ----------------------------------------------------------------------------------------------------


async def test_a_message_that_takes_too_long_ends_the_connection() -> None:
    async with Gateway(TCP, limits=StreamLimits(message=0.1)) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        peer.send(options(call_id="whole"), options()[:40])
        assert b"200 OK" in await peer.rest()
        assert gateway.counters[Counter.CONNECTION_TIMEOUT] == 1
        await peer.close()


async def test_a_trickle_does_not_extend_the_limit() -> None:
    async with Gateway(TCP, limits=StreamLimits(message=0.1)) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        begin = time.monotonic()
        for octet in options()[:-1]:
            peer.send(bytes([octet]))
            await asyncio.sleep(0.005)
            if peer.reader.at_eof() or peer.reader.exception():  # a cut is a reset when octets were in flight
                break
        await peer.rest()
        assert time.monotonic() - begin < 1.0
        assert gateway.counters[Counter.CONNECTION_TIMEOUT] == 1
        await peer.close()


async def test_a_connection_without_a_first_message_ends_even_when_it_pings() -> None:
    async with Gateway(TCP, limits=StreamLimits(first_message=0.1)) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        peer.send(b"\r\n\r\n")
        assert await peer.rest() == b"\r\n"
        assert gateway.counters[Counter.CONNECTION_TIMEOUT] == 1
        await peer.close()


async def test_after_a_message_a_connection_may_idle() -> None:
    async with Gateway(TCP, limits=StreamLimits(first_message=0.1, message=0.1)) as gateway:
        peer, probe = await SocketPeer.connect(gateway.address), await SocketPeer.connect(gateway.address)
        peer.send(options())
        await peer.response()
        await probe.rest()  # the silent one was cut, so the limits have been looked at
        peer.send(options(call_id="later"))
        assert (await peer.response()).call_id == "later"
        await peer.close()
        await probe.close()


async def test_a_peer_that_does_not_read_is_cut_at_the_high_water_mark() -> None:
    async with Gateway(TCP, answers=False) as gateway:
        peer = await SocketPeer.connect(gateway.address, limit=1)
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        peer.send(options())
        await until(lambda: gateway.requests)
        flow = gateway.requests[0].flow
        (channel,) = gateway.endpoint._channels
        for _ in range(400):  # more than loopback's own buffers take
            channel.send(bytes(MAX_WRITE_BUFFER // 8))
        await until(lambda: gateway.closed == [flow])
        assert gateway.counters[Counter.CONNECTION_TIMEOUT] >= 1
        await peer.close()


# --- who may connect ---------------------------------------------------------------------------------------------


async def test_an_unknown_source_is_closed_at_accept() -> None:
    trunks = {"pbx": made_trunk("sip:127.0.0.9;transport=tcp", networks=("127.0.0.9/32",))}
    async with Gateway(TCP, trunks=trunks) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        peer.send(options())
        assert await peer.rest() == b""
        assert gateway.counters[Counter.SIP_UNKNOWN_SOURCE] == 1
        assert not gateway.events
        await peer.close()


async def test_a_source_has_a_limit_of_connections_and_each_end_makes_room() -> None:
    async with Gateway(TCP, limits=StreamLimits(per_source=2)) as gateway:
        peers = [await SocketPeer.connect(gateway.address) for _ in range(2)]
        for number, peer in enumerate(peers):
            peer.send(options(call_id=str(number)))
            await peer.response()
        extra = await SocketPeer.connect(gateway.address)
        assert await extra.rest() == b""
        assert gateway.counters[Counter.CONNECTION_REFUSED] == 1
        await peers[0].close()
        await until(lambda: gateway.closed)
        again = await SocketPeer.connect(gateway.address)
        again.send(options(call_id="again"))
        assert (await again.response()).status == 200
        for peer in (peers[1], extra, again):
            await peer.close()


async def test_a_trunk_whose_share_is_full_leaves_the_others_theirs() -> None:
    trunks = {
        "pbx": made_trunk("sip:127.0.0.9;transport=tcp", networks=("127.0.0.0/8",)),
        "other": made_trunk("sip:127.0.9.9;transport=tcp", networks=("127.0.9.0/24",)),
    }
    async with Gateway(TCP, trunks=trunks, limits=StreamLimits(per_trunk=1)) as gateway:
        first = await SocketPeer.connect(gateway.address)
        first.send(options())
        await first.response()
        second = await SocketPeer.connect(gateway.address, local_addr=("127.0.0.2", 0))
        assert await second.rest() == b""
        other = await SocketPeer.connect(gateway.address, local_addr=("127.0.9.1", 0))
        other.send(options(call_id="other"))
        assert (await other.response()).status == 200
        for peer in (first, second, other):
            await peer.close()


# --- turns and rates ---------------------------------------------------------------------------------------------


async def test_messages_of_others_come_in_between_those_of_one_that_sent_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.net.stream.TURN_SECONDS", 0.0005)
    async with Gateway(TCP) as gateway:
        busy, other = await SocketPeer.connect(gateway.address), await SocketPeer.connect(gateway.address)
        for number in range(200):
            busy.send(options(call_id=f"busy-{number}"))
        other.send(options(call_id="other"))
        await other.response()
        await busy.responses(200)
        order = [event.request.call_id for event in gateway.requests]
        assert order.index("other") < 199
        assert [c for c in order if c != "other"] == [f"busy-{number}" for number in range(200)]
        await busy.close()
        await other.close()


async def test_who_sends_faster_than_the_rate_is_read_no_faster_and_loses_nothing() -> None:
    async with Gateway(TCP, limits=StreamLimits(messages=Rate(per_second=100, burst=5))) as gateway:
        peer, clock = await SocketPeer.connect(gateway.address), asyncio.get_running_loop().time
        began = clock()
        for number in range(25):
            peer.send(options(call_id=f"c{number}"))
        assert [r.call_id for r in await peer.responses(25)] == [f"c{number}" for number in range(25)]
        assert clock() - began >= 19 / 100
        await peer.close()


async def test_what_was_said_before_the_end_is_heard_however_slowly_it_is_read() -> None:
    async with Gateway(TCP, limits=StreamLimits(messages=Rate(per_second=200, burst=1))) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        for number in range(20):
            peer.send(options(call_id=f"c{number}"))
        await peer.close()
        await until(lambda: gateway.closed)
        assert [event.request.call_id for event in gateway.requests] == [f"c{number}" for number in range(20)]
        assert len(gateway.closed) == 1


async def test_a_stream_that_breaks_behind_many_messages_is_refused_after_them() -> None:
    async with Gateway(TCP, limits=StreamLimits(messages=Rate(per_second=200, burst=1))) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        peer.send(b"".join(options(call_id=f"c{number}") for number in range(10)) + b"\x16\x03\x01 no SIP at all")
        assert [r.call_id for r in await peer.responses(10)] == [f"c{number}" for number in range(10)]
        await peer.rest()
        await until(lambda: gateway.closed)
        await peer.close()


async def test_stop_does_not_wait_for_what_is_still_to_be_heard() -> None:
    async with Gateway(TCP, limits=StreamLimits(messages=Rate(per_second=1, burst=1))) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        for number in range(50):
            peer.send(options(call_id=f"c{number}"))
        await until(lambda: gateway.requests)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < PATIENCE
    assert len(gateway.closed) == 1
    await peer.close()


# --- flows -------------------------------------------------------------------------------------------------------


async def test_a_closed_connection_is_told_once_and_its_transactions_fail() -> None:
    async with Gateway(TCP) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        peer.send(options())
        await peer.response()
        flow = gateway.requests[0].flow
        request = parse_message(options(call_id="ours"), stream=True)
        assert isinstance(request, Request)
        request = request.without_header("Via")
        key = gateway.endpoint.send_request(request, flow)
        await peer.close()
        await until(lambda: gateway.closed)
        assert gateway.closed == [flow]
        assert TransportFailed(key) in gateway.events
        late = gateway.endpoint.send_request(request, flow)
        await until(lambda: TransportFailed(late) in gateway.events)


async def test_flow_numbers_are_not_used_again() -> None:
    async with Gateway("udp:127.0.0.1:0", TCP) as gateway:
        ids = []
        for number in range(3):
            peer = await SocketPeer.connect(gateway.endpoint.addresses[1])
            peer.send(options(call_id=str(number)))
            await peer.response()
            ids.append(gateway.requests[-1].flow.id)
            await peer.close()
        assert len(set(ids)) == 3


# --- connections we open -----------------------------------------------------------------------------------------


class Accepting:
    """A peer that counts connections and keeps what they send."""

    def __init__(self) -> None:
        self.peers: list[SocketPeer] = []

    async def __aenter__(self) -> Accepting:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.address = HostPort(*self._server.sockets[0].getsockname()[:2])
        return self

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.append(SocketPeer(reader, writer))

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for peer in self.peers:
            await peer.close()


async def test_one_connection_serves_all_that_want_the_trunk() -> None:
    async with Accepting() as pbx, Gateway(trunks={"pbx": trunk_at(pbx.address)}) as gateway:
        flows = await asyncio.gather(*(gateway.endpoint.connect("pbx") for _ in range(5)))
        assert len(set(flows)) == 1
        assert flows[0].initiated
        assert (flows[0].transport, flows[0].trunk, flows[0].remote) == ("tcp", "pbx", pbx.address)
        await until(lambda: pbx.peers)
        await pbx.peers[0].close()
        await until(lambda: gateway.closed)
        assert (await gateway.endpoint.connect("pbx")).id != flows[0].id


async def test_requests_come_in_on_the_connection_we_opened() -> None:
    async with (
        Accepting() as pbx,
        Gateway(trunks={"pbx": trunk_at(pbx.address, networks=("127.0.0.1/32",))}) as gateway,
    ):
        flow = await gateway.endpoint.connect("pbx")
        await until(lambda: pbx.peers)
        pbx.peers[0].send(options())
        assert (await pbx.peers[0].response()).status == 200
        assert isinstance(gateway.events[0], RequestReceived)
        assert gateway.events[0].flow == flow


async def test_a_trunk_without_networks_cannot_call_in_on_the_connection_we_opened() -> None:
    async with Accepting() as pbx, Gateway(trunks={"pbx": trunk_at(pbx.address)}) as gateway:
        await gateway.endpoint.connect("pbx")
        await until(lambda: pbx.peers)
        pbx.peers[0].send(options())
        assert (await pbx.peers[0].response()).status == 403
        assert not gateway.events


async def test_a_refused_connection_is_told() -> None:
    async with Accepting() as pbx:
        dead = pbx.address
    async with Gateway(trunks={"pbx": trunk_at(dead)}) as gateway:
        with pytest.raises(TransportError) as caught:
            await gateway.endpoint.connect("pbx")
        assert caught.value.verification == ""


async def test_all_addresses_of_a_name_are_tried_in_the_order_dns_gives() -> None:
    async with Accepting() as pbx, nameserver() as dns:
        dns.says("pbx.example.com", "A", "127.0.0.2", "127.0.0.1")
        trunks = {"pbx": made_trunk(f"sip:pbx.example.com:{pbx.address.port};transport=tcp")}
        async with Gateway(trunks=trunks, nameservers=(dns.address,)) as gateway:
            assert (await gateway.endpoint.connect("pbx")).remote == pbx.address
        assert {kind for _, kind in dns.asked} == {"A", "AAAA"}  # a port was written: nothing else is asked for


async def test_an_unknown_trunk_is_told() -> None:
    async with Gateway() as gateway:
        with pytest.raises(TransportError, match="no trunk"):
            await gateway.endpoint.connect("nobody")


# --- stop --------------------------------------------------------------------------------------------------------


async def test_stop_leaves_no_task_socket_or_timer() -> None:
    gc.collect()
    tasks, files = asyncio.all_tasks(), len(os.listdir("/proc/self/fd"))
    async with Accepting() as pbx:
        gateway = Gateway("udp:127.0.0.1:0", TCP, trunks={"pbx": trunk_at(pbx.address), "in": PBX}, answers=False)
        async with gateway:
            peers = [await SocketPeer.connect(gateway.endpoint.addresses[1]) for _ in range(5)]
            for number, peer in enumerate(peers):
                peer.send(options(call_id=str(number)))
            await until(lambda: len(gateway.requests) == 5)
            await gateway.endpoint.connect("pbx")
        assert len(gateway.closed) == 6
        assert not gateway.endpoint._alarm.is_set
        for peer in peers:
            assert await peer.rest() == b""
            await peer.close()
    await until(lambda: asyncio.all_tasks() == tasks)
    await until(lambda: len(os.listdir("/proc/self/fd")) == files)


async def test_nothing_runs_after_stop() -> None:
    async with Gateway(TCP) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        peer.send(options())
        await peer.response()
    request = parse_message(options(call_id="late"), stream=True)
    assert isinstance(request, Request)
    request = request.without_header("Via")
    gateway.endpoint.send_request(request, gateway.requests[0].flow)
    assert not gateway.endpoint._alarm.is_set
    await peer.close()


async def test_stop_closes_a_connection_that_was_just_accepted() -> None:
    async with Gateway(TCP) as gateway:
        (listener,) = gateway.endpoint._listeners.streams
        ours, theirs = socket.socketpair()
        listener._admit(ours, HostPort("127.0.0.1", 4711))
    assert ours.fileno() == -1
    theirs.close()


async def test_stop_does_not_wait_for_a_peer_that_does_not_read() -> None:
    gateway = Gateway(TCP, answers=False)
    await gateway.endpoint.start(gateway.listen)
    peer = await SocketPeer.connect(gateway.address, limit=1)
    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
    peer.send(options())
    await until(lambda: gateway.requests)
    (channel,) = gateway.endpoint._channels
    while not channel._transport.get_write_buffer_size():  # type: ignore[attr-defined]
        channel.send(bytes(MAX_WRITE_BUFFER // 8))
    async with asyncio.timeout(PATIENCE):
        await gateway.endpoint.stop()
    assert len(gateway.closed) == 1
    await peer.close()


# --- proof -------------------------------------------------------------------------------------------------------

ASKED: dict[str, Any] = {"inbound": {"user": "acme", "password": "opensesame"}, "networks": ("127.0.0.1/32",)}


async def test_a_connection_of_a_trunk_that_must_prove_itself_and_does_not_is_not_kept() -> None:
    trunks = {"pbx": made_trunk("sip:127.0.0.1:9;transport=tcp", **ASKED)}
    async with Gateway(TCP, trunks=trunks, limits=StreamLimits(signed_in=0.2)) as gateway:
        stranger, trunk = [await SocketPeer.connect(gateway.address) for _ in range(2)]
        for number, peer in enumerate((stranger, trunk)):
            peer.send(options(call_id=f"c{number}"))
            assert (await peer.response()).status == 200
        assert gateway.endpoint.signed_in(gateway.requests[1].flow, "pbx")
        assert await stranger.rest() == b""
        trunk.send(options(call_id="later"))
        assert (await trunk.response()).status == 200
        assert gateway.counters[Counter.CONNECTION_TIMEOUT] == 1
        for peer in (stranger, trunk):
            await peer.close()


async def test_where_another_trunk_at_the_address_needs_no_proof_the_connection_may_be_its() -> None:
    trunks = {
        "pbx": made_trunk("sip:127.0.0.1:9;transport=tcp", **ASKED),
        "lab": made_trunk("sip:127.0.0.1:9;transport=udp", networks=("127.0.0.0/24",)),
    }
    async with Gateway(TCP, trunks=trunks, limits=StreamLimits(signed_in=0.05)) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        await until(lambda: gateway.endpoint._channels)
        (channel,) = gateway.endpoint._channels
        channel.check_limits(gateway.endpoint.now() + 1)
        peer.send(options())
        assert (await peer.response()).status == 200
        await peer.close()
