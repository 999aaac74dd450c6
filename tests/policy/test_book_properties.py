"""What holds for every book and call: of rules the first, of floors the strictest; no rule is hidden that is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from types import MappingProxyType
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.codes import Code
from gateway.base.grades import Grade
from gateway.policy.book import PolicyBook
from gateway.policy.facts import Direction, Facts, address_of
from gateway.policy.match import Match
from gateway.policy.model import BUILT_IN, NO_SUITE, EffectivePolicy, Fallback, OfferMode, ProfileRules, at_least
from gateway.policy.rules import Exemption, Floor, Rule
from gateway.policy.times import DAY, Window
from gateway.routing.patterns import Pattern
from tests.effort import examples
from tests.policy.facts import NOON

SUITES = ("AEAD_AES_256_GCM", "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")
ZONES = {"UTC": UTC, "Berlin": ZoneInfo("Europe/Berlin")}
PATTERNS = [Pattern.parse(text) for text in ("+49*", "+4930*", "+4930123", "+491[0-5]X.", "112", "alice", "*")]
NUMBERS = ("+4930123", "+4930124", "+491155", "112", "alice", "+1900")
NETWORKS = [ip_network(text) for text in ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "::/0", "2001:db8::/32")]
SOURCES = ("10.1.2.3", "10.1.9.9", "10.9.9.9", "192.0.2.1", "2001:db8::1", "")
DENIED = (Code.GW_PLAIN_ACCESS, Code.KEY_REUSE, Code.TLS_OLD)


def some(*values: object) -> st.SearchStrategy[frozenset[object] | None]:
    return st.none() | st.frozensets(st.sampled_from(values), min_size=1, max_size=2)


def lists(values: Sequence[object]) -> st.SearchStrategy[tuple[object, ...] | None]:
    return st.none() | st.lists(st.sampled_from(values), min_size=1, max_size=2).map(tuple)


WINDOWS = st.builds(
    lambda days, first, length, place: Window(
        "", days, first * 60, ((first + length) * 60) % DAY or DAY, ZONES[place], place
    ),
    st.frozensets(st.integers(0, 6), min_size=1, max_size=3),
    st.integers(0, 23),
    st.integers(1, 23),
    st.sampled_from(sorted(ZONES)),
)
KEYS = {
    "directions": some(*Direction),
    "trunks": some("pbx", "carrier"),
    "users": some("alice", "bob"),
    "groups": some("sales", "finance"),
    "callers": lists(PATTERNS),
    "dialled": lists(PATTERNS),
    "networks": lists(NETWORKS),
    "transports": some("udp", "wss"),
    "times": st.none() | st.lists(WINDOWS, min_size=1, max_size=2).map(tuple),
    "methods": some("INVITE", "REFER"),
}
PLAIN = st.builds(Match, **KEYS)
MATCHES = st.builds(Match, **KEYS, without=st.none() | PLAIN)
NARROW = st.builds(
    Match, directions=some(*Direction), trunks=some("pbx", "carrier"), groups=some("sales", "finance")
)  # these hit
FACTS = st.builds(
    Facts,
    direction=st.sampled_from(Direction),
    at=st.integers(0, 60 * 24 * 400).map(
        lambda minutes: datetime(2029, 12, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    ),
    trunk=st.sampled_from(["pbx", "carrier", "-"]),
    user=st.sampled_from(["alice", "bob", ""]),
    groups=st.frozensets(st.sampled_from(["sales", "finance"])),
    caller=st.sampled_from(["", *NUMBERS]),
    dialled=st.sampled_from(["", *NUMBERS]),
    source=st.sampled_from(SOURCES).map(address_of),
    transport=st.sampled_from(["udp", "wss"]),
    method=st.sampled_from(["INVITE", "REFER"]),
)
GRADES = st.sampled_from([grade for grade in Grade if grade is not Grade.END_TO_END])
CODES = st.frozensets(st.sampled_from(DENIED), max_size=2)
LISTS = st.lists(st.sampled_from(SUITES), unique=True, max_size=3).map(tuple)
BITS = st.sampled_from([0, 128, 256])
EITHER = NARROW | MATCHES
RULES = st.lists(
    st.builds(Rule, st.uuids().map(str), EITHER, st.sampled_from(sorted(BUILT_IN)), st.sampled_from([0, 0, 403])),
    max_size=4,
)
FLOORS = st.lists(
    st.builds(
        Floor,
        id=st.uuids().map(str),
        match=EITHER,
        require=GRADES,
        prefer=GRADES,
        deny=CODES,
        suites=LISTS,
        min_key_bits=BITS,
        min_tag_bits=BITS,
        srtcp_required=st.booleans(),
    ),
    max_size=4,
)
EXCEPTIONS = st.lists(
    st.builds(
        Exemption,
        id=st.uuids().map(str),
        match=EITHER,
        owner=st.just("it"),
        reason=st.just("due"),
        expires=st.sampled_from([NOON, NOON + timedelta(days=150)]),
        require=GRADES,
        allow=CODES,
    ),
    max_size=3,
)


def book(rules: Sequence[Rule], floors: Sequence[Floor], exceptions: Sequence[Exemption] = ()) -> PolicyBook:
    trunks = MappingProxyType({"pbx": "prefer", "carrier": "legacy"})
    return PolicyBook(trunks=trunks, rules=tuple(rules), floors=tuple(floors), exceptions=tuple(exceptions))


def meets(rules: ProfileRules, floor: Floor) -> bool:
    """Whether nothing of it is looser than the floor."""
    suites = not floor.suites or (bool(rules.suites) and set(rules.suites) <= {*floor.suites, NO_SUITE})
    suites &= SUITES[2] not in rules.suites  # no profile here has it, and a floor brings nothing
    bits = rules.min_key_bits >= floor.min_key_bits and rules.min_tag_bits >= floor.min_tag_bits
    grades = rules.require >= floor.require and rules.prefer >= floor.prefer
    return suites and bits and grades and rules.deny >= floor.deny and rules.srtcp_required >= floor.srtcp_required


@given(RULES, FLOORS, FACTS)
@settings(max_examples=examples(200))
def test_the_first_rule_that_matches_decides_and_no_other(rules: list[Rule], floors: list[Floor], call: Facts) -> None:
    found = book(rules, floors).decide(call)
    first = next((rule for rule in rules if rule.match.fits(call)), None)
    assert found.rule_id == (first.id if first is not None else "")
    assert found.reject == (first.reject if first is not None else 0)
    if first is not None and not first.reject:
        assert found.profile == first.profile


@given(RULES, FLOORS, FACTS)
@settings(max_examples=examples(200))
def test_no_rule_loosens_what_a_floor_asks_for(rules: list[Rule], floors: list[Floor], call: Facts) -> None:
    found = book(rules, floors).decide(call)
    held = [floor for floor in floors if floor.match.fits(call)]
    if not found.reject:
        assert found.floors == tuple(floor.id for floor in held)
        assert all(meets(found.rules, floor) for floor in held)


@given(RULES, FLOORS, FACTS)
@settings(max_examples=examples(200))
def test_what_requires_protection_neither_offers_nor_accepts_anything_without(
    rules: list[Rule], floors: list[Floor], call: Facts
) -> None:
    applied = book(rules, floors).decide(call).rules
    if applied.require > Grade.CLEARTEXT:
        assert (applied.offer, applied.accepts_plain, applied.fallback) == (OfferMode.SAVP_ONLY, False, Fallback.NEVER)
        assert applied.prefer >= applied.require


@given(RULES, FLOORS, EXCEPTIONS, FACTS)
@settings(max_examples=examples(200))
def test_an_exception_lowers_floors_only_and_only_while_it_holds(
    rules: list[Rule], floors: list[Floor], exceptions: list[Exemption], call: Facts
) -> None:
    lowered, bare = book(rules, floors, exceptions).decide(call), book(rules, ()).decide(call)
    full = book(rules, floors).decide(call)
    assert lowered.rules.require >= bare.rules.require
    assert lowered.rules.deny >= bare.rules.deny
    if lowered.exception_id:
        (used,) = (exception for exception in exceptions if exception.id == lowered.exception_id)
        assert used.match.fits(call)
        assert used.holds(call.at)
        assert lowered.rules != full.rules
        assert lowered.rules.require >= min(full.rules.require, used.require)
        assert lowered.rules.deny >= full.rules.deny - used.allow
    else:
        assert lowered == full


@given(RULES, FLOORS, EXCEPTIONS, FACTS)
@settings(max_examples=examples(200))
def test_nothing_blocks_a_call_for_help(
    rules: list[Rule], floors: list[Floor], exceptions: list[Exemption], call: Facts
) -> None:
    found = book(rules, floors, exceptions).decide(replace(call, emergency=True))
    assert (found.reject, found.rules.require, found.rules.deny) == (0, Grade.CLEARTEXT, frozenset())
    assert (found.rules.accepts_plain, found.rules.suites, found.rules.srtcp_required) == (True, (), False)


def is_no_looser(policy: EffectivePolicy, floor: EffectivePolicy) -> bool:
    asked = Floor(
        id="",
        match=Match(),
        require=floor.rules.require,
        prefer=floor.rules.prefer,
        deny=floor.rules.deny,
        suites=floor.rules.suites,
        min_key_bits=floor.rules.min_key_bits,
        min_tag_bits=floor.rules.min_tag_bits,
        srtcp_required=floor.rules.srtcp_required,
    )
    return meets(policy.rules, asked) and (not policy.rules.accepts_plain or floor.rules.accepts_plain)


@given(RULES, FLOORS, EXCEPTIONS, FACTS, FACTS)
@settings(max_examples=examples(200))
def test_a_call_that_moves_on_has_what_it_had_and_what_is_asked_there(
    rules: list[Rule], floors: list[Floor], exceptions: list[Exemption], first: Facts, second: Facts
) -> None:
    found = book(rules, floors, exceptions)
    before, there = found.decide(first), found.decide(second)
    moved = at_least(there, before)
    assert is_no_looser(moved, before)
    assert is_no_looser(moved, there)
    assert moved.trunk == there.trunk


@given(EITHER, EITHER, st.lists(FACTS, min_size=1, max_size=8))
@settings(max_examples=examples(600))
def test_what_covers_another_fits_every_call_that_fits_it(wide: Match, narrow: Match, calls: list[Facts]) -> None:
    if wide.covers(narrow):
        assert all(wide.fits(call) for call in calls if narrow.fits(call))
    if wide.apart(narrow):
        assert not any(wide.fits(call) and narrow.fits(call) for call in calls)


@given(EITHER)
@settings(max_examples=examples(100))
def test_a_match_covers_itself_and_less(match: Match) -> None:
    assert match.covers(match)
    assert Match().covers(match)
    assert match.covers(replace(match, users=frozenset({"carol"}))) == (match.users is None)


@given(WINDOWS, st.integers(0, 7 * DAY - 1))
@settings(max_examples=examples(200))
def test_a_window_holds_the_minutes_of_a_week_it_names(window: Window, minute: int) -> None:
    monday = datetime(2030, 7, 1, tzinfo=window.zone)
    assert window.contains(monday + timedelta(minutes=minute)) == (minute in window.minutes())


@given(PLAIN, PLAIN, st.lists(FACTS, min_size=1, max_size=4))
@settings(max_examples=examples(200))
def test_what_leaves_something_out_covers_less(match: Match, left_out: Match, calls: list[Facts]) -> None:
    less = replace(match, without=left_out)
    assert match.covers(less)
    if less.covers(match):
        assert not any(left_out.fits(call) and match.fits(call) for call in calls)
    assert less.covers(match) == left_out.apart(match)
