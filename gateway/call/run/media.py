"""The media of one call as the control plane drives it: its legs in a relay worker, and the DTLS handshakes of those
that have their keys from one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace

from gateway.base.errors import MediaError
from gateway.base.values import LegId
from gateway.call.machine.effects import StartDtls
from gateway.call.run.edge import attempt
from gateway.call.run.handshakes import HandshakeEvent, Handshakes
from gateway.call.run.witness import CallWitness
from gateway.media.relay_call import LegCounters, RelayCall
from gateway.media.relay_client import RelayPool
from gateway.media.relay_commands import CloseLeg, LegCommand, OpenLeg
from gateway.media.relay_events import DtlsReceived, IceValidated, LegFailed, LegOpened, RelayEvent, RtcpTold
from gateway.media.relay_quality import LegQuality
from gateway.webrtc.dtls import DtlsIdentity

MediaEvent = LegOpened | LegFailed | RelayEvent | HandshakeEvent
"""What a call is told of its media: events of the relay as they are, and how its handshakes ended."""

Listener = Callable[[MediaEvent], None]


class CallMedia:
    """Owns the legs of one call in a relay worker and their handshakes; tells `listener` what happens to them.

    Args:
        broken: told of an error nobody foresaw, which must not reach the relay's other calls.
        affinity: who takes part in the call, asked when the first leg is opened (`RelayPool.open`).
        witness: shown what is told of the media.
    """

    def __init__(
        self,
        pool: RelayPool,
        identity: DtlsIdentity,
        listener: Listener,
        broken: Callable[[Exception], None],
        affinity: Callable[[], frozenset[Hashable]] = frozenset,
        witness: CallWitness | None = None,
    ) -> None:
        self._pool, self._listener, self._broken = pool, listener, broken
        self._affinity, self._witness = affinity, witness
        self._call: RelayCall | None = None
        self._handshakes = Handshakes(identity, self.carry_out, listener, self._guarded)
        self._wanted: set[LegId] = set()
        """Legs that are being opened."""
        self._given_up: set[LegId] = set()
        """Those of them that were closed meanwhile."""
        self._door = asyncio.Lock()
        """Legs are opened one after the other: the first finds the worker all of them share."""
        self._closed = False

    async def open(self, *commands: OpenLeg) -> None:
        """Open legs, together if they are the first; tells `LegOpened` or `LegFailed` of each."""
        if self._witness is not None and self._witness.wants_rtcp:
            commands = tuple(replace(command, tells_rtcp=True) for command in commands)
        self._wanted |= {command.leg for command in commands}
        async with self._door:
            await self._open(commands)

    def carry_out(self, command: LegCommand | CloseLeg) -> None:
        """Have the relay carry out a command about legs that are open; before the first one there is nobody to tell.

        Raises:
            MediaError: the address of a peer is not an IP address.
        """
        if isinstance(command, CloseLeg):
            self._drop(command.leg)
        if self._call is not None and not self._closed:
            self._call.send(command)

    def adopt(self, leg: LegId, other: CallMedia, from_leg: LegId) -> None:
        """Take over a leg of another call with its handshake, under a number of this one.

        Raises:
            MediaError: it cannot be had, and nothing has changed.
        """
        if self._call is None or self._closed or other._call is None or other._closed:
            raise MediaError("a call has no relay")
        self._call.adopt(leg, other._call, from_leg)
        self._handshakes.move(leg, other._handshakes, from_leg)
        if self._witness is not None and other._witness is not None:
            self._witness.takes(leg, other._witness, from_leg)

    def start_dtls(self, effect: StartDtls) -> None:
        """The fingerprint of a peer is known; tells `DtlsConnected` or `DtlsFailed` in the end."""
        if self._call is not None and not self._closed:
            self._handshakes.start(effect)

    def release_keys(self, leg: LegId) -> None:
        """The record of a finished handshake is written: let media flow."""
        self._handshakes.release(leg)

    async def counters(self) -> LegCounters:
        """What the relay has counted of the open legs; nothing before the first was opened.

        Raises:
            MediaError: the worker is lost, or does not answer.
        """
        return await self._call.counters() if self._call is not None and not self._closed else {}

    @property
    def quality(self) -> Mapping[LegId, LegQuality]:
        """Of each leg there was, as of the last answer that told counters."""
        return self._call.quality if self._call is not None else {}

    async def close(self) -> LegCounters:
        """End handshakes and legs; gives the final counters of every leg there was."""
        self._handshakes.close()
        self._closed = True
        return await self._call.close() if self._call is not None else {}

    async def _open(self, commands: Sequence[OpenLeg]) -> None:
        commands = [command for command in commands if command.leg not in self._given_up]
        if self._call is None and commands and not self._closed:
            await self._begin(commands)
        else:
            for command in commands:
                await self._add(command)
        for command in commands:
            self._wanted.discard(command.leg)
            if command.leg in self._given_up and self._call is not None:
                self._call.send(CloseLeg(command.leg))

    async def _begin(self, commands: Sequence[OpenLeg]) -> None:
        try:
            call = await self._pool.open(*commands, listener=self._relay_event, affinity=self._affinity())
        except MediaError as error:
            for command in commands:
                self._tell(LegFailed(command.leg, str(error)))
            return
        self._call = call
        if self._closed:
            await call.close()
        for opened in list(call.legs.values()):
            self._tell(opened)

    async def _add(self, command: OpenLeg) -> None:
        if self._closed or self._call is None:
            return
        try:
            opened = await self._call.open(command)
        except MediaError as error:
            self._tell(LegFailed(command.leg, str(error)))
        else:
            self._tell(opened)

    def _tell(self, event: MediaEvent) -> None:
        """Nothing is told of a call that ended, or of a leg that was given up while it was being opened."""
        leg = event.leg if isinstance(event, LegOpened | LegFailed) else None
        if not self._closed and leg not in self._given_up:
            if isinstance(event, LegOpened) and self._witness is not None:
                self._witness.opened(event)
            self._listener(event)

    def _drop(self, leg: LegId) -> None:
        self._handshakes.drop(leg)
        if leg in self._wanted:
            self._given_up.add(leg)

    def _relay_event(self, event: RelayEvent) -> None:
        if not self._closed:
            self._guarded(lambda: self._take(event))

    def _guarded(self, step: Callable[[], None]) -> None:
        error = attempt(step)
        if error is not None:
            self._broken(error)

    def _take(self, event: RelayEvent) -> None:
        if isinstance(event, DtlsReceived):
            self._handshakes.receive(event.leg, event.component, event.data)
            return
        if self._witness is not None:
            self._witness.saw(event)
        if not isinstance(event, RtcpTold):
            self._listener(event)
        if isinstance(event, IceValidated):
            self._handshakes.validated(event.leg)
