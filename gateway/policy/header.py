"""The Call-Security header: what the browser is told about its call, in words a page can trust.

A copy that arrives from a browser or a trunk must be removed by the SIP layer; only the gateway speaks here.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.grades import Grade
from gateway.base.keying import Keying
from gateway.base.values import LegKind
from gateway.policy.model import EffectivePolicy
from gateway.policy.posture import CallPosture, SecurityVector

HEADER_NAME = "Call-Security"

MAX_VALUE = 128
"""Characters of one value; trunk names and suites are short, everything longer is cut."""

_UNSAFE_IN_QUOTES = frozenset('"\\;')
"""Left out of values although RFC 3261 25.1 could escape them: a page may then simply split the header at `;`."""
_TOKEN = frozenset("-.!%*_+`'~")
"""Token characters besides letters and digits (RFC 3261 25.1)."""


@dataclass(frozen=True, slots=True)
class News:
    """What a header says that a person would want to hear of when it changes.

    The suite of the browser's own leg is not among it: the browser knows that by itself.
    """

    current: Grade
    worst: Grade
    trunk: str
    lost: frozenset[str]

    @classmethod
    def of(cls, posture: CallPosture, trunk: SecurityVector | None, lost: frozenset[str] = frozenset()) -> News:
        """The news in a posture, and in the legs towards which media is lost."""
        return cls(posture.current, posture.worst, trunk.summary() if trunk is not None else "", lost)


def call_security_header(
    posture: CallPosture,
    policy: EffectivePolicy,
    browser: SecurityVector,
    trunk: SecurityVector | None,
    *,
    seq: int,
    call_id: str,
    lost: frozenset[str] = frozenset(),
    next_hop: str = "",
) -> str:
    """The header's value.

    Args:
        browser: the leg of whoever reads the header.
        trunk: the leg to the other end, of either kind; None while nothing is known of it.
        next_hop: how people call the other end of that leg; the trunk's name in the configuration by default.
        lost: the legs, `browser` or `trunk`, on which media that should leave does not.
    """
    fields = (
        f"grade={posture.current.name}",
        f"worst={posture.worst.name}",
        f"scope={_quoted(f'to {next_hop or policy.trunk}')}",
        f"browser={_quoted(browser.summary())}",
        f"trunk={_quoted(trunk.summary() if trunk is not None else Keying.PENDING.value)}",
        "rec=no",
        f"seq={max(seq, 0)}",
        f"policy={_quoted(policy.label)}",
        f"id={_token(call_id)}",
        *(("far=browser",) if trunk is not None and trunk.leg is LegKind.BROWSER else ()),
        *((f"lost={'both' if len(lost) > 1 else _token(min(lost))}",) if lost else ()),
    )
    return ";".join(fields)


def _quoted(text: str) -> str:
    safe = (c if c.isprintable() and c not in _UNSAFE_IN_QUOTES else "_" for c in text[:MAX_VALUE])
    return '"' + "".join(safe) + '"'


def _token(text: str) -> str:
    safe = "".join(c if (c.isascii() and c.isalnum()) or c in _TOKEN else "_" for c in text[:MAX_VALUE])
    return safe or "unknown"
