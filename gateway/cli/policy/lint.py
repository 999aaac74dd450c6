"""`sip-gateway policy lint`: what is allowed and probably not meant. Mistakes are told by `check` and refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from gateway.base.crypto_suite import BY_NAME, SUITES
from gateway.base.grades import Grade
from gateway.config.schema import PolicyFile
from gateway.policy.book import PolicyBook
from gateway.policy.facts import UNROUTED, Direction
from gateway.policy.match import Match
from gateway.policy.model import NO_SUITE, suites_in_common
from gateway.policy.rules import Exemption, Floor, Rule
from gateway.routing.coverage import together_cover
from gateway.routing.dialplan import Dialplan
from gateway.routing.patterns import Pattern
from gateway.site import Site

SOON = timedelta(days=30)
"""An exception that ends within this is told of, so that nobody is surprised on the day."""

BROWSERS = frozenset({"ws", "wss"})
"""What users of ours call over."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is probably not meant."""

    key: str
    """Where in the policy file, or which trunk."""
    words: str

    def __str__(self) -> str:
        return f"{self.key}: {self.words}"


def lint(site: Site, policy: PolicyFile, now: datetime) -> Iterator[Finding]:
    """Everything that is probably not meant."""
    book = site.policies
    yield from _unreachable_rules(book, site)
    yield from _idle("floors", book.floors, site)
    yield from _idle("exceptions", book.exceptions, site)
    yield from _exceptions(book, now)
    yield from _trunks(book, site)
    yield from _hearsay(book)
    yield from _lists(book)
    yield from _unused(policy, site)


def _unreachable_rules(book: PolicyBook, site: Site) -> Iterator[Finding]:
    """Rules that no call can reach: by what they ask for, or because those before them together have all of it."""
    for index, rule in enumerate(book.rules):
        key = f"rules[{index}] {rule.id}"
        why = never(rule.match, site) or _taken([earlier.match for earlier in book.rules[:index]], rule.match)
        if why:
            yield Finding(key, f"it can never match: {why}")


def _idle(kind: str, entries: Sequence[Floor | Exemption], site: Site) -> Iterator[Finding]:
    for index, entry in enumerate(entries):
        why = never(entry.match, site)
        if why:
            yield Finding(f"{kind}[{index}] {entry.id}", f"it can never match: {why}")


def never(match: Match, site: Site) -> str:
    """Why no call can fit; "" where one may."""
    found = _no_way(match) or _nobody(match, site.dialplan)
    return found or ("its `not` takes everything out" if match.without is not None and _empties(match) else "")


def _no_way(match: Match) -> str:
    """Directions, trunks and transports that go together in no call."""
    internal = match.directions == frozenset({Direction.INTERNAL})
    if internal and match.trunks is not None and UNROUTED not in match.trunks:
        return "a call from browser to browser goes over no trunk"
    inward = match.directions == frozenset({Direction.IN})
    if inward and match.transports is not None and match.transports <= BROWSERS:
        return "trunks call over udp, tcp and tls"
    if internal and match.transports is not None and match.transports.isdisjoint(BROWSERS):
        return "browsers call over ws and wss"
    if inward and match.methods == frozenset({"REFER"}):
        return "a transfer asks for a leg that leads out"
    return ""


def _nobody(match: Match, plan: Dialplan) -> str:
    """Users who are in none of the groups."""
    if match.users is None or match.groups is None:
        return ""
    together = any(not plan.groups_of(user).isdisjoint(match.groups) for user in match.users)
    return "" if together else "none of its users is in one of its groups"


def _empties(match: Match) -> bool:
    return match.without is not None and match.without.covers(replace(match, without=None))


def _taken(earlier: Sequence[Match], match: Match) -> str:
    """Whether rules before this one together have all of its calls, by one key in which they differ."""
    for key, held in _KEYS.items():
        bare = replace(match, **{key: None})
        rest = [wide for wide in earlier if replace(wide, **{key: None}).covers(match) and not wide.covers(bare)]
        values = getattr(match, key)
        if len(rest) > 1 and values is not None and held([getattr(wide, key) for wide in rest], values):
            return "the rules before it together have all of its calls"
    return ""


def _all_names(several: Iterable[frozenset[str] | None], wanted: frozenset[str]) -> bool:
    return wanted <= frozenset().union(*(names for names in several if names is not None))


def _all_numbers(several: Iterable[tuple[Pattern, ...] | None], wanted: tuple[Pattern, ...]) -> bool:
    patterns = [pattern for named in several if named is not None for pattern in named]
    return all(together_cover(patterns, narrow) for narrow in wanted)


_KEYS: dict[str, Callable[..., bool]] = {
    "directions": _all_names,
    "trunks": _all_names,
    "users": _all_names,
    "transports": _all_names,
    "methods": _all_names,
    "dialled": _all_numbers,
    "callers": _all_numbers,
}
"""Keys of which a call has one value, and how values of several rules are put together."""


def _exceptions(book: PolicyBook, now: datetime) -> Iterator[Finding]:
    for index, exception in enumerate(book.exceptions):
        key = f"exceptions[{index}] {exception.id}"
        if not any(_lowers(exception, floor) for floor in book.floors):
            yield Finding(key, "it lowers nothing: no floor for its calls asks for more")
        if exception.expires - now <= SOON:
            yield Finding(
                key, f"it ends in {max(0, (exception.expires - now).days)} days: {exception.owner} answers for it"
            )


def _lowers(exception: Exemption, floor: Floor) -> bool:
    less = exception.require < floor.require or bool(exception.allow & floor.deny)
    return less and not exception.match.apart(floor.match)


def _trunks(book: PolicyBook, site: Site) -> Iterator[Finding]:
    """Trunks whose calls nothing protects."""
    for name in site.trunks:
        own = Match(trunks=frozenset({name}))
        if any(floor.require > Grade.CLEARTEXT and floor.match.covers(own) for floor in book.floors):
            continue
        word = book.standing(name)
        if not word.demands_protection and not _is_ruled(book, own):
            yield Finding(f"trunk {name}", f"nothing protects its calls: {word.profile} lets them be CLEARTEXT")
        for rule in book.rules:
            if _opens(book, rule) and name in (rule.match.trunks or ()):
                yield Finding(
                    f"trunk {name}", f"rule {rule.id} lets its calls be CLEARTEXT, and no floor holds them all"
                )


def _is_ruled(book: PolicyBook, own: Match) -> bool:
    """Whether no call of a trunk falls to its word."""
    return any(rule.match.covers(own) and not _opens(book, rule) for rule in book.rules)


def _opens(book: PolicyBook, rule: Rule) -> bool:
    return not rule.reject and book.profiles[rule.profile].require == Grade.CLEARTEXT


def _hearsay(book: PolicyBook) -> Iterator[Finding]:
    """What is loosened by a number anybody can write."""
    words = (
        "it loosens by `caller`, and what a trunk says of a caller proves nothing: match `trunk`, `source` or `user`"
    )
    for index, rule in enumerate(book.rules):
        if _opens(book, rule) and _believes(rule.match):
            yield Finding(f"rules[{index}] {rule.id}", words)
    for index, exception in enumerate(book.exceptions):
        if _believes(exception.match):
            yield Finding(f"exceptions[{index}] {exception.id}", words)


def _believes(match: Match) -> bool:
    inward = match.directions is None or Direction.IN in match.directions
    return match.callers is not None and inward


def _lists(book: PolicyBook) -> Iterator[Finding]:
    """Floors and profiles between whose suites there is none: every such call is refused."""
    for index, floor in enumerate(book.floors):
        for name, rules in book.profiles.items():
            if suites_in_common(rules.suites, floor.suites) == (NO_SUITE,):
                yield Finding(f"floors[{index}] {floor.id}", f"it has no suite in common with profile {name}")
        listed = [BY_NAME[name] for name in floor.suites] or SUITES
        long = [s for s in listed if s.key_bits >= floor.min_key_bits and s.tag_bits >= floor.min_tag_bits]
        if not long:
            yield Finding(f"floors[{index}] {floor.id}", "no suite has keys and tags as long as it asks for")
        elif not any(suite.dtls_name for suite in long):
            yield Finding(f"floors[{index}] {floor.id}", "no browser knows one of its suites: it refuses them all")


def _unused(policy: PolicyFile, site: Site) -> Iterator[Finding]:
    """Names that nothing uses: often one that is misspelt somewhere else."""
    matches = [entry.match for entries in (policy.rules, policy.floors, policy.exceptions) for entry in entries]
    keys = [found for match in matches for found in (match, match.not_) if found is not None]
    nets = {word for key in keys if key.source is not None for word in key.source.net}
    sets = {
        name for key in keys for numbers in (key.dialled, key.caller) if numbers is not None for name in numbers.set
    }
    suites = {word for profile in policy.profiles.values() for word in profile.media.suites}
    suites |= {word for floor in policy.floors for word in floor.suites}
    profiles = {rule.profile for rule in policy.rules} | {policy.defaults.profile} | set(site.policies.trunks.values())
    for kind, names, used in (
        ("networks", policy.networks, nets),
        ("dial_sets", policy.dial_sets, sets),
        ("suites", policy.suites, suites),
        ("profiles", policy.profiles, profiles),
    ):
        yield from (Finding(f"{kind}.{name}", "nothing uses it") for name in names if name not in used)
