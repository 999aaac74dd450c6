"""Pages on JsSIP and SIP.js as docs/web-developers.md has them: signed in by token, back after a cut WebSocket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.interop.conftest import CABLE_PORT, TRUNK_HERTZ, Stage
from tests.interop.test_calls import call_uid
from tests.rig.audio import heard, peak
from tests.rig.chromium import RATE, listen
from tests.rig.cut import Cable
from tests.rig.gateway import PASSWORD, REALM
from tests.rig.issuing import AUDIENCE, ISSUER, ec_jwk, issue, jwks
from tests.rig.phone import Phone
from tests.rig.sipjs import DIST, JSSIP, PageServer

pytestmark = [pytest.mark.interop, pytest.mark.slow]


class LibraryPage:
    """A page on one of the two libraries, in words both have."""

    def __init__(self, browser: Browser, name: str, server: str) -> None:
        self.name, self._server = name, server
        self._web = PageServer(JSSIP if name == "jssip" else DIST)
        self._browser = browser
        self.origin = self._web.origin
        self.page: Page

    def open(self) -> None:
        self._web.start()
        self.page = self._browser.new_context(ignore_https_errors=True).new_page()
        self.page.goto(self.origin)

    def close(self) -> None:
        self.page.context.close()
        self._web.stop()

    def do(self, name: str, *arguments: object) -> Any:
        return self.page.evaluate(f"(all) => {self.name}.{name}(...all)", list(arguments))

    def sign_in(self, user: str, **proof: str) -> None:
        self.do("signIn", {"user": user, "realm": REALM, "server": self._server, **proof})
        if self.name == "jssip":
            self.page.wait_for_function("() => jssip.told().length > 0", timeout=10000)

    def call(self, number: str) -> None:
        self.do("call", f"sip:{number}@{REALM}")
        self.page.wait_for_function(self._state("connected"), timeout=15000)

    def name_of_ice(self) -> str:
        connection = (
            "jssip.state().name"
            if self.name == "jssip"
            else ("sipjs.connection().localDescription.sdp.match(/a=ice-ufrag:(\\S+)/)[1]")
        )
        return str(self.page.evaluate(f"() => {connection}"))

    def come_back(self) -> None:
        """JsSIP connects by itself; SIP.js is told to."""
        before = self.name_of_ice()
        if self.name == "sipjs":
            assert self.do("comeBack") == 200
        else:
            self.page.wait_for_function("(before) => jssip.state().name !== before", arg=before, timeout=10000)
        assert self.name_of_ice() != before
        self.page.wait_for_function(self._state("connected"), timeout=5000)

    def hears(self) -> float:
        return peak(heard(listen(self.page, 1.5), RATE), RATE)[0]

    def _state(self, state: str) -> str:
        connection = "jssip.state().connection" if self.name == "jssip" else "sipjs.connection()?.connectionState"
        return f"() => {connection} === '{state}'"


@pytest.fixture(scope="module")
def names(chromium: Browser) -> Iterator[dict[str, LibraryPage]]:
    made = {name: LibraryPage(chromium, name, f"wss://127.0.0.1:{CABLE_PORT}/ws") for name in ("jssip", "sipjs")}
    for page in made.values():
        page.open()
    yield made
    for page in made.values():
        page.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, names: dict[str, LibraryPage]) -> Iterator[Stage]:
    """A gateway with an issuer, that keeps calls and lets both pages in."""
    directory = tmp_path_factory.mktemp("libraries")
    (directory / "keys.json").write_bytes(jwks(ec_jwk("e1")))
    issuer = {"issuer": ISSUER, "audience": AUDIENCE, "keys_file": str(directory / "keys.json"), "users": "any"}
    made = Stage(
        directory,
        reconnect_seconds=10,
        more_origins=tuple(page.origin for page in names.values()),
        overrides={"tokens": [issuer]},
    )
    made.gateway.start()
    yield made
    assert made.gateway.stop() == 0


@pytest.mark.parametrize("name", ["jssip", "sipjs"])
def test_a_page_that_signed_in_by_token_talks_on_after_its_websocket_was_cut(
    stage: Stage, cable: Cable, names: dict[str, LibraryPage], phones: Callable[..., Phone], name: str
) -> None:
    page, phone = names[name], phones("601", srtp="mandatory", play=stage.long_tone)
    page.page.reload()
    page.sign_in("dora", token=issue(sub="dora"))
    page.call("601")
    assert page.hears() == pytest.approx(TRUNK_HERTZ, abs=15)
    uid = call_uid(stage)
    cable.cut()
    page.come_back()
    assert page.hears() == pytest.approx(TRUNK_HERTZ, abs=15)
    page.do("hangUp")
    phone.wait("state", text="DISCONNECTED")
    final = stage.gateway.final(uid)
    assert (final["termination"], final["user"]) == ("hangup-browser", "dora")
    assert len(stage.gateway.records("leg.moved", uid)) == 1


@pytest.mark.parametrize("name", ["jssip", "sipjs"])
def test_a_password_is_found_behind_the_challenge_for_a_token(
    stage: Stage, cable: Cable, names: dict[str, LibraryPage], name: str
) -> None:
    """The 401 has a Bearer challenge first: both libraries go on to one of digest."""
    page = names[name]
    page.page.reload()
    page.sign_in("alice", password=PASSWORD)
    if name == "jssip":
        assert page.do("told") == ["registered"]


def test_jssip_is_told_of_a_token_that_expired_and_goes_on_with_a_new_one(
    stage: Stage, cable: Cable, names: dict[str, LibraryPage]
) -> None:
    page = names["jssip"]
    page.page.reload()
    page.sign_in("dora", token=issue(sub="dora", exp=1000))
    assert page.do("told") == [401]
    page.do("renew", issue(sub="dora"))
    page.page.wait_for_function("() => jssip.told().at(-1) === 'registered'", timeout=5000)
