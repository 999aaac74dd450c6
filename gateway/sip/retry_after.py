"""Retry-After (RFC 3261 20.33): after how many seconds a peer may be asked again."""

from __future__ import annotations

from gateway.sip.message import Response

MAX_DIGITS = 10
"""Of a number of seconds (2**32 has ten); more is no number."""


def retry_after(response: Response) -> int | None:
    """The seconds; what stands behind them (a comment, `duration`) says nothing that counts. None: none that is one."""
    value = (response.headers.get("Retry-After") or "").strip()
    digits = value[: len(value) - len(value.lstrip("0123456789"))]
    rest = value[len(digits) :].lstrip()
    is_one = 0 < len(digits) <= MAX_DIGITS and (not rest or rest[0] in "(;")
    return int(digits) if is_one else None
