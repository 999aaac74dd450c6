"""A location service on its own, with clients of one user: time is a number, and what is sent is remembered."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from xml.etree import ElementTree

from gateway.base.counters import Counters
from gateway.base.errors import GatewayError
from gateway.base.values import HostPort
from gateway.location.service import Location
from gateway.location.store import LocationStore, MemoryStore
from gateway.sip.agent import Agent
from gateway.sip.events import RequestTimeout, ResponseReceived
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response, create_response
from tests import messages

NAMESPACE = "{urn:ietf:params:xml:ns:reginfo}"
NODE = "node"


def register(
    *contacts: str, expires: str | None = None, call_id: str = "reg-1", cseq: int = 1, user: str = "alice"
) -> Request:
    extra = [f"Contact: {contact}" for contact in contacts]
    if expires is not None:
        extra.append(f"Expires: {expires}")
    aor = f"<sip:{user}@example.test>"
    via = f"SIP/2.0/WSS client.invalid;branch=z9hG4bK{call_id}{cseq}"
    lines = messages.fields("REGISTER", via=via, from_=f"{aor};tag=a", to=aor, call_id=call_id, cseq=cseq, extra=extra)
    return messages.request("REGISTER", "sip:example.test", lines)


def connection(number: int) -> Flow:
    return Flow(number, "wss", HostPort("127.0.0.1", 8443), HostPort("192.0.2.7", 40000 + number))


def document(request: Request) -> ElementTree.Element:
    """The body of a NOTIFY, which the gateway has just written itself."""
    return ElementTree.fromstring(request.body)  # noqa: S314


async def settle() -> None:
    """Let what is under way run to its next wait for something outside."""
    for _ in range(60):
        await asyncio.sleep(0)


class NotifySender:
    """Remembers what was sent, by the key of its transaction."""

    def __init__(self) -> None:
        self.sent: dict[str, tuple[Request, Flow]] = {}
        self.broken: GatewayError | None = None

    def send_request(self, request: Request, flow: Flow) -> str:
        if self.broken is not None:
            raise self.broken
        key = f"out-{len(self.sent) + 1}"
        self.sent[key] = (request, flow)
        return key


@dataclass
class Page:
    """A client of alice with its own Contact and Call-ID, as JsSIP is one."""

    pages: Pages
    name: str
    flow: Flow
    instance: str = ""
    call_id: str = ""
    cseq: int = 0

    async def register(self, *, expires: int = 600, star: bool = False, extra: str = "") -> list[str]:
        """Register over its connection; gives the users of the Contacts of the answer."""
        answer = await self.send(expires=expires, star=star, extra=extra)
        assert answer.status == 200
        return [contact.uri.user or "" for contact in answer.contacts]

    async def send(self, *, expires: int = 600, star: bool = False, extra: str = "") -> Response:
        """Register, whatever the answer is."""
        self.cseq += 1
        instance = f';reg-id=1;+sip.instance="<urn:uuid:{self.instance}>"' if self.instance else ""
        contact = "*" if star else f"<{self.uri}>;expires={expires}{instance}{extra}"
        call_id = self.call_id or f"reg-{self.name}"
        return await self.pages.ask(
            register(contact, expires="0" if star else None, call_id=call_id, cseq=self.cseq), self.flow
        )

    @property
    def uri(self) -> str:
        return f"sip:{self.name}@client.invalid;transport=ws"

    def come_back(self, number: int) -> Page:
        """The same client on a new connection; the gateway need not have noticed that the old one is gone."""
        self.flow = connection(number)
        self.pages.location.identities.authenticate(self.flow, "alice")
        return self

    async def close(self) -> None:
        self.pages.location.flow_closed(self.flow)
        await settle()

    def notifies(self) -> list[Request]:
        return [request for request, flow in self.pages.sender.sent.values() if flow == self.flow]

    def told(self) -> list[str]:
        """Of each NOTIFY so far: the event of its own Contact."""
        return [self._read(request) for request in self.notifies()]

    def _read(self, request: Request) -> str:
        contacts = document(request).findall(f".//{NAMESPACE}contact")
        own = [contact for contact in contacts if contact.findtext(f"{NAMESPACE}uri") == self.uri][-1]
        assert (own.get("state") == "active") is (own.get("event") == "registered")
        return str(own.get("event"))

    async def answer(self, status: int = 200) -> None:
        """Answer the NOTIFY that came last."""
        key = [key for key, (_, flow) in self.pages.sender.sent.items() if flow == self.flow][-1]
        assert self.pages.answered(key, status)
        await settle()


class Pages:
    """Clients of alice at one location service."""

    def __init__(self, store: LocationStore | None = None) -> None:
        self.now = 1000.0
        self.memory = MemoryStore(lambda: self.now)
        self.sender = NotifySender()
        self.agent = Agent(self.sender, lambda length: "x" * length)
        self.counters = Counters()
        numbers = itertools.count(1)
        self.location = Location(
            store or self.memory,
            self.agent,
            realm="example.test",
            tokens=lambda length: f"{next(numbers):0{length}d}",
            counters=self.counters,
        )

    def answered(self, key: str, status: int) -> bool:
        """A response has come to a request of the location service; whether it waits for one."""
        request, flow = self.sender.sent[key]
        return self.agent.take(ResponseReceived(key, create_response(request, status, to_tag="page"), flow))

    def unanswered(self, key: str) -> bool:
        """A transaction has given up."""
        return self.agent.take(RequestTimeout(key))

    def open(self, name: str, *, instance: str = "", user: str = "alice") -> Page:
        page = Page(self, name, connection(len(name) * 100 + ord(name[-1])), instance)
        self.location.identities.authenticate(page.flow, user)
        return page

    async def ask(self, request: Request, flow: Flow, user: str = "alice") -> Response:
        answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.location.register(request, flow, user, answered.set_result)
        response = await answered
        await settle()
        return response

    async def rings(self) -> list[str]:
        """Where calls of alice ring, the preferred first."""
        return [binding.contact.uri.user or "" for binding in await self.location.locate("alice")]
