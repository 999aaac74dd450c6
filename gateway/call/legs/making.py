"""Builds the legs of calls: what all legs of this gateway have in common is here, what differs is in the plan."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.values import LegId, TokenSource
from gateway.call.legs.browser import BrowserLeg
from gateway.call.legs.dtls_end import DtlsEnd
from gateway.call.legs.identity import Origin, Voice, tell, tell_registrar
from gateway.call.legs.keys import KeySource
from gateway.call.legs.party import Party, Reading
from gateway.call.legs.places import OwnPlaces
from gateway.call.legs.targets import TrunkTarget
from gateway.call.legs.trunk import TrunkLeg
from gateway.sdp.keying import Fingerprint
from gateway.sip.address import NameAddr
from gateway.sip.flow import Flow
from gateway.sip.uri import SipUri
from gateway.site import Site
from gateway.trunks.contact import contact_of
from gateway.trunks.model import Trunk
from gateway.trunks.target import TrunkTarget as PlaceTarget

MAX_SESSION_ID = 0x7FFFFFFF
TAG_LENGTH = 12
CALL_ID_LENGTH = 24


@dataclass(frozen=True)
class LegMaker:
    """Makes legs; `tokens` and `new_key` are the randomness they are given."""

    tokens: TokenSource
    new_key: KeySource
    site: Site
    """The configuration a call began under."""
    fingerprint: Fingerprint
    own: OwnPlaces

    @property
    def realm(self) -> str:
        """Our own domain, in which browsers are shown who the other side is."""
        return self.site.realm

    def browser(
        self,
        leg: LegId,
        flow: Flow,
        local: NameAddr,
        remote: NameAddr,
        *,
        is_caller: bool,
        user: str = "",
        request_uri: SipUri | None = None,
    ) -> BrowserLeg:
        """A leg to the browser at the end of this connection.

        Args:
            local: who the browser is shown.
            remote: the browser's user as a SIP address, `user` her name alone.
            request_uri: the Contact it registered, for a browser that is called.
        """
        return BrowserLeg(
            id=leg,
            flow=flow,
            is_caller=is_caller,
            local_address=local,
            remote_address=remote,
            contact=NameAddr("", SipUri.of("gateway", self.realm, transport="ws")),
            session_id=self._session_id(),
            extensions=self.site.header_extensions,
            local_tag=self.tokens(TAG_LENGTH),
            call_id="" if is_caller else self.tokens(CALL_ID_LENGTH),
            display_name=user,
            number=user,
            party=Party("", user) if user else None,
            request_uri=request_uri,
            tokens=self.tokens,
            fingerprint=self.fingerprint,
            setup_answer=self.site.media.browser.setup,
        )

    def called_browser(self, leg: LegId, flow: Flow, shown: NameAddr, user: str, contact: SipUri) -> BrowserLeg:
        """The leg a user of ours is called on.

        Args:
            shown: who calls, as From.
            contact: the URI registered over this connection.
        """
        remote = NameAddr("", SipUri.of(user, self.realm))
        return self.browser(leg, flow, shown, remote, is_caller=False, user=user, request_uri=contact)

    def trunk(
        self, leg: LegId, flow: Flow, target: TrunkTarget, local: NameAddr, remote: NameAddr, *, is_caller: bool
    ) -> TrunkLeg:
        """A leg to a trunk over this connection."""
        trunk = target.trunk
        return TrunkLeg(
            id=leg,
            flow=flow,
            is_caller=is_caller,
            local_address=local,
            remote_address=remote,
            contact=contact_of(trunk, flow, self.site.media.trunk.advertised),
            session_id=self._session_id(),
            extensions=self.site.header_extensions,
            local_tag=self.tokens(TAG_LENGTH),
            call_id="" if is_caller else self.tokens(CALL_ID_LENGTH),
            policy=target.policy,
            display_name=trunk.display_name or trunk.name,
            number=target.number,
            trusts_identity=trunk.trust_identity,
            replaces=target.replaces,
            reliable_provisional=trunk.reliable_provisional,
            makes_the_offer=trunk.delayed_offer,
            session_interval=trunk.session_expires,
            trunk_id=trunk.name,
            trunk=trunk,
            new_key=self.new_key,
            dtls=DtlsEnd(self.fingerprint, self.tokens),
            own=self.own,
            media_bind=trunk.media.bind,
            media_advertise=trunk.media.advertised,
        )

    def called_trunk(
        self, leg: LegId, flow: Flow, target: TrunkTarget, origin: Origin, at: PlaceTarget | None = None
    ) -> TrunkLeg:
        """The leg a number is called on, for whoever it is.

        Args:
            at: the target of the trunk that the flow leads to; None: its only one.
        """
        trunk, voice = target.trunk, self.voice(target.trunk)
        relayed = target.relayed
        if relayed is not None:
            told = tell_registrar(origin, self.realm)
            made = self.trunk(leg, flow, target, told.address, relayed.to, is_caller=False)
            made.relayed, made.call_id, made.local_tag = relayed, relayed.call_id, relayed.from_tag
        else:
            told = tell(origin, voice, emergency=target.policy.emergency)
            host, port = (at.host, at.port if at.has_port else None) if at else (trunk.target.host, trunk.port)
            remote = NameAddr("", voice.phone(SipUri.of(target.number, host, port)))
            made = self.trunk(leg, flow, target, told.address, remote, is_caller=False)
        made.identity = told.fields
        return made

    def voice(self, trunk: Trunk) -> Voice:
        """How a trunk is spoken to of people."""
        home = self.site.dialplan.home
        return Voice(trunk.identity, self.realm, lambda number: home.written(number, trunk.number_format))

    def reading(self, trunk: str) -> Reading:
        """How numbers of a trunk are read, as the dialplan knows them."""
        plan = self.site.dialplan
        return Reading(self.realm, lambda number: plan.read_from(trunk, number))

    def _session_id(self) -> int:
        """A numeric SDP session id (RFC 8866 5.2) from the token source."""
        return int.from_bytes(self.tokens(8).encode(), "big") & MAX_SESSION_ID
