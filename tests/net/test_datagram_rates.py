"""UDP before it is parsed: floods are dropped, living calls are heard."""

from __future__ import annotations

import socket
from functools import partial

import pytest

from gateway.base.counters import Counter
from gateway.net.datagram_rates import RATES, DatagramRates, Kind, call_id_of, kind_of
from tests.net.harness import Gateway, options, until
from tests.net.test_datagram import phone, receive, send
from tests.sites import made_trunk

OURS = "198.51.100.1"


def message(method: str, call_id: str = "c1", name: str = "Call-ID") -> bytes:
    data = options(call_id=call_id).replace(b"OPTIONS", method.encode())
    return data.replace(b"Call-ID:", name.encode() + b":")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (message("INVITE"), Kind.CALL),
        (b"\r\n\r\n" + message("INVITE"), Kind.CALL),
        (message("invite"), Kind.CALL),
        (message("BYE"), Kind.END),
        (message("ACK"), Kind.END),
        (message("CANCEL"), Kind.END),
        (message("OPTIONS"), Kind.OTHER),
        (message("INVITED"), Kind.OTHER),
        (b"SIP/2.0 200 OK\r\n", Kind.RESPONSE),
        (b"", Kind.OTHER),
        (bytes(range(256)), Kind.OTHER),
    ],
)
def test_the_first_word_tells_what_a_datagram_wants(data: bytes, kind: Kind) -> None:
    assert kind_of(data) is kind


@pytest.mark.parametrize("name", ["Call-ID", "call-id", "CALL-ID ", "i", "I\t"])
def test_the_call_id_is_found_in_every_spelling(name: str) -> None:
    assert call_id_of(message("BYE", "a@b", name)) == "a@b"


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\xff" * 5000, message("BYE", name="X"), b"x\r\n\r\ni: in the body"])
def test_no_octets_without_a_call_id_have_one(data: bytes) -> None:
    assert call_id_of(data) == ""


@pytest.mark.parametrize("kind", ["INVITE", "BYE", "OPTIONS", "SIP/2.0"])
def test_a_flood_of_one_kind_leaves_the_others_and_other_sources_their_rates(kind: str) -> None:
    rates = DatagramRates(lambda _call_id: False)
    limit = RATES[kind_of(kind.encode())]
    passed = sum(rates.admits(message(kind, f"c{n}"), OURS, n / 1000) for n in range(10_000))
    assert passed <= limit.burst + 10 * limit.per_second + 1
    for method in {"INVITE", "BYE", "OPTIONS", "SIP/2.0"} - {kind}:
        assert rates.admits(message(method), OURS, 10.0)
    assert rates.admits(message(kind), "198.51.100.2", 10.0)


@pytest.mark.parametrize("method", ["BYE", "ACK", "CANCEL", "INVITE", "SIP/2.0", "UPDATE"])
def test_what_belongs_to_a_living_call_is_never_refused(method: str) -> None:
    rates = DatagramRates(lambda call_id: call_id == "living")
    for number in range(5000):
        rates.admits(message(method, f"c{number}"), OURS, 0.0)
    assert not rates.admits(message(method, "dead"), OURS, 0.0)
    assert all(rates.admits(message(method, "living"), OURS, 0.0) for _ in range(5000))


@pytest.mark.asyncio
async def test_beyond_its_rate_a_source_is_dropped_unread_and_counted_and_its_living_call_heard() -> None:
    trunks = {"pbx": made_trunk("sip:127.0.0.1:9", networks=("127.0.0.1/32",))}
    async with Gateway("udp:127.0.0.1:0", trunks=trunks) as gateway:
        gateway.endpoint.is_living = lambda call_id: call_id == "living"
        opened: list[socket.socket] = []
        peer = phone(opened)
        flood = RATES[Kind.OTHER].burst * 3
        for number in range(flood):
            send(peer, b"OPTIONS nonsense that no parser likes\r\ni: %d\r\n\r\n" % number, gateway.address)
            if number % 50 == 0:  # let the socket be emptied
                await until(partial(_has_seen, gateway, number - 40))
        await until(lambda: gateway.counters[Counter.SIP_TOO_FAST] > 0)
        via = f"127.0.0.1:{peer.getsockname()[1]};rport"
        send(peer, options(call_id="living", transport="UDP", via=via), gateway.address)
        assert (await receive(peer)).call_id == "living"
        assert gateway.counters[Counter.SIP_MALFORMED] < flood / 2
        peer.close()


def _has_seen(gateway: Gateway, count: int) -> bool:
    return gateway.counters[Counter.SIP_TOO_FAST] + gateway.counters[Counter.SIP_MALFORMED] >= count
