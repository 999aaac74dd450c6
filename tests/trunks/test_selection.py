"""The order of servers (RFC 3263 4, RFC 2782)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.trunks.selection import (
    Naptr,
    Service,
    Srv,
    guessed_services,
    in_order,
    interleaved,
    named_services,
    servers,
)
from gateway.trunks.target import TargetChoice, TrunkTarget, TrunkTransport
from tests.effort import examples

ALL: tuple[TrunkTransport, ...] = ("udp", "tcp", "tls")
TLS = Naptr(10, 50, "s", "SIPS+D2T", "", "_sips._tcp.example.com")
TCP = Naptr(20, 50, "S", "sip+d2t", "", "_sip._tcp.example.com")
UDP = Naptr(30, 50, "s", "SIP+D2U", "", "_sip._udp.example.com")


def names(records: list[Naptr], usable: Collection[TrunkTransport] = ALL) -> list[str]:
    return [service.transport for service in named_services(records, usable)]


def test_services_are_used_in_the_order_of_the_domain_not_in_that_of_the_answer() -> None:
    later = UDP._replace(order=5)
    assert names([TCP, TLS._replace(order=40), later]) == ["udp", "tcp", "tls"]
    assert names([UDP._replace(order=1, preference=9), TCP._replace(order=1, preference=2)]) == ["tcp", "udp"]


def test_a_domain_that_prefers_tls_is_never_reached_in_the_clear() -> None:
    assert names([UDP, TCP, TLS]) == ["tls"]


def test_a_sips_target_takes_sips_services_only() -> None:
    assert named_services([UDP, TCP, TLS], ["tls"]) == [Service("tls", "_sips._tcp.example.com")]
    assert names([UDP, TCP], ["tls"]) == []


def test_services_of_other_protocols_and_rewriting_ones_are_passed_over() -> None:
    foreign = [
        TCP._replace(service="E2U+sip"),
        TCP._replace(service="SIP+D2S"),
        TCP._replace(flags="u"),
        TCP._replace(regexp="!^.*$!sip:x@evil.example!"),
    ]
    assert names([*foreign, UDP]) == ["udp"]
    assert names([UDP, TCP], ["tcp", "tls"]) == ["tcp"]


def test_a_domain_that_names_no_service_is_asked_for_each_that_can_be_used() -> None:
    assert guessed_services("example.com", ["tcp", "udp"]) == [
        Service("udp", "_sip._udp.example.com"),
        Service("tcp", "_sip._tcp.example.com"),
    ]
    assert guessed_services("example.com", ["tls"]) == [Service("tls", "_sips._tcp.example.com")]


def test_a_service_that_is_not_to_be_had_has_no_server() -> None:
    assert servers([Srv(0, 0, 0, "."), Srv(0, 0, 5060, ""), Srv(0, 0, 0, "a.example")], lambda _: 0) == []


def test_a_weight_is_a_share_of_the_first_places() -> None:
    records = [Srv(0, 60, 5060, "a"), Srv(0, 30, 5060, "b"), Srv(0, 10, 5060, "c"), Srv(1, 100, 5060, "d")]
    draw = random.Random(7).randrange
    first = Counter(servers(records, draw)[0].target for _ in range(6000))
    assert set(first) == {"a", "b", "c"}
    assert 0.55 < first["a"] / 6000 < 0.65
    assert 0.25 < first["b"] / 6000 < 0.35
    assert 0.07 < first["c"] / 6000 < 0.13


def test_without_weights_servers_share_alike_and_one_without_beside_others_gets_next_to_nothing() -> None:
    draw = random.Random(7).randrange
    alike = Counter(servers([Srv(0, 0, 1, "a"), Srv(0, 0, 1, "b")], draw)[0].target for _ in range(2000))
    assert 800 < alike["a"] < 1200
    spare = Counter(servers([Srv(0, 0, 1, "a"), Srv(0, 100, 1, "b")], draw)[0].target for _ in range(2000))
    assert 0 < spare["a"] < 60


SRV = st.builds(Srv, st.integers(0, 3), st.integers(0, 65535), st.just(5060), st.sampled_from("abcdef"))


@settings(max_examples=examples(300), deadline=None)
@given(records=st.lists(SRV, max_size=12), seed=st.integers())
def test_every_server_is_tried_once_and_none_before_one_of_a_lower_priority(records: list[Srv], seed: int) -> None:
    found = servers(records, random.Random(seed).randrange)
    assert Counter(found) == Counter(records)
    assert [one.priority for one in found] == sorted(one.priority for one in records)


@settings(max_examples=examples(300), deadline=None)
@given(
    records=st.lists(
        st.builds(
            Naptr,
            st.integers(0, 3),
            st.integers(0, 3),
            st.sampled_from(["s", "S", "a", ""]),
            st.sampled_from(["SIP+D2U", "SIP+D2T", "SIPS+D2T", "E2U+sip", ""]),
            st.sampled_from(["", "!.*!x!"]),
            st.sampled_from(["a.example", "b.example"]),
        ),
        max_size=8,
    ),
    usable=st.sets(st.sampled_from(ALL)),
)
def test_whatever_a_domain_names_nothing_weaker_follows_tls(records: list[Naptr], usable: set[TrunkTransport]) -> None:
    found = names(records, usable)
    assert set(found) <= usable
    if found and found[0] == "tls":
        assert set(found) == {"tls"}


def test_targets_of_the_configuration_are_chosen_like_servers() -> None:
    target = TrunkTarget.parse("sip:a.example")
    choices = [TargetChoice(target, 1, 1), TargetChoice(target, 0, 0), TargetChoice(target, 0, 5)]
    assert [choice.priority for choice in in_order(choices, lambda _: 0)] == [0, 0, 1]


def test_a_family_that_is_broken_costs_one_try() -> None:
    assert interleaved(["6a", "6b", "6c"], ["4a"]) == ["6a", "4a", "6b", "6c"]
    assert interleaved([], ["4a", "4b"]) == ["4a", "4b"]
