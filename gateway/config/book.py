"""Makes the policy book of a policy file and of the words at the trunks. What comes here has no mistakes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from types import MappingProxyType

from gateway.base.codes import Code
from gateway.base.grades import Grade
from gateway.base.keying import Keying
from gateway.config import schema
from gateway.config.policy_scalars import window, zone
from gateway.policy.book import PolicyBook
from gateway.policy.facts import Direction
from gateway.policy.match import Match, Network
from gateway.policy.model import BUILT_IN, Fallback, OfferMode, ProfileRules, raised
from gateway.policy.rules import Exemption, Floor, Rule
from gateway.routing.patterns import Pattern

REJECTED = 403
"""What a call is refused with by a rule that names no status."""

_OFFERS = {
    "never": (OfferMode.SAVP_ONLY, Fallback.NEVER),
    "retry": (OfferMode.SAVP_FIRST, Fallback.RETRY),
    "osrtp": (OfferMode.AVP_WITH_CRYPTO, Fallback.ANSWER),
}
"""What `fallback` means for the first offer, and for what may come after it."""


def compile_book(policy: schema.PolicyFile, trunks: Mapping[str, schema.Trunk]) -> PolicyBook:
    """The book of a policy file; without one, an empty file and the words at the trunks."""
    built_in = {str(name): rules for name, rules in BUILT_IN.items()}
    own = {name: compile_profile(name, profile, policy) for name, profile in policy.profiles.items()}
    return PolicyBook(
        trunks=MappingProxyType({name: profile_of(trunk, policy) for name, trunk in trunks.items()}),
        ways=MappingProxyType({name: ways_of(trunk.keying) for name, trunk in trunks.items()}),
        profiles=MappingProxyType({**built_in, **own}),
        rules=tuple(_rule(rule, policy) for rule in policy.rules),
        floors=tuple(_floor(floor, policy) for floor in policy.floors),
        exceptions=tuple(_exemption(exception, policy) for exception in policy.exceptions),
    )


def profile_of(trunk: schema.Trunk, policy: schema.PolicyFile) -> str:
    """The profile of a trunk, for calls no rule matches: what is written there, else the default of the file."""
    if trunk.profile is not None:
        return trunk.profile
    return str(trunk.security if "security" in trunk.model_fields_set else policy.defaults.profile)


def compile_profile(name: str, profile: schema.PolicyProfile, policy: schema.PolicyFile) -> ProfileRules:
    """A profile of the file, as what it is like with what is written in place of that."""
    like, media = BUILT_IN[profile.like], profile.media
    require = like.require if profile.require is None else Grade[profile.require]
    prefer = like.prefer if profile.prefer is None else Grade[profile.prefer]
    offer, fallback = _offered(media, like)
    rules = ProfileRules(
        name=name,
        offer=offer,
        accepts_plain=require == Grade.CLEARTEXT,
        fallback=fallback,
        require=require,
        prefer=max(prefer, require),
        sdes_needs_verified_tls=require >= Grade.HOP_BY_HOP,
        deny=_codes(profile.deny),
        suites=suites_of(media.suites, policy),
        min_key_bits=media.min_key_bits,
        min_tag_bits=media.min_tag_bits,
        fingerprints=media.fingerprint,
        srtcp_required=media.srtcp == "require",
        tone=profile.on_downgrade.tone or "",
        alert=profile.on_downgrade.alert or "",
        notify=profile.on_downgrade.notify,
        ways=ways_of(media.offer or ()),
        answers=ways_of(media.answer),
    )
    return raised(rules, require)


def _offered(media: schema.PolicyMedia, like: ProfileRules) -> tuple[OfferMode, Fallback]:
    if media.offer == ():
        return OfferMode.AVP, Fallback.NONE_NEEDED
    if media.fallback is not None:
        return _OFFERS[media.fallback]
    if media.offer and like.offer is OfferMode.AVP:
        return _OFFERS["never"]
    return like.offer, like.fallback


def ways_of(names: Iterable[str]) -> tuple[Keying, ...]:
    """Kinds of keys, each once."""
    return tuple(dict.fromkeys(Keying(name) for name in names))


def suites_of(words: Iterable[str], policy: schema.PolicyFile) -> tuple[str, ...]:
    """Suites, each once, with what stands for lists of them replaced."""
    return tuple(dict.fromkeys(name for word in words for name in policy.suites.get(word, (word,))))


def _codes(names: Iterable[str]) -> frozenset[Code]:
    return frozenset(Code(name) for name in names)


def _rule(rule: schema.PolicyRule, policy: schema.PolicyFile) -> Rule:
    reject = (rule.sip or REJECTED) if rule.action is not None else 0
    return Rule(rule.id, compile_match(rule.match, policy), rule.profile or "", reject)


def _floor(floor: schema.PolicyFloor, policy: schema.PolicyFile) -> Floor:
    return Floor(
        id=floor.id,
        match=compile_match(floor.match, policy),
        require=Grade[floor.require or "CLEARTEXT"],
        prefer=Grade[floor.prefer or "CLEARTEXT"],
        deny=_codes(floor.deny),
        suites=suites_of(floor.suites, policy),
        min_key_bits=floor.min_key_bits,
        min_tag_bits=floor.min_tag_bits,
        srtcp_required=floor.srtcp == "require",
    )


def _exemption(exception: schema.PolicyException, policy: schema.PolicyFile) -> Exemption:
    return Exemption(
        id=exception.id,
        match=compile_match(exception.match, policy),
        owner=exception.owner,
        reason=exception.reason,
        expires=end_of(exception, policy),
        require=Grade[exception.require or "END_TO_END"],
        allow=_codes(exception.allow),
    )


def end_of(exception: schema.PolicyException, policy: schema.PolicyFile) -> datetime:
    """The midnight that ends the last day of an exception, where the clock of the file hangs."""
    midnight = datetime.combine(exception.expires + timedelta(days=1), time(), tzinfo=zone(policy.timezone))
    return midnight.astimezone(UTC)


def compile_match(match: schema.PolicyKeys, policy: schema.PolicyFile) -> Match:
    """What a call must be; a key that is not written stands for anything."""
    without = match.not_ if isinstance(match, schema.PolicyMatch) else None
    return Match(
        directions=frozenset(map(Direction, match.direction)) or None,
        trunks=frozenset(match.trunk) or None,
        users=frozenset(match.user) or None,
        groups=frozenset(match.user_group) or None,
        callers=_patterns(match.caller, policy),
        dialled=_patterns(match.dialled, policy),
        networks=_networks(match.source, policy),
        transports=frozenset(map(str, match.transport)) or None,
        times=tuple(window(text, policy.timezone) for text in match.time) or None,
        methods=frozenset(map(str, match.method)) or None,
        without=compile_match(without, policy) if without is not None else None,
    )


def _patterns(numbers: schema.PolicyNumbers | None, policy: schema.PolicyFile) -> tuple[Pattern, ...] | None:
    if numbers is None:
        return None
    named = (text for name in numbers.set for text in policy.dial_sets.get(name, ()))
    return tuple(Pattern.parse(text) for text in dict.fromkeys((*numbers.numbers, *named)))


def _networks(source: schema.PolicySource | None, policy: schema.PolicyFile) -> tuple[Network, ...] | None:
    if source is None:
        return None
    named = (text for word in source.net for text in policy.networks.get(word, (word,)))
    return tuple(ipaddress.ip_network(text) for text in dict.fromkeys(named))
