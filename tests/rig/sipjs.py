"""Chromium with a page on SIP.js that is served from an origin of its own, as other people's pages are."""

from __future__ import annotations

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from tests.rig.audio import Samples
from tests.rig.chromium import listen
from tests.rig.gateway import PASSWORD, REALM, GatewaySetup

DIST = Path(__file__).resolve().parents[1] / "interop" / "sipjs" / "dist"
JSSIP = DIST.parents[1] / "jssip" / "dist"
"""The same on JsSIP."""


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class PageServer:
    """The built page on a port of loopback, which is a secure context without TLS."""

    def __init__(self, directory: Path = DIST) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(directory)))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> PageServer:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class SipJsPage:
    """What the code of a page does with the library, and what it is told."""

    def __init__(self, browser: Browser, origin: str) -> None:
        self._context = browser.new_context(ignore_https_errors=True)
        self.page: Page = self._context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(origin)

    def close(self) -> None:
        self._context.close()

    def sign_in(self, setup: GatewaySetup, user: str = "alice") -> SipJsPage:
        server = setup.origin.replace("http", "ws", 1) + "/ws"
        self._do("signIn", {"user": user, "password": PASSWORD, "realm": REALM, "server": server})
        return self

    def dial(self, number: str, **options: object) -> None:
        self.page.evaluate(
            "([target, options]) => sipjs.call(target, options)", [f"sip:{number}@{REALM}", dict(options)]
        )

    def call(self, number: str) -> SipJsPage:
        """Dial and wait until the call stands."""
        self.dial(number)
        self.wait_state("Established")
        self.wait_connected()
        return self

    def select(self, number: int) -> None:
        """From now on all is about this call, counted from 0 in the order they came; it is the one that is heard."""
        self._do("select", number)

    def refer(self, number: str) -> list[int]:
        """Hand the call over to a number; the status of the REFER, then those its NOTIFYs told."""
        return [int(status) for status in self._do("refer", {"target": f"sip:{number}@{REALM}"})]

    def refer_replacing(self, other: int) -> list[int]:
        """Join the other side of the call with that of another call of this page; statuses as `refer`."""
        return [int(status) for status in self._do("refer", {"other": other})]

    def answer(self) -> None:
        self._do("answer")
        self.wait_state("Established")
        self.wait_connected()

    def hold(self, held: bool) -> int:
        """Status of the re-INVITE."""
        return int(self._do("hold", held))

    def ask_for_offer(self) -> int:
        """Status of a re-INVITE without a description (RFC 3261 14.1)."""
        return int(self._do("askForOffer"))

    def hang_up(self) -> None:
        self._do("hangUp")

    def sign_out(self) -> None:
        self._do("signOut")

    def send_digits(self, digits: str) -> bool:
        return bool(self._do("sendDigits", digits))

    def wait_state(self, state: str, seconds: float = 15) -> None:
        """Wait for one of SIP.js's session states."""
        self.page.wait_for_function("(state) => sipjs.state() === state", arg=state, timeout=seconds * 1000)

    def wait_connected(self, seconds: float = 10) -> None:
        """The peer connection is up: media may flow."""
        self.page.wait_for_function("() => sipjs.connection()?.connectionState === 'connected'", timeout=seconds * 1000)

    def wait_reported(self, name: str | int, seconds: float = 10) -> None:
        """Wait until a message of that method or status came."""
        self.page.wait_for_function(
            "(name) => sipjs.received().some(([from]) => from === name)", arg=name, timeout=seconds * 1000
        )

    @property
    def reports(self) -> list[tuple[str | int, str]]:
        """(method or status, Call-Security) of every message of the call so far, in order."""
        return [(name, header) for name, header in self._do("received")]

    @property
    def reason(self) -> str:
        return str(self._do("reason"))

    def listen(self, seconds: float) -> Samples:
        return listen(self.page, seconds)

    def _do(self, name: str, *arguments: object) -> Any:
        return self.page.evaluate(f"(all) => sipjs.{name}(...all)", list(arguments))
