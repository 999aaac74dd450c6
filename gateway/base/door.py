"""Who is turned away at a listener before a message could be read: told to whoever keeps the records."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from gateway.base.codes import Code
from gateway.base.values import HostPort

OLD_TLS_REASONS = frozenset({"TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "WRONG_SSL_VERSION"})
"""OpenSSL's words for a peer that speaks no version of TLS we do (RFC 8996)."""

TurnedAway: TypeAlias = Callable[[HostPort, str, Code], None]
"""Takes where somebody came from, by which transport, and the code of the catalogue that says why."""


def untold(_remote: HostPort, _transport: str, _code: Code) -> None:
    """Nobody keeps records."""


def is_old_tls(error: BaseException) -> bool:
    """Whether a handshake failed because the peer is too old."""
    return getattr(error, "reason", None) in OLD_TLS_REASONS
