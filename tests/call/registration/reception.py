"""A call manager whose registrar is `StrictRegistrar`: browsers sign in, call and leave; everything is in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from gateway.base.errors import GatewayError
from gateway.base.values import HostPort
from gateway.call.manager import CallManager
from gateway.call.registration.relay import Registrations
from gateway.sip.auth import DigestServer
from gateway.sip.events import RequestReceived, ResponseReceived
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response
from tests import messages
from tests.call.machine_scene import trunk_flow, vector
from tests.call.office import Office
from tests.rig.registrar import StrictRegistrar, prove
from tests.sites import made_site

REALM, USER, PASSWORD = "example.test", "alice", "wonder land"
ADDRESS = "gw.example.test:5061"
PLAN = {
    "emergency": ["112"],
    "outbound": [
        {"id": "carrier", "dialled": "7*", "trunk": "carrier"},
        {"id": "sos", "dialled": "112", "trunk": "pbx", "emergency": True},
        {"id": "pbx", "dialled": "*", "trunk": "pbx"},
    ],
    "inbound": [{"id": "desk", "dialled": "100", "user": "alice"}],
}
TRUNKS = {
    "pbx": {"target": "sip:pbx.example;transport=tls", "networks": ["127.0.0.2/32"]},
    "carrier": {"target": "sip:carrier.example;transport=tls", "networks": ["127.0.0.9/32"]},
}


class Reception:
    """Say what a browser or the registrar sends, look at what either hears."""

    def __init__(self, directory: Path, registrar: StrictRegistrar | None = None, **settings: object) -> None:
        self.registrar = registrar or StrictRegistrar(REALM, {USER: PASSWORD, "bob": "builder"})
        self.office = Office(directory, calls=10)
        self.now = 1000.0
        self.office.sites.current = made_site(
            PLAN,
            users=None,
            trunks=TRUNKS,
            audit={"directory": str(directory)},
            registration={"relay": "pbx", "address": ADDRESS, **settings},
        )
        object.__setattr__(self.office.services, "clock", lambda: self.now)
        self.office.sip.flows["carrier"] = trunk_flow()
        self.manager = self.office.manager = CallManager(self.office.services, cast(DigestServer, None))
        self.silent = False
        """The registrar does not answer."""
        self._keys = itertools.count(1)
        self._answered: set[str] = set()
        self.rewrite: Callable[[Response], Response] = lambda response: response
        """What becomes of the registrar's answers on their way."""

    @property
    def relay(self) -> Registrations:
        assert self.manager.registrations is not None
        return self.manager.registrations

    async def hears(self, request: Request, flow: Flow) -> Response | None:
        """The last answer to a request that came over this flow, when nothing moves any more."""
        key = f"in-{next(self._keys)}"
        self.office.request(request, key=key, flow=flow)
        await self.settle()
        return next((response for k, response in reversed(self.office.sip.answers) if k == key), None)

    async def settle(self) -> None:
        """Let everything run until the registrar has answered whatever it was asked."""
        await self.office.settle()
        while not self.silent and (waiting := [key for key in self.registers if key not in self._answered]):
            for key in waiting:
                self._answered.add(key)
                request, flow = self.office.sip.sent[key]
                response = self.rewrite(self.registrar.answer(request))
                self.manager.on_event(ResponseReceived(key, response, flow))
            await self.office.settle()

    @property
    def registers(self) -> list[str]:
        """Keys of the REGISTERs that left for the registrar."""
        return [key for key, (request, _) in self.office.sip.sent.items() if request.method == "REGISTER"]

    @property
    def relayed(self) -> list[Request]:
        """The REGISTERs that left for the registrar."""
        return [self.office.sip.sent[key][0] for key in self.registers]

    @property
    def invites(self) -> list[Request]:
        """The INVITEs that left, to anybody."""
        return [request for request, _ in self.office.sip.sent.values() if request.method == "INVITE"]

    def breaks(self, error: GatewayError) -> None:
        """No request can be sent."""
        self.office.sip.broken["send_request"] = error

    def from_pbx(self, uri: str, *, route: str = "", call_id: str = "pbx-1", tag: str = "pbx") -> RequestReceived:
        """An INVITE of the PBX."""
        lines = messages.fields(
            "INVITE",
            via=f"SIP/2.0/TLS 127.0.0.2:5061;branch=z9hG4bK{call_id}",
            from_=f"<sip:4930123@{REALM}>;tag={tag}",
            to=f"<sip:{USER}@{REALM}>",
            call_id=call_id,
            contact="<sip:caller@127.0.0.2:5061;transport=tls>",
            extra=[f"Route: {route}"] if route else [],
        )
        request = messages.request("INVITE", uri, lines, vector("pjsua2_offer_sdes_m"))
        return RequestReceived(f"pbx-{next(self._keys)}", request, trunk_flow())


@dataclass
class RelayedPage:
    """One browser: a connection, a client library with its own Call-ID, and a password or none."""

    reception: Reception
    number: int = 1
    user: str = USER
    password: str = PASSWORD
    host: str = "192.0.2.99"
    instance: str = ""
    strongest: bool = False
    call_id: str = ""
    sequence: int = 100
    contact: str = ""
    heard: list[Response] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.call_id = self.call_id or f"reg-{self.number}"
        self.contact = self.contact or f"sip:{self.user}x@p{self.number}.invalid;transport=ws"

    @property
    def flow(self) -> Flow:
        return Flow(1000 + self.number, "wss", HostPort("127.0.0.1", 443), HostPort(self.host, 1000 + self.number))

    @property
    def aor(self) -> str:
        return f"sip:{self.user}@{REALM}"

    def register_request(
        self, *, expires: int | None = 600, contact: str = "", from_: str = "", to: str = "", **extra: str
    ) -> Request:
        """A REGISTER without credentials; `extra` are header fields."""
        self.sequence += 1
        device = f';+sip.instance="<{self.instance}>"' if self.instance else ""
        written = contact or ("" if expires is None else f"<{self.contact}>{device};expires={expires}")
        lines = messages.fields(
            "REGISTER",
            via=f"SIP/2.0/WSS p{self.number}.invalid;branch=z9hG4bK{self.number}r{self.sequence}",
            from_=from_ or f"<{self.aor}>;tag=from{self.number}",
            to=to or f"<{self.aor}>",
            call_id=self.call_id,
            cseq=self.sequence,
            contact=written,
            extra=[f"{name.replace('_', '-')}: {value}" for name, value in extra.items()],
        )
        return messages.request("REGISTER", f"sip:{REALM}", lines)

    async def send(self, request: Request) -> Response:
        """Send it over this browser's connection and give what it hears."""
        response = await self.reception.hears(request, self.flow)
        assert response is not None
        self.heard.append(response)
        return response

    async def register(self, *, expires: int | None = 600, contact: str = "", count: int = 1) -> Response:
        """REGISTER, and once more with credentials where the first one is challenged."""
        response = await self.send(self.register_request(expires=expires, contact=contact))
        if response.status not in (401, 407):
            return response
        return await self.send(self.proving(response, expires=expires, contact=contact, count=count))

    def proving(
        self, response: Response, *, expires: int | None = 600, contact: str = "", count: int = 1, uri: str = ""
    ) -> Request:
        """The REGISTER that answers a challenge."""
        name, field_ = (
            ("WWW-Authenticate", "Authorization")
            if response.status == 401
            else ("Proxy-Authenticate", "Proxy-Authorization")
        )
        challenges = response.headers.get_all(name)
        value = prove(
            challenges,
            self.user,
            self.password,
            "REGISTER",
            uri or f"sip:{REALM}",
            count=count,
            strongest=self.strongest,
        )
        return self.register_request(expires=expires, contact=contact).with_added([(field_, value)])

    def invite(self, number: str = "600", *, sequence: int = 500, user: str = "") -> Request:
        """An INVITE of this browser."""
        lines = messages.fields(
            "INVITE",
            via=f"SIP/2.0/WSS p{self.number}.invalid;branch=z9hG4bK{self.number}i{sequence}",
            from_=f"<sip:{user or self.user}@{REALM}>;tag=callfrom",
            to=f"<sip:{number}@{REALM}>",
            call_id=f"call-{self.number}",
            cseq=sequence,
            contact=f"<{self.contact}>",
        )
        return messages.request("INVITE", f"sip:{number}@{REALM}", lines, vector("chromium_offer"))
