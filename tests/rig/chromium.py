"""A real Chromium with the gateway's own softphone page."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, Playwright

from tests.rig.audio import Samples
from tests.rig.gateway import PASSWORD

EXECUTABLE = "/usr/bin/chromium"
RATE = 16000
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--ignore-certificate-errors",
)
FAKE_UI = "--use-fake-ui-for-media-stream"

# Taps the stream the page plays, as 16-bit samples, without touching the page's own code; gives the rate.
LISTEN = """async (sampleRate) => {
  const context = new AudioContext(sampleRate ? {sampleRate} : {});
  const source = context.createMediaStreamSource(document.querySelector('#remote-audio').srcObject);
  const tap = context.createScriptProcessor(2048, 1, 1);
  const kept = [];
  tap.onaudioprocess = (event) => kept.push(new Float32Array(event.inputBuffer.getChannelData(0)));
  source.connect(tap);
  tap.connect(context.destination);
  window.__tap = {context, kept, tap, source};
  return context.sampleRate;
}"""
HEARD = """async () => {
  const {context, kept, tap, source} = window.__tap;
  source.disconnect();
  tap.disconnect();
  await context.close();
  const samples = new Int16Array(kept.reduce((n, block) => n + block.length, 0));
  let at = 0;
  for (const block of kept) for (const value of block) samples[at++] = Math.max(-1, Math.min(1, value)) * 32767;
  const bytes = new Uint8Array(samples.buffer);
  let text = '';
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text);
}"""
ENOUGH = """(seconds) => {
  const {context, kept} = window.__tap;
  return kept.reduce((n, block) => n + block.length, 0) >= seconds * context.sampleRate;
}"""
PLAYING_SECONDS = 10
"""How much longer than the sound itself it may take to play it."""

STATS_TRIES = 100
_STATS = """async () => {
  const stats = await window.softphone.session().connection.getStats();
  for (const value of stats.values()) if (value.type === 'transport') return value;
  return {};
}"""


def launch(playwright: Playwright, tone: Path, *flags: str, fake_ui: bool = True) -> Browser:
    """Chromium whose microphone is a WAV file."""
    arguments = [*FLAGS, f"--use-file-for-fake-audio-capture={tone}", *([FAKE_UI] if fake_ui else []), *flags]
    return playwright.chromium.launch(executable_path=EXECUTABLE, headless=True, args=arguments)


def begin_listening(page: Page) -> None:
    """Keep what the page plays from now on, for `heard_since`; while a call changes hands, say."""
    page.evaluate(LISTEN, RATE)


def heard_since(page: Page) -> Samples:
    """What the page played since `begin_listening`, as samples at `RATE`."""
    return decode(page.evaluate(HEARD))


def listen(page: Page, seconds: float) -> Samples:
    """So many seconds of what the page plays, silence too, as samples at `RATE`: longer on a busy machine."""
    begin_listening(page)
    page.wait_for_function(ENOUGH, arg=seconds, timeout=(seconds + PLAYING_SECONDS) * 1000, polling=20)
    return heard_since(page)


def decode(text: str) -> Samples:
    """What `HEARD` gave."""
    return np.frombuffer(base64.b64decode(text), "<i2").astype(float)


class SoftphonePage:
    """What a person does with the page, and what they see."""

    def __init__(self, browser: Browser, url: str, *, init_script: str = "") -> None:
        self._context = browser.new_context(ignore_https_errors=True)
        if init_script:
            self._context.add_init_script(init_script)
        self.page: Page = self._context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url)

    def close(self) -> None:
        self._context.close()

    def sign_in(self, user: str = "alice", password: str = PASSWORD) -> SoftphonePage:
        self.page.fill("#user", user)
        self.page.fill("#password", password)
        self.page.click("#sign-in")
        self.page.wait_for_selector("#registration[data-state=registered]", timeout=10000)
        return self

    def dial(self, number: str) -> None:
        self.page.fill("#number", number)
        self.page.click("#call")

    def wait_state(self, state: str, seconds: float = 15) -> None:
        try:
            self.page.wait_for_selector(f"#call-state[data-state={state}]", timeout=seconds * 1000)
        except Exception as error:
            raise AssertionError(f"state is {self.state}, wanted {state}; reason {self.text('reason')!r}") from error

    def wait_connected(self, seconds: float = 10) -> None:
        """The peer connection is up: media may flow."""
        self.page.wait_for_function(
            "() => window.softphone.session()?.connection?.connectionState === 'connected'", timeout=seconds * 1000
        )

    def call(self, number: str) -> SoftphonePage:
        """Dial and wait until the call stands."""
        self.dial(number)
        self.wait_state("in-call")
        self.wait_connected()
        return self

    def click(self, name: str) -> None:
        self.page.click(f"#{name}")

    def text(self, name: str) -> str:
        return (self.page.text_content(f"#{name}") or "").strip()

    @property
    def state(self) -> str:
        return self.page.get_attribute("#call-state", "data-state") or ""

    def wait_colour(self, colour: str, milliseconds: float = 5000) -> None:
        """Wait for the colour of the call's protection; it is grey until the page has seen its own connection."""
        self.page.wait_for_selector(f"#security[data-colour={colour}]", timeout=milliseconds)

    @property
    def grade(self) -> str:
        return self.page.get_attribute("#security", "data-grade") or ""

    @property
    def colour(self) -> str:
        return self.page.get_attribute("#security", "data-colour") or ""

    def listen(self, seconds: float) -> Samples:
        """What the person hears during that time, as samples at `RATE`."""
        return listen(self.page, seconds)

    def stats(self) -> dict[str, Any]:
        """getStats() of the transport; Chromium fills in the suite a moment after it says that it is connected."""
        for _ in range(STATS_TRIES):
            report: dict[str, Any] = self.page.evaluate(_STATS)
            if "srtpCipher" in report:
                return report
            self.page.wait_for_timeout(50)
        raise AssertionError("the browser never told its SRTP suite")
