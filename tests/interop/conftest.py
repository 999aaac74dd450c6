"""One gateway, one Chromium and phones on demand for the calls of this folder."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.rig.audio import write_tone
from tests.rig.capture import Capture
from tests.rig.chromium import SoftphonePage, launch
from tests.rig.cut import Cable
from tests.rig.gateway import GatewayProcess, GatewaySetup
from tests.rig.phone import Phone
from tests.rig.ports import free_port
from tests.rig.sipjs import PageServer

BROWSER_HERTZ = 1000.0
TRUNK_HERTZ = 440.0

TRUNKS = {
    # number: (name, host, transport, profile)
    "600": ("plain", "127.0.1.1", "udp", "legacy"),
    "601": ("sdes", "127.0.1.2", "tls", "strict"),
    "602": ("osrtp", "127.0.1.3", "tcp", "osrtp"),
    "603": ("prefer", "127.0.1.4", "udp", "prefer"),
    "604": ("strict488", "127.0.1.5", "tls", "strict"),
    "605": ("strictignored", "127.0.1.6", "tls", "strict"),
    "606": ("closed", "127.0.1.7", "tcp", "legacy"),
    "607": ("badcert", "127.0.1.8", "tls", "strict"),
    "608": ("changing", "127.0.1.9", "tls", "prefer"),
    "609": ("info", "127.0.1.10", "udp", "legacy"),
    "610": ("dtls", "127.0.1.11", "tls", "strict"),
    "611": ("dtlsudp", "127.0.1.12", "udp", "prefer"),
    "612": ("dtlsice", "127.0.1.13", "udp", "prefer"),
}
KEYING = {"dtls": ["dtls"], "dtlsudp": ["dtls", "sdes"], "dtlsice": ["dtls"]}
"""How trunks are offered keys, of those that are not offered SDES alone."""
DTMF = {"info": "info"}
"""How digits reach a trunk, of those that are not left as they are."""
CABLE_PORT = free_port()
"""Where pages of some tests find the gateway: at the near end of `cable`."""


class Stage:
    """The gateway and everything that can be put around it."""

    def __init__(self, directory: Path, **overrides: Any) -> None:
        self.directory = directory
        self.ports = {number: free_port() for number in TRUNKS}
        self.setup = GatewaySetup(directory / "gateway", trunks={}, outbound=[], sip=("udp", "tcp", "tls"), **overrides)
        certificates = self.setup.certificates
        for number, (name, host, transport, profile) in TRUNKS.items():
            suffix = "" if transport == "udp" else f";transport={transport}"
            self.setup.trunks[name] = {
                "target": f"sip:{host}:{self.ports[number]}{suffix}",
                "security": profile,
                "networks": [f"{host}/32"],
                "dtmf": DTMF.get(name, "rtp"),
                "keying": KEYING.get(name, ["sdes"]),
                "dtls": {"ice": name == "dtlsice"},
            }
            if transport == "tls":
                name_in_certificate = "wrong.demo.test" if name == "badcert" else "pbx.demo.test"
                self.setup.trunks[name]["tls"] = {
                    "ca": str(certificates.ca.certificate),
                    "names": [name_in_certificate],
                }
            self.setup.outbound.append({"id": name, "dialled": number, "trunk": name})
        self.tone = write_tone(directory / "trunk.wav", TRUNK_HERTZ, rate=16000, seconds=20)
        self.long_tone = write_tone(directory / "long.wav", TRUNK_HERTZ, rate=16000, seconds=130)
        self.gateway = GatewayProcess(self.setup)
        self._names = itertools.count(1)

    def tone_of(self, hertz: float, *, rate: int = 16000) -> Path:
        """A tone of its own for one phone of a call that changes hands; baresip wants it at 8000."""
        path = self.directory / f"{hertz:.0f}-{rate}.wav"
        return path if path.exists() else write_tone(path, hertz, rate=rate, seconds=60)

    def phone(self, number: str, **options: Any) -> Phone:
        """The phone behind a number; plays the trunk's tone and records unless told otherwise."""
        name, host, transport, _ = TRUNKS[number]
        if transport == "tls":
            pair = self.setup.certificates.pbx
            options = {"certificate": pair.certificate, "key": pair.key} | options
        options = {"play": self.tone} | options
        port = options.pop("port", self.ports[number])
        label = f"{name}-{next(self._names)}"
        return Phone(self.directory / "phones", label, host=host, port=port, transport=transport, **options)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """For one module: its event loop must be gone before tests that bring their own."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def chromium(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium that speaks a 1000 Hz tone."""
    tone = write_tone(tmp_path_factory.mktemp("tone") / "browser.wav", BROWSER_HERTZ, rate=48000, seconds=130)
    browser = launch(playwright, tone)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A running gateway with the trunks of this folder."""
    made = Stage(tmp_path_factory.mktemp("stage"))
    made.gateway.start()
    yield made
    assert made.gateway.stop() == 0


@pytest.fixture(scope="module")
def page_server() -> Iterator[PageServer]:
    """Serves the SIP.js page from an origin of its own."""
    made = PageServer().start()
    yield made
    made.stop()


@pytest.fixture
def page(stage: Stage, chromium: Browser) -> Iterator[SoftphonePage]:
    """A signed-in softphone page."""
    opened = SoftphonePage(chromium, stage.gateway.url).sign_in()
    yield opened
    opened.close()
    assert opened.errors == []


@pytest.fixture
def capture(stage: Stage, tmp_path: Path) -> Iterator[Capture]:
    """Records the media of the stage once started; stopped in any case."""
    made = Capture(tmp_path / "wire.pcap", stage.setup.media_filter)
    yield made
    made.abandon()


@pytest.fixture
def phones(stage: Stage) -> Iterator[Callable[..., Phone]]:
    """Starts phones; they end with the test."""
    started: list[Phone] = []

    def start(number: str, **options: Any) -> Phone:
        phone = stage.phone(number, **options).start()
        started.append(phone)
        return phone

    yield start
    for phone in started:
        phone.stop()


@pytest.fixture
def cable(stage: Stage) -> Iterator[Cable]:
    """What lies between those pages and the gateway, and can be cut."""
    made = Cable(("127.0.0.1", CABLE_PORT), ("127.0.0.1", stage.setup.web_port)).start()
    yield made
    made.stop()
