"""One user on two pages: both are signed in, neither takes the place of the other, and each may go."""

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
def caller(stage: Stage) -> Iterator[Callable[[SoftphonePage], None]]:
    """Calls alice from the trunk; gives way when the page has rung."""
    trunk = FakeTrunk(TRUNKS[NUMBER][1], stage.ports[NUMBER], lambda _: []).start()

    def rings(page: SoftphonePage) -> None:
        call = TrunkDialog(f"ring-{next(_names)}")
        trunk.request("INVITE", "100", ("127.0.0.1", stage.setup.sip_port), call, description(TRUNKS[NUMBER][1]))
        page.wait_state("incoming", 5)
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


def says_nothing(page: SoftphonePage) -> None:
    page.page.wait_for_selector("#standing", state="hidden", timeout=5000)


def test_neither_page_takes_the_place_of_the_other(
    page: SoftphonePage, second: SoftphonePage, caller: Callable[[SoftphonePage], None]
) -> None:
    says_nothing(page)
    says_nothing(second)
    caller(second)


def test_the_first_page_rings_when_the_second_one_closes(
    page: SoftphonePage, second: SoftphonePage, caller: Callable[[SoftphonePage], None]
) -> None:
    second.close()
    caller(page)
    says_nothing(page)


def test_signing_out_on_the_second_page_leaves_the_first_one_signed_in(
    page: SoftphonePage, second: SoftphonePage, caller: Callable[[SoftphonePage], None]
) -> None:
    second.click("sign-out")
    second.page.wait_for_selector("#sign-in-card", state="visible", timeout=5000)
    caller(page)
    says_nothing(page)


def test_a_page_that_is_loaded_again_rings(page: SoftphonePage, caller: Callable[[SoftphonePage], None]) -> None:
    page.page.reload()
    page.sign_in()
    caller(page)
    says_nothing(page)


def test_a_page_on_sipjs_stands_beside_the_softphone_and_rings(
    stage: Stage, chromium: Browser, page_server: PageServer
) -> None:
    host, port = TRUNKS[NUMBER][1], stage.ports[NUMBER]
    other = SipJsPage(chromium, page_server.origin).sign_in(stage.setup)
    page = SoftphonePage(chromium, stage.gateway.url).sign_in()
    says_nothing(page)
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
