"""SRTP and SRTCP (RFC 3711, RFC 7714) through pylibsrtp: the only file that knows the library.

What the library leaves to its user is done here: suites come from the gateway's own table (the library would take the
NULL cipher), the sources a key is received from are bounded, and every failure becomes a value.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import TypeAlias, TypeVar

from pylibsrtp import Error, Policy, Session

from gateway.base.crypto_suite import BY_NAME, CryptoSuite
from gateway.base.values import Secret

REPLAY_WINDOW = 128
"""Packets; RFC 3711 3.3.2 asks for 64 at least, 128 is 2.5 s of audio."""
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
MAX_PACKET = 1356
"""Longest RTP packet that can be protected, octets: the library keeps 144 of its 1500 for tag and MKI."""
_RTP_SSRC = slice(8, 12)
_RTCP_SSRC = slice(4, 8)
_REPLAY_ERROR = "replay check failed"


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


def _session(suite: CryptoSuite, key: Secret[bytes], ssrc_type: int) -> Session:
    policy = Policy(key=key.reveal(), ssrc_type=ssrc_type, srtp_profile=suite.srtp_profile)
    policy.window_size = REPLAY_WINDOW
    return Session(policy)


class SrtpReceiver:
    """Authenticates and decrypts under one key, whatever the number of its sources.

    A context is made by a packet that authenticates, never by another. When there are too many, the source that was
    silent for the longest time loses its own, and its SSRC is retired.
    """

    __slots__ = ("_latest", "_retired", "_session", "_sources", "tag")

    def __init__(self, suite: CryptoSuite, key: Secret[bytes]) -> None:
        self._session = _session(suite, key, Policy.SSRC_ANY_INBOUND)
        self._sources: OrderedDict[bytes, bool] = OrderedDict()
        self._retired: set[bytes] = set()
        self._latest = b""
        self.tag = suite.tag_bits // 8

    def unprotect(self, packet: bytes, rtcp: bool) -> Result:
        ssrc = packet[_RTCP_SSRC if rtcp else _RTP_SSRC]
        refused = self._refuses(ssrc) if ssrc != self._latest else None
        if refused is not None:
            return refused
        try:
            plain: bytes = self._session.unprotect_rtcp(packet) if rtcp else self._session.unprotect(packet)
        except (Error, ValueError) as error:
            return SrtpFailure.REPLAYED if str(error).startswith(_REPLAY_ERROR) else SrtpFailure.FORGED
        if rtcp or ssrc != self._latest:
            self._heard(ssrc, rtcp)
        return plain

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
            self._session.remove_stream(int.from_bytes(oldest))


class SrtpSender:
    """Encrypts and authenticates under one key; which SSRC and index it is used with is the stream's business."""

    __slots__ = ("_session",)

    def __init__(self, suite: CryptoSuite, key: Secret[bytes]) -> None:
        self._session = _session(suite, key, Policy.SSRC_ANY_OUTBOUND)

    def protect(self, packet: bytes, rtcp: bool) -> Result:
        try:
            protected: bytes = self._session.protect_rtcp(packet) if rtcp else self._session.protect(packet)
        except (Error, ValueError):
            return SrtpFailure.UNSENDABLE
        return protected


C = TypeVar("C", SrtpReceiver, SrtpSender)


class _Kept(OrderedDict[tuple[str, Secret[bytes]], C]):
    """The latest contexts of one direction by their key."""

    def context(self, suite: CryptoSuite, key: Secret[bytes], make: Callable[[CryptoSuite, Secret[bytes]], C]) -> C:
        found = self.pop((suite.name, key), None) or make(suite, key)
        self[suite.name, key] = found
        if len(self) > MAX_KEPT_KEYS:
            self.popitem(last=False)
        return found


class LegKeys:
    """The SRTP contexts of one leg, both directions."""

    def __init__(self) -> None:
        self.sender: SrtpSender | None = None
        self.ready = False
        """True once the leg can receive."""
        self._receiver: SrtpReceiver | None = None
        self._receiving: tuple[CryptoSuite, Secret[bytes]] | None = None
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
        """Octets of the authentication tag expected."""
        return self._receiver.tag if self._receiver else 0

    def install(self, suite: CryptoSuite, tx: Secret[bytes], rx: Secret[bytes], now: float) -> bool:
        """Use these keys; an unchanged one keeps its context (roll-over counter, replay window).

        Returns:
            whether another key than before is sent with, so that the stream must take a new SSRC.
        """
        self.ready = True
        before, self.sender = self.sender, self._senders.context(suite, tx, SrtpSender)
        receiver = self._receivers.context(suite, rx, SrtpReceiver)
        self.generation += receiver is not self._receiver or self.sender is not before
        if receiver is not self._receiver:
            self._previous, self._previous_until = self._receiver, now + REKEY_GRACE_SECONDS
            self._receiver, self._receiving, self._searches = receiver, (suite, rx), MAX_SEARCHES
        return self.sender is not before

    def unprotect(self, packet: bytes, rtcp: bool, now: float) -> Result:
        """Authenticate and decrypt an SRTP or SRTCP packet; FORGED before the first key."""
        if self._receiver is None:
            return SrtpFailure.FORGED
        result = self._receiver.unprotect(packet, rtcp)
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
        """Try a source of the previous key at other roll-over counters than zero.

        RFC 3711 3.3.1 does not reset the counter with the key; most peers do. Only for the first packets of a key:
        later the context of the library knows the counter.
        """
        previous, ssrc = self._previous, packet[_RTP_SSRC]
        if self._receiver is None or previous is None or self._receiving is None or not self._searches:
            return SrtpFailure.FORGED
        if self._receiver.has_heard(ssrc) or not previous.has_heard(ssrc):
            return SrtpFailure.FORGED
        self._searches -= 1
        for ours in _path(*self._receiving, packet):
            self._receiver.unprotect(ours, False)
        return self._receiver.unprotect(packet, False)


def _path(suite: CryptoSuite, key: Secret[bytes], packet: bytes) -> list[bytes]:
    """Packets that lead a context to just before this one; none if it opens at no roll-over counter.

    The library cannot be told a counter, so a context is led to it in steps below 2^15, by packets of our own making
    that never leave. A context of its own is led first: a forged packet must not move the real one.
    """
    sender, trial, path = SrtpSender(suite, key), SrtpReceiver(suite, key), list[bytes]()
    index = (int.from_bytes(packet[2:4]) - 1) & 0xFFFF
    for step in (0, *(0x7000, 0x7000, 0x2000) * MAX_ROLLOVERS):
        index += step
        ours = sender.protect(b"\x80\x00" + (index & 0xFFFF).to_bytes(2) + bytes(4) + packet[_RTP_SSRC], False)
        if not isinstance(ours, bytes):
            break
        path.append(ours)
        trial.unprotect(ours, False)
        if step == 0x2000 and isinstance(trial.unprotect(packet, False), bytes):
            return path
    return []
