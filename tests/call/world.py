"""Everybody around an office: browsers, trunks and a relay, who may do anything at any time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from gateway.base.errors import MediaError
from gateway.base.values import LegId, LegKind
from gateway.call.legs.leg import Leg
from gateway.call.run.runner import CallRunner
from gateway.location.binding import Binding
from gateway.media.relay_call import RelayCall
from gateway.media.relay_commands import CloseLeg, OpenLeg
from gateway.media.relay_counters import PacketCounters
from gateway.media.relay_events import LegOpened
from gateway.sip.address import NameAddr
from gateway.sip.events import (
    AckReceived,
    AckTimeout,
    CancelReceived,
    RequestReceived,
    RequestTimeout,
    ResponseReceived,
    TransportFailed,
)
from gateway.sip.flow import Flow
from gateway.sip.message import Request, create_response
from gateway.sip.replaces import Replaces
from tests import messages
from tests.call import promise
from tests.call.machine_scene import TRUNK_CONTACT, answer, browser_answer, sdes_answer, trunk_flow
from tests.call.office import Office, Relay, invite
from tests.call.peers import place

KEYED_OFFER = answer("RTP/SAVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40)


class OwnRelay(Relay):
    """One call of the relay: which legs it has."""

    def __init__(self, pool: OwnPool) -> None:
        super().__init__()
        self.pool = pool
        self.here: set[LegId] = set()
        self.closed = False

    def opened(self, command: OpenLeg) -> LegOpened:
        assert command.leg not in self.legs, "a leg is opened once"
        self.here.add(command.leg)
        return super().opened(command)

    def adopt(self, leg: LegId, other: Relay, from_leg: LegId) -> None:
        assert isinstance(other, OwnRelay)
        super().adopt(leg, other, from_leg)
        other.here.remove(from_leg)
        self.here.add(leg)

    async def open(self, command: OpenLeg) -> LegOpened:
        await asyncio.sleep(0)
        if self.pool.full:
            raise MediaError("no port")
        return self.opened(command)

    def send(self, command: object) -> None:
        assert not self.closed
        if isinstance(command, CloseLeg):
            self.here.discard(command.leg)  # what is not open yet is closed once it is

    async def close(self) -> dict[LegId, PacketCounters]:
        assert not self.closed, "a call is closed once"
        self.closed = True
        await asyncio.sleep(0)
        return {leg: PacketCounters() for leg in self.legs}


class OwnPool:
    """Gives every call one of its own."""

    def __init__(self) -> None:
        self.calls: list[OwnRelay] = []
        self.full = False

    async def open(self, *legs: OpenLeg, listener: object, affinity: object = ()) -> Relay:
        await asyncio.sleep(0)
        if self.full:
            raise MediaError("no port")
        self.calls.append(call := OwnRelay(self))
        for leg in legs:
            call.opened(leg)
        return call


class World:
    """Everybody around an office."""

    def __init__(self, directory: Path) -> None:
        self.office = Office(directory, calls=4)
        self.relays = OwnPool()
        object.__setattr__(self.office.services, "pool", self.relays)
        self.manager, self.sip = self.office.manager, self.office.sip
        self.runners: list[CallRunner] = []
        self._watch_runners()
        self.numbers = itertools.count(1)
        self.cseq = itertools.count(10)
        self.flows: list[Flow] = []
        """Connections of alice's browsers."""
        self.over: set[str] = set()
        """Requests of the office nothing more comes for."""
        self.picked_up: set[str] = set()
        self.asking: dict[str, tuple[Request, Flow]] = {}
        """INVITEs of peers without an ACK."""

    def _watch_runners(self) -> None:
        real = self.manager.index.begin

        def begin(runner: CallRunner) -> None:
            self.runners.append(runner)
            real(runner)

        object.__setattr__(self.manager.index, "begin", begin)

    def sign_in(self, count: int) -> None:
        places = [place(100 + number, weak=False) for number in range(count)]
        self.flows = [found.flow for found in places]
        node = self.manager.location.node
        bindings = []
        for found in places:
            self.manager.location.identities.authenticate(found.flow, "alice")
            contact = f"<{found.uri}>"
            key = f"reg-{found.flow.id}"
            bindings.append(Binding(node, found.flow, NameAddr.parse(contact), contact, key, 1, 600.0))
        self.manager.bindings.put("alice", bindings, [])

    # What peers do.

    def call(self, which: int) -> None:
        number = ("600", "700", "800", "900", "112")[which % 5]
        found = invite(number, call_id=f"out-{next(self.numbers)}")
        flow = self.flows[which % len(self.flows)] if self.flows else None
        if flow is not None:
            self._ask(found, flow)

    def called(self, which: int) -> None:
        number = next(self.numbers)
        lines = messages.fields(
            "INVITE",
            via=f"SIP/2.0/TLS pbx.example;branch=z9hG4bKin{number}",
            from_=f"<sip:4711@pbx.example>;tag=caller-{number}",
            to="<sip:100@example.test>",
            call_id=f"in-{number}",
            contact=TRUNK_CONTACT,
        )
        body = KEYED_OFFER if which % 4 else b""
        self._ask(messages.request("INVITE", "sip:100@example.test", lines, body), trunk_flow())

    def _ask(self, request: Request, flow: Flow) -> None:
        key = f"key-{next(self.numbers)}"
        if request.method == "INVITE":
            self.asking[key] = (request, flow)
        self.manager.on_event(RequestReceived(key, request, flow))

    def _open(self, *methods: str) -> list[tuple[str, Request, Flow]]:
        found = [(key, *sent) for key, sent in self.sip.sent.items() if key not in self.over]
        return [(key, request, flow) for key, request, flow in found if not methods or request.method in methods]

    def answer(self, which: int, status: int = 200) -> None:
        invites = self._open("INVITE")
        if not invites:
            return
        key, request, flow = invites[which % len(invites)]
        if status >= 200:
            self.picked_up.add(key)
        good = browser_answer(request.body) if flow.trunk is None else _trunk_answer(request.body)
        body = good if which % 7 else answer("RTP/SAVP")
        self._respond(key, request, flow, status, body, tag=request.to.tag or ("callee", "fork")[which % 5 == 0])

    def refuse(self, which: int) -> None:
        invites = [found for found in self._open("INVITE") if found[0] not in self.picked_up]
        if invites:
            key, request, flow = invites[which % len(invites)]
            self.over.add(key)
            status = (404, 486, 488, 491, 503, 603)[which % 6]
            self._respond(key, request, flow, status, b"", tag=request.to.tag or "callee")

    def respond(self, which: int) -> None:
        asked = self._open("BYE", "UPDATE", "OPTIONS", "NOTIFY")
        if asked:
            key, request, flow = asked[which % len(asked)]
            self.over.add(key)
            status = (200, 200, 200, 200, 481, 500, 405)[which % 7]
            self._respond(key, request, flow, status, b"", tag=request.to.tag or "")

    def _respond(self, key: str, request: Request, flow: Flow, status: int, body: bytes, *, tag: str) -> None:
        contact = "<sip:alice@client.invalid;transport=ws>" if flow.trunk is None else TRUNK_CONTACT
        kind = "application/sdp" if body else ""
        response = create_response(
            request, status, to_tag=tag, headers=(("Contact", contact),), body=body, content_type=kind
        )
        self.manager.on_event(ResponseReceived(key, response, flow))

    def lose_a_request(self, which: int) -> None:
        asked = [found for found in self._open() if found[0] not in self.picked_up]
        if asked:
            key = asked[which % len(asked)][0]
            self.over.add(key)
            self.manager.on_event(TransportFailed(key) if which % 2 else RequestTimeout(key))

    def _successes(self) -> list[str]:
        """INVITEs of peers that wait for their ACK."""
        told = {key for key, response in self.sip.answers if 200 <= response.status < 300}
        return [key for key in self.asking if key in told]

    def acknowledge(self, which: int) -> None:
        waiting = self._successes()
        if not waiting:
            return
        key = waiting[which % len(waiting)]
        request, flow = self.asking.pop(key)
        ours = [response.body for k, response in self.sip.answers if k == key and 200 <= response.status < 300][-1]
        good = b""
        if not request.body:
            good = browser_answer(ours) if flow.trunk is None else _trunk_answer(ours)
        lines = messages.fields(
            "ACK", via="SIP/2.0/TLS x;branch=z9hG4bKa", from_="<sip:a@b>", to="<sip:c@d>", call_id="x"
        )
        self.manager.on_event(AckReceived(key, messages.request("ACK", "sip:x@y", lines, good), flow))

    def cancel(self, which: int) -> None:
        told = {key for key, response in self.sip.answers if response.status >= 200}
        ringing = [key for key in self.asking if key not in told]
        if ringing:
            self.manager.on_event(CancelReceived(ringing[which % len(ringing)]))

    def _inside(self, which: int, method: str, body: bytes = b"", extra: tuple[str, ...] = ()) -> None:
        dialogs = sorted(self.manager.index.dialogs.items(), key=lambda item: item[0])
        if not dialogs:
            return
        (call_id, ours, theirs), (runner, number) = dialogs[which % len(dialogs)]
        leg: Leg = runner.state.legs[number]
        trunk = leg.kind is LegKind.TRUNK
        sequence = next(self.cseq)
        lines = messages.fields(
            method,
            via=f"SIP/2.0/TLS peer;branch=z9hG4bK{method}{sequence}",
            from_=f"<sip:peer@client.invalid>;tag={theirs}",
            to=f"<sip:us@example.test>;tag={ours}",
            call_id=call_id,
            cseq=sequence,
            contact=TRUNK_CONTACT if trunk else "<sip:alice@client.invalid;transport=ws>",
            extra=extra,
        )
        self._ask(messages.request(method, "sip:gateway@example.test", lines, body), leg.flow)

    def hand_over(self, which: int) -> None:
        number = ("601", "701", "801", "100", "900")[which % 5]
        self._inside(which // 5, "REFER", extra=(f"Refer-To: <sip:{number}@example.test>",))

    def join(self, which: int) -> None:
        """Who has two calls hands one over to the other."""
        dialogs = sorted(self.manager.index.dialogs.items(), key=lambda item: item[0])
        if not dialogs:
            return
        first = which % len(dialogs)
        runner, number = dialogs[first][1]
        kind = runner.state.legs[number].kind
        others = [key for key, (owner, leg) in dialogs if owner is not runner and owner.state.legs[leg].kind is kind]
        named = others[which % len(others)] if others and which % 9 else dialogs[which // 2 % len(dialogs)][0]
        embedded = Replaces.naming(named).embedded
        self._inside(first, "REFER", extra=(f"Refer-To: <sip:601@example.test?Replaces={embedded}>",))

    def hang_up(self, which: int) -> None:
        self._inside(which, "BYE")

    def change(self, which: int) -> None:
        self._inside(which // 3, ("INVITE", "UPDATE", "OPTIONS")[which % 3])

    def close_a_connection(self, which: int) -> None:
        if self.flows and which % 3 == 0:
            flow = self.flows.pop(which % len(self.flows))
            self.sip.gone.add(flow.id)
            self.manager.flow_closed(flow)
            for key in [key for key, (_, came) in self.asking.items() if came.id == flow.id]:
                del self.asking[key]
                self.manager.on_event(TransportFailed(key))

    def shut_a_trunk(self, which: int) -> None:
        name = ("pbx", "old", "soft")[which % 3]
        if name in self.sip.flows:
            del self.sip.flows[name]
        else:
            self.sip.flows[name] = trunk_flow("udp" if name == "old" else "tls")

    def fill_the_relay(self, which: int) -> None:
        self.relays.full = which % 3 == 0

    async def play(self, step: str, which: int) -> None:
        if step == "ring":
            self.answer(which, 180)
        elif step != "settle":
            getattr(self, step.replace(" ", "_"))(which)
        if step == "settle" or which % 4:  # else the next step comes before anything else had its turn
            await self.office.settle()
            self.no_leg_is_left()
            self.no_leg_is_too_weak()

    # The end.

    async def end(self) -> None:
        """The world comes to rest: every call ends, everything that waits for an answer gets one or none."""
        self.relays.full = False
        stopping = asyncio.create_task(self.manager.stop())
        for _ in range(20):
            await self.office.settle()
            for key in self._successes():
                del self.asking[key]
                self.manager.on_event(AckTimeout(key))
            for key, _, _ in self._open():
                self.over.add(key)
                if key not in self.picked_up:
                    self.manager.on_event(RequestTimeout(key))
        await stopping

    def nothing_is_left(self) -> None:
        index = self.manager.index
        for name in ("runners", "received", "dialogs", "call_ids"):
            assert not getattr(index, name), name
        for runner in self.runners:
            assert not runner._tasks
            assert not runner._clocks
            assert not runner._effects
            assert not runner.state.asks
        assert all(relay.closed for relay in self.relays.calls)
        assert self.manager._admission._caps.live == 0
        types = self.office.audit.types()
        assert types.count("call.start") == types.count("call.final") == len(self.runners)
        finals = [str(r["call_uid"]) for r in self.office.audit.records if r["type"] == "call.final"]
        assert len(set(finals)) == len(finals), "one final record each"

    def _legs_left(self) -> Iterator[tuple[CallRunner, set[LegId]]]:
        """Legs the relay has for a living call that are no part of it."""
        for runner in self.runners:
            call = cast(OwnRelay | RelayCall | None, runner.media._call)
            if not isinstance(call, OwnRelay) or call.closed or not runner.state.live:
                continue
            state = runner.state
            going = {leg.id for leg in state.legs.values() if leg.gone and not leg.invitation.is_over}
            yield runner, call.here - {leg.id for leg in state.pair} - set(state.hunt.ringing) - going

    def no_leg_is_too_weak(self) -> None:
        """Whatever the policies say, every living call keeps to its own."""
        for runner in self.runners:
            promise.is_kept(runner.state)

    def no_leg_is_left(self) -> None:
        for runner, legs in self._legs_left():
            assert not legs, runner.state.hunt


def _trunk_answer(offer: bytes) -> bytes:
    if b" AES_CM_128_HMAC_SHA1_80 " not in offer:
        return answer()
    keyed = sdes_answer(offer)
    return keyed if b"RTP/SAVP" in offer else keyed.replace(b"RTP/SAVP", b"RTP/AVP")
