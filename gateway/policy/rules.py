"""What a policy file adds to the profiles: rules, floors and exceptions, as they are after it was read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from gateway.base.codes import Code
from gateway.base.grades import Grade
from gateway.policy.match import Match
from gateway.policy.model import ProfileRules, joined, raised


@dataclass(frozen=True, slots=True)
class Rule:
    """The calls it matches get this profile, or are refused. The first that matches decides."""

    id: str
    match: Match
    profile: str = ""
    reject: int = 0
    """The SIP status they are refused with; 0: they are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """What the calls it matches must meet at least, whichever rule decided about them. All that match hold together."""

    id: str
    match: Match
    require: Grade = Grade.CLEARTEXT
    prefer: Grade = Grade.CLEARTEXT
    deny: frozenset[Code] = frozenset()
    suites: tuple[str, ...] = ()
    min_key_bits: int = 0
    min_tag_bits: int = 0
    srtcp_required: bool = False

    def under(self, rules: ProfileRules, exemption: Exemption | None = None) -> ProfileRules:
        """The rules, raised to it; it asks for less where there is an exception."""
        require, deny = self.require, self.deny
        if exemption is not None:
            require, deny = min(require, exemption.require), deny - exemption.allow
        wanted = replace(
            rules,
            prefer=self.prefer,
            deny=deny,
            suites=self.suites,
            min_key_bits=self.min_key_bits,
            min_tag_bits=self.min_tag_bits,
            fingerprints=(),
            srtcp_required=self.srtcp_required,
        )
        return raised(joined(rules, wanted), require)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """An exception: for a while, and on somebody's word, floors ask less of the calls it matches."""

    id: str
    match: Match
    owner: str
    reason: str
    expires: datetime
    """From then on it is as if it were not there."""
    require: Grade = Grade.END_TO_END
    """Floors require this at most."""
    allow: frozenset[Code] = frozenset()
    """Codes that floors deny, and that are no violation here by that."""

    def holds(self, at: datetime) -> bool:
        """Whether it is still in force."""
        return at < self.expires
