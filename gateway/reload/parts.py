"""Everything that is made from a site and lives longer than one call: here a new site reaches it, in one step.

Nothing is waited for meanwhile, so that nobody sees half of one site and half of another. What takes time, such as
taking back a registration, is begun and goes on by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gateway.audit.log import AuditLog
from gateway.audit.sinks.export import Export
from gateway.call.legs.places import Bound, OwnPlaces
from gateway.call.manager import CallManager
from gateway.hep.export import HepExport
from gateway.net.channel import StreamLimits
from gateway.net.endpoint import SipEndpoint
from gateway.net.events import EventSockets
from gateway.net.interfaces import interfaces
from gateway.net.websocket import SipWebSocket
from gateway.renewal.watch import CertificateWatch
from gateway.renewal.watched import watched
from gateway.sip.flow import Flow
from gateway.site import ConnectionShares, Site, Sites
from gateway.tokens.door import TokenDoor
from gateway.tokens.rings import KeyRings
from gateway.trunks.model import Trunk
from gateway.trunks.registering import Registrations
from gateway.web.server import PageInfo, WebServer

log = logging.getLogger(__name__)


class Places:
    """Where this gateway is reached, by the site there is."""

    def __init__(self, site: Site) -> None:
        self.own = own_places(site)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a gateway that know its site by more than a look at `Sites.current`."""

    sites: Sites
    places: Places
    audit: AuditLog
    export: Export
    hep: HepExport
    endpoint: SipEndpoint
    websocket: SipWebSocket
    events: EventSockets
    web: WebServer
    key_rings: KeyRings
    tokens: TokenDoor
    manager: CallManager
    registrations: Registrations
    certificates: CertificateWatch

    def use(self, site: Site) -> None:
        """Let all of them go by this site from now on. An error nobody foresaw keeps no other from doing so."""
        before, self.sites.current = self.sites.current, site
        for step in self._steps(before, site):
            try:
                step()
            except Exception:  # a defect of ours in one part: the site is in use already, so the others must follow it
                log.exception("reload: a part could not take the new configuration: restart the gateway")

    def _steps(self, before: Site, site: Site) -> Iterator[Callable[[], None]]:
        """Who speaks for a trunk before who listens to it; and users at last, whose calls look at everything."""
        yield lambda: setattr(self.places, "own", own_places(site))
        yield lambda: self.audit.use(site.audit)
        yield lambda: self.export.use(site.audit.sinks)
        yield lambda: self.hep.use(site.hep)
        yield lambda: self.registrations.use(site.trunks, site.media.trunk.advertised)
        yield lambda: self.endpoint.changes.use(
            site.trunks, self._former(), stream_limits(site.shares), site.nameservers
        )
        yield lambda: self.websocket.use(site.listeners.web, site.shares)
        yield lambda: self.events.use(site.shares)
        yield lambda: self.web.renew(page_info(site), site.shares)
        yield lambda: self.key_rings.use(site.tokens)
        yield lambda: self.tokens.use(site.tokens)
        yield lambda: self.certificates.use(list(watched(site, self.web.use, self.endpoint.changes.use_context)))
        yield lambda: self.manager.renew(before)

    def settle(self) -> bool:
        """Forget what was kept for calls that have ended. Gives whether anything is kept still."""
        former, remains = self._former(), self.manager.remains
        self.endpoint.changes.settle(former, self._is_used)
        remains.settle()
        return bool(former or self.endpoint.changes.retiring or not remains.is_empty)

    def _former(self) -> list[Trunk]:
        """What trunks were that are still needed as such."""
        return [*self.manager.remains.former_trunks(), *self.registrations.leaving]

    def _is_used(self, flow: Flow) -> bool:
        return self.manager.remains.is_used(flow) or self.registrations.is_on(flow)


def page_info(site: Site) -> PageInfo:
    """What pages are told."""
    return PageInfo(site.realm, reconnect_seconds=site.limits.reconnect_seconds)


def stream_limits(shares: ConnectionShares) -> StreamLimits:
    """The shares of trunks in the words of the listeners."""
    return StreamLimits(per_source=shares.trunk_per_source, per_trunk=shares.trunk)


def own_places(site: Site) -> OwnPlaces:
    """What this gateway listens on, and the addresses of this machine as they are now.

    What it advertises leads back to it at every port it has: which of its addresses stands behind which of those an
    address translator has for it, it does not know.
    """
    browser, places = site.media.browser, {site.media.trunk, *(trunk.media for trunk in site.trunks.values())}
    listeners = [site.listeners.web.address, *(listener.address for listener in site.listeners.sip)]
    there = {(host, browser.ports) for host in browser.bind}
    there |= {(place.bind, site.media.trunk_ports) for place in places}
    there |= {(place.host, range(place.port, place.port + 1)) for place in listeners}
    advertised = {*browser.advertised, *(place.advertised for place in places)}
    there |= {(host, ports) for host in advertised for _, ports in there}
    return OwnPlaces(tuple(Bound(host, ports) for host, ports in there), interfaces())
