"""The keys of a trunk leg (RFC 4568): those we make, and those that were seen and may be used by no other stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gateway.base.crypto_suite import (
    AEAD_AES_128_GCM,
    AEAD_AES_256_GCM,
    AES_256_CM_HMAC_SHA1_32,
    AES_256_CM_HMAC_SHA1_80,
    AES_CM_128_HMAC_SHA1_32,
    AES_CM_128_HMAC_SHA1_80,
    CryptoSuite,
)
from gateway.base.errors import SdpError
from gateway.base.keying import Keying
from gateway.base.values import HostPort, Secret
from gateway.sdp.keying import CryptoAttribute
from gateway.sdp.media import RemoteAudio
from gateway.sdp.negotiation import TrunkAgreement

KeySource = Callable[[int], bytes]
"""Gives that many octets of key material; injected, so that the leg itself has no randomness."""

TAGS = {
    AEAD_AES_256_GCM: 1,
    AEAD_AES_128_GCM: 2,
    AES_CM_128_HMAC_SHA1_80: 3,
    AES_256_CM_HMAC_SHA1_80: 4,
    AES_256_CM_HMAC_SHA1_32: 5,
    AES_CM_128_HMAC_SHA1_32: 6,
}
"""The tag of each suite in our offers: the same in every call, whatever a policy lists. Preference is told by the order
of the lines (RFC 4568 5.1.1), and by nothing else."""
MAX_KEYS_REMEMBERED = 32
"""Keys of ours, and keys of the peer with their addresses, that later ones are compared with; the oldest is forgotten.
A call that changes its key more often than this is no telephone call, and its comparisons must stay cheap."""


def fresh(suites: Sequence[CryptoSuite], source: KeySource | None) -> tuple[CryptoAttribute, ...]:
    """A new key for each suite that may be used, in order of preference.

    Raises:
        SdpError: 500, there is no key source.
    """
    return tuple(CryptoAttribute(TAGS[suite], suite.name, _new(suite, source)) for suite in suites)


def renewed(line: CryptoAttribute, source: KeySource | None) -> CryptoAttribute:
    """The same line with a new key.

    Raises:
        SdpError: 500, there is no key source.
    """
    return replace(line, key=_new(line.crypto_suite, source))


def are_new(agreed: TrunkAgreement, before: TrunkAgreement) -> bool:
    """Whether neither side uses a key of before any more."""
    pairs = ((agreed.local, before.local), (agreed.remote, before.remote))
    return not any(now is not None and old is not None and now.same_master_key(old) for now, old in pairs)


def accept(
    chosen: CryptoAttribute | None, line: RemoteAudio, kept: CryptoAttribute | None, source: KeySource | None
) -> TrunkAgreement:
    """Accept one crypto line of an offer: tag and suite echoed; our key is kept while its suite stays (ROC goes on).

    Args:
        chosen: None for a line without keys that are of use.
        kept: our line until now, where its key may be used further.

    Raises:
        SdpError: 500, there is no key source.
    """
    if chosen is None:
        return TrunkAgreement(Keying.NONE, None, None, None, None, line.crypto_problems)
    suite = chosen.crypto_suite
    key = kept.key if kept is not None and kept.crypto_suite == suite else _new(suite, source)
    return TrunkAgreement(Keying.SDES, suite, chosen.with_key(key), chosen, None, line.crypto_problems)


def _new(suite: CryptoSuite, source: KeySource | None) -> Secret[bytes]:
    if source is None:
        raise SdpError("no key source", 500)
    return Secret(source(suite.master_length))


@dataclass(frozen=True, slots=True)
class KeysSeen:
    """Every key of a leg so far, for RFC 4568's rule: one key, one stream, one direction, one address."""

    ours: tuple[CryptoAttribute, ...] = ()
    theirs: tuple[tuple[CryptoAttribute, HostPort], ...] = ()
    """With the transport address the peer gave when it used the key."""

    def with_ours(self, lines: tuple[CryptoAttribute, ...]) -> KeysSeen:
        """We have offered or answered these."""
        new = tuple(line for line in lines if not any(line.same_master_key(known) for known in self.ours))
        return KeysSeen((*self.ours, *new)[-MAX_KEYS_REMEMBERED:], self.theirs)

    def with_theirs(self, line: CryptoAttribute | None, where: HostPort | None) -> KeysSeen:
        """The peer's key was agreed on, for media at this address."""
        if line is None or where is None or (line, where) in self.theirs:
            return self
        return KeysSeen(self.ours, (*self.theirs, (line, where))[-MAX_KEYS_REMEMBERED:])

    def echoes(self, line: CryptoAttribute) -> bool:
        """The peer sent a key back that is ours: one key in both directions (RFC 4568 7)."""
        return any(line.same_master_key(known) for known in self.ours)

    def used_elsewhere(self, line: CryptoAttribute, where: HostPort | None) -> bool:
        """The peer keeps a key although its address is another: a fork, a transfer, a moved port."""
        return where is not None and any(
            line.same_master_key(known) and before != where for known, before in self.theirs
        )


NO_KEYS = KeysSeen()
"""A leg begins with none."""
