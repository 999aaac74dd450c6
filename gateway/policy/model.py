"""Security profiles and the policy that binds one call: chosen once, frozen, hashed.

Rules, floors and exceptions stand in front of it (`book`); what they leave is one `ProfileRules` for each call.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import reduce

from gateway.base.codes import Code
from gateway.base.crypto_suite import SUITES
from gateway.base.grades import Grade
from gateway.base.keying import Keying
from gateway.base.profiles import Profile

NO_SUITE = "none"
"""Stands alone in `suites` where two lists have nothing in common: it is the name of no suite, so none is offered and
none accepted."""

_ALL_SUITES = tuple(suite.name for suite in SUITES)
_ALL_HASHES = ("sha-256", "sha-384", "sha-512")
"""What policies that name none mean."""

DEFAULT_WAYS = (Keying.SDES,)
"""How a trunk of which nothing else is said is offered keys."""
ALL_WAYS = (Keying.SDES, Keying.DTLS)
"""How a trunk can be keyed at all."""
NO_WAY = (Keying.NONE,)
"""Stands in `answers` where two lists have nothing in common: no keys are taken."""

ALERTS = ("", "low", "medium", "high")
"""How loudly somebody is told, weakest first; the first is not at all."""

LABEL_DIGITS = 4
"""Digits of the hash shown beside the profile name: enough to see that two calls ran under different policies."""


class OfferMode(StrEnum):
    """What the gateway offers a trunk."""

    SAVP_ONLY = "savp"
    """RTP/SAVP with keys, or nothing."""
    SAVP_FIRST = "savp_first"
    """RTP/SAVP with keys; what comes after a refusal is the fallback's business."""
    AVP_WITH_CRYPTO = "avp_crypto"
    """RTP/AVP with keys the peer may ignore (RFC 8643)."""
    AVP = "avp"
    """RTP/AVP without keys."""


class Fallback(StrEnum):
    """How a call may become weaker than its first offer."""

    NEVER = "never"
    RETRY = "retry"
    """A second INVITE with RTP/AVP after 488, 415 or 606."""
    ANSWER = "answer"
    """The answer decides (RFC 8643)."""
    NONE_NEEDED = "none"


@dataclass(frozen=True, slots=True)
class ProfileRules:
    """One row of the profile table in docs/policy.md; what has a default here changes nothing by it."""

    name: str
    offer: OfferMode
    accepts_plain: bool
    """Inbound offers without keys are accepted."""
    fallback: Fallback
    require: Grade
    """Below this a leg is refused."""
    prefer: Grade
    """Below this a leg is a tolerated downgrade."""
    sdes_needs_verified_tls: bool
    """SDES keys are neither sent nor accepted where others can read them."""
    deny: frozenset[Code] = frozenset()
    """Codes that are violations whatever the grade."""
    suites: tuple[str, ...] = ()
    """SDES names of the crypto suites that are offered and accepted, in order of preference; empty: all of
    `base.crypto_suite.SUITES`. It is never whatever the other side offers."""
    min_key_bits: int = 0
    min_tag_bits: int = 0
    """A suite below one of these is as if it were not in `suites`."""
    fingerprints: tuple[str, ...] = ()
    """Hashes a certificate may be announced by; empty: `posture.STRONG_HASHES`."""
    srtcp_required: bool = False
    """A leg whose RTCP is missing or in clear is refused."""
    tone: str = ""
    """What the user of a browser hears before a call that is weaker than preferred; empty: nothing."""
    alert: str = ""
    """How loudly a call that is weaker than preferred is told of, one of `ALERTS`."""
    notify: bool = True
    """The browser is told when the protection changes."""
    ways: tuple[Keying, ...] = ()
    """How a trunk is offered keys, in order of preference; empty: `DEFAULT_WAYS`."""
    answers: tuple[Keying, ...] = ()
    """The kinds of keys that are taken from an offer, the preferred one first; empty: all, those we offer first."""


BUILT_IN: dict[Profile, ProfileRules] = {
    Profile(rules.name): rules
    for rules in (
        ProfileRules(
            Profile.STRICT, OfferMode.SAVP_ONLY, False, Fallback.NEVER, Grade.HOP_BY_HOP, Grade.HOP_BY_HOP, True
        ),
        ProfileRules(
            Profile.PREFER, OfferMode.SAVP_FIRST, True, Fallback.RETRY, Grade.CLEARTEXT, Grade.HOP_BY_HOP, False
        ),
        ProfileRules(
            Profile.OSRTP, OfferMode.AVP_WITH_CRYPTO, True, Fallback.ANSWER, Grade.CLEARTEXT, Grade.HOP_BY_HOP, False
        ),
        ProfileRules(
            Profile.LEGACY, OfferMode.AVP, True, Fallback.NONE_NEEDED, Grade.CLEARTEXT, Grade.HOP_BY_HOP, False
        ),
    )
}


@dataclass(frozen=True, slots=True)
class EffectivePolicy:
    """The policy of one call, frozen for its whole life."""

    profile: str
    rules: ProfileRules
    """The rules as applied: those of the profile, raised by floors, and loosened when the call is an emergency."""
    emergency: bool
    trunk: str
    sha256: str
    rule_id: str = ""
    """The rule that chose the profile; empty where none matched and the word at the trunk counts."""
    floors: tuple[str, ...] = ()
    """Ids of the floors that held."""
    exception_id: str = ""
    """The exception that lowered one of them."""
    reject: int = 0
    """The SIP status a rule refuses the call with; 0 where none does."""
    pinned: bool = False
    """The trunk has been seen to encrypt (`pins`)."""

    @property
    def holds_to_keys(self) -> bool:
        """A trunk that is pinned is not let go without keys, unless it is never asked for any, or somebody calls for
        help."""
        return self.pinned and not self.emergency and self.rules.offer is not OfferMode.AVP

    @property
    def label(self) -> str:
        """Profile and the start of the hash, for example `strict/9f3c`."""
        return f"{self.profile}/{self.sha256[:LABEL_DIGITS]}"

    def as_dict(self) -> dict[str, object]:
        """What every record of the call says of it."""
        return {
            "profile": self.profile,
            "policy_sha256": self.sha256,
            "rule_id": self.rule_id,
            "floors": list(self.floors),
            "exception_id": self.exception_id,
            "emergency": self.emergency,
            "pinned": self.pinned,
        }

    @property
    def demands_protection(self) -> bool:
        """True when some legs would be refused for being weak."""
        return self.rules.require > Grade.CLEARTEXT


@dataclass(frozen=True, slots=True)
class Reasons:
    """What made the rules of a policy what they are, by id."""

    rule_id: str = ""
    floors: tuple[str, ...] = ()
    exception_id: str = ""
    reject: int = 0


def effective_policy(
    profile: Profile | ProfileRules,
    trunk: str,
    *,
    emergency: bool = False,
    reasons: Reasons = Reasons(),
    pinned: bool = False,
) -> EffectivePolicy:
    """The policy of a call over this trunk; an emergency call gets the same offers but is never blocked."""
    rules = profile if isinstance(profile, ProfileRules) else BUILT_IN[profile]
    if emergency:
        rules, reasons = _never_blocking(rules), replace(reasons, reject=0)
    return _frozen(rules, trunk, emergency, reasons, pinned)


def at_least(policy: EffectivePolicy, floor: EffectivePolicy) -> EffectivePolicy:
    """The policy for its own trunk, with nothing in it looser than in the floor: a call never gets less than it had.

    What requires more decides how it is offered; of everything else the stricter counts.
    """
    mine, other = policy.rules, floor.rules
    rules = joined(mine, other) if mine.require >= other.require else joined(other, mine)
    rules = replace(rules, ways=mine.ways)  # what a trunk can do is its own affair
    reject = policy.reject or floor.reject
    if (rules, reject) == (mine, policy.reject):
        return policy
    floors = tuple(dict.fromkeys((*policy.floors, *floor.floors)))
    exception_id = policy.exception_id or floor.exception_id
    reasons = Reasons(policy.rule_id or floor.rule_id, floors, exception_id, reject)
    return _frozen(rules, policy.trunk, policy.emergency, reasons, policy.pinned)


def strictest(policies: Iterable[EffectivePolicy]) -> EffectivePolicy:
    """One policy that holds for all of several, of which there is one at least: the first, raised by the others."""
    return reduce(at_least, policies)


def joined(rules: ProfileRules, other: ProfileRules) -> ProfileRules:
    """The rules, with nothing in them looser than in the others."""
    found = replace(
        rules,
        accepts_plain=rules.accepts_plain and other.accepts_plain,
        prefer=max(rules.prefer, other.prefer),
        sdes_needs_verified_tls=rules.sdes_needs_verified_tls or other.sdes_needs_verified_tls,
        deny=rules.deny | other.deny,
        suites=suites_in_common(rules.suites, other.suites),
        min_key_bits=max(rules.min_key_bits, other.min_key_bits),
        min_tag_bits=max(rules.min_tag_bits, other.min_tag_bits),
        fingerprints=in_common(rules.fingerprints, other.fingerprints, _ALL_HASHES),
        srtcp_required=rules.srtcp_required or other.srtcp_required,
        tone=rules.tone or other.tone,
        alert=max(rules.alert, other.alert, key=ALERTS.index),
        notify=rules.notify or other.notify,
        answers=ways_in_common(rules.answers, other.answers),
    )
    return raised(found, other.require)


def raised(rules: ProfileRules, require: Grade) -> ProfileRules:
    """The rules with this requirement at least. What requires protection offers and accepts nothing without it."""
    require = max(rules.require, require)
    if require == Grade.CLEARTEXT and rules.accepts_plain:
        return rules
    return replace(
        rules,
        require=require,
        prefer=max(rules.prefer, require),
        offer=OfferMode.SAVP_ONLY,
        accepts_plain=False,
        fallback=Fallback.NEVER,
        sdes_needs_verified_tls=rules.sdes_needs_verified_tls or require >= Grade.HOP_BY_HOP,
    )


def ways_in_common(ways: tuple[Keying, ...], others: tuple[Keying, ...]) -> tuple[Keying, ...]:
    """The kinds of keys two lists share, in the order of the first; an empty one stands for all."""
    if not ways or not others:
        return ways or others
    return tuple(way for way in ways if way in others) or NO_WAY


def suites_in_common(names: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    """The suites two lists share, in the order of the first; an empty one stands for the built-in set and no more."""
    return in_common(names, others, _ALL_SUITES)


def in_common(names: tuple[str, ...], others: tuple[str, ...], unsaid: tuple[str, ...]) -> tuple[str, ...]:
    """What two lists share, in the order of the first; nothing in common is `NO_SUITE`.

    Args:
        unsaid: what an empty list stands for.
    """
    if not names and not others:
        return ()
    wanted = others or unsaid
    return tuple(name for name in names or unsaid if name in wanted) or (NO_SUITE,)


def _never_blocking(rules: ProfileRules) -> ProfileRules:
    """Secure is still tried first; whatever comes of it is accepted."""
    strict = rules.offer is OfferMode.SAVP_ONLY
    return replace(
        rules,
        offer=OfferMode.SAVP_FIRST if strict else rules.offer,
        fallback=Fallback.RETRY if strict else rules.fallback,
        accepts_plain=True,
        require=Grade.CLEARTEXT,
        sdes_needs_verified_tls=False,
        deny=frozenset(),
        suites=(),
        min_key_bits=0,
        min_tag_bits=0,
        fingerprints=(),
        srtcp_required=False,
        answers=(),
    )


def _frozen(rules: ProfileRules, trunk: str, emergency: bool, why: Reasons, pinned: bool) -> EffectivePolicy:
    digest = _digest(rules, trunk, emergency, why, pinned)
    return EffectivePolicy(
        rules.name, rules, emergency, trunk, digest, why.rule_id, why.floors, why.exception_id, why.reject, pinned
    )


def as_document(value: object) -> object:
    """A value of the policy as JSON has it: sets in order, dataclasses by field."""
    if isinstance(value, frozenset):
        return sorted(map(str, value))
    if isinstance(value, ProfileRules | Reasons):
        return {field.name: as_document(getattr(value, field.name)) for field in fields(value)}
    return value


def _digest(rules: ProfileRules, trunk: str, emergency: bool, why: Reasons, pinned: bool) -> str:
    document = {"emergency": emergency, "rules": as_document(rules), "trunk": trunk, "why": as_document(why)}
    if pinned:
        document["pinned"] = True
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
