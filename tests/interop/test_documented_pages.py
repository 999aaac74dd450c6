"""The pages of docs/web-developers.md, as they stand there, on both libraries with the module the gateway serves.

Each is loaded from an origin of its own, calls a trunk, and is told when that trunk drops its keys in mid-call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.interop.conftest import TRUNKS, Stage
from tests.interop.test_told import NUMBER, TOLD_MS, lose_encryption
from tests.rig.changing import ChangingTrunk
from tests.rig.gateway import PASSWORD, REALM
from tests.rig.sipjs import DIST, JSSIP, PageServer

pytestmark = pytest.mark.interop

DOCS = (Path(__file__).parents[2] / "docs" / "web-developers.md").read_text()
JSSIP_PAGE, SIPJS_PAGE = re.findall(r"```js\n(import [^`]*?GatewaySecurity[^`]*?)```", DOCS, re.DOTALL)
STAGE = """async ([module, password]) => {
  const { GatewaySecurity } = await import(module);
  const { JsSIP } = window;
  const { Inviter, Registerer, UserAgent } = window.SIP ?? {};
  const audioElement = document.querySelector('#remote-audio');
  window.states = [];
  const show = (session, state) => { window.session = session; window.states.push(state); };
  %s
  window.security = security;
}"""


def script(page: str, port: int) -> str:
    """The code of a page, at home at the test's gateway; what it imports is there already."""
    lines = [line for line in page.splitlines() if not line.startswith("import ")]
    code = "\n".join(lines).replace("gateway.example.com:8443", f"127.0.0.1:{port}")
    return STAGE % code.replace("pbx.example.com", REALM).replace("+4930123456", NUMBER)


class DocumentedPage:
    """One of them in Chromium."""

    def __init__(self, browser: Browser, server: PageServer, code: str, stage: Stage) -> None:
        self._context = browser.new_context(ignore_https_errors=True)
        self.page: Page = self._context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(server.origin)
        self.page.evaluate(code, [f"{stage.setup.origin}/gateway-security.js", PASSWORD])

    def wait(self, condition: str, milliseconds: float = 10000) -> None:
        """Wait until this is so of the last state."""
        self.page.wait_for_function(
            f"() => ((state) => state && ({condition}))(window.states.at(-1))", timeout=milliseconds, polling=5
        )

    def sources(self, grade: str) -> set[str]:
        """By which ways a page was told of a grade."""
        told: list[dict[str, Any]] = self.page.evaluate("() => window.states")
        return {state["source"] for state in told if state["grade"] == grade}

    def close(self) -> None:
        self._context.close()


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, PageServer]]:
    made = {"jssip": PageServer(JSSIP).start(), "sipjs": PageServer(DIST).start()}
    yield made
    for server in made.values():
        server.stop()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, servers: dict[str, PageServer]) -> Iterator[Stage]:
    """A gateway that lets both pages in."""
    origins = tuple(server.origin for server in servers.values())
    made = Stage(tmp_path_factory.mktemp("documented"), more_origins=origins)
    made.gateway.start()
    yield made
    assert made.gateway.stop() == 0


@pytest.fixture
def trunk(stage: Stage) -> Iterator[ChangingTrunk]:
    made = ChangingTrunk(TRUNKS[NUMBER][1], stage.ports[NUMBER], stage.setup.certificates.pbx).start()
    yield made
    made.stop()


NO_EVENTS = (r"events: '[^']*',", "")
NO_INFO = (r"extraHeaders: security\.extraHeaders", "extraHeaders: []")
ALL_WAYS = {"info", "events"}


@pytest.mark.parametrize(
    ("name", "without", "ways"),
    [
        pytest.param("jssip", (), ALL_WAYS, id="jssip"),
        pytest.param("sipjs", (), ALL_WAYS, id="sipjs"),
        pytest.param("jssip", (NO_EVENTS,), {"info"}, id="jssip by info", marks=pytest.mark.slow),
        pytest.param("sipjs", (NO_EVENTS,), {"info"}, id="sipjs by info", marks=pytest.mark.slow),
        pytest.param("jssip", (NO_INFO,), {"events", "header"}, id="jssip by events", marks=pytest.mark.slow),
        pytest.param("sipjs", (NO_INFO,), {"events", "header"}, id="sipjs by events", marks=pytest.mark.slow),
        pytest.param("jssip", (NO_EVENTS, NO_INFO), {"header"}, id="jssip by header", marks=pytest.mark.slow),
        pytest.param("sipjs", (NO_EVENTS, NO_INFO), {"header"}, id="sipjs by header", marks=pytest.mark.slow),
    ],
)
def test_a_documented_page_hears_within_half_a_second_that_a_trunk_dropped_its_keys(
    stage: Stage,
    chromium: Browser,
    servers: dict[str, PageServer],
    trunk: ChangingTrunk,
    name: str,
    without: tuple[tuple[str, str], ...],
    ways: set[str],
) -> None:
    code = script(JSSIP_PAGE if name == "jssip" else SIPJS_PAGE, stage.setup.web_port)
    for pattern, instead in without:
        code, changed = re.subn(pattern, instead, code)
        assert changed
    page = DocumentedPage(chromium, servers[name], code, stage)
    page.wait("state.grade === 'HOP_BY_HOP' && state.colour === 'green' && state.browserSees === 'confirmed'")
    lose_encryption(stage, trunk)
    page.wait("state.grade === 'CLEARTEXT' && state.colour === 'red'", TOLD_MS)
    page.wait(
        f"{len(ways)} && window.states.filter(({{ grade }}) => grade === 'CLEARTEXT').length >= {len(ways)}", 2000
    )
    assert page.sources("CLEARTEXT") == ways
    assert page.page.evaluate("() => window.states.at(-1).codes.includes('mid.crypto_removed')")
    assert trunk.change(trunk.keyed()).status == 200
    page.wait("state.colour === 'green' && state.worst === 'CLEARTEXT'", TOLD_MS)
    page.page.evaluate("() => (window.session.terminate ?? window.session.bye).call(window.session)")
    page.wait("state.ended")
    assert page.errors == []
    page.close()
