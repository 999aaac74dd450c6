"""What is wrong with the keys of a trunk's description, and what a call ends with for it."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.base.codes import Code
from gateway.base.termination import Termination
from gateway.call.legs.leg import KeyingError


class TrunkKeyingError(KeyingError):
    """The trunk's description breaks a keying rule."""

    def __init__(self, codes: Iterable[Code]) -> None:
        found = frozenset(codes)
        super().__init__(found, _termination_of(found))


def _termination_of(codes: frozenset[Code]) -> Termination:
    if Code.MEDIA_CRYPTO_IGNORED in codes:
        return Termination.ENCRYPTION_IGNORED
    return Termination.BAD_SDP if Code.MEDIA_MIXED_KEYING in codes else Termination.ENCRYPTION_UNUSABLE


OF_HANDSHAKE = {
    Termination.FINGERPRINT_MISMATCH: Termination.TRUNK_FINGERPRINT,
    Termination.BROWSER_SUITE_UNKNOWN: Termination.ENCRYPTION_UNUSABLE,
    Termination.DTLS_FAILED: Termination.TRUNK_DTLS_FAILED,
    Termination.MEDIA_NOT_KEYED: Termination.TRUNK_NOT_KEYED,
}
"""What a failed handshake is called where a trunk is to blame, and not a browser."""
