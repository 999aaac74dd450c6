"""From a target to places, by a nameserver of our own (RFC 3263)."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from gateway.trunks import dns as dns_module
from gateway.trunks.dns import DnsClient, DnsError
from gateway.trunks.hosts import HostsFile
from gateway.trunks.resolve import MAX_HOPS, Resolver
from gateway.trunks.target import TrunkTarget, TrunkTransport
from tests.rig.nameserver import NameServer, nameserver

pytestmark = pytest.mark.asyncio
ALL: tuple[TrunkTransport, ...] = ("udp", "tcp", "tls")
DOMAIN = "carrier.example"


async def places(
    dns: NameServer, target: str, usable: Collection[TrunkTransport] = ALL, hosts: HostsFile | None = None
) -> list[str]:
    resolver = Resolver(DnsClient((dns.address,)), lambda _: 0, hosts or HostsFile(Path("/nowhere")))
    return [str(hop) for hop in await resolver.hops(TrunkTarget.parse(target), usable)]


def carrier(dns: NameServer) -> NameServer:
    """A domain with everything."""
    dns.says(
        DOMAIN,
        "NAPTR",
        f'10 50 "s" "SIPS+D2T" "" _sips._tcp.{DOMAIN}.',
        f'20 50 "s" "SIP+D2T" "" _sip._tcp.{DOMAIN}.',
        f'30 50 "s" "SIP+D2U" "" _sip._udp.{DOMAIN}.',
    )
    dns.says(f"_sips._tcp.{DOMAIN}", "SRV", "20 0 5071 edge2.example.", "10 0 5071 edge1.example.")
    dns.says(f"_sip._tcp.{DOMAIN}", "SRV", "0 0 5080 edge1.example.")
    dns.says(f"_sip._udp.{DOMAIN}", "SRV", "0 0 5090 edge1.example.")
    dns.says("edge1.example", "A", "192.0.2.1").says("edge2.example", "A", "192.0.2.2")
    return dns.says(DOMAIN, "A", "192.0.2.80")


async def test_101_a_domain_with_srv_records_and_no_address_is_reached_first_edge_first() -> None:
    """ "carrier.example has no A record": what a getaddrinfo of the target makes of most carriers."""
    async with nameserver() as dns:
        carrier(dns).records.pop((DOMAIN, "A"))
        found = await places(dns, f"sip:{DOMAIN};transport=tls")
        assert found == ["tls:192.0.2.1:5071", "tls:192.0.2.2:5071"]
        assert dns.count(DOMAIN, "NAPTR") == 0  # a transport was written: DNS has no say in it


async def test_without_a_transport_the_domain_says_how_it_is_reached_and_tls_is_never_given_up_for_less() -> None:
    async with nameserver() as dns:
        found = await places(carrier(dns), f"sip:{DOMAIN}")
        assert found == ["tls:192.0.2.1:5071", "tls:192.0.2.2:5071"]
        dns.servfail.add(f"_sips._tcp.{DOMAIN}")
        with pytest.raises(DnsError):
            await places(dns, f"sip:{DOMAIN}")
        dns.servfail.clear()
        dns.says(f"_sips._tcp.{DOMAIN}", "SRV")
        assert await places(dns, f"sip:{DOMAIN}") == []


async def test_where_dns_fails_for_one_of_the_ways_a_domain_names_the_others_serve() -> None:
    async with nameserver() as dns:
        carrier(dns).records[DOMAIN, "NAPTR"].pop(0)
        assert await places(dns, f"sip:{DOMAIN}") == ["tcp:192.0.2.1:5080", "udp:192.0.2.1:5090"]
        dns.servfail.add(f"_sip._tcp.{DOMAIN}")
        assert await places(dns, f"sip:{DOMAIN}") == ["udp:192.0.2.1:5090"]
        dns.servfail.add(f"_sip._udp.{DOMAIN}")
        with pytest.raises(DnsError):
            await places(dns, f"sip:{DOMAIN}")


async def test_a_sips_target_is_reached_over_tls_whatever_dns_names() -> None:
    async with nameserver() as dns:
        carrier(dns)
        dns.says(DOMAIN, "NAPTR", f'10 50 "s" "SIP+D2U" "" _sip._udp.{DOMAIN}.')
        assert {place[:4] for place in await places(dns, f"sips:{DOMAIN}")} == {"tls:"}
        for key in list(dns.records):
            if key[1] in ("SRV", "NAPTR"):
                del dns.records[key]
        assert await places(dns, f"sips:{DOMAIN}") == ["tls:192.0.2.80:5061"]


@pytest.mark.parametrize("target", [f"sip:{DOMAIN}:5070", f"sip:{DOMAIN}:5070;transport=udp"])
async def test_with_a_port_the_addresses_of_the_host_are_asked_for_and_nothing_else(target: str) -> None:
    async with nameserver() as dns:
        assert await places(carrier(dns), target) == ["udp:192.0.2.80:5070"]
        assert {kind for _, kind in dns.asked} == {"A", "AAAA"}


async def test_an_address_is_where_it_is() -> None:
    async with nameserver() as dns:
        assert await places(dns, "sip:192.0.2.9;transport=tcp") == ["tcp:192.0.2.9:5060"]
        assert await places(dns, "sip:[2001:db8::9]") == ["udp:[2001:db8::9]:5060"]
        assert dns.asked == []


async def test_without_naptr_each_transport_that_can_be_used_is_asked_for_and_then_the_host() -> None:
    async with nameserver() as dns:
        carrier(dns).records.pop((DOMAIN, "NAPTR"))
        assert (await places(dns, f"sip:{DOMAIN}"))[:2] == ["udp:192.0.2.1:5090", "tcp:192.0.2.1:5080"]
        assert await places(dns, f"sip:{DOMAIN}", ["tcp"]) == ["tcp:192.0.2.1:5080"]
        dns.records.pop((f"_sip._udp.{DOMAIN}", "SRV"))
        dns.records.pop((f"_sip._tcp.{DOMAIN}", "SRV"))
        dns.records.pop((f"_sips._tcp.{DOMAIN}", "SRV"))
        assert await places(dns, f"sip:{DOMAIN}") == ["udp:192.0.2.80:5060"]


async def test_a_domain_that_says_there_is_no_such_service_is_not_called_at_its_web_server() -> None:
    async with nameserver() as dns:
        dns.says(f"_sip._udp.{DOMAIN}", "SRV", "0 0 0 .").says(DOMAIN, "A", "192.0.2.80")
        assert await places(dns, f"sip:{DOMAIN};transport=udp") == []


async def test_where_dns_knows_no_naptr_or_srv_at_all_a_trunk_is_found_as_before() -> None:
    """A router that answers what it does not know with an error: only the addresses are left to ask for."""
    async with nameserver() as dns:
        dns.says(DOMAIN, "A", "192.0.2.80").servfail.update({"NAPTR", "SRV", "AAAA"})
        assert await places(dns, f"sip:{DOMAIN}") == ["udp:192.0.2.80:5060"]
        assert await places(dns, f"sip:{DOMAIN};transport=tls") == ["tls:192.0.2.80:5061"]


async def test_a_server_whose_name_leads_nowhere_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_module, "DNS_SECONDS", 0.2)
    async with nameserver() as dns:
        carrier(dns).silent.add("edge1.example")
        assert await places(dns, f"sip:{DOMAIN};transport=tls") == ["tls:192.0.2.2:5071"]


async def test_both_families_are_tried_in_turn() -> None:
    async with nameserver() as dns:
        dns.says(DOMAIN, "A", "192.0.2.1", "192.0.2.2").says(DOMAIN, "AAAA", "2001:db8::1")
        found = await places(dns, f"sip:{DOMAIN}:5060;transport=tcp")
        assert found[0] == "tcp:[2001:db8::1]:5060"
        assert set(found[1:]) == {"tcp:192.0.2.1:5060", "tcp:192.0.2.2:5060"}


async def test_a_name_of_the_hosts_file_is_where_the_administrator_says(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text(f"10.0.0.5 {DOMAIN} pbx\n")
    async with nameserver() as dns:
        hosts = HostsFile(tmp_path / "hosts")
        assert await places(carrier(dns), f"sip:{DOMAIN}", hosts=hosts) == ["udp:10.0.0.5:5060"]
        assert await places(dns, "sip:PBX;transport=tls", hosts=hosts) == ["tls:10.0.0.5:5061"]
        assert dns.asked == []


async def test_a_domain_cannot_make_us_try_places_without_end() -> None:
    async with nameserver() as dns:
        servers = [f"0 1 5060 s{number}.example." for number in range(40)]
        dns.says(f"_sip._tcp.{DOMAIN}", "SRV", *servers)
        for number in range(40):
            dns.says(f"s{number}.example", "A", *(f"192.0.2.{n}" for n in range(40)))
        assert len(await places(dns, f"sip:{DOMAIN};transport=tcp")) == MAX_HOPS
