"""One user on two pages: calls ring at the one that signed in last, and both say so."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.interop.conftest import TRUNKS, Stage
from tests.rig.chromium import SoftphonePage
from tests.rig.gateway import wait_for
from tests.rig.sipjs import PageServer, SipJsPage
from tests.rig.trunk import FakeTrunk, TrunkDialog, description

pytestmark = pytest.mark.interop

NUMBER = "600"
_names = itertools.count(1)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, page_server: PageServer) -> Iterator[Stage]:
    """A gateway that lets the SIP.js page's origin in too."""
    made = Stage(tmp_path_factory.mktemp("second"), more_origins=(page_server.origin,))
    made.gateway.start()
    yield made
    assert made.gateway.stop() == 0


@pytest.fixture
def caller(stage: Stage) -> Iterator[Callable[[SoftphonePage, SoftphonePage | None], None]]:
    """Calls alice from the trunk; gives way when the first page rings, and checks that the other one does not."""
    trunk = FakeTrunk(TRUNKS[NUMBER][1], stage.ports[NUMBER], lambda _: []).start()

    def rings(page: SoftphonePage, silent: SoftphonePage | None) -> None:
        call = TrunkDialog(f"ring-{next(_names)}")
        trunk.request("INVITE", "100", ("127.0.0.1", stage.setup.sip_port), call, description(TRUNKS[NUMBER][1]))
        page.wait_state("incoming", 5)
        assert silent is None or silent.state != "incoming"
        page.click("reject")
        page.wait_state("ended")

    yield rings
    trunk.stop()


@pytest.fixture
def second(stage: Stage, page: SoftphonePage, chromium: Browser) -> Iterator[SoftphonePage]:
    """Another page of the same user, signed in after the first one."""
    opened = SoftphonePage(chromium, stage.gateway.url).sign_in()
    yield opened
    opened.close()
    assert opened.errors == []


def says(page: SoftphonePage, place: str, others: str = "") -> None:
    selector = f"#standing[data-place={place}]"
    page.page.wait_for_selector(selector, state="attached", timeout=5000)
    if others:
        page.page.wait_for_function(
            "(words) => document.querySelector('#standing-words').textContent.includes(words)", arg=others, timeout=5000
        )


def says_nothing(page: SoftphonePage) -> None:
    page.page.wait_for_selector("#standing", state="hidden", timeout=5000)


def test_both_pages_say_where_calls_ring_and_a_button_takes_them_back(
    page: SoftphonePage, second: SoftphonePage, caller: Callable[..., None]
) -> None:
    says(page, "elsewhere", "calls ring on another page")
    says(second, "here", "other page does not ring any more")
    caller(second, page)
    page.click("ring-here")
    says(page, "here", "other page does not ring any more")
    says(second, "elsewhere", "calls ring on another page")
    caller(page, second)


def test_the_first_page_rings_again_when_the_second_one_closes(
    page: SoftphonePage, second: SoftphonePage, caller: Callable[..., None]
) -> None:
    says(page, "elsewhere")
    second.close()
    says_nothing(page)
    caller(page, None)


def test_the_second_page_stays_alone_when_the_first_one_closes(
    page: SoftphonePage, second: SoftphonePage, caller: Callable[..., None]
) -> None:
    says(second, "here", "other page")
    page.close()
    says_nothing(second)
    caller(second, None)


def test_signing_out_on_the_second_page_lets_the_first_one_ring(
    page: SoftphonePage, second: SoftphonePage, caller: Callable[..., None]
) -> None:
    says(page, "elsewhere")
    second.click("sign-out")
    says_nothing(page)
    caller(page, second)


def test_a_page_that_is_loaded_again_is_no_second_sign_in(page: SoftphonePage, caller: Callable[..., None]) -> None:
    page.page.reload()
    page.sign_in()
    caller(page, None)
    says_nothing(page)


def test_a_page_on_sipjs_that_is_displaced_takes_no_harm_and_rings_again(
    stage: Stage, chromium: Browser, page_server: PageServer
) -> None:
    """SIP.js refuses the NOTIFY, which nobody subscribed to."""
    host, port = TRUNKS[NUMBER][1], stage.ports[NUMBER]
    other = SipJsPage(chromium, page_server.origin).sign_in(stage.setup)
    page = SoftphonePage(chromium, stage.gateway.url).sign_in()
    says(page, "here", "other page does not ring any more")
    closed = stage.gateway.log.count("state=closed")
    page.close()
    wait_for(lambda: stage.gateway.log.count("state=closed") > closed, 10.0, "the gateway never saw the page go")
    trunk = FakeTrunk(host, port, lambda _: []).start()
    call = TrunkDialog(f"ring-{next(_names)}")
    trunk.request("INVITE", "100", ("127.0.0.1", stage.setup.sip_port), call, description(host))
    other.wait_reported("INVITE")
    other.hang_up()
    trunk.stop()
    assert other.errors == []
    other.close()
