"""Which trunk an address belongs to."""

from __future__ import annotations

import pytest

from gateway.base.profiles import Profile
from gateway.base.signalling import TlsInfo
from gateway.base.values import HostPort
from gateway.net.admission import MAX_LEARNED, Claim, TrunkSources, normal_host
from gateway.sip.flow import Flow
from gateway.trunks.model import ExpectedPeer, Trunk
from tests.sites import made_trunk


def trunk(*networks: str) -> Trunk:
    return made_trunk("sip:pbx.example.com", networks=networks)


SOURCES = {
    "wide": trunk("10.0.0.0/8", "2001:db8::/32"),
    "narrow": trunk("10.1.2.0/24"),
    "host": trunk("10.1.2.3/32", "2001:db8::5/128"),
    "mute": trunk(),
}


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("10.9.9.9", "wide"),
        ("10.1.2.9", "narrow"),
        ("10.1.2.3", "host"),
        ("2001:db8::5", "host"),
        ("2001:db8::6", "wide"),
        ("192.0.2.1", None),
        ("2001:db9::1", None),
        ("not an address", None),
    ],
)
def test_the_most_specific_network_comes_first(host: str, name: str | None) -> None:
    assert next(iter(TrunkSources(SOURCES).find(host, "udp")), None) == name


def test_every_trunk_an_address_fits_is_named() -> None:
    sources = TrunkSources(SOURCES)
    sources.learn("mute", "10.1.2.3")
    assert sources.find("10.1.2.3", "udp") == ("host", "narrow", "wide", "mute")
    assert sources.find("10.1.2.9", "udp") == ("narrow", "wide")


def test_a_resolved_target_is_heard_but_may_not_call_in() -> None:
    sources = TrunkSources(SOURCES)
    sources.learn("mute", "192.0.2.1")
    assert sources.find("192.0.2.1", "udp") == ("mute",)
    assert not sources.may_call_in(came("mute", "192.0.2.1"))
    assert sources.may_call_in(came("host", "10.1.2.3"))
    assert not sources.may_call_in(came("host", "10.1.2.4"))


def came(trunk: str, host: str, name: str = "", *, initiated: bool = False) -> Flow:
    """A message over TLS whose peer proved this name, if any."""
    tls = TlsInfo("TLSv1.3", "", "", "", bool(name), name, "" if name else "the peer sent no certificate")
    return Flow(1, "tls", HostPort("192.0.2.9", 5061), HostPort(host, 5061), trunk, tls, initiated)


def test_a_connection_we_opened_to_a_trunk_that_proved_its_name_may_bring_its_calls() -> None:
    sources = TrunkSources(SOURCES)
    assert sources.may_call_in(came("host", "192.0.2.1", "pbx.example.com", initiated=True))
    assert not sources.may_call_in(came("host", "192.0.2.1", initiated=True))
    assert not sources.may_call_in(came("host", "192.0.2.1", "pbx.example.com"))
    assert not sources.may_call_in(came("mute", "192.0.2.1", "pbx.example.com", initiated=True))


def test_of_trunks_with_one_network_the_transport_of_the_target_decides_then_the_stricter_profile() -> None:
    def at(transport: str, security: Profile) -> Trunk:
        return made_trunk(f"sip:pbx.example.com;transport={transport}", networks=("10.0.0.5/32",), security=security)

    sources = TrunkSources(
        {"old": at("udp", Profile.LEGACY), "plain": at("tls", Profile.PREFER), "pbx": at("tls", Profile.STRICT)}
    )
    assert sources.find("10.0.0.5", "udp") == ("old", "pbx", "plain")
    assert sources.find("10.0.0.5", "tls") == ("pbx", "plain", "old")
    assert sources.find("10.0.0.5", "tcp") == ("pbx", "plain", "old")


def test_each_trunk_comes_with_what_its_certificate_must_show() -> None:
    trunks = {
        "pbx": made_trunk("sip:10.0.0.5;transport=tls", networks=("10.0.0.5/32",), tls={"names": ["a.example"]}),
        "old": made_trunk("sip:b.example;transport=tls", networks=("10.0.0.0/8",), tls={"wildcards": "yes"}),
        "pin": made_trunk("sip:c.example;transport=tls", networks=("10.0.0.0/8",), tls={"pin_sha256": "ab" * 32}),
    }
    claims = TrunkSources(trunks).claims("10.0.0.5", "tls")
    assert claims == (
        Claim("pbx", ExpectedPeer(("a.example",))),
        Claim("old", ExpectedPeer(("b.example",), wildcards=True)),
        Claim("pin", ExpectedPeer(("c.example",), pins=frozenset({"ab" * 32}), is_named=False)),
    )


def test_only_the_latest_addresses_of_a_target_are_remembered() -> None:
    sources = TrunkSources(SOURCES)
    hosts = [f"192.0.2.{n}" for n in range(MAX_LEARNED + 1)]
    for host in hosts:
        sources.learn("mute", host)
    assert sources.find(hosts[0], "udp") == ()
    assert all(sources.find(host, "udp") == ("mute",) for host in hosts[1:])


@pytest.mark.parametrize(
    ("host", "normal"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("pbx.example.com", "pbx.example.com"),
    ],
)
def test_an_address_has_one_spelling(host: str, normal: str) -> None:
    assert normal_host(host) == normal
