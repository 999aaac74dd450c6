"""The media of one call as the control plane drives it: a relay session and the DTLS handshake with the browser."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from gateway.base.errors import MediaError
from gateway.base.termination import Termination
from gateway.call import events
from gateway.call.edge import attempt
from gateway.call.effects import (
    LegName,
    OpenMedia,
    RestartIce,
    SetDirection,
    SetPayloads,
    SetTrunkKeys,
    SetTrunkMedia,
    StartDtls,
)
from gateway.media import relay_protocol as relay
from gateway.media.relay_client import RelayPool, RelaySession
from gateway.webrtc.dtls import DtlsEndpoint, DtlsFailure, DtlsIdentity, DtlsState

MAX_EARLY_DATAGRAMS = 8
"""DTLS datagrams kept until the fingerprint is known: a ClientHello in two pieces, and its repetitions."""

_FAILURES = {DtlsFailure.FINGERPRINT_MISMATCH: Termination.FINGERPRINT_MISMATCH}

Listener = Callable[[events.Event], None]


class CallMedia:
    """Owns the relay session and the DTLS endpoint of one call; tells `listener` what happens to them.

    Args:
        broken: told of an error nobody foresaw, which must not reach the relay's other calls.
    """

    def __init__(
        self, pool: RelayPool, identity: DtlsIdentity, listener: Listener, broken: Callable[[Exception], None]
    ) -> None:
        self._pool, self._identity, self._listener, self._broken = pool, identity, listener, broken
        self._session: RelaySession | None = None
        self._dtls: DtlsEndpoint | None = None
        self._early: deque[bytes] = deque(maxlen=MAX_EARLY_DATAGRAMS)
        self._timer: asyncio.TimerHandle | None = None
        self._validated = False
        self._reported = False
        self._closed = False
        self._loop = asyncio.get_running_loop()

    async def open(self, command: OpenMedia, bind: str, advertise: str) -> None:
        """Get a relay session; tells `MediaOpened` or `MediaFailed`."""
        try:
            session = await self._pool.open(
                ice_ufrag=command.ice_ufrag,
                ice_pwd=command.ice_pwd.reveal(),
                trunk_bind=bind,
                trunk_advertise=advertise,
                listener=self._relay_event,
            )
        except MediaError as error:
            self._listener(events.MediaFailed(str(error)))
            return
        self._session = session
        if self._closed:
            await session.close()
            return
        self._listener(events.MediaOpened(session.browser_candidates, session.trunk_rtp, session.trunk_rtcp))

    async def close(self) -> dict[str, int]:
        """End handshake and session; gives the session's final counters by name."""
        self._closed = True
        self._cancel_timer()
        if self._dtls is not None:
            self._dtls.close(self._loop.time())
            self._send_datagrams()
            self._dtls = None
        if self._session is None:
            return {}
        counters = await self._session.close()
        return {name: getattr(counters, name) for name in counters.__slots__}

    def start_dtls(self, command: StartDtls) -> None:
        """The browser's fingerprint is known: the handshake may run as soon as ICE has validated an address."""
        role = "client" if command.role == "client" else "server"
        self._dtls = DtlsEndpoint(self._identity, role, command.fingerprints)  # type: ignore[arg-type]
        if self._validated:
            self._dtls.start(self._loop.time())
        while self._early:
            self._dtls.receive(self._early.popleft(), self._loop.time())
        self._after_dtls()

    def restart_ice(self, command: RestartIce) -> None:
        if self._session is not None:
            self._session.set_ice(command.ice_ufrag, command.ice_pwd)

    def release_keys(self) -> None:
        """The record is written: let media flow."""
        if self._session is not None and self._dtls is not None and self._dtls.keys is not None:
            keys = self._dtls.keys
            self._session.set_keys("browser", keys.suite, keys.tx, keys.rx)

    def set_trunk_keys(self, command: SetTrunkKeys) -> None:
        if self._session is not None:
            self._session.set_keys("trunk", command.suite, command.tx, command.rx)

    def set_trunk(self, command: SetTrunkMedia, sources: Sequence[str]) -> None:
        """Tell the relay where the trunk's media is.

        Raises:
            MediaError: the address is not an IP address.
        """
        if self._session is not None:
            self._session.set_trunk(
                keyed=command.keyed,
                rtp=command.rtp,
                rtcp=command.rtcp,
                rtcp_mux=command.rtcp_mux,
                sources=sources,
            )

    def set_payloads(self, command: SetPayloads) -> None:
        if self._session is not None:
            formats = [relay.Format(f.leg.value, f.payload_type, f.clock_rate, f.is_event) for f in command.formats]
            self._session.set_payloads(dict(command.to_trunk), dict(command.to_browser), formats)

    def set_direction(self, command: SetDirection) -> None:
        if self._session is not None:
            self._session.set_direction(to_trunk=command.to_trunk, to_browser=command.to_browser)

    def _relay_event(self, event: relay.RelayEvent) -> None:
        if not self._closed:
            self._guarded(lambda: self._take(event))

    def _guarded(self, step: Callable[[], None]) -> None:
        error = attempt(step)
        if error is not None:
            self._broken(error)

    def _take(self, event: relay.RelayEvent) -> None:
        match event:
            case relay.DtlsReceived():
                self._dtls_received(event.data)
            case relay.IceValidated():
                self._validated = True
                if self._dtls is not None:
                    self._dtls.start(self._loop.time())
                    self._after_dtls()
            case _:
                translated = _translate(event)
                if translated is not None:
                    self._listener(translated)

    def _dtls_received(self, data: bytes) -> None:
        if self._dtls is None:
            self._early.append(data)
            return
        self._dtls.receive(data, self._loop.time())
        self._after_dtls()

    def _after_dtls(self) -> None:
        """Send what the handshake wrote, tell its outcome once, and arm its one timer."""
        self._send_datagrams()
        endpoint = self._dtls
        if endpoint is None:
            return
        self._cancel_timer()
        deadline = endpoint.next_deadline()
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._on_timer)
        if endpoint.state in (DtlsState.CONNECTED, DtlsState.FAILED) and not self._reported:
            self._reported = True
            self._report(endpoint)

    def _report(self, endpoint: DtlsEndpoint) -> None:
        if endpoint.keys is not None and endpoint.state is DtlsState.CONNECTED:
            outcome: events.Event = events.DtlsConnected(
                endpoint.keys.suite, endpoint.version, endpoint.fingerprint_algorithm
            )
        else:
            failure = endpoint.failure or DtlsFailure.HANDSHAKE
            outcome = events.DtlsFailed(_FAILURES.get(failure, Termination.DTLS_FAILED))
        self._listener(outcome)

    def _on_timer(self) -> None:
        self._timer = None
        self._guarded(self._handle_timer)

    def _handle_timer(self) -> None:
        if self._dtls is not None:
            self._dtls.handle_timer(self._loop.time())
            self._after_dtls()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send_datagrams(self) -> None:
        if self._session is not None and self._dtls is not None:
            for datagram in self._dtls.take_datagrams():
                self._session.send_dtls(datagram)


def _translate(event: relay.RelayEvent) -> events.Event | None:
    """A relay event in the words of the call."""
    match event:
        case relay.ConsentLost():
            return events.Lost(Termination.CONSENT_LOST)
        case relay.WorkerLost():
            return events.Lost(Termination.WORKER_HUNG if event.hung else Termination.WORKER_LOST)
        case relay.SessionFailed():
            return events.Lost(Termination.MEDIA_UNAVAILABLE)
        case _:
            return _of_packets(event)


def _of_packets(event: relay.RelayEvent) -> events.Event | None:
    match event:
        case relay.MediaStarted():
            return events.MediaStarted(LegName(event.leg))
        case relay.LegVerified():
            return events.LegVerified(LegName(event.leg), event.confirmed)
        case relay.MediaMismatch():
            return events.MediaMismatch(LegName(event.leg), event.code)
        case relay.LegSilent():
            return events.MediaSilent(LegName(event.leg))
        case relay.LegHeard():
            return events.MediaHeard(LegName(event.leg))
        case relay.SourceLearned():
            return events.SourceLearned(event.address, event.expected)
        case relay.SourceRejected():
            return events.SourceRejected(LegName(event.leg), event.address, event.code)
        case relay.MediaUnsent():
            return events.MediaUnsent(LegName(event.leg), event.cause)
        case _:
            return None
