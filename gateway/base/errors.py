"""Errors that say who is at fault and what to answer.

GatewayError
+-- ConfigError        the administrator's file: file, line, key and remedy
|   +-- ConfigErrors   several of them, found in one reading
+-- SipError           a SIP message that breaks RFC 3261; carries the status to answer with
+-- SdpError           a session description that cannot be used; answered 400 or 488
+-- MediaError         the relay cannot serve a session
+-- TransportError     a peer cannot be reached, or its identity cannot be verified
    +-- NoHopError     every place of it was tried, or wants to be left alone
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class Party(StrEnum):
    """Whose fault a failure is."""

    GATEWAY = "gateway"
    BROWSER = "browser"
    TRUNK = "trunk"
    CALLER = "caller"
    CALLEE = "callee"
    CONFIG = "config"


class GatewayError(Exception):
    """Base of every error this project raises on purpose."""


class ConfigError(GatewayError):
    """A mistake in a configuration file, told so that it can be mended.

    Args:
        message: what is wrong, in one sentence.
        file: path of the file as the administrator wrote it.
        line: line of the key, counted from 1; 0 when the whole file is meant.
        key: dotted path of the key, for example ``trunks.pbx.target``.
        remedy: what to do about it.
    """

    def __init__(self, message: str, *, file: str = "", line: int = 0, key: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message, self.file, self.line, self.key, self.remedy = message, file, line, key, remedy

    def __str__(self) -> str:
        place = self.file + (f":{self.line}" if self.line else "")
        parts = [p for p in (place, self.key, self.message) if p]
        return ": ".join(parts) + (f"\n  remedy: {self.remedy}" if self.remedy else "")


class ConfigErrors(ConfigError):
    """Every mistake found in one reading of the configuration, so that one run of `check` shows them all.

    Args:
        errors: the mistakes, at least one, in the order they are told.
    """

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        self.errors = tuple(errors)
        first = self.errors[0]
        super().__init__(first.message, file=first.file, line=first.line, key=first.key, remedy=first.remedy)

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


class SipError(GatewayError, ValueError):
    """A SIP message (or part of one) that RFC 3261 does not allow.

    Args:
        why: short reason, safe to send back as a reason phrase (never peer bytes).
        status: SIP status code to answer a request with.
    """

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.why, self.status = why, status


class SdpError(GatewayError, ValueError):
    """A session description that is malformed (400) or cannot be agreed to (488)."""

    def __init__(self, why: str, status: int = 488) -> None:
        super().__init__(why)
        self.why, self.status = why, status


class MediaError(GatewayError):
    """The media relay cannot do what was asked: no port, no worker, limit reached."""


OLD_TLS = "TLS below 1.2"
"""What `TransportError.verification` says of a peer that knows no newer version (RFC 8996)."""


class TransportError(GatewayError):
    """A SIP peer cannot be reached.

    Args:
        why: what happened, safe for logs and the audit record.
        verification: the X.509 or name-matching reason when identity could not be verified, else "".
    """

    def __init__(self, why: str, *, verification: str = "") -> None:
        super().__init__(why)
        self.why, self.verification = why, verification


class NoHopError(TransportError):
    """There is no place of a trunk left to try: all were tried already, or want to be left alone. That says nothing of
    whether the trunk is there.

    Args:
        shut: some want to be left alone (503 with Retry-After, RFC 3261 21.5.4).
    """

    def __init__(self, why: str, *, shut: bool = False) -> None:
        super().__init__(why)
        self.shut = shut
