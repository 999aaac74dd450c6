"""A stage for the pure call machine: real SDP of real peers, flows without sockets, effects collected in order."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from gateway.base.crypto_suite import AEAD_AES_128_GCM, CryptoSuite
from gateway.base.profiles import Profile
from gateway.base.signalling import TlsInfo
from gateway.base.values import CALLER, NO_LEG, HostPort, LegId, LegKind, Secret
from gateway.call.legs.browser import BrowserLeg
from gateway.call.legs.identity import Origin
from gateway.call.legs.leg import Leg
from gateway.call.legs.making import LegMaker
from gateway.call.legs.places import NO_PLACES, OwnPlaces
from gateway.call.legs.targets import Target, TrunkTarget, UserTarget
from gateway.call.legs.trunk import TrunkLeg
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.call import Call
from gateway.call.machine.hops import HopMarks
from gateway.call.machine.state import CallContext, CallFacts, CallState
from gateway.media.relay_commands import Command, IcePort, OpenLeg, RelayPlan, Route
from gateway.media.relay_events import LegOpened
from gateway.policy.book import UNROUTED
from gateway.policy.model import EffectivePolicy, ProfileRules, effective_policy
from gateway.policy.pins import NO_PINS, Pins
from gateway.sdp.keying import Fingerprint
from gateway.sdp.offer_answer import State
from gateway.sip.address import NameAddr
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response, create_response
from gateway.sip.uri import SipUri
from gateway.trunks.model import Trunk
from tests import messages
from tests.policy.facts import NOON
from tests.sites import made_site, made_trunk

SITE = made_site()
VECTORS = Path(__file__).parents[1] / "vectors" / "sdp"
BROWSER_FLOW = Flow(1, "wss", HostPort("192.0.2.1", 8443), HostPort("192.0.2.99", 50000))
FINGERPRINT = Fingerprint("sha-256", bytes(range(32)))
CONTACT = SipUri.parse("sip:alice@client.invalid;transport=ws")
TRUNK_CONTACT = "<sip:callee@127.0.0.2:5061>"
C = TypeVar("C", bound=Command)
E = TypeVar("E")
OTHER = {LegKind.BROWSER: LegKind.TRUNK, LegKind.TRUNK: LegKind.BROWSER}
"""The other side of an ordinary call."""
L = TypeVar("L", BrowserLeg, TrunkLeg)


Happening = Callable[["MachineScene"], events.Event]


def vector(name: str) -> bytes:
    """A captured session description."""
    return (VECTORS / f"{name}.sdp").read_bytes()


def trunk_flow(transport: str = "tls", *, verified: bool = True) -> Flow:
    """A connection to the trunk, verified or not."""
    tls = None
    if transport == "tls":
        tls = TlsInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", "CN=pbx", "ab" * 32, verified, "pbx.example", "")
    return Flow(2, transport, HostPort("127.0.0.1", 40000), HostPort("127.0.0.2", 5061), "pbx", tls, True)  # type: ignore[arg-type]


def request(
    method: str, body: bytes = b"", *, cseq: int = 1, to_tag: str = "", extra: tuple[tuple[str, str], ...] = ()
) -> Request:
    """A request as the caller of a scene sends it."""
    lines = messages.fields(
        method,
        via=f"SIP/2.0/WSS client.invalid;branch=z9hG4bK{method}{cseq}",
        from_="<sip:alice@example.test>;tag=caller",
        to="<sip:600@example.test>" + (f";tag={to_tag}" if to_tag else ""),
        call_id="caller-call-id",
        cseq=cseq,
        contact="<sip:alice@client.invalid;transport=ws>",
        extra=(f"{name}: {value}" for name, value in extra),
    )
    return messages.request(method, "sip:600@example.test", lines, body)


def address(user: str, host: str) -> NameAddr:
    """A plain address."""
    return NameAddr("", SipUri.of(user, host))


class SceneMaker(LegMaker):
    """Makes legs whose tags say what they are: `gw-browser`, `gw-trunk`, and `gw-browser-3` for leg 3."""

    def browser(self, leg: LegId, *args: Any, **named: Any) -> BrowserLeg:
        return self._tagged(super().browser(leg, *args, **named))

    def trunk(self, leg: LegId, *args: Any, **named: Any) -> TrunkLeg:
        return self._tagged(super().trunk(leg, *args, **named))

    def _tagged(self, leg: L) -> L:
        leg.local_tag = f"gw-{leg.kind}" if leg.id <= 2 else f"gw-{leg.kind}-{leg.id}"
        return leg


def as_it_stands(leg: Leg) -> dict[str, object]:
    """All a leg knows, to be compared with what it knows later."""
    return {**vars(leg), "talk": copy.copy(leg.talk)}


@dataclass
class MachineScene:
    """One call on stage. `effects` holds what came out since the last `take`."""

    profile: Profile = Profile.STRICT
    rules: ProfileRules | None = None
    """What the policy says in place of the profile."""
    pinned: bool = False
    """The trunk has been seen to encrypt."""
    pins: Pins = NO_PINS
    outbound: bool = True
    emergency: bool = False
    offer: bytes = field(default_factory=lambda: vector("chromium_offer"))
    flow: Flow = field(default_factory=trunk_flow)
    own: OwnPlaces = NO_PLACES
    media_bind: str = "127.0.0.1"
    trunk: Trunk | None = None
    """How the trunk is configured; by default as `profile` says."""
    others: tuple[Trunk, ...] = ()
    """Further trunks to try."""
    browser_flow: Flow = BROWSER_FLOW
    places: tuple[events.Place, ...] | None = None
    """Where the user who is called is signed in; None: at one place."""
    callee: str = ""
    """A user the browser calls in place of a trunk's number."""
    now: float = 100.0

    def __post_init__(self) -> None:
        numbers = itertools.count(1)
        keys = itertools.count(1)
        self.effects: list[fx.Effect] = []
        self.all: list[fx.Effect] = []
        media = {"bind": self.media_bind, "advertise": "127.0.0.1"}
        self.config = self.trunk or made_trunk(
            "sip:pbx.example;transport=tls", security=self.profile.value, media=media
        )

        def tokens(length: int) -> str:
            return f"{next(numbers):0{length}d}"[-length:]

        make = SceneMaker(
            tokens=tokens,
            new_key=lambda length: bytes([next(keys)]) * length,
            site=SITE,
            fingerprint=FINGERPRINT,
            own=self.own,
        )
        context = CallContext(
            tokens=tokens,
            hop_marks=HopMarks(Secret(b"hop key"), tokens),
            make=make,
            pins=self.pins,
        )
        policy = effective_policy(self.rules or self.profile, "pbx", emergency=self.emergency, pinned=self.pinned)
        self.target = TrunkTarget(self.config, policy, "600")
        self.state = CallState(
            facts=CallFacts(
                id="c-1",
                uid="u" * 26,
                at=NOON,
                outbound=self.outbound,
                user="alice",
                number=self.callee or "600",
                callee=self.callee,
                origin=Origin("alice") if self.outbound else Origin(number="4711", asserted=False),
                calling_number="" if self.outbound else "4711",
            ),
            context=context,
            policy=policy,
            trunk_id=UNROUTED if self.callee else "pbx",
        )
        self.state.legs[CALLER] = self._caller(make)
        self.state.hunt.targets = self._targets()
        self.call = Call(self.state)

    def _targets(self) -> list[Target]:
        if self.callee or not self.outbound:
            return [UserTarget(self.callee or "alice")]
        return [self.target, *self._others()]

    def _others(self) -> list[TrunkTarget]:
        def policy(trunk: Trunk) -> EffectivePolicy:
            return effective_policy(self.rules or trunk.security, trunk.name, emergency=self.emergency)

        return [TrunkTarget(trunk, policy(trunk), "600") for trunk in self.others]

    def _caller(self, make: LegMaker) -> BrowserLeg | TrunkLeg:
        caller: BrowserLeg | TrunkLeg
        invite = request("INVITE", self.offer)
        if self.outbound:
            local, remote = address("600", "example.test"), address("alice", "example.test")
            user = "alice" if self.callee else ""
            caller = make.browser(CALLER, self.browser_flow, local, remote, is_caller=True, user=user)
        else:
            invite = invite.with_header("Contact", TRUNK_CONTACT)
            local, remote = address("alice", "example.test"), address("600", "pbx.example")
            caller = make.trunk(CALLER, self.flow, self.target, local, remote, is_caller=True)
        caller.invite, caller.invite_key, caller.call_id = invite, "invite-key", invite.call_id
        return caller

    def configure(self, **changes: object) -> MachineScene:
        """Configure the trunk otherwise, before the call begins or, for what may change, while it lives."""
        self.config = replace(self.config, **changes)  # type: ignore[arg-type]
        self.target = replace(self.target, trunk=self.config)
        if self.outbound and self.state.hunt.targets:
            self.state.hunt.targets[0] = self.target
        for leg in self.state.legs.values():
            if isinstance(leg, TrunkLeg):
                leg.trunk, leg.trusts_identity = self.config, self.config.trust_identity
        return self

    def on(self, flow: Flow) -> MachineScene:
        """The browser is at the end of this connection; before the call begins."""
        self.browser_flow = flow
        if self.outbound:
            self.state.caller.flow = self.state.caller.founding = flow
        return self

    def _keep(self, effects: list[fx.Effect]) -> None:
        self.effects.extend(effects)
        self.all.extend(effects)

    def leg(self, kind: LegKind) -> Leg | None:
        """The leg of this kind, of the two that hear each other."""
        return next((leg for leg in self.state.pair if leg.kind is kind), None)

    def id(self, kind: LegKind) -> LegId:
        """Its number; while there is no such leg, the one it will have."""
        found = self.leg(kind)
        return found.id if found is not None else LegId(self.state.last_leg)

    def silent(self) -> events.TrunkSilent:
        """The trunk called last does not answer the question either."""
        return events.TrunkSilent([LegId(2), *(e.leg for e in self.all if isinstance(e, fx.SendRequest))][-1])

    def way(self, source: LegKind, sink: LegKind) -> RelayPlan:
        """What becomes of media this way, by what the relay was told last."""
        ways = [r for r in self.relayed(Route) if (r.source, r.sink) == (self.id(source), self.id(sink))]
        return ways[-1].plan if ways else RelayPlan(is_open=False)

    def mapped(self, source: LegKind, sink: LegKind) -> dict[int, int]:
        """Payload types on their way."""
        return {m.payload_type: m.becomes for m in self.way(source, sink).payloads}

    def keypads(self, source: LegKind, sink: LegKind) -> tuple[dict[int, int], dict[int, int]]:
        """telephone-event as the source sends it, and as the sink takes it: payload types with their clock rates."""
        plan = self.way(source, sink)
        heard, played = ({form.payload_type: form.clock_rate for form in way} for way in (plan.heard, plan.events))
        return heard, played

    @property
    def browser_leg(self) -> BrowserLeg:
        found = self.leg(LegKind.BROWSER)
        assert isinstance(found, BrowserLeg)
        return found

    @property
    def trunk_leg(self) -> TrunkLeg:
        found = self.leg(LegKind.TRUNK)
        assert isinstance(found, TrunkLeg)
        return found

    def begin(self) -> MachineScene:
        self._keep(self.call.open(self.now) + self.call.begin(self.now))
        return self

    def feed(self, event: events.Event | Happening) -> MachineScene:
        """Something happens; what names a leg may be written as what is made of the scene."""
        if callable(event):
            event = event(self)
        self._keep(self.call.handle(event, self.now))
        return self

    def connect(self) -> MachineScene:
        """There is a flow to the trunk that was asked for last."""
        return self.feed(events.TrunkConnected(self.connecting, self.flow))

    @property
    def connecting(self) -> LegId:
        """The leg the trunk was asked for last; the second one where it was never asked for."""
        return [LegId(2), *(e.leg for e in self.all if isinstance(e, fx.ConnectTrunk))][-1]

    def unreachable(self, why: str, verification: str = "") -> MachineScene:
        """There is no flow to the trunk."""
        return self.feed(events.TrunkFailed(self.connecting, why, verification))

    def kind(self, leg: LegId) -> LegKind:
        """What is at the far end of a leg."""
        return self.state.legs[leg].kind

    def locate(self) -> MachineScene:
        """The user is found where the scene says."""
        places = self.places
        if places is None:
            flow = replace(self.browser_flow, id=3) if self.callee else self.browser_flow
            places = (events.Place(flow, CONTACT),)
        return self.feed(events.Located(self.callee or "alice", places))

    def open_media(self) -> MachineScene:
        """The relay opens every place it was asked for and has not opened yet."""
        for command in self.relayed(OpenLeg):
            leg = self.state.legs[command.leg]
            if not leg.is_open:
                self.feed(opened(command))
        return self

    @property
    def asks_for_our_offer(self) -> bool:
        """The caller's INVITE has no offer: ours goes into the 200, its answer comes in the ACK."""
        return not (self.state.caller.invite and self.state.caller.invite.body)

    def owed(self, *states: State) -> list[tuple[LegKind, str]]:
        """Re-INVITEs of the peers whose ACK is awaited: the leg, and the key of the request."""
        legs = [leg for leg in self.state.legs.values() if leg.talk.state in states]
        return [(leg.kind, str(leg.talk.carrier)) for leg in legs if leg.talk.carrier != "invite-key"]

    @property
    def done(self) -> list[fx.Effect | Command]:
        """Everything since the last `clear`, what the relay was told as it was told it."""
        return [e.command if isinstance(e, fx.Relay) else e for e in self.effects]

    def relayed(self, kind: type[C]) -> list[C]:
        """What the relay was told, of one kind, in order."""
        return [e.command for e in self.all if isinstance(e, fx.Relay) and isinstance(e.command, kind)]

    def told(self, kind: type[C]) -> list[C]:
        """The same since the last `clear`."""
        return [e.command for e in self.effects if isinstance(e, fx.Relay) and isinstance(e.command, kind)]

    @property
    def ways(self) -> tuple[bool, bool]:
        """Whether media passes to the trunk, and to the browser."""
        to_trunk = self.way(LegKind.BROWSER, LegKind.TRUNK).is_open
        return to_trunk, self.way(LegKind.TRUNK, LegKind.BROWSER).is_open

    def keyed(self, suite: CryptoSuite = AEAD_AES_128_GCM, version: str = "DTLSv1.2") -> events.DtlsConnected:
        """The handshake of the browser leg has finished."""
        return events.DtlsConnected(self.id(LegKind.BROWSER), suite, version, "sha-256")

    def fires(self, name: fx.Timer) -> events.TimerFired:
        """The clock of this name that was set last has run out."""
        legs = [e.leg for e in self.all if isinstance(e, fx.SetTimer) and e.name is name]
        return events.TimerFired(name, legs[-1] if legs else NO_LEG)

    def calling(self) -> MachineScene:
        """Up to the callee's INVITE."""
        self.begin()
        if self.outbound and not self.callee:
            self.connect()
        else:
            self.locate()
        return self.open_media()

    def take(self, kind: type[E]) -> list[E]:
        """The effects of one kind since the last take of any kind."""
        return [e for e in self.effects if isinstance(e, kind)]

    def clear(self) -> MachineScene:
        self.effects.clear()
        return self

    def relay(self, kind: type[C]) -> C:
        """The last command of a kind: how things stand at the relay."""
        return self.relayed(kind)[-1]

    @property
    def callee_call_id(self) -> str:
        """The Call-ID of the callee's INVITE."""
        callee = self.state.callee
        return callee.call_id if callee is not None else ""

    @property
    def invite(self) -> Request:
        """The callee's INVITE that went out last."""
        sent = [e.request for e in self.all if isinstance(e, fx.SendRequest) and e.request.method == "INVITE"]
        return sent[-1]

    def reply(
        self, status: int, body: bytes = b"", *, tag: str = "callee", purpose: fx.Purpose = fx.Purpose.INVITE
    ) -> MachineScene:
        """The callee answers the request sent last."""
        sent = [e for e in self.all if isinstance(e, fx.SendRequest) and e.purpose is purpose][-1]
        return self.feed(self.answer_to(sent, status, body, tag=tag))

    def answer_to(self, sent: fx.SendRequest, status: int, body: bytes = b"", *, tag: str = "callee") -> events.Event:
        """A response to any request that went out."""
        browser = self.state.legs[sent.leg].kind is LegKind.BROWSER
        contact = "<sip:alice@client.invalid;transport=ws>" if browser else TRUNK_CONTACT
        response = create_response(
            sent.request,
            status,
            to_tag=tag,
            headers=(("Contact", contact),),
            body=body,
            content_type="application/sdp" if body else "",
        )
        return events.ResponseIn(sent.ask, response, sent.flow)

    def ack(self, body: bytes = b"") -> MachineScene:
        return self.feed(events.AckIn("invite-key", request("ACK", body, to_tag="gw-browser")))

    def in_dialog(
        self,
        leg: LegKind,
        method: str,
        body: bytes = b"",
        *,
        cseq: int,
        tag: str = "",
        contact: str = "",
        extra: tuple[tuple[str, str], ...] = (),
    ) -> Request:
        """A request of a peer inside its dialog, or inside that of another fork with this tag."""
        side = self.leg(leg)
        found = request(
            method, body, cseq=cseq, to_tag=side.local_tag if side is not None else f"gw-{leg}", extra=extra
        )
        if side is not None and not side.is_caller:
            found = found.with_header("Call-ID", side.call_id)
            found = found.with_header("From", f"<sip:callee@127.0.0.2>;tag={tag or 'callee'}")
        if contact or leg is LegKind.TRUNK:
            found = found.with_header("Contact", contact or TRUNK_CONTACT)
        return found

    def inside(
        self,
        leg: LegKind,
        method: str,
        body: bytes = b"",
        *,
        cseq: int,
        tag: str = "",
        flow: Flow | None = None,
        contact: str = "",
        extra: tuple[tuple[str, str], ...] = (),
    ) -> MachineScene:
        """Such a request arrives, perhaps another way."""
        found = self.in_dialog(leg, method, body, cseq=cseq, tag=tag, contact=contact, extra=extra)
        side = self.leg(leg)
        came = flow or (side.flow if side is not None else BROWSER_FLOW)
        return self.feed(events.RequestIn(self.id(leg), f"{leg}-{cseq}", found, came))

    def ack_of(self, leg: LegKind, cseq: int, body: bytes = b"") -> MachineScene:
        """The ACK of a re-INVITE that `inside` sent."""
        return self.feed(events.AckIn(f"{leg}-{cseq}", request("ACK", body, cseq=cseq, to_tag=f"gw-{leg}")))

    @property
    def responses(self) -> list[Response]:
        """Everything the caller was answered."""
        return [e.response for e in self.all if isinstance(e, fx.Respond)]

    @property
    def records(self) -> list[str]:
        """Types of the audit records, in order."""
        return [str(e.record["type"]) for e in self.all if isinstance(e, fx.WriteAudit)]

    def record(self, kind: str) -> dict[str, object]:
        """The last record of a type."""
        return [e.record for e in self.all if isinstance(e, fx.WriteAudit) and e.record["type"] == kind][-1]

    @property
    def everything(self) -> list[fx.Effect | Command]:
        """All that was ever done, see `done`."""
        return [e.command if isinstance(e, fx.Relay) else e for e in self.all]

    def order(self, *kinds: type[fx.Effect] | type[Command]) -> list[str]:
        """Names of the given effects and relay commands in the order they came."""
        came = self.everything
        return [type(e).__name__ for e in came if isinstance(e, kinds)]


def opened(command: OpenLeg) -> LegOpened:
    """What the relay says when it has opened a place."""
    if isinstance(command.place, IcePort):
        return LegOpened(command.leg, (HostPort("192.0.2.1", 10000),), None)
    return LegOpened(command.leg, (HostPort("127.0.0.1", 20000),), HostPort("127.0.0.1", 20001))


def sdes_answer(offer: bytes, *, suite: str = "AES_CM_128_HMAC_SHA1_80", key: str = "A" * 40) -> bytes:
    """What a PBX answers to our RTP/SAVP offer: PCMU and one crypto line with the tag we gave that suite."""
    tag = next(line.split()[0].split(":")[1] for line in offer.decode().splitlines() if f" {suite} " in line)
    return answer("RTP/SAVP", f"a=crypto:{tag} {suite} inline:{key}")


def answer(proto: str = "RTP/AVP", *lines: str, port: int = 4002, direction: str = "sendrecv") -> bytes:
    """A phone's description: PCMU and telephone-event 101."""
    head = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.2",
        "s=-",
        "c=IN IP4 127.0.0.2",
        "t=0 0",
        f"m=audio {port} {proto} 0 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        f"a={direction}",
    ]
    return ("\r\n".join([*head, *lines]) + "\r\n").encode()


def browser_answer(offer: bytes) -> bytes:
    """What a browser says to an offer of ours: all of its codecs, and to be the DTLS client."""
    ours = ("a=fingerprint", "a=setup", "a=ice-", "a=candidate", "a=end-of", "o=", "a=group")
    kept = [line for line in offer.decode().splitlines() if not line.startswith(ours)]
    fingerprint = ":".join(["AB"] * 32)
    lines = [
        *kept,
        "a=ice-ufrag:abcd",
        "a=ice-pwd:abcdefghijklmnopqrstuv",
        f"a=fingerprint:sha-256 {fingerprint}",
        "a=setup:active",
    ]
    return ("\r\n".join([lines[0], "o=- 5 1 IN IP4 192.0.2.99", *lines[1:]]) + "\r\n").encode()
