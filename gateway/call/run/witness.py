"""What somebody outside is shown of the media of calls: reports as they come and go, and what a leg was like."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.base.values import HostPort, LegId
from gateway.call.machine import bridge
from gateway.call.machine.state import CallState
from gateway.call.run.edge import attempt
from gateway.hep.reports import EndedWay, ended_ways
from gateway.media.relay_events import IceValidated, LegOpened, RelayEvent, RtcpTold, SourceLearned

log = logging.getLogger(__name__)


class Witness(Protocol):
    """Somebody outside; `hep.export.HepExport` has this shape."""

    @property
    def is_on(self) -> bool:
        """Whether there is anybody; calls that begin later are shown to those who come."""

    def rtcp(self, correlation: str, source: HostPort, destination: HostPort, compound: bytes) -> None:
        """A compound packet of a call came or left."""

    def ended(self, correlation: str, ways: Sequence[EndedWay]) -> None:
        """A call is over."""


class Nobody:
    """The witness where there is none."""

    is_on = False

    def rtcp(self, correlation: str, source: HostPort, destination: HostPort, compound: bytes) -> None:
        """Nobody sees it."""

    def ended(self, correlation: str, ways: Sequence[EndedWay]) -> None:
        """Nobody sees it."""


@dataclass(slots=True)
class _Ends:
    """Both ends of the media of a leg."""

    opened: LegOpened
    peer: HostPort | None = None

    def own(self, peer: HostPort, *, is_rtcp_port: bool = False) -> HostPort:
        """Ours, as that peer reaches it."""
        if is_rtcp_port and self.opened.rtcp is not None:
            return self.opened.rtcp
        same = [place for place in self.opened.rtp if _version(place) == _version(peer)]
        return (same or self.opened.rtp)[0]


class CallWitness:
    """Tells the witness of one call."""

    def __init__(self, state: CallState, witness: Witness) -> None:
        self._state, self._witness = state, witness
        self._ends: dict[LegId, _Ends] = {}
        self._failed = False

    @property
    def wants_rtcp(self) -> bool:
        """Whether legs opened now are to tell their RTCP."""
        return self._witness.is_on

    def opened(self, event: LegOpened) -> None:
        """A leg has a place."""
        self._ends[event.leg] = _Ends(event)

    def takes(self, leg: LegId, other: CallWitness, from_leg: LegId) -> None:
        """A leg of another call is one of this call."""
        ends = other._ends.pop(from_leg, None)
        if ends is not None:
            self._ends[leg] = ends

    def saw(self, event: RelayEvent) -> None:
        """Something was told of the media of a leg; whatever goes wrong here concerns no call."""
        self._guarded(lambda: self._see(event))

    def _see(self, event: RelayEvent) -> None:
        ends = self._ends.get(event.leg) if isinstance(event, IceValidated | SourceLearned | RtcpTold) else None
        if ends is None:
            return
        if isinstance(event, RtcpTold):
            self._rtcp(event, ends)
        elif isinstance(event, IceValidated | SourceLearned):
            ends.peer = event.address

    def _rtcp(self, event: RtcpTold, ends: _Ends) -> None:
        places = (ends.own(event.peer, is_rtcp_port=not event.muxed), event.peer)
        source, destination = places if event.sent else places[::-1]
        self._witness.rtcp(self._state.caller.call_id, source, destination, event.compound)

    def ended(self, quality: object) -> None:
        """The call is over; what its legs were like stands in its final record."""
        self._guarded(lambda: self._show_end(quality))

    def _guarded(self, step: Callable[[], None]) -> None:
        error = attempt(step)
        if error is not None and not self._failed:
            self._failed = True
            log.error("call=%s cannot show its media: %s", self._state.facts.id, error, exc_info=error)

    def _show_end(self, quality: object) -> None:
        if not self._witness.is_on or not isinstance(quality, Mapping):
            return
        labels, codec = self._state.posture.labels(), bridge.codec_in_use(self._state)
        ways: list[EndedWay] = []
        for number, leg in self._state.legs.items():
            label = labels.get(number) or f"{leg.kind}-{number}"
            ends, facts = self._ends.get(number), quality.get(label)
            peer = (ends.peer if ends is not None else None) or leg.peer_rtp
            if ends is not None and peer is not None and isinstance(facts, Mapping):
                ways += ended_ways(facts, leg=label, codec=codec, call_id=leg.call_id, own=ends.own(peer), peer=peer)
        self._witness.ended(self._state.caller.call_id, ways)


def _version(place: HostPort) -> int:
    """Of its address; 0 for what is none."""
    try:
        return ipaddress.ip_address(place.host).version
    except ValueError:
        return 0
