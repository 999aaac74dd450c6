"""A real, headless Firefox with the gateway's own softphone page, driven by WebDriver BiDi without a geckodriver."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import aiohttp

from tests.rig.audio import Samples
from tests.rig.chromium import ENOUGH, HEARD, LISTEN, PLAYING_SECONDS, RATE, decode
from tests.rig.gateway import PASSWORD

EXECUTABLE = shutil.which("firefox-esr") or shutil.which("firefox")
START_SECONDS, COMMAND_SECONDS, STOP_SECONDS = 30.0, 30.0, 10.0
POLL_SECONDS = 0.05
MAX_FRAME = 16 * 1024 * 1024
"""Bytes; what was heard comes in one frame."""
_LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
_PREFERENCES: dict[str, Any] = {
    "media.navigator.streams.fake": True,  # a sine instead of a microphone
    "media.navigator.audio.fake_frequency": 1000,
    "media.navigator.permission.disabled": True,
    "media.cubeb.force_mock_context": True,  # without a sound card an AudioContext never runs
    "media.autoplay.default": 0,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "services.settings.server": "data:,",
}


class Firefox:
    """One process with a profile of its own; `evaluate` runs in its only tab."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._log = directory / "firefox.log"
        self._numbers = itertools.count(1)
        self._runner = asyncio.Runner()
        self._process: subprocess.Popen[bytes] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._tab = ""

    def start(self) -> Firefox:
        assert EXECUTABLE is not None
        profile = self._directory / "profile"
        profile.mkdir(parents=True)
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in _PREFERENCES.items()]
        (profile / "user.js").write_text("\n".join(lines))
        command = [EXECUTABLE, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"]
        with self._log.open("wb") as log:
            environment = os.environ | {"HOME": str(self._directory)}
            self._process = subprocess.Popen([*command, "about:blank"], stdout=log, stderr=log, env=environment)
        self._runner.run(self._connect(self._wait_address()))
        self._do("session.new", capabilities={"alwaysMatch": {"acceptInsecureCerts": True}})
        self._tab = self._do("browsingContext.getTree")["contexts"][0]["context"]
        return self

    def _wait_address(self) -> str:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while (found := _LISTENING.search(self._log.read_text(errors="replace"))) is None:
            assert time.monotonic() < deadline, self._log.read_text(errors="replace")
            assert self._process.poll() is None, self._log.read_text(errors="replace")
            time.sleep(POLL_SECONDS)
        return found[1]

    async def _connect(self, address: str) -> None:
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(f"{address}/session", max_msg_size=MAX_FRAME)

    def _do(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._runner.run(self._command(method, parameters))

    async def _command(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        assert self._socket is not None
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(COMMAND_SECONDS):
            while (answer := await self._socket.receive_json()).get("id") != number:
                pass
        assert answer["type"] == "success", answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, url: str) -> None:
        self._do("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    def evaluate(self, function: str, *arguments: Any) -> Any:
        """Call a JavaScript function as if the person had just clicked, wait for its promise; JSON in and out."""
        result = self._do(
            "script.callFunction",
            functionDeclaration=f"async (text) => JSON.stringify((await ({function})(...JSON.parse(text))) ?? null)",
            arguments=[{"type": "string", "value": json.dumps(arguments)}],
            target={"context": self._tab},
            awaitPromise=True,
            userActivation=True,
        )
        assert result["type"] == "success", result["exceptionDetails"]["text"]
        return json.loads(result["result"]["value"])

    def wait(self, function: str, *arguments: Any, seconds: float = 15) -> bool:
        """True as soon as the function gives something true, False when it never did."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(function, *arguments):
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def listen(self, seconds: float) -> Samples:
        """So many seconds of what the page plays, as `chromium.listen`."""
        self.evaluate(LISTEN, RATE)
        assert self.wait(ENOUGH, seconds, seconds=seconds + PLAYING_SECONDS), "the page does not play"
        return decode(self.evaluate(HEARD))

    def stop(self) -> None:
        if self._session is not None:
            self._runner.run(self._session.close())
        self._runner.close()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class FirefoxSoftphone:
    """What a person does with the page, and what they see; as `SoftphonePage` for Chromium."""

    def __init__(self, firefox: Firefox, url: str) -> None:
        self.firefox = firefox
        firefox.open(url)
        firefox.evaluate(
            "() => { window.__errors = []; window.addEventListener('error', (e) => window.__errors.push(e.message));"
            " window.addEventListener('unhandledrejection', (e) => window.__errors.push(String(e.reason))); }"
        )

    @property
    def errors(self) -> list[str]:
        return list(self.firefox.evaluate("() => window.__errors ?? []"))

    def close(self) -> None:
        """Leave the page."""
        self.firefox.open("about:blank")

    def sign_in(self, user: str = "alice", password: str = PASSWORD) -> FirefoxSoftphone:
        assert self.firefox.wait("() => !document.querySelector('#sign-in').disabled"), self.text("sign-in-problem")
        self.fill("user", user)
        self.fill("password", password)
        self.click("sign-in")
        registered = "() => document.querySelector('#registration').dataset.state === 'registered'"
        assert self.firefox.wait(registered), (self.text("registration"), self.text("sign-in-problem"))
        return self

    def fill(self, name: str, value: str) -> None:
        self.firefox.evaluate("(id, value) => { document.getElementById(id).value = value; }", name, value)

    def click(self, name: str) -> None:
        self.firefox.evaluate("(id) => document.getElementById(id).click()", name)

    def press(self, digit: str) -> None:
        self.firefox.evaluate('(digit) => document.querySelector(`[data-digit="${digit}"]`).click()', digit)

    def text(self, name: str) -> str:
        return str(self.firefox.evaluate("(id) => document.getElementById(id).textContent", name)).strip()

    def data(self, name: str, key: str) -> str:
        """A `data-` attribute."""
        return str(self.firefox.evaluate("(id, key) => document.getElementById(id).dataset[key] ?? ''", name, key))

    def dial(self, number: str) -> None:
        self.fill("number", number)
        self.click("call")

    def call(self, number: str) -> FirefoxSoftphone:
        """Dial and wait until the call stands."""
        self.dial(number)
        self.wait_state("in-call")
        self.wait_connected()
        return self

    def wait_state(self, state: str) -> None:
        reached = self.firefox.wait("(state) => document.querySelector('#call-state').dataset.state === state", state)
        assert reached, (state, self.data("call-state", "state"), self.text("reason"))

    def wait_connected(self) -> None:
        """The peer connection is up: media may flow."""
        connected = "() => window.softphone.session()?.connection?.connectionState === 'connected'"
        assert self.firefox.wait(connected), self.firefox.evaluate(
            "() => window.softphone.session()?.connection?.connectionState"
        )

    def wait_colour(self, colour: str) -> None:
        """Wait for the colour of the call's protection; it is grey until the page has seen its own connection."""
        reached = self.firefox.wait("(colour) => document.querySelector('#security').dataset.colour === colour", colour)
        assert reached, (colour, self.colour, self.text("security-title"), self.text("leg-browser"))

    @property
    def grade(self) -> str:
        return self.data("security", "grade")

    @property
    def colour(self) -> str:
        return self.data("security", "colour")

    def listen(self, seconds: float) -> Samples:
        """What the person hears during that time, as samples at `RATE`."""
        return self.firefox.listen(seconds)

    def stats(self) -> list[dict[str, Any]]:
        """getStats() of the call."""
        return list(
            self.firefox.evaluate("async () => [...(await window.softphone.session().connection.getStats()).values()]")
        )
