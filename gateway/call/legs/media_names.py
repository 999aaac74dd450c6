"""Host names where a trunk says that its media is, and the address each stands for in one call (RFC 8866 5.7).

When DNS is asked is the affair of the call (`machine/names`). Here is what is asked for, and where it may lead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from gateway.base.errors import SdpError
from gateway.base.values import HostPort
from gateway.call.legs.places import Network, first_reachable, is_name
from gateway.sdp.description import SessionDescription
from gateway.sdp.media import RemoteAudio, audio_lines

MAX_NAMES = 4
"""Names looked up for one description; one for RTP and one for RTCP are all a line can need."""
MAX_NAMES_KEPT = 32
"""Names of one call; one that changes them more often than this is no telephone call, and DNS is not asked again."""


@dataclass(slots=True)
class MediaNames:
    """What DNS said, once for each name."""

    known: dict[str, str] = field(default_factory=dict)
    """The address of each; "": none it may stand for."""

    def unknown(self, body: bytes) -> tuple[str, ...]:
        """Names in a description that were not looked up yet."""
        if not body or len(self.known) >= MAX_NAMES_KEPT:
            return ()
        try:
            lines = audio_lines(SessionDescription.parse(body))
        except SdpError:
            return ()  # told when it is judged
        hosts = {place.host.lower(): None for line in lines for place in (line.rtp, line.rtcp) if place is not None}
        return tuple(name for name in hosts if is_name(name) and name not in self.known)[:MAX_NAMES]

    def learn(self, found: Iterable[tuple[str, Sequence[str]]], bind: str, networks: Sequence[Network]) -> None:
        """Keep for each name the first address that a socket bound there can reach within the networks."""
        for name, addresses in found:
            self.known.setdefault(name, first_reachable(addresses, bind, networks))

    def placed(self, remote: RemoteAudio) -> RemoteAudio:
        """The line with addresses for the names that were looked up."""
        return replace(remote, rtp=self._place(remote.rtp), rtcp=self._place(remote.rtcp))

    def _place(self, place: HostPort | None) -> HostPort | None:
        address = self.known.get(place.host.lower()) if place is not None else None
        return HostPort(address, place.port) if address and place is not None else place
