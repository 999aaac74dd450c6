"""The policy book: everything that decides what binds a call, compiled and hashed once, when it is loaded.

A decision is a function of the facts and of nothing else. Rules are asked in their order and the first that matches
chooses the profile; all floors that match hold, the strictest counts; an exception may lower a floor until it expires.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Self

from gateway.base.grades import Grade
from gateway.base.keying import Keying
from gateway.base.profiles import Profile
from gateway.policy.described import described
from gateway.policy.facts import UNROUTED, Facts
from gateway.policy.model import (
    BUILT_IN,
    EffectivePolicy,
    ProfileRules,
    Reasons,
    as_document,
    effective_policy,
    strictest,
)
from gateway.policy.rules import Exemption, Floor, Rule
from gateway.policy.trace import Note, Step

MAX_REMEMBERED = 4096
"""Policies that were made and are kept: a call that has been decided about as it was before costs no hash."""

STRICT = BUILT_IN[Profile.STRICT]

__all__ = ["UNROUTED", "PolicyBook"]


@dataclass(frozen=True, kw_only=True)
class PolicyBook:
    """Profiles, and what decides which of them a call gets."""

    trunks: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The profile of each trunk, for calls no rule matches."""
    profiles: Mapping[str, ProfileRules] = field(default_factory=lambda: MappingProxyType(dict(_BY_WORD)))
    ways: Mapping[str, tuple[Keying, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """How each trunk is offered keys, for profiles that do not say."""
    rules: tuple[Rule, ...] = ()
    floors: tuple[Floor, ...] = ()
    exceptions: tuple[Exemption, ...] = ()
    _made: dict[object, EffectivePolicy] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, trunks: Mapping[str, str]) -> Self:
        """The book of trunks that have one word each and no policy file."""
        return cls(trunks=MappingProxyType(dict(trunks)))

    def decide(self, facts: Facts, note: Note | None = None) -> EffectivePolicy:
        """The policy of a call; one that nothing is written about, over no trunk, must meet the strictest.

        Args:
            note: hears what was looked at.
        """
        rule = self._rule(facts, note)
        profile = rule.profile if rule is not None else self._word(facts.trunk)
        rules = self.profiles.get(profile, STRICT)
        if rule is not None and rule.reject:
            return self._policy(rules, facts, Reasons(rule.id, reject=rule.reject))
        if rule is None:
            _tell(note, "trunk", facts.trunk, f"profile {rules.name}")
        floors = tuple(floor for floor in self.floors if _matches(floor, facts, note, _asks(floor)))
        exemption = self._exemption(rules, floors, facts, note)
        reasons = Reasons(
            rule.id if rule is not None else "",
            tuple(floor.id for floor in floors),
            exemption.id if exemption is not None else "",
        )
        return self._policy(rules, facts, reasons, floors, exemption)

    def decide_for(self, several: Iterable[Facts]) -> EffectivePolicy:
        """One policy for a call that is several things at once: it must meet what each of them needs."""
        return strictest(self.decide(facts) for facts in several)

    def standing(self, trunk: str, *, emergency: bool = False) -> EffectivePolicy:
        """What the word at a trunk says by itself, before rules and floors."""
        rules = self._of_trunk(self.profiles.get(self._word(trunk), STRICT), trunk)
        return effective_policy(rules, trunk if trunk in self.trunks else UNROUTED, emergency=emergency)

    def exception(self, name: str) -> Exemption | None:
        """The exception of that id."""
        return next((exemption for exemption in self.exceptions if exemption.id == name), None)

    @cached_property
    def document(self) -> Mapping[str, object]:
        """The whole book as JSON has it: what is hashed, and what two books are compared by."""
        return {
            "trunks": dict(self.trunks),
            "ways": {name: [str(way) for way in ways] for name, ways in self.ways.items()},
            "profiles": {name: as_document(rules) for name, rules in self.profiles.items()},
            "rules": [described(rule) for rule in self.rules],
            "floors": [described(floor) for floor in self.floors],
            "exceptions": [described(exemption) for exemption in self.exceptions],
        }

    @cached_property
    def sha256(self) -> str:
        """The hash of everything in it."""
        canonical = json.dumps(self.document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    def _word(self, trunk: str) -> str:
        return self.trunks.get(trunk, Profile.STRICT)

    def _rule(self, facts: Facts, note: Note | None) -> Rule | None:
        """The first rule that matches; one that refuses does not hold for an emergency call."""
        if facts.emergency:
            _tell(note, "emergency", "", "never blocked, whatever is written below")
        for rule in self.rules:
            words = f"refused with {rule.reject}" if rule.reject else f"profile {rule.profile}"
            if rule.reject and facts.emergency:
                continue
            if _matches(rule, facts, note, words):
                return rule
        return None

    def _exemption(
        self, rules: ProfileRules, floors: tuple[Floor, ...], facts: Facts, note: Note | None
    ) -> Exemption | None:
        """The first exception that matches, has not expired and makes a difference."""
        if not floors or facts.emergency:
            return None
        for exemption in self.exceptions:
            if not _matches(exemption, facts, None):
                _tell(note, "exception", exemption.id, exemption.match.misses(facts), matched=False)
            elif not exemption.holds(facts.at):
                _tell(note, "exception", exemption.id, "expired", matched=False)
            elif _raised(rules, floors, exemption) == _raised(rules, floors, None):
                _tell(note, "exception", exemption.id, "it lowers nothing here", matched=False)
            else:
                _tell(note, "exception", exemption.id, f"lowers the floors: {exemption.reason} ({exemption.owner})")
                return exemption
        return None

    def _policy(
        self,
        rules: ProfileRules,
        facts: Facts,
        reasons: Reasons,
        floors: tuple[Floor, ...] = (),
        exemption: Exemption | None = None,
    ) -> EffectivePolicy:
        """The policy that was made of just this before, or a new one."""
        trunk = facts.trunk if facts.trunk in self.trunks else UNROUTED
        key = (rules.name, trunk, facts.emergency, reasons, facts.pinned)
        found = self._made.get(key)
        if found is None:
            raised = self._of_trunk(_raised(rules, floors, exemption), trunk)
            found = effective_policy(raised, trunk, emergency=facts.emergency, reasons=reasons, pinned=facts.pinned)
            if len(self._made) < MAX_REMEMBERED:
                self._made[key] = found
        return found

    def _of_trunk(self, rules: ProfileRules, trunk: str) -> ProfileRules:
        """The rules, with the way this trunk is keyed where they name none."""
        return rules if rules.ways else replace(rules, ways=self.ways.get(trunk, ()))


_BY_WORD: dict[str, ProfileRules] = {str(name): rules for name, rules in BUILT_IN.items()}


def _raised(rules: ProfileRules, floors: tuple[Floor, ...], exemption: Exemption | None) -> ProfileRules:
    for floor in floors:
        rules = floor.under(rules, exemption)
    return rules


def _matches(entry: Rule | Floor | Exemption, facts: Facts, note: Note | None, words: str = "") -> bool:
    missed = entry.match.misses(facts)
    if note is not None:
        note(Step(_kind(entry), entry.id, not missed, missed or words))
    return not missed


def _kind(entry: Rule | Floor | Exemption) -> str:
    return "rule" if isinstance(entry, Rule) else "floor" if isinstance(entry, Floor) else "exception"


def _tell(note: Note | None, kind: str, entry: str, words: str, *, matched: bool = True) -> None:
    if note is not None:
        note(Step(kind, entry, matched, words))


def _asks(floor: Floor) -> str:
    """What a floor asks for, in a few words."""
    return ", ".join(_demands(floor)) or "asks for nothing"


def _demands(floor: Floor) -> Iterator[str]:
    if floor.require > Grade.CLEARTEXT:
        yield f"require {floor.require.name}"
    if floor.prefer > Grade.CLEARTEXT:
        yield f"prefer {floor.prefer.name}"
    if floor.deny:
        yield f"deny {', '.join(sorted(floor.deny))}"
    if floor.suites:
        yield f"suites {', '.join(floor.suites)}"
    if floor.min_key_bits or floor.min_tag_bits:
        yield f"keys of {floor.min_key_bits} bits and tags of {floor.min_tag_bits} at least"
    if floor.srtcp_required:
        yield "srtcp required"
