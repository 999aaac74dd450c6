"""Who a trunk leg leads to: the hosts and networks that are the trunk's, where its media may be, and what it can do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.base.dtmf import Dtmf
from gateway.base.signalling import Signalling
from gateway.base.termination import Termination
from gateway.base.values import HostPort, LegKind
from gateway.call.legs.agreed import TrunkMedia
from gateway.call.legs.leg import BaseLeg
from gateway.call.legs.media_names import MediaNames
from gateway.call.legs.places import NO_PLACES, OwnPlaces, check_places, within
from gateway.call.legs.trunk_faults import OF_HANDSHAKE
from gateway.call.legs.user_agent import Habits
from gateway.media.relay_commands import OwnPort
from gateway.sdp.codecs import TRUNK_CODECS, Codec
from gateway.sdp.media import RemoteAudio
from gateway.sdp.negotiation import select_codecs
from gateway.sip.flow import Flow
from gateway.trunks.model import Network, Trunk
from gateway.trunks.target import is_ip_literal

NOWHERE = HostPort("", 0)


@dataclass(kw_only=True)
class TrunkPeer(BaseLeg[TrunkMedia]):
    """What does not depend on how a leg to a trunk is keyed."""

    kind = LegKind.TRUNK
    habits = Habits(
        keeps_timers=True,
        names_transports=True,
        names_hosts=True,
        answers_early=True,
        is_asked=True,
        reconnects=True,
        handshakes=False,
        returns=False,
        is_person=False,
    )

    trunk_id: str = ""
    trunk: Trunk | None = None
    own: OwnPlaces = NO_PLACES
    names: MediaNames = field(default_factory=MediaNames)
    """Host names of the peer's media."""
    media_bind: str = ""
    """Address of the trunk's media socket; empty while none is known."""
    media_advertise: str = ""
    """What the trunk is told instead."""
    rtp: HostPort = NOWHERE
    rtcp: HostPort = NOWHERE

    def may_send_to(self, host: str) -> bool:
        return super().may_send_to(host) or within(host, self.trunk.networks if self.trunk else ())

    def is_reached_by(self, flow: Flow) -> bool:
        """Any connection that is the trunk's."""
        return flow.may_be(self.trunk_id)

    @property
    def digits_by_info(self) -> bool:
        """As the trunk is configured, or has shown by its description."""
        match self.trunk.dtmf if self.trunk else Dtmf.RTP:
            case Dtmf.INFO:
                return True
            case Dtmf.AUTO:
                return super().digits_by_info
            case _:
                return False

    def _without_events(self, codecs: Sequence[Codec]) -> tuple[Codec, ...]:
        """Codecs less telephone-event, where digits go by INFO: what comes both ways would be two digits."""
        by_info = self.trunk is not None and self.trunk.dtmf is Dtmf.INFO
        return tuple(codec for codec in codecs if not (by_info and codec.is_event))

    def blame(self, failed: Termination) -> Termination:
        return OF_HANDSHAKE.get(failed, failed)

    @property
    def trunk_name(self) -> str:
        return self.trunk_id

    def is_named(self, host: str) -> bool:
        """Where a trunk has several targets, a name may be that of another one than we are connected to."""
        return self._target_hosts == {host.lower()}

    def is_own_host(self, host: str) -> bool:
        """A target, a name of its certificate where there is one, the address it is at, or one of its networks.

        Over UDP and TCP a name is only followed where it is the trunk's one target: nothing would prove who is there.
        """
        found = {target for target in self._target_hosts if is_ip_literal(target)}
        names = self.trunk.tls_names if self.trunk is not None and self.founding.is_secure else ()
        return self.is_named(host) or host.lower() in (*found, *names) or self.may_send_to(host)

    @property
    def _target_hosts(self) -> set[str]:
        return {choice.target.host.lower() for choice in self.trunk.choices} if self.trunk is not None else set()

    @property
    def media_networks(self) -> tuple[Network, ...]:
        """Where a name of its media may lead to."""
        return (*self.trunk.networks, *self.trunk.media_networks) if self.trunk else ()

    def unknown_names(self, body: bytes) -> tuple[str, ...]:
        """Names in a description that were not looked up yet; none for a trunk whose networks are not known."""
        return self.names.unknown(body) if self.media_networks else ()

    def learn_names(self, found: Iterable[tuple[str, Sequence[str]]]) -> None:
        self.names.learn(found, self.media_bind, self.media_networks)

    @property
    def place(self) -> OwnPort:
        return OwnPort(self.media_bind, self.media_advertise)

    def opened(self, rtp: tuple[HostPort, ...], rtcp: HostPort | None) -> None:
        self.rtp = rtp[0]
        self.rtcp, self.is_open = rtcp or self.rtp, True

    @property
    def peer_rtp(self) -> HostPort | None:
        return self.agreed.where if self.agreed is not None else None

    @property
    def own_rtp(self) -> HostPort | None:
        return self.rtp if self.agreed is not None else None

    @property
    def own_places(self) -> tuple[HostPort, ...]:
        return (self.rtp, self.rtcp) if self.is_open else ()

    @property
    def signalling(self) -> Signalling:
        """What holds for every message of the leg: facts of the flow that set it up; none that proves less counts."""
        return self.founding.signalling

    @property
    def usable_codecs(self) -> tuple[Codec, ...]:
        return self._allowed(TRUNK_CODECS)

    def _allowed(self, codecs: Sequence[Codec]) -> tuple[Codec, ...]:
        """Codecs this trunk may be offered, in the administrator's order."""
        names = self.trunk.codecs if self.trunk else ()
        return tuple(select_codecs(codecs, [n.lower() for n in names]))

    def _check_address(self, remote: RemoteAudio) -> None:
        """Media goes only where a trunk's media can be, see `places`.

        Raises:
            MediaPlaceError: the address is none we may send to, or none our socket can.
        """
        own = self.own.but(place for leg in self.facing for place in leg.own_places) if self.facing else self.own
        check_places((remote.rtp, remote.rtcp), bind=self.media_bind, peer=self.flow.remote.host, own=own)
