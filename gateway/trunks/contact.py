"""The Contact a trunk reaches us by (RFC 3261 8.1.1.8)."""

from __future__ import annotations

from gateway.sip.address import NameAddr
from gateway.sip.flow import Flow
from gateway.sip.uri import SipUri
from gateway.trunks.model import Trunk

ANY = ("0.0.0.0", "::")


def contact_of(trunk: Trunk, flow: Flow, advertised: str, user: str = "gateway") -> NameAddr:
    """A name the trunk wants, the flow's own address, or the advertised one behind 1:1 NAT.

    Args:
        advertised: where this gateway is when the flow does not know, as that of a listener on every address.
    """
    host = trunk.contact or trunk.media.advertise or flow.local.host
    return NameAddr("", SipUri.of(user, advertised if host in ANY else host, flow.local.port, transport=flow.transport))
