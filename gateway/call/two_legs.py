"""Lets a machine that knows one browser and one trunk speak of them as legs with numbers.

The effects of such a machine name its two sides; the relay knows legs and routes. What stands here is the whole
difference, and goes when the machine gives commands of the relay itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.base.termination import Termination
from gateway.base.values import LegId, LegKind
from gateway.call import events
from gateway.call.effects import (
    LegName,
    OpenMedia,
    PayloadFormat,
    RestartIce,
    SetDirection,
    SetPayloads,
    SetTrunkKeys,
    SetTrunkMedia,
    StartDtls,
)
from gateway.call.media_control import CallMedia, MediaEvent
from gateway.media import relay_commands as relay
from gateway.media import relay_events as told
from gateway.media.relay_counters import totals

BROWSER, TRUNK = LegId(1), LegId(2)
_NAMES = {BROWSER: LegName.BROWSER, TRUNK: LegName.TRUNK}
_KINDS = {BROWSER: LegKind.BROWSER, TRUNK: LegKind.TRUNK}


class TwoLegs:
    """Effects about a browser and a trunk become commands, events of their legs become those of the call.

    Args:
        media: the legs of the call.
        listener: takes the events of the call.
    """

    def __init__(self, media: CallMedia, listener: Callable[[events.Event], None]) -> None:
        self._media, self._listener = media, listener
        self._opened: dict[LegId, told.LegOpened] = {}
        self._failed = False
        self._payloads = SetPayloads((), (), ())
        self._direction = SetDirection(to_trunk=True, to_browser=True)

    async def open(self, effect: OpenMedia, bind: str, advertise: str) -> None:
        await self._media.open(
            relay.OpenLeg(BROWSER, relay.IcePort(effect.ice_ufrag, effect.ice_pwd)),
            relay.OpenLeg(TRUNK, relay.OwnPort(bind, advertise)),
        )

    async def close(self) -> dict[str, int]:
        """End the media; gives the final counters of the call by name."""
        legs = await self._media.close()
        return totals(legs, _KINDS) if legs else {}

    def start_dtls(self, effect: StartDtls) -> None:
        self._media.start_dtls(BROWSER, "client" if effect.role == "client" else "server", effect.fingerprints)

    def release_keys(self) -> None:
        self._media.release_keys(BROWSER)

    def restart_ice(self, effect: RestartIce) -> None:
        self._media.carry_out(relay.SetIce(BROWSER, effect.ice_ufrag, effect.ice_pwd))

    def set_trunk_keys(self, effect: SetTrunkKeys) -> None:
        self._media.carry_out(relay.SetKeys(TRUNK, effect.suite.name, effect.tx, effect.rx))

    def set_trunk(self, effect: SetTrunkMedia, sources: Sequence[str]) -> None:
        """Raises MediaError when the address is not an IP address."""
        self._media.carry_out(
            relay.SetPeer(TRUNK, effect.keyed, effect.rtp, effect.rtcp, effect.rtcp_mux, tuple(sources))
        )

    def set_payloads(self, effect: SetPayloads) -> None:
        self._payloads = effect
        self._route()

    def set_direction(self, effect: SetDirection) -> None:
        self._direction = effect
        self._route()

    def _route(self) -> None:
        formats, ways = self._payloads.formats, self._direction
        to_trunk = relay.RelayPlan(_maps(LegName.BROWSER, self._payloads.to_trunk, formats), ways.to_trunk)
        to_browser = relay.RelayPlan(_maps(LegName.TRUNK, self._payloads.to_browser, formats), ways.to_browser)
        self._media.carry_out(relay.Route(BROWSER, TRUNK, to_trunk))
        self._media.carry_out(relay.Route(TRUNK, BROWSER, to_browser))

    def hear(self, event: MediaEvent) -> None:
        """Take an event of the media."""
        match event:
            case told.LegOpened():
                self._opened[event.leg] = event
                if len(self._opened) == len(_NAMES):
                    browser, trunk = self._opened[BROWSER], self._opened[TRUNK]
                    self._listener(events.MediaOpened(browser.rtp, trunk.rtp[0], trunk.rtcp or trunk.rtp[0]))
            case told.LegFailed():
                if not self._failed:
                    self._failed = True
                    self._listener(events.MediaFailed(event.reason))
            case events.DtlsConnected() | events.DtlsFailed():
                self._listener(event)
            case _:
                translated = _translate(event)
                if translated is not None:
                    self._listener(translated)


def _maps(
    source: LegName, numbers: Sequence[tuple[int, int]], formats: Sequence[PayloadFormat]
) -> tuple[relay.PayloadMap, ...]:
    own = {known.payload_type: known for known in formats if known.leg is source}
    rates = {known.payload_type: known.clock_rate for known in formats if known.leg is not source and known.is_event}
    return tuple(_map(number, becomes, own.get(number), rates) for number, becomes in numbers)


def _map(number: int, becomes: int, known: PayloadFormat | None, rates: dict[int, int]) -> relay.PayloadMap:
    if known is None:
        return relay.PayloadMap(number, becomes)
    there = rates.get(becomes, 0) if known.is_event else 0
    return relay.PayloadMap(number, becomes, known.clock_rate, known.is_event, there)


def _translate(event: told.RelayEvent) -> events.Event | None:
    """A relay event in the words of the call."""
    match event:
        case told.ConsentLost():
            return events.Lost(Termination.CONSENT_LOST)
        case told.WorkerLost():
            return events.Lost(Termination.WORKER_HUNG if event.hung else Termination.WORKER_LOST)
        case told.CommandRefused():
            return events.Lost(Termination.MEDIA_UNAVAILABLE)
        case told.SourceLearned():
            return events.SourceLearned(event.address, event.expected)
        case told.IceValidated() | told.DtlsReceived():
            return None
        case _:
            return _of_packets(event, _NAMES[event.leg])


def _of_packets(
    event: told.MediaStarted
    | told.LegVerified
    | told.MediaMismatch
    | told.LegSilent
    | told.LegHeard
    | told.SourceRejected
    | told.MediaUnsent,
    leg: LegName,
) -> events.Event:
    match event:
        case told.MediaStarted():
            return events.MediaStarted(leg)
        case told.LegVerified():
            return events.LegVerified(leg, event.confirmed)
        case told.MediaMismatch():
            return events.MediaMismatch(leg, event.code)
        case told.LegSilent():
            return events.MediaSilent(leg)
        case told.LegHeard():
            return events.MediaHeard(leg)
        case told.SourceRejected():
            return events.SourceRejected(leg, event.address, event.code)
        case told.MediaUnsent():
            return events.MediaUnsent(leg, event.cause)
