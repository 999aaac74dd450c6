"""The DTLS handshakes of a call's legs, whatever their kind: one for each, and one more where RTCP has its own port.

Each leg has one association at a time. Another one takes its place at once; what is still told of the one before bears
its number, so that the call knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gateway.base.codes import Code
from gateway.base.termination import Termination
from gateway.base.values import LegId
from gateway.call.machine import events
from gateway.call.machine.effects import StartDtls
from gateway.media.relay_commands import Component, SendDtls, SetKeys
from gateway.webrtc.dtls import DtlsEndpoint, DtlsFailure, DtlsIdentity, DtlsState
from gateway.webrtc.handshake import Handshake

_FAILURES = {
    DtlsFailure.FINGERPRINT_MISMATCH: Termination.FINGERPRINT_MISMATCH,
    DtlsFailure.NO_SRTP_PROFILE: Termination.BROWSER_SUITE_UNKNOWN,
}
_CODES = {DtlsFailure.FINGERPRINT_MISMATCH: Code.DTLS_FP_MISMATCH, DtlsFailure.OLD_VERSION: Code.DTLS_OLD}
"""What a failed handshake says of the peer; of the others, that its keys never came about."""

_Ends = tuple[
    Callable[[bytes], None], Callable[[DtlsEndpoint], None], Callable[[Callable[[], None]], None], Callable[[], None]
]

HandshakeEvent = events.DtlsConnected | events.DtlsFailed | events.DtlsAskedAgain
"""How a handshake ended, or what its peer wanted afterwards."""


@dataclass(slots=True)
class _Running:
    """One handshake, and where what it says goes."""

    leg: LegId
    component: Component
    handshake: Handshake
    number: int = 0
    """Of the handshakes of the leg; 0: it has not begun."""


class Handshakes:
    """All of one call.

    Args:
        send: has the relay carry a command out.
        tell: hears how they end.
        guarded: runs a step that a timer begins, see `Handshake`.
    """

    def __init__(
        self,
        identity: DtlsIdentity,
        send: Callable[[SendDtls | SetKeys], None],
        tell: Callable[[HandshakeEvent], None],
        guarded: Callable[[Callable[[], None]], None],
    ) -> None:
        self._identity, self._send, self._tell, self._guarded = identity, send, tell, guarded
        self._running: dict[tuple[LegId, Component], _Running] = {}
        self._released: set[LegId] = set()
        """Legs whose keys the relay has: those of RTCP may follow at once."""
        self._validated: set[LegId] = set()
        """Legs of which a path is known."""

    def __iter__(self) -> Iterator[LegId]:
        """The legs that have a handshake."""
        return iter(sorted({leg for leg, _ in self._running}))

    def start(self, effect: StartDtls) -> None:
        """Begin what a leg has agreed on, in place of what it had; no check is waited for where none is made."""
        self._released.discard(effect.leg)
        if not effect.rtcp:
            self._abandon(effect.leg, Component.RTCP)
        for component in (Component.RTP, Component.RTCP) if effect.rtcp else (Component.RTP,):
            if self._running_of(effect.leg, component).number:
                self._abandon(effect.leg, component)
            running = self._running_of(effect.leg, component)
            running.number = effect.number
            running.handshake.start(effect.role, effect.fingerprints, effect.suites)
            if not effect.checks_paths or effect.leg in self._validated:
                running.handshake.validated()

    def receive(self, leg: LegId, component: int, data: bytes) -> None:
        """Take a datagram of a peer; what comes before it is known who it is waits for that."""
        self._running_of(leg, Component.RTCP if component == Component.RTCP else Component.RTP).handshake.receive(data)

    def validated(self, leg: LegId) -> None:
        """ICE has found a path to the peer of a leg."""
        self._validated.add(leg)
        running = self._running.get((leg, Component.RTP))
        if running is not None:
            running.handshake.validated()

    def release(self, leg: LegId) -> None:
        """The record of a finished handshake is written: let media flow. RTCP follows when it has keys."""
        finished = self._running.get((leg, Component.RTP))
        if finished is None or finished.handshake.keys is None:
            return  # another one has taken its place meanwhile
        self._released.add(leg)
        for component in (Component.RTP, Component.RTCP):
            self._hand_over(leg, component)

    def move(self, leg: LegId, other: Handshakes, from_leg: LegId) -> None:
        """Take over those of a leg of another call; their peers notice nothing."""
        for component in (Component.RTP, Component.RTCP):
            running = other._running.pop((from_leg, component), None)
            if running is not None:
                running.leg = leg
                self._running[leg, component] = running
                running.handshake.move_to(*self._ends(running))
        for mine, theirs in ((self._released, other._released), (self._validated, other._validated)):
            if from_leg in theirs:
                theirs.discard(from_leg)
                mine.add(leg)

    def drop(self, leg: LegId) -> None:
        """A leg ends: say goodbye to its peer."""
        for component in (Component.RTP, Component.RTCP):
            running = self._running.pop((leg, component), None)
            if running is not None:
                running.handshake.close()
        self._released.discard(leg)
        self._validated.discard(leg)

    def close(self) -> None:
        """All legs end."""
        while self._running:
            self._running.popitem()[1].handshake.close()

    def _running_of(self, leg: LegId, component: Component) -> _Running:
        found = self._running.get((leg, component))
        if found is None:
            found = self._running[leg, component] = self._made(leg, component)
        return found

    def _made(self, leg: LegId, component: Component) -> _Running:
        handshake = Handshake(self._identity, _nowhere, _nobody, self._guarded)
        running = _Running(leg, component, handshake)
        handshake.move_to(*self._ends(running))
        return running

    def _ends(self, running: _Running) -> _Ends:
        """Where the datagrams, the outcome and the errors of a handshake go."""
        return (
            lambda data: self._send(SendDtls(running.leg, data, running.component)),
            lambda endpoint: self._done(running, endpoint),
            self._guarded,
            lambda: self._tell(events.DtlsAskedAgain(running.leg, running.number)),
        )

    def _abandon(self, leg: LegId, component: Component) -> None:
        running = self._running.pop((leg, component), None)
        if running is not None:
            running.handshake.abandon()

    def _done(self, running: _Running, endpoint: DtlsEndpoint) -> None:
        found = _outcome(running, endpoint)
        if running.component is Component.RTP or isinstance(found, events.DtlsFailed):
            self._tell(found)
        elif running.leg in self._released:
            self._hand_over(running.leg, Component.RTCP)

    def _hand_over(self, leg: LegId, component: Component) -> None:
        running = self._running.get((leg, component))
        keys = running.handshake.keys if running is not None else None
        if keys is not None:
            whose = component if (leg, Component.RTCP) in self._running else Component.BOTH
            self._send(SetKeys(leg, keys.suite.name, keys.tx, keys.rx, component=whose))


def _nowhere(_data: bytes) -> None:
    """Nothing is sent by a handshake that nobody has yet."""


def _nobody(_endpoint: DtlsEndpoint) -> None:
    """Nor does anything come of it."""


def _outcome(running: _Running, endpoint: DtlsEndpoint) -> events.DtlsConnected | events.DtlsFailed:
    leg, number = running.leg, running.number
    if endpoint.keys is not None and endpoint.state is DtlsState.CONNECTED:
        return events.DtlsConnected(leg, endpoint.keys.suite, endpoint.version, endpoint.fingerprint_algorithm, number)
    failure = endpoint.failure or DtlsFailure.HANDSHAKE
    termination = _FAILURES.get(failure, Termination.DTLS_FAILED)
    code = _CODES.get(failure, Code.EARLY_UNKEYED)
    return events.DtlsFailed(leg, termination, code, number, rtcp=running.component is Component.RTCP)
