"""The user-agent core: each ask has exactly one outcome, over whatever wire, and a challenge is answered once."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.values import Secret
from gateway.sip.agent import MAX_TRIES, Agent
from gateway.sip.auth import DigestServer
from gateway.sip.cseq import CSeq
from gateway.sip.digest_client import Login
from gateway.sip.events import RequestReceived, RequestTimeout, ResponseReceived, StackEvent, TransportFailed
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response, create_response
from tests.effort import examples
from tests.sip.digest import PASSWORD, REALM, USER, lookup
from tests.sip.fake_wire import BOB, FakeWire, Node, counting_tokens, request, stream, udp

LOGIN = Login(USER, Secret(PASSWORD))
CHALLENGE = (("WWW-Authenticate", f'Digest realm="{REALM}", nonce="n1", qop="auth"'),)
OURS = replace(stream(), initiated=True)


class Remembering:
    """A wire that only remembers."""

    def __init__(self) -> None:
        self.sent: dict[str, Request] = {}
        self._keys = itertools.count(1)

    def send_request(self, request: Request, flow: Flow) -> str:
        key = f"k{next(self._keys)}"
        self.sent[key] = request
        return key


@dataclass
class Hears:
    """An asker that answers a challenge as long as it is told to."""

    agent: Agent
    flow: Flow = OURS
    request: Request = field(default_factory=lambda: request("OPTIONS"))
    heard: list[str] = field(default_factory=list)
    tries: int = 0
    login: Login = LOGIN

    def ask(self) -> str:
        return self.agent.ask(self.request, self.flow, self, login=self.login, tries=self.tries)

    def responded(self, response: Response, flow: Flow) -> None:
        self.heard.append(str(response.status))

    def unanswered(self, *, transport: bool) -> None:
        self.heard.append("transport" if transport else "timeout")

    def challenged(self, response: Response, flow: Flow, credentials: tuple[tuple[str, str], ...]) -> None:
        self.tries += 1
        self.heard.append("challenged")
        number = self.request.cseq.number + 1
        self.request = self.request.without_header(*{name for name, _ in credentials}).with_added(credentials)
        self.request = self.request.with_header("CSeq", CSeq(number, self.request.method))
        self.ask()

    @property
    def outcomes(self) -> list[str]:
        return [word for word in self.heard if word != "challenged" and not word.startswith("1")]


@pytest.fixture
def wire() -> Remembering:
    return Remembering()


@pytest.fixture
def agent(wire: Remembering) -> Agent:
    return Agent(wire, counting_tokens("t"))


def answer(agent: Agent, wire: Remembering, status: int, headers: tuple[tuple[str, str], ...] = ()) -> bool:
    key, sent = list(wire.sent.items())[-1]
    return agent.take(ResponseReceived(key, create_response(sent, status, to_tag="pbx", headers=headers), OURS))


@pytest.mark.parametrize("status", [200, 302, 404, 486, 503, 603])
def test_a_final_response_is_the_last_that_is_told(agent: Agent, wire: Remembering, status: int) -> None:
    asker = Hears(agent)
    asker.ask()
    assert answer(agent, wire, 100)
    assert answer(agent, wire, status)
    assert not answer(agent, wire, status)
    assert asker.heard == ["100", str(status)]
    assert len(agent) == 0


def test_the_2xx_of_an_invite_comes_again_until_nobody_wants_it(agent: Agent, wire: Remembering) -> None:
    """RFC 3261 13.2.2.4: each retransmission, and each fork."""
    asker = Hears(agent, request=request("INVITE"))
    key = asker.ask()
    assert [answer(agent, wire, 200) for _ in range(3)] == [True] * 3
    agent.forget(key)
    assert not answer(agent, wire, 200)
    assert asker.heard == ["200"] * 3


@pytest.mark.parametrize(("event", "word"), [(RequestTimeout, "timeout"), (TransportFailed, "transport")])
def test_no_response_is_an_outcome_too(agent: Agent, event: type[RequestTimeout | TransportFailed], word: str) -> None:
    asker = Hears(agent)
    key = asker.ask()
    assert agent.take(event(key))
    assert not agent.take(event(key))
    assert asker.heard == [word]


def test_what_nobody_asked_is_nobodys(agent: Agent) -> None:
    assert not agent.take(RequestTimeout("elsewhere"))
    assert agent.asker("elsewhere") is None


@pytest.mark.parametrize("status", [401, 407])
def test_a_challenge_is_answered_once_and_a_second_one_is_a_refusal(
    agent: Agent, wire: Remembering, status: int
) -> None:
    asker = Hears(agent)
    asker.ask()
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    headers = ((name, CHALLENGE[0][1]),)
    assert answer(agent, wire, status, headers)
    assert answer(agent, wire, status, headers)
    assert asker.heard == ["challenged", str(status)]
    first, second = wire.sent.values()
    assert second.cseq.number == first.cseq.number + 1
    assert second.call_id == first.call_id


def test_a_proxy_and_the_server_behind_it_are_each_told_who_we_are(agent: Agent, wire: Remembering) -> None:
    """RFC 3261 22.3: the request the server asks for has the proxy's answer too, under its nonce's next count."""
    asker = Hears(agent)
    asker.ask()
    assert answer(agent, wire, 407, (("Proxy-Authenticate", 'Digest realm="edge", nonce="p1", qop="auth"'),))
    assert answer(agent, wire, 401, CHALLENGE)
    assert answer(agent, wire, 200)
    assert asker.heard == ["challenged", "challenged", "200"]
    last = list(wire.sent.values())[-1]
    for name, count in (("Proxy-Authorization", 2), ("Authorization", 1)):
        (value,) = last.headers.get_all(name)
        assert f"nc={count:08x}" in value


def test_a_server_that_asks_again_behind_a_proxy_has_refused_us(agent: Agent, wire: Remembering) -> None:
    asker = Hears(agent)
    asker.ask()
    answer(agent, wire, 407, (("Proxy-Authenticate", 'Digest realm="edge", nonce="p1", qop="auth"'),))
    answer(agent, wire, 401, CHALLENGE)
    answer(agent, wire, 401, CHALLENGE)
    assert asker.heard == ["challenged", "challenged", "401"]


def test_a_nonce_that_is_always_stale_is_not_followed_for_ever(agent: Agent, wire: Remembering) -> None:
    asker = Hears(agent)
    asker.ask()
    stale = ((CHALLENGE[0][0], f"{CHALLENGE[0][1]}, stale=true"),)
    for _ in range(MAX_TRIES + 1):
        assert answer(agent, wire, 401, stale)
    assert asker.heard == ["challenged"] * MAX_TRIES + ["401"]


BY_ADDRESS = replace(stream("tls"), trunk="pbx")
BY_NAME = replace(BY_ADDRESS, proved=frozenset({"pbx"}))


@pytest.mark.parametrize("flow", [stream(), BY_ADDRESS, BY_NAME], ids=["a connection to us", "of a trunk", "proved"])
@pytest.mark.parametrize("peer", ["", "pbx", "other"])
def test_a_password_is_used_over_a_connection_its_trunk_opened_only_if_it_proved_its_name(
    agent: Agent, wire: Remembering, flow: Flow, peer: str
) -> None:
    asker = Hears(agent, flow=flow, login=replace(LOGIN, peer=peer))
    asker.ask()
    answer(agent, wire, 401, CHALLENGE)
    assert asker.heard == ["challenged" if (flow, peer) == (BY_NAME, "pbx") else "401"]


def test_who_has_no_login_takes_a_challenge_as_the_refusal_it_is(agent: Agent, wire: Remembering) -> None:
    asker = Hears(agent)
    agent.ask(asker.request, OURS, asker)
    answer(agent, wire, 401, CHALLENGE)
    assert asker.heard == ["401"]


@dataclass
class Registrar:
    """Challenges each request, with nonces that it may call stale, and takes what proves the password."""

    digest: DigestServer
    refuses: bool

    def __call__(self, node: Node, event: StackEvent) -> None:
        if not isinstance(event, RequestReceived):
            return
        outcome = self.digest.verify(event.request, event.flow.id, lookup, node.now)
        if outcome.user is None or self.refuses:
            values = self.digest.challenges(event.flow.id, node.now, stale=outcome.stale)
            headers = tuple(("WWW-Authenticate", value) for value in values)
            node.stack.respond(event.key, create_response(event.request, 401, to_tag="r", headers=headers), node.now)
        else:
            node.stack.respond(event.key, create_response(event.request, 200, to_tag="r"), node.now)


@settings(max_examples=examples(200))
@given(
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]),
    copies=st.sampled_from([0.0, 0.5]),
    jitter=st.sampled_from([0.0, 0.3, 2.0]),
    methods=st.lists(st.sampled_from(["OPTIONS", "REGISTER", "INFO"]), min_size=1, max_size=6),
    refuses=st.booleans(),
)
def test_whatever_the_wire_does_each_ask_has_exactly_one_outcome(
    seed: int, loss: float, copies: float, jitter: float, methods: list[str], refuses: bool
) -> None:
    wire = FakeWire(seed=seed, loss=loss, copies=copies, jitter=jitter)

    def on_event(_node: Node, event: StackEvent) -> None:
        if isinstance(event, ResponseReceived | RequestTimeout | TransportFailed):
            assert user_agent.take(event)

    ours = wire.add("ours", udp(BOB), on_event)
    digest = DigestServer(REALM, Secret(b"k"), counting_tokens("n"))
    wire.add("theirs", udp(), Registrar(digest, refuses))

    class OnWire:
        def send_request(self, request: Request, flow: Flow) -> str:
            return ours.stack.send_request(request, flow, wire.now)

    user_agent = Agent(OnWire(), counting_tokens("c"))
    askers = [
        Hears(user_agent, flow=ours.flow, request=request(method, call_id=f"call-{number}").without_header("Via"))
        for number, method in enumerate(methods)
    ]
    for asker in askers:
        asker.ask()
        wire.run(0.05)
    wire.run(200)
    allowed = {"timeout", "401"} if refuses else {"timeout", "200"}
    for asker in askers:
        assert len(asker.outcomes) == 1, asker.heard
        assert asker.outcomes[0] in allowed
    assert all(asker.tries <= MAX_TRIES for asker in askers)
    assert len(user_agent) == 0
    if not loss:
        assert {asker.outcomes[0] for asker in askers} == ({"401"} if refuses else {"200"})
