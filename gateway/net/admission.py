"""Which trunks an address can be: decided before a byte of the message is read.

A trunk is known by its `networks` and by the addresses its own target resolved to. The latter may answer and end calls,
but only the former let a trunk call in; where we are registered, both do: we have asked to be called from there.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from gateway.base.profiles import Profile
from gateway.base.signalling import TransportName
from gateway.sip.flow import Flow
from gateway.trunks.model import ExpectedPeer, Network, Trunk

MAX_LEARNED = 64
"""Addresses remembered per trunk from resolving its targets: twice what one look at DNS may bring (`net.hops`), so that
those of the last one answer too; the oldest gives way."""


def normal_host(host: str) -> str:
    """An address as socket calls give it, in one spelling: no zone, IPv4 not dressed up as IPv6 (RFC 4291 2.5.5.2)."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


class Claim(NamedTuple):
    """A trunk a peer can be, and what its certificate would prove it by (RFC 5922)."""

    trunk: str
    expected: ExpectedPeer
    must_prove: bool = False
    """Its address is not enough: a connection that proves nothing more is nobody's, and is not kept."""


class TrunkSources:
    """Looks a source address up among the configured trunks.

    Several trunks may share one PBX. A message inside a dialog is its dialog's, so all of them are named; for what
    begins something new the first one counts: the narrowest network, then the transport of the trunk's target, then,
    as nothing tells them apart, the stricter profile. A certificate goes before all of that (see `StreamChannel`).
    """

    def __init__(self, trunks: Mapping[str, Trunk]) -> None:
        self._learned: dict[str, dict[str, None]] = {}
        self._former: list[tuple[Network, str]] = []
        """Networks of former trunks: what comes from there belongs to the calls they have, and begins nothing."""
        self._left: dict[str, dict[str, None]] = {}
        """Addresses at which former trunks were found, likewise."""
        self._expected_before: dict[str, ExpectedPeer] = {}
        self._read(trunks)

    def use(self, trunks: Mapping[str, Trunk], former: Collection[Trunk], moved: Collection[str]) -> None:
        """Look among these from now on.

        Args:
            former: what trunks were that have calls from before.
            moved: names of trunks that are found elsewhere, or nowhere: what was learned of them is past.
        """
        for name in moved:
            self._left.setdefault(name, {}).update(self._learned.pop(name, {}))
        names = {trunk.name for trunk in former}
        kept = {name: list(left)[-MAX_LEARNED:] for name, left in self._left.items() if name in names}
        self._left = {name: dict.fromkeys(left) for name, left in kept.items()}
        self._former = [(network, trunk.name) for trunk in former for network in trunk.networks]
        self._expected_before = {trunk.name: trunk.peer for trunk in former}
        self._read(trunks)

    def _read(self, trunks: Mapping[str, Trunk]) -> None:
        self._networks = [(network, name) for name, trunk in trunks.items() for network in trunk.networks]
        self._transports = {name: trunk.target.transport for name, trunk in trunks.items()}
        self._strictness = {name: list(Profile).index(trunk.security) for name, trunk in trunks.items()}
        self._expected = {name: trunk.peer for name, trunk in trunks.items()}
        self._must_prove = {name for name, trunk in trunks.items() if trunk.inbound is not None}
        self._registered = {name for name, trunk in trunks.items() if trunk.registrations}

    def find(self, host: str, transport: TransportName) -> tuple[str, ...]:
        """The trunks this address fits, the likeliest first; none: then whatever it sent is dropped unread."""
        found = self.find_configured(host, transport)
        return (*found, *self._only_former(host, found)) if self._expected_before else found

    def find_configured(self, host: str, transport: TransportName) -> tuple[str, ...]:
        """The same, without those that only have calls from before."""
        ranked = {name: -1 for name, learned in self._learned.items() if host in learned}
        for prefix, name in _holding(self._networks, host):
            ranked[name] = max(prefix, ranked.get(name, -1))
        return tuple(sorted(ranked, key=lambda name: self._order(name, ranked[name], transport)))

    def claims(self, host: str, transport: TransportName) -> tuple[Claim, ...]:
        """The same, with what a certificate must show."""
        found = self.find_configured(host, transport)
        former = self._only_former(host, found)
        now = (Claim(name, self._expected[name], name in self._must_prove) for name in found)
        return (*now, *(Claim(name, self._expected_before[name]) for name in former))

    def may_call_in(self, flow: Flow) -> bool:
        """Whether requests that begin something new are taken from there: an address of the trunk's networks, or a
        connection we opened to a trunk that calls in, and that proved its name.
        """
        if any(name == flow.trunk for _, name in _holding(self._networks, flow.remote.host)):
            return True
        if flow.trunk in self._registered and flow.remote.host in self._learned.get(flow.trunk, ()):
            return True
        return flow.initiated and bool(flow.verified_name) and any(name == flow.trunk for _, name in self._networks)

    def learn(self, trunk: str, host: str) -> None:
        """Remember where a trunk's target was found, so that its responses and BYEs are heard."""
        known = self._learned if trunk in self._expected else self._left
        learned = known.setdefault(trunk, {})
        learned.pop(host, None)
        learned[host] = None
        if len(learned) > MAX_LEARNED:
            del learned[next(iter(learned))]

    def _only_former(self, host: str, known: Collection[str]) -> list[str]:
        """Former trunks at this address, the last ones: they matter to their own dialogs."""
        found = [name for _, name in _holding(self._former, host)]
        found += [name for name, left in self._left.items() if host in left]
        return [name for name in dict.fromkeys(found) if name not in known and name in self._expected_before]

    def _order(self, trunk: str, prefix: int, transport: TransportName) -> tuple[int, bool, int]:
        return -prefix, self._transports.get(trunk) != transport, self._strictness.get(trunk, 0)


def _holding(networks: Collection[tuple[Network, str]], host: str) -> Iterator[tuple[int, str]]:
    """Prefix length and trunk of each network that holds the address."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        yield from ((network.prefixlen, name) for network, name in networks if address in network)
