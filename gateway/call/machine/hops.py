"""How a call that comes back to this gateway is known, without saying to anybody which gateway it was.

Every INVITE we send carries a mark of its own: a nonce and a keyed digest of it (RFC 2104). Nobody without the key
can tell two marks of one gateway from those of two gateways; we need to remember none of them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from gateway.base.values import Secret, TokenSource

NONCE_LENGTH = 16
"""Characters; enough that no two INVITEs share a nonce (80 bits)."""
DIGEST_LENGTH = 24
"""Hex digits kept of the digest: 96 bits, as in HMAC-SHA1-96; a forger is told nothing but "loop"."""
MAX_MARKS = 8
"""Marks looked at in one INVITE; a call that passed more gateways than this is ended by Max-Forwards."""


class HopMarks:
    """Makes marks and knows its own again.

    Args:
        key: random for each run of the gateway.
    """

    def __init__(self, key: Secret[bytes], tokens: TokenSource) -> None:
        self._key, self._tokens = key, tokens

    def new(self) -> str:
        """The mark of one INVITE."""
        nonce = self._tokens(NONCE_LENGTH)
        return nonce + self._digest(nonce)

    def contains_ours(self, values: Iterable[str]) -> bool:
        """Whether one of these header values is a mark we made; each may be a list."""
        marks = [mark.strip() for value in values for mark in value.split(",")]
        return any(self._is_ours(mark) for mark in marks[:MAX_MARKS])

    def _is_ours(self, mark: str) -> bool:
        if len(mark) != NONCE_LENGTH + DIGEST_LENGTH or not mark.isascii():
            return False
        return hmac.compare_digest(self._digest(mark[:NONCE_LENGTH]), mark[NONCE_LENGTH:])

    def _digest(self, nonce: str) -> str:
        return hmac.new(self._key.reveal(), nonce.encode(), hashlib.sha256).hexdigest()[:DIGEST_LENGTH]
