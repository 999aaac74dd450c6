"""INFO that tells a digit: `application/dtmf-relay` and `application/dtmf`, the legacy use of INFO (RFC 6086 1).

    Signal=5            5
    Duration=160

No registry defines these bodies; devices agree on little more than this. What they add (blanks, other lines, 10 for the
star) is understood, what contradicts itself is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.base.dtmf import SIGNALS, in_limits
from gateway.base.errors import SipError
from gateway.base.values import Secret
from gateway.sip.body import Part
from gateway.sip.model import Request

METHOD: Final = "INFO"
RELAY = "application/dtmf-relay"
PLAIN = "application/dtmf"
ACCEPT = f"{RELAY}, {PLAIN}"
MAX_BODY = 256
"""Octets: two short lines, and room for what some devices add."""
MAX_DIGITS = 6
"""Decimal digits of a duration; any longer number is none of milliseconds."""
DEFAULT_MILLISECONDS = 160
"""Of a digit that is told without a duration."""
FIRST_CODE = 10
"""From here on a number is an event code and no digit: 10 is the star, 11 the hash, 16 a flash of the hook."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """A key that was pressed."""

    digit: Secret[str]
    """One of `gateway.base.dtmf.SIGNALS`."""
    milliseconds: int

    @property
    def body(self) -> bytes:
        """As `application/dtmf-relay`."""
        return f"Signal={self.digit.reveal()}\r\nDuration={self.milliseconds}\r\n".encode()


class InfoError(SipError):
    """The INFO cannot be understood; `headers` tell its sender what can be."""

    def __init__(self, why: str, status: int, *headers: tuple[str, str]) -> None:
        super().__init__(why, status)
        self.headers = headers


def read_info(request: Request) -> Pressed | None:
    """The digit an INFO tells; None for one that asks for nothing (RFC 6086 4.2.2: 200).

    Raises:
        InfoError: 415 or 469, what it carries is not understood.
        SipError: 400, a body that contradicts its type; 413, it is too long.
    """
    if request.headers.get("Info-Package") is not None:
        raise InfoError("no such Info Package", 469, ("Recv-Info", ""))
    if not request.body:
        return None
    part = Part(request.headers, request.body)
    kind = part.type.word
    if kind not in (RELAY, PLAIN):
        if part.handling == "optional":
            return None
        raise InfoError("unknown body", 415, ("Accept", ACCEPT))
    if len(request.body) > MAX_BODY:
        raise SipError("digit too long", 413)
    return _read(_text(request.body), kind)


def _text(body: bytes) -> str:
    try:
        return body.decode("ascii").strip()
    except UnicodeDecodeError:
        raise SipError("digit not in ASCII") from None


def _read(text: str, kind: str) -> Pressed:
    if kind == PLAIN and "=" not in text:
        return _pressed(_signal(text), DEFAULT_MILLISECONDS)
    fields = _fields(text)
    if "signal" not in fields:
        raise SipError("no Signal")
    duration = fields.get("duration")
    return _pressed(_signal(fields["signal"]), DEFAULT_MILLISECONDS if duration is None else _duration(duration))


def _pressed(signal: str, milliseconds: int) -> Pressed:
    return Pressed(Secret(signal), round(in_limits(milliseconds / 1000) * 1000))


def _fields(text: str) -> dict[str, str]:
    """`name=value` a line, names without case; others than ours are passed over."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        name, is_field, value = line.partition("=")
        name = name.strip().lower()
        if not is_field or name in found:
            raise SipError("malformed digit")
        found[name] = value.strip()
    return found


def _signal(text: str) -> str:
    """The key by its name, or by its event code where that is no digit."""
    name = text.upper()
    if len(name) == 1 and name in SIGNALS:
        return name
    if len(name) == 2 and name.isdecimal() and FIRST_CODE <= int(name) < len(SIGNALS):
        return SIGNALS[int(name)]
    raise SipError("no such digit")


def _duration(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS):
        raise SipError("no such duration")
    return int(text)
