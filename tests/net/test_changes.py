"""Other trunks are loaded: connections go on for their calls, and prove what is asked of them now."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from gateway.base.values import HostPort
from gateway.net.admission import TrunkSources
from gateway.net.channel import StreamLimits
from gateway.sip.flow import Flow
from gateway.trunks.model import Trunk
from gateway.trunks.table import TrunkTable
from tests.net.harness import Gateway, SocketPeer, options, until
from tests.sites import made_trunk

HERE, ELSEWHERE = {"networks": ["127.0.0.1/32"]}, {"networks": ["192.0.2.0/24"]}
OLD = made_trunk("sip:127.0.0.1", name="old", **HERE)
NEW = made_trunk("sip:127.0.0.1", name="new", **HERE)


def use(gateway: Gateway, *trunks: Trunk, former: tuple[Trunk, ...] = (), limits: StreamLimits | None = None) -> None:
    named = {trunk.name: trunk for trunk in trunks}
    gateway.endpoint.changes.use(named, former, limits or StreamLimits(), ())


def test_a_former_trunk_is_found_by_name_until_another_one_has_it() -> None:
    table = TrunkTable({"pbx": OLD})
    moved = made_trunk("sip:192.0.2.1", name="pbx")
    assert table.use({"new": NEW}, [OLD]) == {"pbx"}
    assert (table["old"], set(table)) == (OLD, {"old", "new"})
    assert table.use({"old": moved}, [OLD]) == {"new"}
    assert table["old"] is moved
    assert table.use({"old": moved}) == frozenset()


def test_only_what_says_where_and_who_a_trunk_is_makes_it_another_one() -> None:
    same = made_trunk("sip:127.0.0.1", name="old", security="legacy", max_calls=3, **ELSEWHERE)
    assert TrunkTable({"old": OLD}).use({"old": same}) == frozenset()
    other = made_trunk("sip:127.0.0.1", name="old", tls={"names": ["pbx.example"]})
    assert TrunkTable({"old": OLD}).use({"old": other}) == {"old"}


def test_the_addresses_of_a_former_trunk_come_last_and_begin_nothing() -> None:
    sources = TrunkSources({"old": OLD})
    sources.learn("old", "192.0.2.7")
    now: Mapping[str, Trunk] = {"new": NEW}
    sources.use(now, [OLD], {"old"})
    assert sources.find("127.0.0.1", "udp") == ("new", "old")
    assert sources.find("192.0.2.7", "udp") == ("old",)
    assert [claim.trunk for claim in sources.claims("127.0.0.1", "tcp")] == ["new", "old"]
    assert sources.find_configured("192.0.2.7", "udp") == ()
    assert not sources.may_call_in(_flow("old"))
    assert sources.may_call_in(_flow("new"))
    sources.use(now, [], ())
    assert sources.find("192.0.2.7", "udp") == ()
    assert sources.find("127.0.0.1", "udp") == ("new",)


def _flow(trunk: str) -> Flow:
    return Flow(1, "udp", HostPort("127.0.0.1", 5060), HostPort("127.0.0.1", 5061), trunk)


@pytest.mark.asyncio
async def test_a_connection_is_whose_it_would_be_now() -> None:
    async with Gateway("tcp:127.0.0.1:0", trunks={"old": OLD}) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        peer.send(options())
        await until(lambda: gateway.requests)
        before = gateway.requests[0].flow
        use(gateway, NEW)
        peer.send(options(call_id="second"))
        await until(lambda: len(gateway.requests) == 2)
        assert (before.trunk, gateway.requests[1].flow.trunk) == ("old", "new")
        assert gateway.requests[1].flow.id == before.id
        peer.writer.close()


@pytest.mark.asyncio
async def test_a_connection_that_is_no_trunks_any_more_begins_nothing_and_goes_when_no_call_needs_it() -> None:
    async with Gateway("tcp:127.0.0.1:0", trunks={"old": OLD}) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        peer.send(options())
        await until(lambda: gateway.requests)
        use(gateway, made_trunk("sip:192.0.2.1", name="old", **ELSEWHERE), former=(OLD,))
        peer.send(options(call_id="second"))
        await until(lambda: gateway.counters.snapshot()["sip_rejected"])
        assert len(gateway.requests) == 1
        changes = gateway.endpoint.changes
        changes.settle([OLD], lambda _flow: True)
        assert (changes.retiring, gateway.closed) == (1, [])
        changes.settle([], lambda _flow: False)
        await until(lambda: gateway.closed)
        changes.settle([], lambda _flow: False)
        assert changes.retiring == 0
        peer.writer.close()


@pytest.mark.asyncio
async def test_shares_of_trunks_count_for_who_comes_then() -> None:
    async with Gateway("tcp:127.0.0.1:0", trunks={"old": OLD}) as gateway:
        first = await SocketPeer.connect(gateway.address)
        first.send(options())
        await until(lambda: gateway.requests)
        use(gateway, OLD, limits=StreamLimits(per_source=1))
        second = await SocketPeer.connect(gateway.address)
        await until(lambda: gateway.counters.snapshot()["connection_refused"])
        first.send(options(call_id="second"))
        await until(lambda: len(gateway.requests) == 2)
        for peer in (first, second):
            peer.writer.close()


@pytest.mark.asyncio
async def test_over_a_connection_to_where_a_trunk_was_nothing_begins_though_its_network_is_the_same() -> None:
    opened: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _reader, writer: opened.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    old = made_trunk(f"sip:127.0.0.1:{port};transport=tcp", name="old", **HERE)
    async with Gateway("tcp:127.0.0.1:0", trunks={"old": old}) as gateway:
        flow = await gateway.endpoint.connect("old")
        await until(lambda: opened)
        use(gateway, made_trunk("sip:127.0.0.1:9;transport=tcp", name="old", **HERE), former=(old,))
        opened[0].write(options())
        await until(lambda: gateway.counters.snapshot()["sip_rejected"])
        assert gateway.requests == []
        assert gateway.endpoint.is_open(flow)
        opened[0].close()
        server.close()
