"""Any number of asks over a wire that loses, doubles and reorders, to places that fail, ask and change their minds.

Every ask comes to exactly one outcome, whoever asks: it answers challenges, and goes on to the next place where the
rule of `trunks/failover` says so, as calls and registrations do.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.base.values import HostPort, Secret
from gateway.sip.agent import MAX_TRIES, Agent
from gateway.sip.auth import DigestServer
from gateway.sip.cseq import CSeq
from gateway.sip.digest_client import Login
from gateway.sip.events import RequestReceived, RequestTimeout, ResponseReceived, StackEvent, TransportFailed
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response, create_response
from gateway.trunks.failover import Tried, after, is_of_the_place, may_go_on
from gateway.trunks.target import Spot
from tests.effort import examples
from tests.rig.registrar import StrictRegistrar
from tests.sip.digest import PASSWORD, REALM, USER, lookup
from tests.sip.fake_wire import BOB, FakeWire, Node, counting_tokens, request

PLACES = [HostPort(f"192.0.2.{10 + number}", 5060) for number in range(3)]
SAYS = {"200": 200, "rings": 200, "404": 404, "503": 503}
MODES = ["200", "rings", "404", "503", "silent", "asks", "asks twice", "always stale", "refuses"]
METHODS = st.sampled_from(["OPTIONS", "REGISTER", "INVITE", "INFO"])
LOGIN = Login(USER, Secret(PASSWORD))
EVER = 400.0
"""Seconds after which nothing is out any more: every place tried, with a challenge or two at each."""


class Place:
    """One server. `asks twice`: a proxy that counts, and the server behind it."""

    def __init__(self) -> None:
        self.mode = "200"
        self._strict = StrictRegistrar(REALM, {USER: PASSWORD})
        self._edge = StrictRegistrar("edge", {USER: PASSWORD})
        self._digest = DigestServer(REALM, Secret(b"k"), counting_tokens("n"))

    def __call__(self, node: Node, event: StackEvent) -> None:
        if isinstance(event, RequestReceived):
            for response in self._answers(event.request, node.now):
                node.stack.respond(event.key, response, node.now)

    def _answers(self, asked: Request, now: float) -> list[Response]:
        if self.mode in SAYS:
            ringing = [create_response(asked, 180, to_tag="p")] if self.mode == "rings" else []
            return [*ringing, create_response(asked, SAYS[self.mode], to_tag="p")]
        if self.mode in ("always stale", "refuses"):
            return [self._strict.challenge(asked, stale=self.mode == "always stale")]
        if self.mode == "asks twice" and asked.method != "REGISTER":
            passed = self._edge.answer(asked)
            return [passed if passed.status != 200 else self._behind(asked, now)]
        return [self._strict.answer(asked)]

    def _behind(self, asked: Request, now: float) -> Response:
        outcome = self._digest.verify(asked, 1, lookup, now)
        if outcome.user is not None:
            return create_response(asked, 200, to_tag="p")
        values = self._digest.challenges(1, now, stale=outcome.stale)
        return create_response(asked, 401, to_tag="p", headers=[("WWW-Authenticate", value) for value in values])


@dataclass
class Goer:
    """Who asks, and goes on as long as there is a reason and somewhere to go."""

    agent: Agent
    flows: list[Flow]
    asked: Request
    login: Login | None
    outcomes: list[str] = field(default_factory=list)
    key: str = ""
    tries: int = 0
    sends: int = 0
    is_dropped: bool = False
    rings: bool = False
    """An INVITE that rings is waited for as long as its asker likes: nobody else ends it (RFC 3261 17.1.1.2)."""
    _tried: Tried = ()
    _is_asking: bool = False

    def ask(self) -> None:
        self._is_asking = True
        self.sends += 1
        self.key = self.agent.ask(self.asked, self.flow, self, login=self.login, tries=self.tries)
        self._is_asking = False

    @property
    def flow(self) -> Flow:
        """The first place that was not tried."""
        return next(flow for flow in self.flows if Spot(flow.transport, flow.remote) not in self._tried)

    def responded(self, response: Response, flow: Flow) -> None:
        self._may_be_told(repeated=response.status < 300 and self.asked.method == "INVITE")
        if response.status < 200:
            self.rings = True
            return
        if self.outcomes:
            assert self.outcomes == [str(response.status)]
        elif is_of_the_place(response.status):
            self._go_on(str(response.status))
        else:
            self.outcomes.append(str(response.status))

    def unanswered(self, *, transport: bool) -> None:
        self._may_be_told()
        self._go_on("transport" if transport else "timeout")

    def challenged(self, response: Response, flow: Flow, credentials: tuple[tuple[str, str], ...]) -> None:
        self._may_be_told()
        assert self.login is not None
        self.tries += 1
        assert self.tries <= MAX_TRIES
        self.rings = False
        renewed = self.asked.without_header(*{name for name, _ in credentials}).with_added(credentials)
        self.asked = renewed.with_header("CSeq", CSeq(renewed.cseq.number + 1, renewed.method))
        self.ask()

    def _may_be_told(self, *, repeated: bool = False) -> None:
        assert not self._is_asking, "told before it knew what it had asked"
        assert not self.is_dropped, "told what it did not want to know any more"
        assert repeated or not self.outcomes, "told after its outcome"

    def _go_on(self, word: str) -> None:
        self._tried = after(self._tried, self.flow)
        if len(self._tried) == len(self.flows) or not may_go_on(self._tried):
            self.outcomes.append(word)
            return
        self.asked = self.asked.without_header("Authorization", "Proxy-Authorization")
        self.tries, self.rings = 0, False
        self.ask()


class AgentMachine(RuleBasedStateMachine):
    """What comes of every ask."""

    @initialize(seed=st.integers(0, 2**32))
    def connect(self, seed: int) -> None:
        self.wire = FakeWire(seed=seed)
        self.flows = [Flow(number + 1, "udp", BOB, place) for number, place in enumerate(PLACES)]
        self.ours = self.wire.add("ours", self.flows[0], self._hear)
        self.ours.flows = {flow.remote: flow for flow in self.flows}
        self.places = [Place() for _ in PLACES]
        for place, flow in zip(self.places, self.flows, strict=True):
            self.wire.add(f"p{flow.id}", Flow(flow.id, "udp", flow.remote, BOB), place)
        self.agent = Agent(self, counting_tokens("c"))
        self.goers: list[Goer] = []

    def send_request(self, asked: Request, flow: Flow) -> str:
        return self.ours.stack.send_request(asked, flow, self.wire.now)

    def _hear(self, _node: Node, event: StackEvent) -> None:
        if isinstance(event, ResponseReceived | RequestTimeout | TransportFailed):
            self.agent.take(event)

    def ask(self, method: str, order: list[int], *, knows: bool) -> Goer:
        asked = request(method, call_id=f"call-{len(self.goers)}").without_header("Via")
        if method == "REGISTER":
            asked = asked.with_header("To", f"<sip:{USER}@example.org>")
        goer = Goer(self.agent, [self.flows[n] for n in order], asked, LOGIN if knows else None)
        self.goers.append(goer)
        goer.ask()
        return goer

    @rule(method=METHODS, order=st.permutations(range(len(PLACES))), knows=st.booleans())
    def somebody_asks(self, method: str, order: list[int], knows: bool) -> None:
        self.ask(method, order, knows=knows)

    @rule(place=st.integers(0, len(PLACES) - 1), mode=st.sampled_from(MODES))
    def a_place_changes_its_mind(self, place: int, mode: str) -> None:
        self.places[place].mode = mode
        (self.wire.cut.add if mode == "silent" else self.wire.cut.discard)(PLACES[place])

    @rule(
        loss=st.sampled_from([0.0, 0.3, 0.9, 1.0]), copies=st.sampled_from([0.0, 0.5]), jitter=st.sampled_from([0, 2])
    )
    def the_weather_changes(self, loss: float, copies: float, jitter: float) -> None:
        self.wire.loss, self.wire.copies, self.wire.jitter = loss, copies, jitter

    @rule(place=st.integers(0, len(PLACES) - 1))
    def the_way_to_a_place_breaks(self, place: int) -> None:
        self.ours.stack.flow_closed(self.flows[place], self.wire.now)
        self.wire.run(0.0)

    @rule(seconds=st.sampled_from([0.02, 0.6, 5.0, 33.0]))
    def time_passes(self, seconds: float) -> None:
        self.wire.run(seconds)

    @precondition(lambda self: any(not goer.outcomes and not goer.is_dropped for goer in self.goers))
    @rule(which=st.integers(0, 99))
    def somebody_loses_interest(self, which: int) -> None:
        waiting = [goer for goer in self.goers if not goer.outcomes and not goer.is_dropped]
        goer = waiting[which % len(waiting)]
        self.agent.forget(goer.key)
        goer.is_dropped = True

    @invariant()
    def nobody_asks_without_end(self) -> None:
        for goer in getattr(self, "goers", []):
            assert len(goer.outcomes) <= 1
            assert goer.sends <= len(PLACES) * (MAX_TRIES + 1)

    def teardown(self) -> None:
        if not hasattr(self, "goers"):
            return
        self.wire.run(EVER)
        for goer in self.goers:
            assert len(goer.outcomes) == 1 or goer.is_dropped or (goer.rings and goer.asked.method == "INVITE"), goer
        self._in_good_weather()
        for goer in self.goers:
            self.agent.forget(goer.key)  # a 2xx of an INVITE may come again as long as somebody listens
        assert len(self.agent) == 0

    def _in_good_weather(self) -> None:
        """Then it is known what each ask comes to."""
        self.wire.loss = self.wire.copies = self.wire.jitter = 0.0
        for method in ("OPTIONS", "REGISTER", "INVITE"):
            for knows in (True, False):
                goer = self.ask(method, [0, 1, 2], knows=knows)
                self.wire.run(EVER)
                expected, sends = self._expected(method, knows=knows)
                assert (goer.outcomes, goer.sends) == ([expected], sends), [p.mode for p in self.places]

    def _expected(self, method: str, *, knows: bool) -> tuple[str, int]:
        """The outcome, and how often it is sent: a password once, again for a nonce that is stale, and once more for
        whoever asks behind the first who asked."""
        challenge, word, sends = ("401" if method == "REGISTER" else "407"), "", 0
        for place in self.places:
            sends += 1
            match place.mode:
                case "503" | "silent":
                    word = "503" if place.mode == "503" else "timeout"
                case "asks" | "asks twice":
                    twice = place.mode == "asks twice" and method != "REGISTER"
                    return ("200", sends + 1 + twice) if knows else (challenge, sends)
                case "always stale" | "refuses":
                    again = MAX_TRIES if place.mode == "always stale" else 1
                    return challenge, sends + (again if knows else 0)
                case mode:
                    return str(SAYS[mode]), sends
        return word, sends


TestAgentMachine = AgentMachine.TestCase
TestAgentMachine.settings = settings(max_examples=examples(100), stateful_step_count=14, deadline=None)


@pytest.mark.parametrize("second", ["200", "asks twice", "silent"])
@pytest.mark.parametrize("first", MODES)
def test_in_good_weather_it_is_known_what_an_ask_comes_to(first: str, second: str) -> None:
    machine = AgentMachine()
    machine.connect(seed=1)
    for number, mode in enumerate((first, second, "503")):
        machine.a_place_changes_its_mind(number, mode)
    machine.teardown()
