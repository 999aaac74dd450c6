"""Several places of one trunk: which is tried when, what is remembered of them, and what is never tried instead."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.base.counters import Counter
from gateway.base.errors import NoHopError, TransportError
from gateway.base.values import HostPort
from gateway.config import schema
from gateway.sip.events import RequestTimeout, ResponseReceived
from gateway.sip.flow import Flow
from gateway.sip.message import Headers, Request, create_response, parse_message
from gateway.trunks import dns as dns_module
from gateway.trunks.model import Trunk
from gateway.trunks.target import Spot, TrunkTarget
from tests.certificates import dns as dns_names
from tests.certificates import make_certificate
from tests.net.harness import Gateway, until
from tests.net.test_reconnect import tcp_peer
from tests.net.test_tls_connection import AUTHORITY, tls_peer
from tests.rig.nameserver import nameserver
from tests.sites import made_trunk

pytestmark = pytest.mark.asyncio
UDP = "udp:127.0.0.1:0"
NOBODY = HostPort("127.0.0.1", 9)


def several(*targets: str | dict[str, object], **settings: Any) -> Trunk:
    """A trunk with these targets."""
    return made_trunk("", targets=targets, **settings)


def first_to_last(*targets: str) -> Trunk:
    """Targets that are tried in this order."""
    return several(*({"target": target, "priority": number} for number, target in enumerate(targets)))


def spot(flow: Flow) -> Spot:
    return Spot(flow.transport, flow.remote)


async def test_when_the_first_place_is_dead_the_next_is_connected_to_and_the_dead_one_is_not_tried_again_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with tcp_peer() as peer:
        pbx = first_to_last(f"sip:{NOBODY};transport=tcp", f"sip:{peer.address};transport=tcp")
        async with Gateway(trunks={"pbx": pbx}) as gateway:
            for _ in range(5):
                assert (await gateway.endpoint.connect("pbx")).remote == peer.address
            assert gateway.counters[Counter.TRUNK_PLACE_DOWN] == 1
    downs = [r.getMessage() for r in caplog.records if "state=up->down" in r.getMessage()]
    assert len(downs) == 1
    assert downs[0].startswith(f"trunk=pbx place=tcp:{NOBODY} ")


async def test_a_caller_that_was_sent_somewhere_in_vain_is_given_the_next_place_until_none_is_left() -> None:
    targets = [f"sip:127.0.0.{n}:5060" for n in (1, 2, 3)]
    async with Gateway(UDP, trunks={"pbx": first_to_last(*targets)}) as gateway:
        tried: list[Spot] = []
        for target in targets:
            flow = await gateway.endpoint.connect("pbx", tried)
            assert f"sip:{flow.remote}" == target
            tried.append(spot(flow))
        with pytest.raises(NoHopError):
            await gateway.endpoint.connect("pbx", tried)


async def test_each_place_has_one_connection_whoever_asks_for_it() -> None:
    async with tcp_peer() as one, tcp_peer() as two:
        pbx = first_to_last(f"sip:{one.address};transport=tcp", f"sip:{two.address};transport=tcp")
        async with Gateway(trunks={"pbx": pbx}) as gateway:
            first = await asyncio.gather(*(gateway.endpoint.connect("pbx") for _ in range(20)))
            assert len({flow.id for flow in first}) == 1
            second = await gateway.endpoint.connect("pbx", [spot(first[0])])
            assert second.remote == two.address
            assert await gateway.endpoint.connect("pbx") == first[0]
            await until(lambda: one.peers and two.peers)
            assert (len(one.peers), len(two.peers)) == (1, 1)


async def test_a_slow_place_holds_up_nobody_who_goes_to_another() -> None:
    release = asyncio.Event()

    async def mute(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    slow = HostPort(*server.sockets[0].getsockname()[:2])
    async with server:
        pbx = first_to_last(f"sip:{slow};transport=tls", f"sip:{NOBODY};transport=tls")
        async with Gateway(trunks={"pbx": pbx}) as gateway:
            waiting = asyncio.create_task(gateway.endpoint.connect("pbx"))
            await until(lambda: gateway.endpoint._flows.dialer._opening)
            with pytest.raises(TransportError, match=re.escape(str(NOBODY))):  # told at once, not behind the slow one
                await gateway.endpoint.connect("pbx", [Spot("tls", slow)])
            assert not waiting.done()
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        release.set()


async def test_weights_spread_calls_over_the_places() -> None:
    pbx = several(
        {"target": "sip:127.0.0.1:5060", "weight": 3},
        {"target": "sip:127.0.0.2:5060", "weight": 1},
        {"target": "sip:127.0.0.3:5060", "priority": 1},
    )
    async with Gateway(UDP, trunks={"pbx": pbx}) as gateway:
        hosts = [(await gateway.endpoint.connect("pbx")).remote.host for _ in range(400)]
    assert set(hosts) == {"127.0.0.1", "127.0.0.2"}
    assert 240 < hosts.count("127.0.0.1") < 360


async def test_the_name_of_one_target_proves_nothing_at_another(tmp_path: Path) -> None:
    """Two targets of one trunk: the peer of the second cannot stand in for the first by the second's certificate."""
    second = make_certificate("b", alternative_names=dns_names("b.example"), issuer=AUTHORITY)
    async with tls_peer(tmp_path, second) as peer, nameserver() as dns:
        dns.says("a.example", "A", "127.0.0.1")
        port, tls = peer.address.port, {"ca": AUTHORITY.write(tmp_path, "ca")[0]}
        pbx = several(f"sip:a.example:{port};transport=tls", {"target": "sips:b.example:9", "priority": 1}, tls=tls)
        async with Gateway(trunks={"pbx": pbx}, nameservers=(dns.address,)) as gateway:
            with pytest.raises(TransportError) as refused:
                await gateway.endpoint.connect("pbx")
            assert refused.value.verification == "the certificate is for another name"


async def test_over_tls_the_configured_domain_is_proved_and_not_the_server_dns_names(tmp_path: Path) -> None:
    for name, proves in (("carrier.example", True), ("edge.example", False)):
        (tmp_path / name).mkdir()
        credential = make_certificate("x", alternative_names=dns_names(name), issuer=AUTHORITY)
        async with tls_peer(tmp_path / name, credential) as peer, nameserver() as dns:
            dns.says("_sips._tcp.carrier.example", "SRV", f"0 0 {peer.address.port} edge.example.")
            dns.says("edge.example", "A", "127.0.0.1")
            pbx = made_trunk("sip:carrier.example;transport=tls", tls={"ca": AUTHORITY.write(tmp_path, "ca")[0]})
            async with Gateway(trunks={"pbx": pbx}, nameservers=(dns.address,)) as gateway:
                if proves:
                    flow = await gateway.endpoint.connect("pbx")
                    assert flow.verified_name == "carrier.example"
                else:
                    with pytest.raises(TransportError) as refused:
                        await gateway.endpoint.connect("pbx")
                    assert refused.value.verification


async def test_a_target_that_names_tls_keeps_the_others_of_its_trunk_from_the_clear() -> None:
    """Neither says how it is reached: one domain prefers TLS, which somebody keeps us from; the other has UDP."""
    async with nameserver() as dns:
        dns.says("a.example", "NAPTR", '0 0 "s" "SIPS+D2T" "" _sips._tcp.a.example.')
        dns.says("_sips._tcp.a.example", "SRV", "0 0 9 edge.example.").says("edge.example", "A", "127.0.0.1")
        dns.says("b.example", "A", "127.0.0.1")
        pbx = several("sip:b.example", {"target": "sip:a.example", "priority": 1})
        async with Gateway(UDP, trunks={"pbx": pbx}, nameservers=(dns.address,)) as gateway:
            for _ in range(2):
                with pytest.raises(TransportError):
                    await gateway.endpoint.connect("pbx")


async def test_after_dns_has_died_calls_go_where_the_trunk_was_last_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_module, "KEPT_PATIENCE", 0.05)
    monkeypatch.setattr(dns_module, "DNS_SECONDS", 0.1)
    monkeypatch.setattr("gateway.trunks.dns_cache.MIN_TTL", 0.01)
    caplog.set_level(logging.WARNING)
    async with nameserver() as dns, tcp_peer() as peer:
        dns.says("pbx.example", "A", "127.0.0.1", ttl=0)
        pbx = made_trunk(f"sip:pbx.example:{peer.address.port};transport=tcp")
        async with Gateway(trunks={"pbx": pbx}, nameservers=(dns.address,)) as gateway:
            await gateway.endpoint.connect("pbx")
            dns.silent.add("*")
            asked = len(dns.asked)
            await asyncio.sleep(0.02)
            assert (await gateway.endpoint.connect("pbx")).remote == peer.address
            await until(lambda: len(dns.asked) > asked)
            await until(lambda: [r for r in caplog.records if "type=A failed" in r.getMessage()])
            for _ in range(3):
                await gateway.endpoint.connect("pbx")
    told = [r.getMessage() for r in caplog.records if "type=A " in r.getMessage()]
    assert told == ["dns name=pbx.example type=A failed=no answer in time: what it said last is kept"]


async def test_a_target_whose_name_is_unknown_holds_up_no_other() -> None:
    async with nameserver() as dns:
        dns.servfail.add("dead.example")
        pbx = first_to_last("sip:dead.example:5060", "sip:127.0.0.1:5070")
        async with Gateway(UDP, trunks={"pbx": pbx}, nameservers=(dns.address,)) as gateway:
            assert (await gateway.endpoint.connect("pbx")).remote == HostPort("127.0.0.1", 5070)


def options_to(flow: Flow) -> Request:
    lines = [("From", "<sip:a@x>;tag=1"), ("To", "<sip:b@x>"), ("Call-ID", f"c{flow.id}"), ("CSeq", "2 OPTIONS")]
    return Request("OPTIONS", "sip:pbx@127.0.0.1", Headers(lines))


class UdpPlace:
    """One place of a trunk over UDP, that answers as it is told."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(("127.0.0.1", 0))
        self.address = HostPort(*self.socket.getsockname())

    async def answers(self, status: int, *headers: tuple[str, str]) -> None:
        data, source = await asyncio.get_running_loop().sock_recvfrom(self.socket, 65536)
        request = parse_message(data, stream=False)
        assert isinstance(request, Request)
        self.socket.sendto(bytes(create_response(request, status, to_tag="x", headers=headers)), source)


@pytest.fixture
def two() -> Iterator[tuple[UdpPlace, UdpPlace]]:
    made = UdpPlace(), UdpPlace()
    yield made
    for place in made:
        place.socket.close()


async def test_a_place_that_says_503_with_retry_after_gets_nothing_more_but_calls_for_help(
    two: tuple[UdpPlace, UdpPlace],
) -> None:
    first, second = two
    pbx = first_to_last(f"sip:{first.address}", f"sip:{second.address}")
    async with Gateway(UDP, trunks={"pbx": pbx}) as gateway:
        endpoint = gateway.endpoint
        for number, place in enumerate(two, start=1):
            flow = await endpoint.connect("pbx")
            assert flow.remote == place.address
            endpoint.send_request(options_to(flow), flow)
            await place.answers(503, ("Retry-After", "30"))
            await until(lambda count=number: len(gateway.events) == count)  # type: ignore[misc]
        with pytest.raises(NoHopError) as refused:
            await endpoint.connect("pbx")
        assert refused.value.shut
        assert (await endpoint.connect("pbx", urgent=True)).remote == first.address


async def test_a_503_without_retry_after_is_an_answer_like_any_other(two: tuple[UdpPlace, UdpPlace]) -> None:
    pbx = first_to_last(*(f"sip:{place.address}" for place in two))
    async with Gateway(UDP, trunks={"pbx": pbx}) as gateway:
        flow = await gateway.endpoint.connect("pbx")
        gateway.endpoint.send_request(options_to(flow), flow)
        await two[0].answers(503)
        await until(lambda: gateway.events)
        assert (await gateway.endpoint.connect("pbx")).remote == two[0].address


async def test_a_request_nobody_answers_makes_its_place_the_last_and_one_answer_makes_it_the_first_again(
    two: tuple[UdpPlace, UdpPlace],
) -> None:
    first, second = two
    pbx = first_to_last(f"sip:{first.address}", f"sip:{second.address}")
    async with Gateway(UDP, trunks={"pbx": pbx}) as gateway:
        endpoint = gateway.endpoint
        flow = await endpoint.connect("pbx")
        key = endpoint.send_request(options_to(flow), flow)
        endpoint._flows.note(RequestTimeout(key))
        assert (await endpoint.connect("pbx")).remote == second.address
        assert endpoint.reached(flow, ()).is_doubtful
        again = endpoint.send_request(options_to(flow), flow)
        endpoint._flows.note(ResponseReceived(again, create_response(heard(options_to(flow)), 486, to_tag="x"), flow))
        assert (await endpoint.connect("pbx")).remote == first.address
        assert endpoint._flows._asked == {}


async def test_administrators_see_each_place_and_how_it_fares(two: tuple[UdpPlace, UdpPlace]) -> None:
    first, second = two
    pbx = first_to_last(f"sip:{first.address}", f"sip:{second.address}")
    async with Gateway(UDP, trunks={"pbx": pbx}) as gateway:
        endpoint = gateway.endpoint
        assert endpoint.places_of("pbx") == []
        flow = await endpoint.connect("pbx")
        assert [(spot.address, word) for spot, _, word in endpoint.places_of("pbx")] == [
            (first.address, "up"),
            (second.address, "up"),
        ]
        key = endpoint.send_request(options_to(flow), flow)
        endpoint._flows.note(RequestTimeout(key))
        assert {spot.address: word for spot, _, word in endpoint.places_of("pbx")}[first.address] == "doubtful"
        assert endpoint.places_of("other") == []


def heard(request: Request) -> Request:
    """As a peer gets it."""
    return request.with_header("Via", "SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx")


async def test_what_is_left_to_try_is_known_beforehand(two: tuple[UdpPlace, UdpPlace]) -> None:
    first, second = two
    pbx = first_to_last(f"sip:{first.address}", f"sip:{second.address}")
    async with Gateway(UDP, trunks={"pbx": pbx}) as gateway:
        flow = await gateway.endpoint.connect("pbx")
        reached = gateway.endpoint.reached(flow, ())
        assert (reached.more, reached.is_doubtful) == (True, False)
        assert reached.found_for == TrunkTarget.parse(f"sip:{first.address}")
        assert not gateway.endpoint.reached(flow, [Spot("udp", second.address)]).more


@pytest.mark.parametrize("changes", [{}, {"target": "sip:a.example", "targets": ["sip:b.example"]}])
async def test_a_trunk_has_either_target_or_targets(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either `target` or `targets`"):
        schema.Trunk.model_validate(changes)


async def test_every_place_of_a_trunk_is_heard_however_many_it_has() -> None:
    targets = [f"sip:127.0.1.{number}:5060" for number in range(16)]
    async with nameserver() as dns:
        dns.says("many.example", "A", *(f"127.0.3.{number}" for number in range(12)))
        pbx = first_to_last(*targets[:15], "sip:many.example:5060")
        async with Gateway(UDP, trunks={"pbx": pbx}, nameservers=(dns.address,)) as gateway:
            await gateway.endpoint.connect("pbx")
            hosts = {f"127.0.1.{number}" for number in range(15)} | {f"127.0.3.{number}" for number in range(12)}
            assert all(gateway.endpoint.admit(host, "udp") for host in hosts)
