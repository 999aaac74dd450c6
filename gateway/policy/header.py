"""What the browser is told about its call, in words a page can trust: once made, written as header and as JSON.

The header is `Call-Security`; the same report goes into INFO (RFC 6086) and onto the event socket as an object. A copy
of the header that arrives from a browser or a trunk is never passed on; only the gateway speaks here.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from gateway.base.codes import Code
from gateway.base.grades import Grade
from gateway.base.keying import Keying
from gateway.base.values import LegKind
from gateway.policy.model import EffectivePolicy
from gateway.policy.posture import CallPosture, SecurityVector

HEADER_NAME = "Call-Security"
PACKAGE = "call-security"
"""Name of the Info Package a page asks for by `Recv-Info` (RFC 6086 5.2)."""
VERSION = 1
"""Of the JSON object; fields may be added under the same number, none changes its meaning."""
MAX_CODES = 6
"""Codes of one list: what a person can read, and in the header a line of bearable length."""

MAX_VALUE = 128
"""Characters of one value; trunk names and suites are short, everything longer is cut."""

_UNSAFE_IN_QUOTES = frozenset('"\\;')
"""Left out of values although RFC 3261 25.1 could escape them: a page may then simply split the header at `;`."""
_TOKEN = frozenset("-.!%*_+`'~")
"""Token characters besides letters and digits (RFC 3261 25.1)."""


@dataclass(frozen=True, slots=True)
class News:
    """What a report says that a person would want to hear of when it changes.

    The suite of the browser's own leg is not among it: the browser knows that by itself.
    """

    current: Grade
    worst: Grade
    trunk: str
    lost: frozenset[str]
    refused: tuple[Code, ...] = ()
    """What the other end tried to do and was refused."""

    @classmethod
    def of(
        cls,
        posture: CallPosture,
        trunk: SecurityVector | None,
        lost: frozenset[str] = frozenset(),
        refused: tuple[Code, ...] = (),
    ) -> News:
        """The news in a posture, in the legs towards which media is lost, and in what was refused."""
        return cls(posture.current, posture.worst, trunk.summary() if trunk is not None else "", lost, refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a call is protected, as one of its browsers is told. Plain words and numbers: nothing in it is secret."""

    grade: Grade
    worst: Grade
    scope: str
    """Whom the browser talks to, for people."""
    browser: str
    """The leg of whoever reads it."""
    trunk: str
    """The leg to the other end, of either kind."""
    seq: int
    policy: str
    call_id: str
    """Name of the call in the log."""
    to_browser: bool = False
    """The other end is a browser too."""
    lost: str = ""
    """`browser`, `trunk` or `both`: media that should leave there does not."""
    codes: tuple[Code, ...] = ()
    """Why the grade is not better."""
    refused: tuple[Code, ...] = ()
    """What the other end last tried to do to the protection, and was refused."""
    tone: str = ""
    """The tone that policy wants the person to hear before the call."""

    @property
    def header(self) -> str:
        """The value of `Call-Security`."""
        fields = (
            f"grade={self.grade.name}",
            f"worst={self.worst.name}",
            f"scope={_quoted(self.scope)}",
            f"browser={_quoted(self.browser)}",
            f"trunk={_quoted(self.trunk)}",
            "rec=no",
            f"seq={max(self.seq, 0)}",
            f"policy={_quoted(self.policy)}",
            f"id={_token(self.call_id)}",
            *(("far=browser",) if self.to_browser else ()),
            *((f"codes={_list(self.codes)}",) if self.codes else ()),
            *((f"refused={_list(self.refused)}",) if self.refused else ()),
            *((f"tone={_token(self.tone)}",) if self.tone else ()),
            *((f"lost={_token(self.lost)}",) if self.lost else ()),
        )
        return ";".join(fields)

    def as_dict(self) -> dict[str, object]:
        """The same as an object of JSON; `legs` are the reader's own and the one to the other end."""
        return {
            "v": VERSION,
            "type": "call.security",
            "call_id": self.call_id,
            "seq": max(self.seq, 0),
            "grade": self.grade.name,
            "worst": self.worst.name,
            "scope": _safe(self.scope),
            "legs": [self.browser, self.trunk],
            "far": "browser" if self.to_browser else "trunk",
            "rec": False,
            "policy": self.policy,
            "codes": [code.value for code in self.codes[:MAX_CODES]],
            "refused": [code.value for code in self.refused[:MAX_CODES]],
            "tone": self.tone,
            "lost": self.lost,
        }

    @property
    def body(self) -> bytes:
        """The same as the body of an INFO (`application/json`)."""
        return json.dumps(self.as_dict(), ensure_ascii=False, separators=(",", ":")).encode()


def report_of(
    posture: CallPosture,
    policy: EffectivePolicy,
    browser: SecurityVector,
    trunk: SecurityVector | None,
    *,
    seq: int,
    call_id: str,
    lost: frozenset[str] = frozenset(),
    next_hop: str = "",
    refused: Collection[Code] = (),
    tone: str = "",
) -> Report:
    """The report on a call.

    Args:
        browser: the leg of whoever reads it.
        trunk: the leg to the other end, of either kind; None while nothing is known of it.
        next_hop: how people call the other end of that leg; the trunk's name in the configuration by default.
        lost: the legs, `browser` or `trunk`, on which media that should leave does not.
        refused: what a change would have done that was refused.
        tone: what policy wants the person to hear first.
    """
    weaknesses = browser.weaknesses | (trunk.weaknesses if trunk is not None else frozenset())
    return Report(
        grade=posture.current,
        worst=posture.worst,
        scope=f"to {next_hop or policy.trunk}",
        browser=browser.summary(),
        trunk=trunk.summary() if trunk is not None else Keying.PENDING.value,
        seq=seq,
        policy=policy.label,
        call_id=call_id,
        to_browser=trunk is not None and trunk.leg is LegKind.BROWSER,
        lost="both" if len(lost) > 1 else "".join(lost),
        codes=tuple(sorted(weaknesses)),
        refused=tuple(sorted(refused)),
        tone=tone,
    )


def _list(codes: tuple[Code, ...]) -> str:
    return f'"{",".join(codes[:MAX_CODES])}"'


def _quoted(text: str) -> str:
    return f'"{_safe(text)}"'


def _safe(text: str) -> str:
    return "".join(c if c.isprintable() and c not in _UNSAFE_IN_QUOTES else "_" for c in text[:MAX_VALUE])


def _token(text: str) -> str:
    safe = "".join(c if (c.isascii() and c.isalnum()) or c in _TOKEN else "_" for c in text[:MAX_VALUE])
    return safe or "unknown"
