"""What is wrong with a policy as a whole: names there are none of, rules nobody reaches, what has expired.

A rule that never matches is a mistake and not a warning: who wrote it counts on it.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable, Iterator
from itertools import chain

from gateway.base.crypto_suite import BY_NAME
from gateway.base.errors import ConfigError
from gateway.base.profiles import Profile
from gateway.config.book import compile_book, compile_match, compile_profile, end_of, profile_of
from gateway.config.document import Document
from gateway.config.schema import GatewayConfig, PolicyFile, PolicyKeys, PolicyNumbers, Trunk
from gateway.config.spelling import dialled_prefix
from gateway.config.yaml import Location, known_part
from gateway.policy.match import Match
from gateway.routing.dialplan import Dialplan

Policy = Document[PolicyFile]

PROFILES = frozenset(map(str, Profile))
KINDS = ("rules", "floors", "exceptions")


def check_policy(
    policy: Policy, config: GatewayConfig, plan: Dialplan | None, now: datetime.datetime
) -> Iterator[ConfigError]:
    """Every mistake of a policy that shows when its parts, the trunks and the dialplan are read together.

    Args:
        plan: with the users where they are known; None: it could not be read, and what it has is not asked for.
        now: the time exceptions must not have expired at.
    """
    named = list(chain(_check_profiles(policy), _check_suites(policy), _check_matches(policy, config, plan)))
    yield from chain(_check_ids(policy), _check_expiry(policy, now), named)
    if not named:  # what comes now reads the names
        yield from _check_shadowed(policy)
        yield from _check_emergency(policy, plan)


def refuses_clear_keys(policy: PolicyFile, name: str, trunk: Trunk) -> bool:
    """Whether every call over a trunk needs TLS: its profile does, and no rule chooses another one."""
    profile = profile_of(trunk, policy)
    own = policy.profiles.get(profile)
    if own is not None:
        needs = compile_profile(profile, own, policy).sdes_needs_verified_tls
    else:
        needs = profile == Profile.STRICT
    return needs and not any(name in (rule.match.trunk or (name,)) for rule in policy.rules)


def _check_ids(policy: Policy) -> Iterator[ConfigError]:
    """Records name each by its id alone."""
    seen: set[str] = set()
    for kind in KINDS:
        for index, entry in enumerate(getattr(policy.model, kind)):
            if entry.id in seen:
                yield policy.error((kind, index, "id"), f"duplicate id {entry.id}", "give each its own id")
            seen.add(entry.id)


def _check_expiry(policy: Policy, now: datetime.datetime) -> Iterator[ConfigError]:
    for index, exception in enumerate(policy.model.exceptions):
        if end_of(exception, policy.model) <= now:
            message = f"the exception expired on {exception.expires}"
            remedy = f"remove it, or have {exception.owner} agree to a later day"
            yield policy.error(("exceptions", index, "expires"), message, remedy)


def _check_profiles(policy: Policy) -> Iterator[ConfigError]:
    model = policy.model
    for name, profile in model.profiles.items():
        where: Location = ("profiles", name)
        if name in PROFILES:
            yield policy.error(where, "this profile is built in", f"give it another name, and `like: {name}`")
        weak = profile.media.fallback in ("retry", "osrtp") or profile.media.offer == ()
        if weak and profile.require not in (None, "CLEARTEXT"):
            key = "offer" if profile.media.offer == () else "fallback"
            message = f"a call that may become plain cannot require {profile.require}"
            yield policy.error((*where, "media", key), message, "write `require: CLEARTEXT`, or take this key out")
    known = {*PROFILES, *model.profiles}
    named: list[tuple[Location, str | None]] = [(("defaults", "profile"), model.defaults.profile)]
    named += [(("rules", index, "profile"), rule.profile) for index, rule in enumerate(model.rules)]
    yield from _missing(policy, named, "profile", known)


def _check_suites(policy: Policy) -> Iterator[ConfigError]:
    model = policy.model
    for name in model.suites:
        if name in BY_NAME:
            yield policy.error(("suites", name), "this is the name of a suite", "give the list another name")
    named: list[tuple[Location, str | None]] = [
        *(
            (("floors", i, "suites", j), word)
            for i, floor in enumerate(model.floors)
            for j, word in enumerate(floor.suites)
        ),
        *(
            (("profiles", n, "media", "suites", j), w)
            for n, p in model.profiles.items()
            for j, w in enumerate(p.media.suites)
        ),
    ]
    yield from _missing(policy, named, "suite or list of suites", (*model.suites, *BY_NAME))


def _check_matches(policy: Policy, config: GatewayConfig, plan: Dialplan | None) -> Iterator[ConfigError]:
    model = policy.model
    for where, keys in _matches(model):
        yield from _missing(policy, _each(where, "trunk", keys.trunk), "trunk", config.trunks)
        yield from _check_networks(policy, where, keys)
        for key, numbers in (("dialled", keys.dialled), ("caller", keys.caller)):
            yield from _missing(
                policy, _each((*where, key), "set", numbers.set if numbers else ()), "dial set", model.dial_sets
            )
            yield from _check_spelling(policy, (*where, key), numbers, plan)
        if plan is not None:
            yield from _missing(
                policy, _each(where, "user_group", keys.user_group), "group in the dialplan", plan.groups
            )
        if plan is not None and plan.users is not None and not plan.others:
            yield from _missing(policy, _each(where, "user", keys.user), "user", plan.users)
    for name, texts in model.dial_sets.items():
        yield from _check_spelling(policy, ("dial_sets", name), PolicyNumbers(numbers=texts), plan)


def _matches(model: PolicyFile) -> Iterator[tuple[Location, PolicyKeys]]:
    for kind in KINDS:
        for index, entry in enumerate(getattr(model, kind)):
            yield (kind, index, "match"), entry.match
            if entry.match.not_ is not None:
                yield (kind, index, "match", "not"), entry.match.not_


def _check_networks(policy: Policy, where: Location, keys: PolicyKeys) -> Iterator[ConfigError]:
    for index, word in enumerate(keys.source.net if keys.source is not None else ()):
        if word not in policy.model.networks and not _is_network(word):
            remedy = f"networks of this file: {', '.join(policy.model.networks) or 'none'}"
            here, _ = known_part(policy.root, (*where, "source", "net", index))
            yield policy.error(here, f"there is no network {word}", remedy)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _check_spelling(
    policy: Policy, where: Location, numbers: PolicyNumbers | None, plan: Dialplan | None
) -> Iterator[ConfigError]:
    """Numbers that are read as others before they are compared."""
    if numbers is None or plan is None or not plan.home.country:
        return
    for text in numbers.numbers:
        prefix = dialled_prefix(text, plan.home)
        if prefix and not plan.is_emergency(text):
            message = f"no number begins with {prefix} here: with `country` it is +E.164 before it is compared"
            yield policy.error(where, message, f"write it with +, for example +{plan.home.country}")


def _each(where: Location, key: str, names: Iterable[str]) -> list[tuple[Location, str | None]]:
    return [((*where, key, index), name) for index, name in enumerate(names)]


def _missing(
    policy: Policy, named: Iterable[tuple[Location, str | None]], what: str, known: Iterable[str]
) -> Iterator[ConfigError]:
    names = set(known)
    for where, name in named:
        if name is not None and name not in names:
            here, _ = known_part(policy.root, where)  # one value where a list may stand has no number
            yield policy.error(here, f"there is no {what} {name}", f"known: {', '.join(sorted(names)) or 'none'}")


def _check_shadowed(policy: Policy) -> Iterator[ConfigError]:
    rules = [(rule, compile_match(rule.match, policy.model)) for rule in policy.model.rules]
    for index, (_, match) in enumerate(rules):
        first = next((earlier.id for earlier, wide in rules[:index] if wide.covers(match)), None)
        if first is not None:
            message = f"the rule can never match: rule {first} has all of its calls"
            yield policy.error(("rules", index, "match"), message, "put the narrower rule first, or remove it")


def _check_emergency(policy: Policy, plan: Dialplan | None) -> Iterator[ConfigError]:
    """A profile that blocks nothing is for numbers that are never blocked anyway."""
    model, book = policy.model, compile_book(policy.model, {})
    lenient = {name for name, profile in model.profiles.items() if profile.never_block}
    remedy = "name emergency numbers of the dialplan alone: dialled: {set: emergency}"
    if model.defaults.profile in lenient:
        yield policy.error(("defaults", "profile"), "a profile with never_block is for emergency numbers", remedy)
    for index, rule in enumerate(model.rules):
        if rule.profile in lenient and plan is not None and not _is_for_help(book.rules[index].match, plan):
            message = "a profile with never_block is for emergency numbers of the dialplan, and these are others"
            yield policy.error(("rules", index, "profile"), message, remedy)


def _is_for_help(match: Match, plan: Dialplan) -> bool:
    return match.dialled is not None and all(plan.is_emergency(pattern.text) for pattern in match.dialled)
