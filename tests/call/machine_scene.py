"""A stage for the pure call machine: real SDP of real peers, flows without sockets, effects collected in order."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from gateway.base.profiles import Profile
from gateway.base.signalling import TlsInfo
from gateway.base.values import HostPort, Secret
from gateway.call import effects as fx
from gateway.call import events
from gateway.call.b2bua import Call
from gateway.call.browser_leg import BrowserLeg
from gateway.call.hops import HopMarks
from gateway.call.leg import Leg
from gateway.call.places import NO_PLACES, OwnPlaces
from gateway.call.state import CallContext, CallState
from gateway.call.trunk_leg import TrunkLeg
from gateway.policy.model import effective_policy
from gateway.sdp.keying import Fingerprint
from gateway.sip.address import NameAddr
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response, create_response
from gateway.sip.uri import SipUri
from tests import messages
from tests.sites import made_site, made_trunk

VECTORS = Path(__file__).parents[1] / "vectors" / "sdp"
BROWSER_FLOW = Flow(1, "wss", HostPort("192.0.2.1", 8443), HostPort("192.0.2.99", 50000))
FINGERPRINT = Fingerprint("sha-256", bytes(range(32)))
TRUNK_CONTACT = "<sip:callee@127.0.0.2:5061>"
SITE = made_site()
E = TypeVar("E")


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


@dataclass
class MachineScene:
    """One call on stage. `effects` holds what came out since the last `take`."""

    profile: Profile = Profile.STRICT
    outbound: bool = True
    emergency: bool = False
    offer: bytes = field(default_factory=lambda: vector("chromium_offer"))
    flow: Flow = field(default_factory=trunk_flow)
    own: OwnPlaces = NO_PLACES
    media_bind: str = "127.0.0.1"
    now: float = 100.0

    def __post_init__(self) -> None:
        numbers = itertools.count(1)
        keys = itertools.count(1)
        self.effects: list[fx.Effect] = []
        self.all: list[fx.Effect] = []
        self.trunk = made_trunk("sip:pbx.example;transport=tls", security=self.profile)
        context = CallContext(
            tokens=lambda length: f"{next(numbers):0{length}d}"[-length:],
            new_key=lambda length: bytes([next(keys)]) * length,
            hop_marks=HopMarks(Secret(b"hop key"), lambda length: f"{next(numbers):0{length}d}"[-length:]),
            make_callee=self._callee,
        )
        invite = request("INVITE", self.offer)
        caller: Leg = self._browser(caller=True) if self.outbound else self._trunk(self.flow, caller=True)
        if not self.outbound:
            invite = invite.with_header("Contact", TRUNK_CONTACT)
        caller.invite, caller.invite_key = invite, "invite-key"
        self.state = CallState(
            id="c-1",
            uid="u" * 26,
            outbound=self.outbound,
            user="alice",
            number="600",
            calling_number="" if self.outbound else "4711",
            trunk_id="pbx",
            trunk_config=self.trunk,
            policy=effective_policy(self.profile, "pbx", emergency=self.emergency),
            context=context,
            site=replace(SITE, trunks={"pbx": self.trunk}),
            caller=caller,
        )
        if not self.outbound:
            self.state.callee_flow = BROWSER_FLOW
            self.state.callee_uri = SipUri.parse("sip:alice@client.invalid;transport=ws")
        self.call = Call(self.state)

    def _browser(self, flow: Flow = BROWSER_FLOW, *, caller: bool) -> BrowserLeg:
        return BrowserLeg(
            flow=flow,
            is_caller=caller,
            local_address=NameAddr.parse("<sip:600@example.test>"),
            remote_address=NameAddr.parse("<sip:alice@example.test>"),
            contact=NameAddr.parse("<sip:gateway@example.test;transport=ws>"),
            session_id=7,
            local_tag="gw-browser",
            fingerprint=FINGERPRINT,
        )

    def _trunk(self, flow: Flow, *, caller: bool) -> TrunkLeg:
        return TrunkLeg(
            flow=flow,
            is_caller=caller,
            local_address=NameAddr.parse("<sip:alice@example.test>"),
            remote_address=NameAddr.parse("<sip:600@pbx.example>"),
            contact=NameAddr.parse(f"<sip:gateway@127.0.0.1:40000;transport={flow.transport}>"),
            session_id=8,
            local_tag="gw-trunk",
            trunk_id="pbx",
            trunk=self.trunk,
            own=self.own,
            media_bind=self.media_bind,
            new_key=self.state.context.new_key if hasattr(self, "state") else (lambda n: b"\x7f" * n),
        )

    def _callee(self, call: CallState, flow: Flow) -> Leg:
        return self._trunk(flow, caller=False) if self.outbound else self._browser(flow, caller=False)

    def _keep(self, effects: list[fx.Effect]) -> None:
        self.effects.extend(effects)
        self.all.extend(effects)

    def begin(self) -> MachineScene:
        self._keep(self.call.open(self.now) + self.call.begin(self.now))
        return self

    def feed(self, event: events.Event) -> MachineScene:
        self._keep(self.call.handle(event, self.now))
        return self

    def connect(self) -> MachineScene:
        return self.feed(events.TrunkConnected(self.flow))

    def open_media(self) -> MachineScene:
        candidates = (HostPort("192.0.2.1", 10000),)
        return self.feed(events.MediaOpened(candidates, HostPort("127.0.0.1", 20000), HostPort("127.0.0.1", 20001)))

    def calling(self) -> MachineScene:
        """Up to the callee's INVITE."""
        self.begin()
        if self.outbound:
            self.connect()
        return self.open_media()

    def take(self, kind: type[E]) -> list[E]:
        """The effects of one kind since the last take of any kind."""
        return [e for e in self.effects if isinstance(e, kind)]

    def clear(self) -> MachineScene:
        self.effects.clear()
        return self

    def relay(self, kind: type[E]) -> E:
        """The last command of a kind: how things stand at the relay."""
        return [e for e in self.all if isinstance(e, kind)][-1]

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
        browser = sent.leg is fx.LegName.BROWSER
        contact = "<sip:alice@client.invalid;transport=ws>" if browser else TRUNK_CONTACT
        response = create_response(
            sent.request,
            status,
            to_tag=tag,
            headers=(("Contact", contact),),
            body=body,
            content_type="application/sdp" if body else "",
        )
        return events.ResponseIn(sent.leg, sent.purpose, response, sent.flow, sent.ask)

    def ack(self, body: bytes = b"") -> MachineScene:
        return self.feed(events.AckIn("invite-key", request("ACK", body, to_tag="gw-browser")))

    def inside(
        self,
        leg: fx.LegName,
        method: str,
        body: bytes = b"",
        *,
        cseq: int,
        tag: str = "",
        flow: Flow | None = None,
        contact: str = "",
    ) -> MachineScene:
        """A request of a peer inside its dialog, or inside that of another fork with this tag, perhaps another way."""
        found = request(method, body, cseq=cseq, to_tag=f"gw-{leg}")
        side = self.state.leg(leg)
        if side is not None and not side.is_caller:
            found = found.with_header("Call-ID", self.state.callee_call_id)
            found = found.with_header("From", f"<sip:callee@127.0.0.2>;tag={tag or 'callee'}")
        if contact or leg is fx.LegName.TRUNK:
            found = found.with_header("Contact", contact or TRUNK_CONTACT)
        came = flow or (side.flow if side is not None else BROWSER_FLOW)
        return self.feed(events.RequestIn(leg, f"{leg}-{cseq}", found, came))

    def ack_of(self, leg: fx.LegName, cseq: int, body: bytes = b"") -> MachineScene:
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

    def order(self, *kinds: type[fx.Effect]) -> list[str]:
        """Names of the given effects in the order they came."""
        return [type(e).__name__ for e in self.all if isinstance(e, kinds)]


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
