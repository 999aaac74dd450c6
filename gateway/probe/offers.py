"""What can a trunk do? Each profile is tried on it directly, without the gateway: OPTIONS first, then a short call.

The strictest profile that works is recommended. Nothing but silence is sent, and what comes is counted, not heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from gateway.base.errors import SdpError, SipError, TransportError
from gateway.base.profiles import Profile
from gateway.base.values import HostPort
from gateway.probe.phone import Phone, RefusedError
from gateway.probe.rtp import Offer, RtpEnd
from gateway.probe.wire import DatagramWire, StreamWire, Wire, token
from gateway.sip.headers import Item
from gateway.sip.message import Headers, Request
from gateway.sip.uri import SipUri
from gateway.trunks.dns import DnsClient, DnsError
from gateway.trunks.failover import MAX_PLACES
from gateway.trunks.model import Trunk
from gateway.trunks.resolve import Resolver
from gateway.trunks.target import NextHop
from gateway.trunks.tls import client_context, inspect_peer

OPTIONS_SECONDS = 5.0
LISTEN_SECONDS = 1.0
"""How long each call lasts: fifty packets show whether the keys are the right ones."""
KEYED_BY_DEMAND = frozenset({Offer.SDES, Offer.DTLS})
"""Offers of keys, or nothing."""
MOST_REFUSED = 0.5
"""Share of packets that may not authenticate before the keys count as wrong ones."""


@dataclass
class Attempt:
    """One call that was tried."""

    offer: Offer
    works: bool = False
    status: int = 0
    """Of the answer to the INVITE; 0: none."""
    why: str = ""
    """Why it does not work, or what is to be known of it."""
    protection: str = ""
    packets: int = 0
    """That came and could be opened."""
    refused: int = 0
    """That came and could not."""


@dataclass
class Findings:
    """What was found out about a trunk."""

    trunk: str
    target: str
    transport: str
    place: str = ""
    """Where it was reached: the first of its places that could be."""
    verified_name: str = ""
    """What its certificate proved."""
    options: int = 0
    """Status of the answer to OPTIONS; 0: none."""
    server: str = ""
    """What it calls itself."""
    failure: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    recommended: Profile | None = None
    keying: tuple[str, ...] = ()
    """How it should be offered keys, the better way first."""
    because: str = ""

    def as_dict(self) -> dict[str, object]:
        """For programs."""
        return {
            "trunk": self.trunk,
            "target": self.target,
            "transport": self.transport,
            "place": self.place,
            "verified_name": self.verified_name,
            "options": self.options,
            "server": self.server,
            "failure": self.failure,
            "attempts": [{**vars(attempt), "offer": attempt.offer.value} for attempt in self.attempts],
            "recommended": self.recommended.value if self.recommended else "",
            "keying": list(self.keying),
            "because": self.because,
            "steps": self.steps,
        }


async def try_offers(
    trunk: Trunk, number: str, realm: str, seconds: float, nameservers: Sequence[HostPort] = ()
) -> Findings:
    """Ask the trunk, and call the number on it once for each kind of offer.

    Args:
        number: what is called; somebody may pick up, so it should be an echo test. "": it is asked by OPTIONS alone.
        seconds: how long each call may ring.
        nameservers: who is asked for its places; none: those of this machine.
    """
    target = trunk.target
    found = Findings(trunk.name, str(target), target.transport)
    try:
        hop = await _reachable(trunk, nameservers)
        found.place, found.transport = str(hop), hop.transport
        found.steps.append(f"found {trunk.name} at {hop}")
        await _ask(trunk, hop, realm, found)
        if number:
            for offer in Offer:
                found.attempts.append(await _attempt(trunk, hop, number, realm, offer, seconds, found))
    except (TransportError, SipError) as error:
        why = f" ({error.verification})" if isinstance(error, TransportError) and error.verification else ""
        found.failure = f"{error}{why}"
    found.recommended, found.because = recommend(found)
    found.keying = keying_of(found)
    return found


def keying_of(found: Findings) -> tuple[str, ...]:
    """The ways to key this trunk that work, the better one first: over signalling that can be read that is DTLS."""
    works = [attempt.offer.value for attempt in found.attempts if attempt.works and attempt.offer in KEYED_BY_DEMAND]
    is_secret = found.transport == "tls" and bool(found.verified_name)
    return tuple(sorted(works, key=lambda way: (way == Offer.SDES) != is_secret))


def recommend(found: Findings) -> tuple[Profile | None, str]:
    """The strictest profile that this trunk can meet, and why no stricter one."""
    works = {attempt.offer for attempt in found.attempts if attempt.works}
    keyed = {attempt.offer for attempt in found.attempts if attempt.works and attempt.protection != "plain"}
    if found.failure:
        return None, "nothing was found out"
    if not found.attempts:
        return None, "no number was called: name one that answers, an echo test for example"
    if not works:
        return None, "no call was answered: see why, and whether the number is right"
    if keyed & KEYED_BY_DEMAND:
        return _keyed(found, keyed)
    if Offer.OSRTP in keyed:
        return Profile.OSRTP, "it takes keys that are offered, and refuses a call that demands them"
    return Profile.LEGACY, "it speaks plain RTP only: anyone on the path can listen"


def _keyed(found: Findings, keyed: set[Offer]) -> tuple[Profile, str]:
    """What is recommended for a trunk that takes a demand for keys."""
    if found.transport == "tls" and found.verified_name:
        words = "keys cross verified TLS only" if Offer.SDES in keyed else "verified TLS vouches for its fingerprint"
        return Profile.STRICT, f"it takes SRTP, and {words}"
    why = "its certificate does not prove its name" if found.transport == "tls" else f"{found.transport} is readable"
    if Offer.DTLS in keyed:
        return Profile.PREFER, f"it takes DTLS-SRTP, but nobody vouches for its fingerprint: {why}. See `keying`"
    return Profile.PREFER, f"it takes SRTP, but keys are no secret: {why}. With TLS it could be strict"


async def _ask(trunk: Trunk, hop: NextHop, realm: str, found: Findings) -> None:
    async with _phone(trunk, hop, realm, found) as phone:
        uri = str(_request_uri(hop, ""))
        fields: list[Item] = [("From", phone.address.with_tag(token(10))), ("To", f"<{uri}>"), ("Call-ID", token(20))]
        request = Request("OPTIONS", uri, Headers([*fields, ("CSeq", "1 OPTIONS"), ("Accept", "application/sdp")]))
        found.steps.append(f"OPTIONS to {hop}")
        with contextlib.suppress(TransportError):
            _, response = await phone.wire.ask(request, OPTIONS_SECONDS, login=phone.login)
            found.options = response.status
            found.server = (response.headers.get("Server") or response.headers.get("User-Agent") or "")[:80]


async def _attempt(
    trunk: Trunk, hop: NextHop, number: str, realm: str, offer: Offer, seconds: float, found: Findings
) -> Attempt:
    attempt = Attempt(offer)
    async with _phone(trunk, hop, realm, found) as phone:
        port = await RtpEnd(phone.wire.open_flow.local.host, offer, 0.0).open()
        found.steps.append(f"INVITE to {number} offering {offer.value}, {LISTEN_SECONDS:g} s of silence, BYE")
        try:
            uri = str(_request_uri(hop, number))
            response = await phone.dial(uri, port.describe(), seconds)
            attempt.status = response.status
            port.accept(response.body)
            await port.keyed()
            port.talk()
            await asyncio.sleep(LISTEN_SECONDS)
            _conclude(attempt, port)
        except RefusedError as error:
            attempt.status, attempt.why = error.status, str(error)
        except (SdpError, TransportError) as error:
            attempt.why = str(error)
        finally:
            await phone.hang_up()
            await port.close()
    return attempt


def _conclude(attempt: Attempt, port: RtpEnd) -> None:
    """Whether the call works: what was agreed on, and whether what came fits it."""
    attempt.protection, attempt.packets, attempt.refused = port.end.protection, port.received, port.end.refused
    total = attempt.packets + attempt.refused
    if total and attempt.refused / total > MOST_REFUSED:
        attempt.why = f"{attempt.refused} of {total} packets do not authenticate under the key it sent"
        return
    attempt.works = True
    if not total:
        attempt.why = "answered; no packet came within a second"
    elif attempt.offer is Offer.OSRTP and attempt.protection == "plain":
        attempt.why = "the offered keys were ignored"


def _request_uri(hop: NextHop, user: str) -> SipUri:
    """Whom a request is for: the name the place was found for, with a port only where one is written (RFC 3263 4)."""
    port = hop.target.port if hop.target.has_port else None
    host = hop.target.host
    return SipUri.of(user, host, port) if user else SipUri("sip", None, None, host, port)


@contextlib.asynccontextmanager
async def _phone(trunk: Trunk, hop: NextHop, realm: str, found: Findings) -> AsyncIterator[Phone]:
    """A connection to the trunk; no challenge is answered where a certificate proved another name than the trunk's."""
    wire = await _connect(trunk, hop)
    flow = wire.open_flow
    found.verified_name = flow.verified_name
    contact = f"<sip:probe@{flow.local};transport={flow.transport}>"
    is_believed = flow.tls is None or flow.tls.verified
    phone = Phone(wire, f"<{SipUri.of('probe', realm)}>", contact, trunk.auth if is_believed else None)
    try:
        yield phone
    finally:
        await phone.close()


async def _reachable(trunk: Trunk, nameservers: Sequence[HostPort]) -> NextHop:
    """The first place of the trunk that can be connected to, verified as the gateway would.

    Raises:
        TransportError: there is none.
    """
    failure = TransportError(f"{trunk.target.host} has no address")
    for hop in await _hops(trunk, nameservers):
        try:
            await (await _connect(trunk, hop)).close()
        except TransportError as error:
            failure = error
        else:
            return hop
    raise failure


async def _connect(trunk: Trunk, hop: NextHop) -> Wire:
    source = HostPort(trunk.media.bind if _same_family(trunk.media.bind, hop.address.host) else "", 0)
    if hop.transport == "udp":
        return await DatagramWire.open(source, hop.address)
    if hop.transport == "tcp":
        return await StreamWire.open(source, hop.address)
    name, inspect = trunk.server_name(hop.target), partial(inspect_peer, expected=trunk.peer_of(hop.target))
    return await StreamWire.open(source, hop.address, client_context(trunk.tls), server_name=name, inspect=inspect)


async def _hops(trunk: Trunk, nameservers: Sequence[HostPort]) -> list[NextHop]:
    """Where the targets of the trunk lead, the first choice first (RFC 3263)."""
    client = DnsClient(nameservers)
    resolver = Resolver(client, secrets.randbelow)
    found: list[NextHop] = []
    failure: TransportError | None = None
    for choice in sorted(trunk.choices, key=lambda choice: choice.priority):
        try:
            found += await resolver.hops(choice.target, ("udp", "tcp", "tls"))
        except DnsError as error:
            failure = TransportError(f"{choice.target.host} cannot be resolved: {error.why}")
    await client.close()
    if failure is not None and not found:
        raise failure
    return found[:MAX_PLACES]


def _same_family(one: str, other: str) -> bool:
    return (":" in one) == (":" in other)
