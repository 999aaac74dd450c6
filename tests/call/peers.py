"""The peers of a call with any number of legs, each spoken for by its number: what they may send, and how they answer.

What the SIP stack promises is kept: a request of ours has one final failure, or 2xx (each as often as the peer likes),
and nothing after the failure. Whatever else they do is up to who plays them.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator

from gateway.base.signalling import TlsInfo
from gateway.base.values import CALLER, HostPort, LegId, LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.media.relay_commands import OpenLeg
from gateway.sip.flow import Flow
from gateway.sip.message import Request
from gateway.sip.uri import SipUri
from tests.call.machine_scene import (
    TRUNK_CONTACT,
    MachineScene,
    answer,
    browser_answer,
    request,
    sdes_answer,
    vector,
)
from tests.sites import made_site

PLAN = {
    "emergency_trunks": ["old", "pbx"],
    "outbound": [
        {"id": "all", "dialled": "6*", "trunk": "pbx"},
        {"id": "old", "dialled": "7*", "trunk": "old"},
        {"id": "soft", "dialled": "8*", "trunk": "soft"},
        {"id": "to-sales", "dialled": "300", "group": "sales"},
    ],
    "inbound": [
        {"id": "alice", "dialled": "100", "user": "alice"},
        {"id": "sales", "dialled": "300", "group": "sales"},
        {"id": "help", "dialled": "400", "group": "help"},
    ],
    "groups": {
        "sales": {"members": ["alice", "bob"]},
        "help": {"members": ["bob", "alice"], "ring": "in_turn", "seconds": "15"},
    },
}
SITE = made_site(
    PLAN,
    trunks={
        "pbx": {"target": "sip:pbx.example;transport=tls", "networks": ["127.0.0.2/32"]},
        "old": {"target": "sip:127.0.0.3", "networks": ["127.0.0.3/32"], "security": "legacy"},
        "soft": {"target": "sip:soft.example;transport=tls", "security": "prefer"},
    },
)
"""Where calls are handed over to: a strict trunk, a legacy one, one that would rather be secure, a user, two groups."""
NUMBERS = ("601", "601", "701", "801", "100", "112", "300", "400", "900")
"""What a REFER asks for; the last one leads nowhere."""


def flow_of(number: int, trunk: str = "pbx", *, transport: str = "tls", verified: bool = True) -> Flow:
    """A connection to a trunk."""
    tls = None
    if transport == "tls":
        tls = TlsInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", "CN=pbx", "ab" * 32, verified, "pbx.example", "")
    return Flow(number, transport, HostPort("127.0.0.1", 40000), HostPort("127.0.0.2", 5061), trunk, tls, True)  # type: ignore[arg-type]


def place(number: int, *, weak: bool) -> events.Place:
    """One of the browsers a user is signed in with; the weak one speaks in the clear."""
    far = HostPort("192.0.2.99", 50000 + number)
    flow = Flow(number, "ws" if weak else "wss", HostPort("192.0.2.1", 8443), far)
    return events.Place(flow, SipUri.parse(f"sip:alice-{number}@client.invalid;transport=ws"))


class Peers:
    """Everybody at the far ends of one call."""

    def __init__(self, scene: MachineScene) -> None:
        self.scene = scene
        self.ended: set[int] = set()
        """Requests of ours that have their final failure, or the one response they can have."""
        self.answered: set[int] = set()
        self.answered_connects: set[LegId] = set()
        self.located = 0
        """Questions for a user that were answered."""
        self.found_dialogs = self.taken = 0
        """Questions for a dialog, and wishes for its leg, that were answered."""
        self._flows = itertools.count(10)
        self._numbers: defaultdict[LegId, Iterator[int]] = defaultdict(lambda: itertools.count(2))

    # What waits for them.

    def asked(self, *purposes: Purpose) -> list[fx.SendRequest]:
        """Requests of ours that may still be answered."""
        sent = [e for e in self.scene.all if isinstance(e, fx.SendRequest) and e.purpose in purposes]
        return [e for e in sent if e.ask not in self.ended]

    def connecting(self) -> list[fx.ConnectTrunk]:
        """Trunks a flow to is awaited."""
        wanted = [e for e in self.scene.all if isinstance(e, fx.ConnectTrunk)]
        return [e for e in wanted if e.leg not in self.answered_connects]

    def unopened(self) -> list[OpenLeg]:
        """Places the relay was asked for and has said nothing of."""
        return [c for c in self.scene.relayed(OpenLeg) if not self.scene.state.legs[c.leg].is_open]

    def looked_for(self) -> bool:
        """Whether it was asked where a user is, without an answer yet."""
        return sum(isinstance(e, fx.Locate) for e in self.scene.all) > self.located

    def looked_up(self) -> fx.FindDialog | None:
        """A dialog it was asked for, without an answer yet."""
        asked = [e for e in self.scene.all if isinstance(e, fx.FindDialog)]
        return asked[self.found_dialogs] if len(asked) > self.found_dialogs else None

    def taking(self) -> fx.TakeOver | None:
        """A leg of another call that is to be taken over."""
        asked = [e for e in self.scene.all if isinstance(e, fx.TakeOver)]
        return asked[self.taken] if len(asked) > self.taken else None

    # What they say.

    def connected(self, asked: fx.ConnectTrunk, *, verified: bool = True) -> events.Event:
        """There is a flow to the trunk."""
        self.answered_connects.add(asked.leg)
        transport = "udp" if asked.trunk == "old" else "tls"
        flow = flow_of(next(self._flows), asked.trunk, transport=transport, verified=verified)
        return events.TrunkConnected(asked.leg, flow)

    def unreachable(self, asked: fx.ConnectTrunk, verification: str = "") -> events.Event:
        """There is none."""
        self.answered_connects.add(asked.leg)
        return events.TrunkFailed(asked.leg, "refused", verification)

    def found(self, *weak: bool) -> events.Event:
        """The user who was asked for first is signed in at so many places."""
        user = [e.user for e in self.scene.all if isinstance(e, fx.Locate)][self.located]
        self.located += 1
        return events.Located(user, tuple(place(next(self._flows), weak=w) for w in weak))

    def response(self, sent: fx.SendRequest, status: int, body: bytes = b"", tag: str = "") -> events.Event | None:
        """An answer to a request of ours; None, when the stack would keep it back."""
        several = sent.purpose in (Purpose.INVITE, Purpose.REINVITE)
        if status >= 300 and sent.ask in self.answered:
            return None
        if status >= 300 or (status >= 200 and not several):
            self.ended.add(sent.ask)
        elif status >= 200:
            self.answered.add(sent.ask)
        tag = tag or sent.request.to.tag or "callee"
        return self.scene.answer_to(sent, status, body, tag=tag)

    def failure(self, sent: fx.SendRequest, *, transport: bool) -> events.Event | None:
        """A request of ours got no answer."""
        if sent.ask in self.answered:
            return None
        self.ended.add(sent.ask)
        return events.RequestFailed(sent.ask, transport)

    def good_answer(self, leg: LegId, offer: bytes) -> bytes:
        """What this peer answers to an offer of ours when it is willing."""
        if self.scene.kind(leg) is LegKind.BROWSER:
            active = vector("chromium_offer").replace(b"setup:actpass", b"setup:active")
            return active if self.scene.state.legs[leg].is_caller else browser_answer(offer)
        if not offer:
            return answer("RTP/SAVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "D" * 40)
        if b" AES_CM_128_HMAC_SHA1_80 " not in offer:
            return answer()
        keyed = sdes_answer(offer)
        return keyed if b"RTP/SAVP" in offer else keyed.replace(b"RTP/SAVP", b"RTP/AVP")

    def inside(
        self,
        leg: LegId,
        method: str,
        body: bytes = b"",
        *,
        tag: str = "",
        extra: tuple[tuple[str, str], ...] = (),
    ) -> events.RequestIn:
        """A request in a dialog of this leg."""
        side, number = self.scene.state.legs[leg], next(self._numbers[leg])
        found = request(method, body, cseq=number, to_tag=side.local_tag, extra=extra)
        if leg != CALLER:
            who = tag or (side.dialog.remote_tag if side.dialog is not None else "callee")
            found = found.with_header("Call-ID", side.call_id).with_header("From", f"<sip:callee@127.0.0.2>;tag={who}")
        if side.kind is LegKind.TRUNK:
            found = found.with_header("Contact", TRUNK_CONTACT)
        return events.RequestIn(leg, f"{leg}-{number}", found, side.flow)

    def ack(self, key: str, body: bytes = b"") -> events.AckIn:
        """The ACK of what we answered under this key."""
        return events.AckIn(key, request("ACK", body))

    def our_body(self, key: str) -> bytes:
        """What stood in our last 2xx under this key."""
        sent = [e.response for e in self.scene.all if isinstance(e, fx.Respond) and e.key == key]
        return next((r.body for r in reversed(sent) if 200 <= r.status < 300), b"")

    def sent(self, leg: LegId, purpose: Purpose) -> list[Request]:
        """Requests of one kind that left on this leg."""
        return [
            e.request for e in self.scene.all if isinstance(e, fx.SendRequest) and e.leg == leg and e.purpose is purpose
        ]
