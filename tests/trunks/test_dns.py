"""Questions to a nameserver of our own: what is asked, how often, and what serves when nothing comes."""

from __future__ import annotations

import asyncio
import socket

import dns.name as dns_name
import pytest

from gateway.base.values import HostPort
from gateway.trunks import dns as module
from gateway.trunks.dns import DnsClient, DnsError
from gateway.trunks.dns_cache import FAILURE_SECONDS
from gateway.trunks.selection import Naptr, Srv
from tests.rig.nameserver import NameServer, nameserver

pytestmark = pytest.mark.asyncio
NAME = "pbx.example"


class SetClock:
    """Time as a test sets it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == module.__name__]


def client(dns: NameServer, clock: SetClock) -> DnsClient:
    return DnsClient((dns.address,), clock)


async def test_records_of_each_kind_are_read() -> None:
    async with nameserver() as dns:
        dns.says(NAME, "A", "192.0.2.1", "192.0.2.2").says(NAME, "AAAA", "2001:db8::1")
        dns.says(f"_sip._udp.{NAME}", "SRV", "10 20 5070 Edge.example.")
        dns.says(NAME, "NAPTR", f'10 50 "s" "SIPS+D2T" "" _sips._tcp.{NAME}.')
        asked = client(dns, SetClock())
        assert set(await asked.find(NAME, "A")) == {"192.0.2.1", "192.0.2.2"}
        assert await asked.find(NAME, "AAAA") == ("2001:db8::1",)
        assert await asked.find(f"_sip._udp.{NAME}", "SRV") == (Srv(10, 20, 5070, "edge.example"),)
        assert await asked.find(NAME, "NAPTR") == (Naptr(10, 50, "s", "SIPS+D2T", "", f"_sips._tcp.{NAME}"),)


async def test_a_hundred_calls_at_once_ask_once_even_with_ttl_zero() -> None:
    async with nameserver() as dns:
        clock = SetClock()
        asked = client(dns.says(NAME, "A", "192.0.2.1", ttl=0), clock)
        found = await asyncio.gather(*(asked.find(NAME, "A") for _ in range(100)))
        assert set(found) == {("192.0.2.1",)}
        assert dns.count(NAME, "A") == 1
        clock.now += 1.5
        dns.says(NAME, "A", "192.0.2.7", ttl=0)
        assert await asked.find(NAME, "A") == ("192.0.2.7",)


async def test_that_there_is_no_such_name_is_remembered_as_long_as_its_zone_says() -> None:
    async with nameserver() as dns:
        clock = SetClock()
        asked = client(dns, clock)
        assert await asked.find(NAME, "A") == ()
        clock.now += 29
        assert await asked.find(NAME, "A") == ()
        assert dns.count(NAME, "A") == 1
        clock.now += 2
        dns.says(NAME, "A", "192.0.2.1")
        assert await asked.find(NAME, "A") == ("192.0.2.1",)
        assert await asked.find(NAME, "SRV") == ()  # the name is there, the record is not


@pytest.mark.parametrize("how", ["servfail", "silent"])
async def test_when_dns_fails_the_last_answer_serves_and_that_is_told_once(
    how: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DNS_SECONDS", 0.2)
    monkeypatch.setattr(module, "KEPT_PATIENCE", 5.0)
    async with nameserver() as dns:
        clock = SetClock()
        asked = client(dns.says(NAME, "A", "192.0.2.1", ttl=60), clock)
        await asked.find(NAME, "A")
        getattr(dns, how).add("*")
        for _ in range(3):
            clock.now += FAILURE_SECONDS + 60
            assert await asked.find(NAME, "A") == ("192.0.2.1",)
            assert await asked.find(NAME, "A") == ("192.0.2.1",)
        (words,) = told(caplog)
        assert f"name={NAME} type=A failed=" in words
        assert "what it said last is kept" in words
        getattr(dns, how).clear()
        clock.now += FAILURE_SECONDS
        dns.says(NAME, "A", "192.0.2.2")
        assert await asked.find(NAME, "A") == ("192.0.2.2",)
        assert told(caplog)[1:] == [f"dns name={NAME} type=A answers again"]


async def test_a_call_does_not_wait_long_for_a_slow_answer_when_the_last_one_is_at_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "KEPT_PATIENCE", 0.01)
    async with nameserver() as dns:
        clock = SetClock()
        asked = client(dns.says(NAME, "A", "192.0.2.1", ttl=60), clock)
        await asked.find(NAME, "A")
        clock.now += 61
        dns.delay = 0.1
        dns.says(NAME, "A", "192.0.2.2")
        assert await asked.find(NAME, "A") == ("192.0.2.1",)
        async with asyncio.timeout(5):
            while await asked.find(NAME, "A") != ("192.0.2.2",):  # noqa: ASYNC110 - the question goes on behind
                await asyncio.sleep(0.01)
        assert dns.count(NAME, "A") == 2
        await asked.close()


async def test_without_an_answer_ever_dns_is_told_to_have_failed_and_not_asked_again_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with nameserver() as dns:
        clock = SetClock()
        dns.servfail.add("*")
        asked = client(dns, clock)
        for _ in range(5):
            with pytest.raises(DnsError):
                await asked.find(NAME, "A")
        assert dns.count(NAME, "A") == 1
        assert len(told(caplog)) == 1
        assert "nothing is known of it" in told(caplog)[0]
        clock.now += FAILURE_SECONDS
        dns.servfail.clear()
        dns.says(NAME, "A", "192.0.2.1")
        assert await asked.find(NAME, "A") == ("192.0.2.1",)


async def test_a_dead_nameserver_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DNS_SECONDS", 1.0)
    async with nameserver() as dead, nameserver() as dns:
        dead.silent.add("*")
        dns.says(NAME, "A", "192.0.2.1")
        assert await DnsClient((dead.address, dns.address), SetClock()).find(NAME, "A") == ("192.0.2.1",)


async def test_a_forged_answer_from_another_address_is_not_heard() -> None:
    async with nameserver() as dns:
        dns.says(NAME, "A", "192.0.2.1")
        real = dns._send

        def forged(data: bytes, to: tuple[str, int]) -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.sendto(data.replace(bytes([192, 0, 2, 1]), bytes([192, 0, 2, 66])), to)
            asyncio.get_running_loop().call_later(0.02, real, data, to)

        dns._send = forged  # type: ignore[method-assign]
        assert await client(dns, SetClock()).find(NAME, "A") == ("192.0.2.1",)


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".example", "a\\"])
async def test_what_is_no_name_has_no_address(name: str) -> None:
    assert await DnsClient((HostPort("127.0.0.1", 9),), SetClock()).find(name, "A") == ()


async def test_a_whole_domain_that_is_gone_does_not_become_a_name_below_ours() -> None:
    async with nameserver() as dns:
        asked = client(dns, SetClock())
        resolver = asked._current()
        resolver.search = [dns_name.from_text("corp.example.")]
        dns.says("pbx.example.corp.example", "A", "192.0.2.66").says("pbx.corp.example", "A", "192.0.2.5")
        dns.says("_sip._udp.pbx.example.corp.example", "SRV", "0 0 5060 evil.example.")
        assert await asked.find("pbx.example", "A") == ()
        assert await asked.find("_sip._udp.pbx.example", "SRV") == ()
        assert await asked.find("pbx", "A") == ("192.0.2.5",)


async def test_no_question_is_left_behind_when_the_gateway_stops() -> None:
    async with nameserver() as dns:
        dns.silent.add("*")
        asked = client(dns, SetClock())
        waiting = asyncio.create_task(asked.find(NAME, "A"))
        while not dns.asked:  # noqa: ASYNC110 - what a nameserver heard is a list and no event
            await asyncio.sleep(0)
        await asked.close()
        with pytest.raises((asyncio.CancelledError, DnsError)):
            await waiting
        assert asked._asking == {}
