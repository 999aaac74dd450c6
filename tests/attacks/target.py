"""A gateway process under attack: its trunks, its wires, its metrics and log, and calls that show it is well."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import re
import secrets
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gateway.sip.auth import compute_ha1, compute_response
from gateway.sip.message import Response, parse_message
from tests import messages
from tests.attacks.wires import AttackWire, StreamWire, UdpWire, WebSocketWire
from tests.rig.browser import ScriptedBrowser
from tests.rig.gateway import PASSWORD, REALM, GatewayProcess, GatewaySetup, wait_for
from tests.rig.hosted_scene import both_hear
from tests.rig.media import TrunkMedia
from tests.rig.ports import free_port
from tests.rig.trunk import FakeTrunk
from tests.sip.digest import parameters

HOSTS = {"udp": "127.0.3.1", "tcp": "127.0.3.2", "tls": "127.0.3.3"}
"""The trunk of each transport; attacks come from its address."""
NUMBERS = {"udp": "600", "tcp": "601", "tls": "602"}
OUTSIDE, STRANGER = "127.0.3.77", "127.0.3.99"
"""A trunk's target outside of its `networks`, and an address nobody knows."""
CALLED_IN = "100"
"""What trunks dial to reach bob."""
TRACES = ("Traceback", "Task exception", " ERROR ", " CRITICAL ")
WAIT = 2.0
_METRIC = re.compile(r"^sip_gateway_(\w+?)(?:_total)?(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE)


class Target:
    """The gateway and how to get at it."""

    def __init__(self, directory: Path, **overrides: Any) -> None:
        self.ports = {name: free_port(host=host) for name, host in HOSTS.items()}
        self.outside_port = free_port(host=OUTSIDE)
        self.setup = GatewaySetup(
            directory,
            trunks={},
            outbound=[{"id": t, "dialled": n, "trunk": t} for t, n in NUMBERS.items()]
            + [{"id": "outside", "dialled": "603", "trunk": "outside"}],
            inbound=[{"id": "bob", "dialled": CALLED_IN, "user": "bob"}],
            users=("alice", "bob", "carol"),
            sip=("udp", "tcp", "tls"),
            **overrides,
        )
        self.setup.trunks = {name: self._trunk(name) for name in HOSTS} | {
            "outside": {
                "target": f"sip:{OUTSIDE}:{self.outside_port}",
                "security": "legacy",
                "networks": ["127.0.3.78/32"],
            }
        }
        self.process = GatewayProcess(self.setup)
        self._strangers = itertools.cycle(f"127.0.10.{number}" for number in range(1, 251))
        self._tls = ssl.create_default_context(cafile=str(self.setup.certificates.ca.certificate))
        self._tls.check_hostname = False
        self._web = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._web.check_hostname = False
        self._web.verify_mode = ssl.CERT_NONE

    def _trunk(self, name: str) -> dict[str, Any]:
        suffix = "" if name == "udp" else f";transport={name}"
        trunk: dict[str, Any] = {
            "target": f"sip:{HOSTS[name]}:{self.ports[name]}{suffix}",
            "security": "legacy",
            "networks": [f"{HOSTS[name]}/32"],
        }
        if name == "tls":
            ca = str(self.setup.certificates.ca.certificate)
            trunk["tls"] = {"ca": ca, "names": ["pbx.demo.test"]}
        return trunk

    def start(self) -> Target:
        pair = self.setup.certificates.pbx
        self._tls.load_cert_chain(pair.certificate, pair.key)
        self.process.start()
        return self

    def stop(self) -> None:
        assert self.process.stop() == 0
        self.check_log()

    def check_log(self) -> None:
        """Nothing an attacker sends may look like a defect."""
        log = self.process.log
        found = [line for line in log.splitlines() if any(trace in line for trace in TRACES)]
        assert not found, log[log.index(found[0]) :][:4000]

    # --- ways in

    def sip_port(self, transport: str) -> int:
        return self.setup.sip_tls_port if transport == "tls" else self.setup.sip_port

    @property
    def web(self) -> tuple[str, int]:
        return "127.0.0.1", self.setup.web_port

    @property
    def web_context(self) -> ssl.SSLContext:
        return self._web

    @contextlib.contextmanager
    def wire(self, transport: str, user: str = "alice", **options: Any) -> Iterator[AttackWire]:
        """A connection by name: udp, tcp, tls from a trunk's address, wss signed in, and open: a WSS not signed in.

        The last comes from another address each time, so that none of them waits for what others did.
        """
        made = self.open(transport, user, **options)
        try:
            yield made
        finally:
            made.close()

    def open(self, transport: str, user: str = "alice", *, source: str = "", port: int = 0) -> AttackWire:
        gateway = ("127.0.0.1", self.sip_port(transport))
        if transport == "udp":
            return UdpWire(gateway, source or HOSTS["udp"], port)
        if transport in ("tcp", "tls"):
            return StreamWire(gateway, source or HOSTS[transport], self._tls if transport == "tls" else None)
        if transport == "open" and not source:
            source = next(self._strangers)
        made = WebSocketWire(self.web, self._web, self.setup.origin, source)
        if transport == "wss":
            sign_in(made, user)
        return made

    # --- what it shows

    def metrics(self) -> dict[str, float]:
        """Every number of /metrics; the reasons of `call_endings` are added up."""
        text = self._page("/metrics").decode()
        found: dict[str, float] = {"call_endings": 0.0}
        for name, value in _METRIC.findall(text):
            found[name] = found.get(name, 0.0) + float(value)
        return found

    def _page(self, path: str) -> bytes:
        connection = http.client.HTTPSConnection(*self.web, timeout=5, context=self._web)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().read()

    def wait_idle(self) -> None:
        wait_for(lambda: self.metrics()["calls_live"] == 0, 5.0, "calls are still live")

    # --- proof of health

    def canary(self, transport: str) -> None:
        """A call from a browser through the trunk of that transport: both sides are heard, then it ends cleanly."""
        asyncio.run(self._canary(transport))

    async def _canary(self, transport: str) -> None:
        media = TrunkMedia(HOSTS[transport])
        trunk = FakeTrunk(
            HOSTS[transport],
            self.ports[transport],
            lambda request: [(200, media.answer(request))],
            transport=transport,
            pair=self.setup.certificates.pbx,
        ).start()
        browser = ScriptedBrowser(self.setup.origin, "carol")
        try:
            await browser.sign_in()
            call = await browser.dial(NUMBERS[transport])
            await both_hear(call, media)
            media.hush()
            await call.hang_up()
        finally:
            await browser.close()
            await asyncio.to_thread(trunk.stop)
            media.close()


def request(
    wire: AttackWire,
    method: str,
    uri: str,
    *,
    user: str = "alice",
    to: str = "",
    from_: str = "",
    call_id: str = "",
    number: int = 1,
    branch: str = "",
    headers: tuple[str, ...] = (),
    body: bytes = b"",
) -> bytes:
    """A well-formed request; what is not given is made up."""
    own = secrets.token_hex(8)
    lines = messages.fields(
        method,
        via=f"{wire.via};rport;branch={branch or 'z9hG4bK' + own}",
        from_=from_ or f"<sip:{user}@{REALM}>;tag=f{own}",
        to=to or f"<{uri}>",
        call_id=call_id or own,
        cseq=number,
        contact=f"<sip:{user}@attacker.invalid>",
        extra=headers,
    )
    return messages.octets(method, uri, lines, body)


def response_to(wire: AttackWire, data: bytes, seconds: float = WAIT) -> Response:
    """Send a request and wait for its final response."""
    wire.send(data)
    return final_response(wire, seconds)


def final_response(
    wire: AttackWire, seconds: float = WAIT, accept: Callable[[Response], bool] = lambda r: True
) -> Response:
    while True:
        data = wire.receive(seconds)
        assert data, f"no final response: {data!r}"
        message = parse_message(data, stream=False)
        if isinstance(message, Response) and message.status >= 200 and accept(message):
            return message


def challenge(wire: AttackWire, user: str) -> dict[str, str]:
    """The MD5 challenge a REGISTER gets."""
    response = response_to(wire, request(wire, "REGISTER", f"sip:{REALM}", user=user, to=f"<sip:{user}@{REALM}>"))
    assert response.status == 401, response.status
    return parameters(next(c for c in response.headers.get_all("WWW-Authenticate") if "MD5" in c))


def authorization(
    nonce: str, user: str, *, uri: str = f"sip:{REALM}", method: str = "REGISTER", count: int = 1, **changes: str
) -> str:
    """The Authorization value that answers a challenge with MD5 (RFC 7616 3.4)."""
    nc = f"{count:08x}"
    proof = compute_response(compute_ha1(user, REALM, PASSWORD, "MD5"), method, uri, nonce, nc, "c", "MD5")
    values = {"username": user, "realm": REALM, "nonce": nonce, "uri": uri, "response": proof, "cnonce": "c"} | changes
    quoted = ", ".join(f'{name}="{value}"' for name, value in values.items())
    return f"Digest {quoted}, algorithm=MD5, qop=auth, nc={nc}"


def sign_in(wire: AttackWire, user: str) -> Response:
    """REGISTER with digest; its 200."""
    nonce = challenge(wire, user)["nonce"]
    header = f"Authorization: {authorization(nonce, user)}"
    data = request(wire, "REGISTER", f"sip:{REALM}", user=user, to=f"<sip:{user}@{REALM}>", headers=(header,))
    response = response_to(wire, data)
    assert response.status == 200, response.status
    return response
