"""SRTP and SRTCP (RFC 3711, RFC 6188, RFC 7714) of one leg, through the adapter of the library.

What the library leaves to its user is done here: suites come from the gateway's own table (the library would take the
NULL cipher), the sources a key is received from are bounded, and every failure becomes a value.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import TypeAlias, TypeVar

from gateway.base.crypto_suite import BY_NAME, CryptoSuite
from gateway.base.values import Secret
from gateway.media.worker import libsrtp
from gateway.media.worker.libsrtp import BUFFER, INBOUND, MAX_PACKET, MAX_PACKET_RTCP, OUTBOUND, Context
from gateway.media.worker.wear import Use

MAX_SOURCES = 1024
"""Sources with a context (roll-over counter, replay window; 250 octets each) under one key. A PBX takes a new SSRC at
every announcement, hold or transfer, and may come back to any of these."""
MAX_RETIRED = 16_384
"""SSRCs under one key whose context made room for a newer one. Nothing is taken from them any more, so that nothing can
be replayed. When this is full, no new one is taken: one every five seconds for a day, which only who has the key can
make."""
MAX_KEPT_KEYS = 4
"""Contexts kept per direction after their key was replaced: going back to a key must not restart its packet index."""
MAX_ROLLOVERS = 128
"""Roll-over counters tried for a source that kept its own when the key changed: two days of 20 ms packets."""
MAX_SEARCHES = 8
"""Packets tried so after a change of key; each costs a millisecond, and forged ones must not cost more."""
REKEY_GRACE_SECONDS = 2.0
"""Packets under the previous key are taken this long: those on the way when the key changed."""
_RTP_SSRC = slice(8, 12)
_RTCP_SSRC = slice(4, 8)


class SrtpFailure(Enum):
    """Why a packet was not let through."""

    FORGED = "authentication failed or no SRTP at all"
    REPLAYED = "index seen before or too old"
    TOO_MANY_SOURCES = "one SSRC too many under this key"
    UNSENDABLE = "refused by the library: too long or a duplicate"


Result: TypeAlias = bytes | SrtpFailure


def find_suite(name: str, *keys: Secret[bytes]) -> CryptoSuite | None:
    """The suite of that name if the gateway carries it and every key has its length."""
    suite = BY_NAME.get(name)
    if suite is None or any(len(key.reveal()) != suite.master_length for key in keys):
        return None
    return suite


class SrtpReceiver(Context):
    """Authenticates and decrypts under one key, whatever the number of its sources.

    A context is made by a packet that authenticates, never by another. When there are too many, the source that was
    silent for the longest time loses its own, and its SSRC is retired.

    Args:
        mki: what the packets call the key; empty for packets that do not name it.
    """

    __slots__ = ("_latest", "_retired", "_sources", "mki", "tag", "use")

    def __init__(self, suite: CryptoSuite, key: Secret[bytes], mki: bytes = b"") -> None:
        super().__init__(suite, key, INBOUND, mki)
        self._sources: OrderedDict[bytes, bool] = OrderedDict()
        self._retired: set[bytes] = set()
        self._latest = b""
        self.tag, self.mki, self.use = suite.tag_bits // 8, mki, Use()

    def unprotect(self, packet: bytes, rtcp: bool) -> Result:
        ssrc = packet[_RTCP_SSRC if rtcp else _RTP_SSRC]
        refused = self._refuses(ssrc) if ssrc != self._latest else None
        if refused is not None:
            return refused
        size, length = len(packet), self.length
        if size > BUFFER:
            return SrtpFailure.FORGED
        self.buffer[0:size] = packet
        length[0] = size
        status = (self.run_rtcp if rtcp else self.run)(self.session, self.data, length)
        if status:
            return SrtpFailure.REPLAYED if status in libsrtp.REPLAYED else SrtpFailure.FORGED
        if rtcp or ssrc != self._latest:
            self._heard(ssrc, rtcp)
        return self.buffer[0 : length[0]]  # type: ignore[no-any-return]

    def has_heard(self, ssrc: bytes) -> bool:
        """Whether the source sent media, not reports alone."""
        return self._sources.get(ssrc, False)

    def _refuses(self, ssrc: bytes) -> SrtpFailure | None:
        if ssrc in self._retired:
            return SrtpFailure.REPLAYED
        if ssrc not in self._sources and len(self._retired) >= MAX_RETIRED:
            return SrtpFailure.TOO_MANY_SOURCES
        return None

    def _heard(self, ssrc: bytes, rtcp: bool) -> None:
        if not rtcp:
            self._latest = ssrc
        self._sources[ssrc] = not rtcp or self.has_heard(ssrc)
        self._sources.move_to_end(ssrc)
        if len(self._sources) > MAX_SOURCES:
            oldest, _ = self._sources.popitem(last=False)
            self._retired.add(oldest)
            self.forget(oldest)


class SrtpSender(Context):
    """Encrypts and authenticates under one key; which SSRC and index it is used with is the stream's business."""

    __slots__ = ("use",)

    def __init__(self, suite: CryptoSuite, key: Secret[bytes], mki: bytes = b"") -> None:
        super().__init__(suite, key, OUTBOUND, mki)
        self.use = Use()

    def protect(self, packet: bytes, rtcp: bool) -> Result:
        size, length = len(packet), self.length
        if size > (MAX_PACKET_RTCP if rtcp else MAX_PACKET):
            return SrtpFailure.UNSENDABLE
        self.buffer[0:size] = packet
        length[0] = size
        if (self.run_rtcp if rtcp else self.run)(self.session, self.data, length):
            return SrtpFailure.UNSENDABLE
        return self.buffer[0 : length[0]]  # type: ignore[no-any-return]


C = TypeVar("C", SrtpReceiver, SrtpSender)


KeyName: TypeAlias = tuple[str, Secret[bytes], bytes]
"""What a context is known by: suite, key, and what the packets call the key."""


class _Kept(OrderedDict[KeyName, C]):
    """The latest contexts of one direction by their key."""

    def context(
        self, suite: CryptoSuite, key: Secret[bytes], mki: bytes, make: Callable[[CryptoSuite, Secret[bytes], bytes], C]
    ) -> C:
        name = (suite.name, key, mki)
        found = self.pop(name, None) or make(suite, key, mki)
        self[name] = found
        if len(self) > MAX_KEPT_KEYS:
            self.popitem(last=False)
        return found


class LegKeys:
    """The SRTP contexts of one leg, both directions."""

    def __init__(self) -> None:
        self.sender: SrtpSender | None = None
        self.receiver: SrtpReceiver | None = None
        self.ready = False
        """True once the leg can receive."""
        self._receiving: tuple[CryptoSuite, Secret[bytes], bytes] | None = None
        self._previous: SrtpReceiver | None = None
        self._previous_until = 0.0
        self._searches = 0
        self.generation = 0
        """Counts the changes of a key, in either direction."""
        self.by_latest = False
        """Whether the last packet that was opened was so under the present key, not the one before."""
        self._senders: _Kept[SrtpSender] = _Kept()
        self._receivers: _Kept[SrtpReceiver] = _Kept()

    @property
    def tag(self) -> int:
        """Octets of the authentication tag expected, with the name of the key."""
        return self.receiver.tag + len(self.receiver.mki) if self.receiver else 0

    def install(
        self,
        suite: CryptoSuite,
        tx: Secret[bytes],
        rx: Secret[bytes],
        now: float,
        tx_mki: bytes = b"",
        rx_mki: bytes = b"",
    ) -> bool:
        """Use these keys; an unchanged one keeps its context (roll-over counter, replay window).

        Args:
            tx_mki: what our packets call their key (RFC 3711 3.1); empty: they do not name it.
            rx_mki: what the peer's call theirs.

        Returns:
            whether another key than before is sent with, so that the stream must take a new SSRC.
        """
        self.ready = True
        before, self.sender = self.sender, self._senders.context(suite, tx, tx_mki, SrtpSender)
        receiver = self._receivers.context(suite, rx, rx_mki, SrtpReceiver)
        self.generation += receiver is not self.receiver or self.sender is not before
        if receiver is not self.receiver:
            self._previous, self._previous_until = self.receiver, now + REKEY_GRACE_SECONDS
            self.receiver, self._receiving, self._searches = receiver, (suite, rx, rx_mki), MAX_SEARCHES
        return self.sender is not before

    def drop(self) -> None:
        """Use none any more; which packets they protected stays known, should one of them come again."""
        self.sender = self.receiver = self._previous = self._receiving = None
        self.ready = False
        self.generation += 1

    def opener(self, ssrc: int, now: float) -> SrtpReceiver | None:
        """What opens the packets of a source, when only the present key comes into question for it."""
        receiver = self.receiver
        if receiver is None or (self._previous is not None and now < self._previous_until):
            return None
        return receiver if receiver.has_heard(ssrc.to_bytes(4)) else None

    def unprotect(self, packet: bytes, rtcp: bool, now: float) -> Result:
        """Authenticate and decrypt an SRTP or SRTCP packet; FORGED before the first key."""
        if self.receiver is None:
            return SrtpFailure.FORGED
        result = self.receiver.unprotect(packet, rtcp)
        self.by_latest = isinstance(result, bytes)
        if result is not SrtpFailure.FORGED or self._previous is None:
            return result
        if now < self._previous_until:
            result = self._previous.unprotect(packet, rtcp)
        if result is SrtpFailure.FORGED and not rtcp:
            result = self._rolled_over(packet)
            self.by_latest = isinstance(result, bytes)
        return result

    def _rolled_over(self, packet: bytes) -> Result:
        """Try a source of the previous key at other roll-over counters than zero, first at the one it had.

        RFC 3711 3.3.1 does not reset the counter with the key; most peers do. Only for the first packets of a key:
        later the context of the library knows the counter.
        """
        previous, ssrc = self._previous, packet[_RTP_SSRC]
        if self.receiver is None or previous is None or self._receiving is None or not self._searches:
            return SrtpFailure.FORGED
        if self.receiver.has_heard(ssrc) or not previous.has_heard(ssrc):
            return SrtpFailure.FORGED
        self._searches -= 1
        kept = previous.rollover(ssrc) or 0
        found = _rollover(SrtpReceiver(*self._receiving), packet, kept)
        if found is None:
            return SrtpFailure.FORGED
        self.receiver.expect(ssrc, found)
        return self.receiver.unprotect(packet, False)


def _rollover(trial: SrtpReceiver, packet: bytes, kept: int) -> int | None:
    """The roll-over counter a packet opens at: the kept one, the next, or any; None when it is none of them.

    It is looked for in a context of its own: a forged packet must not move the real one.
    """
    for counter in (kept, kept + 1, *range(1, MAX_ROLLOVERS)):
        trial.expect(packet[_RTP_SSRC], counter)
        if isinstance(trial.unprotect(packet, False), bytes):
            return int(counter)
    return None
