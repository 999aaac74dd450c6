"""The protection of a living call changes: what the person sees in a real browser, and how soon."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.interop.conftest import TRUNKS, Stage
from tests.interop.test_calls import call_uid
from tests.rig.changing import ChangingTrunk, key_line
from tests.rig.chromium import SoftphonePage
from tests.rig.gateway import wait_for
from tests.rig.sipjs import PageServer, SipJsPage
from tests.rig.trunk import FakeTrunk, TrunkDialog, description

pytestmark = pytest.mark.interop

NUMBER = "608"
TOLD_MS = 500
"""The promise: counted from our answer to the trunk."""


@pytest.fixture
def trunk(stage: Stage) -> Iterator[ChangingTrunk]:
    """The other end of a `prefer` trunk over verified TLS."""
    made = ChangingTrunk(TRUNKS[NUMBER][1], stage.ports[NUMBER], stage.setup.certificates.pbx).start()
    yield made
    made.stop()


def lose_encryption(stage: Stage, trunk: ChangingTrunk) -> None:
    """The trunk drops its keys, which `prefer` tolerates; the log knows by the time of our answer."""
    assert trunk.change(trunk.plain()).status == 200
    record = stage.gateway.records("leg.downgraded", call_uid(stage))[-1]
    assert record["grade_after"] == "CLEARTEXT"
    assert "mid.crypto_removed" in record["codes"]


def test_a_green_call_turns_red_when_the_trunk_drops_its_keys_and_green_again_when_it_brings_new_ones(
    stage: Stage, page: SoftphonePage, trunk: ChangingTrunk
) -> None:
    page.call(NUMBER)
    page.wait_colour("green")
    assert page.grade == "HOP_BY_HOP"
    lose_encryption(stage, trunk)
    page.wait_colour("red", TOLD_MS)
    assert page.state == "in-call"
    assert trunk.change(trunk.keyed()).status == 200
    page.wait_colour("green", TOLD_MS)
    assert "Earlier in this call" in (page.page.text_content("#security") or "")
    page.click("hangup")
    page.wait_state("ended")


def test_a_call_the_person_holds_turns_red_too_and_stays_held(
    stage: Stage, page: SoftphonePage, trunk: ChangingTrunk
) -> None:
    page.call(NUMBER)
    page.click("hold")
    page.wait_state("held")
    wait_for(lambda: trunk.trunk.methods().count("ACK") == 2, 5, "the hold never reached the trunk")
    lose_encryption(stage, trunk)
    page.wait_colour("red", TOLD_MS)
    assert page.state == "held"
    page.click("hold")
    page.wait_state("in-call")
    assert page.colour == "red"
    page.click("hangup")


def test_a_call_the_trunk_made_is_told_as_well(stage: Stage, page: SoftphonePage) -> None:
    """The browser is the callee; its trunk speaks UDP, so the keys were readable before they were gone."""
    _, host, _, _ = TRUNKS["603"]
    trunk = FakeTrunk(host, stage.ports["603"], lambda _: []).start()
    call, gateway = TrunkDialog("told"), ("127.0.0.1", stage.setup.sip_port)
    keyed = description(host, key_line(), proto="RTP/SAVP")
    trunk.request("INVITE", "100", gateway, call, keyed)
    page.wait_state("incoming")
    assert page.grade == "KEY_EXPOSED"
    page.click("answer")
    wait_for(lambda: any(r.status == 200 for r in trunk.answers(call)), 5, "no answer")
    trunk.request("ACK", "100", gateway, call)
    page.wait_state("in-call")
    call.number += 1
    trunk.request("INVITE", "100", gateway, call, description(host))
    wait_for(lambda: any(r.status == 200 and r.cseq.number == 2 for r in trunk.answers(call)), 5, "no answer")
    page.page.wait_for_selector("#security[data-grade=CLEARTEXT]", timeout=TOLD_MS)
    trunk.request("ACK", "100", gateway, call)
    call.number += 1
    trunk.request("BYE", "100", gateway, call)
    page.wait_state("ended")
    trunk.stop()


FORGED = 'grade=END_TO_END;worst=END_TO_END;scope="to forger";browser="dtls,x,wss";trunk="dtls,x,wss";seq=9;id=forged'


def test_a_grade_a_trunk_makes_up_is_not_what_the_page_shows(stage: Stage, page: SoftphonePage) -> None:
    """In each answer to the page's call, as the catalogue's C-22 has it."""
    _, host, _, _ = TRUNKS["600"]
    trunk = FakeTrunk(host, stage.ports["600"], lambda _: [(180, b""), (200, description(host))])
    trunk.more = (("Call-Security", FORGED), ("Info-Package", "call-security"))
    trunk.start()
    page.dial("600")
    page.wait_state("in-call")
    page.wait_colour("red")
    assert page.grade == "CLEARTEXT"
    assert "forger" not in (page.page.text_content("body") or "")
    page.click("hangup")
    page.wait_state("ended")
    trunk.stop()


COUNTED = """const Real = WebSocket;
window.events = [];
window.WebSocket = class extends Real {
  constructor(url, protocol) {
    super(url.endsWith('/events') ? url + suffix : url, protocol);
    const keep = ({ data }) => window.events.push(JSON.parse(data).type);
    if (url.endsWith('/events')) this.addEventListener('message', keep);
  }
};"""
"""Counts what comes over the event socket; with a suffix it leads nowhere."""


@pytest.mark.slow
@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("again", [False, True])
def test_the_page_turns_with_the_event_socket_and_without_it(
    stage: Stage, chromium: Browser, trunk: ChangingTrunk, *, blocked: bool, again: bool
) -> None:
    script = f"const suffix = '{'/blocked' if blocked else ''}';{COUNTED}"
    visitor = SoftphonePage(chromium, stage.setup.origin, init_script=script).sign_in()
    visitor.call(NUMBER)
    visitor.wait_colour("green")
    if again:  # a change for the better in between: the page follows each
        lose_encryption(stage, trunk)
        visitor.wait_colour("red", TOLD_MS)
        assert trunk.change(trunk.keyed()).status == 200
        visitor.wait_colour("green", TOLD_MS)
    assert trunk.change(trunk.plain()).status == 200
    visitor.wait_colour("red", TOLD_MS)
    visitor.click("hangup")
    visitor.wait_state("ended")
    told = visitor.page.evaluate("() => window.events")
    assert told[:1] == ([] if blocked else ["state"])
    assert ("call.security" in told) is not blocked
    assert visitor.errors == []
    visitor.close()


@pytest.fixture(scope="module")
def sipjs_stage(tmp_path_factory: pytest.TempPathFactory, page_server: PageServer) -> Iterator[Stage]:
    """A gateway that lets the SIP.js page's origin in."""
    made = Stage(tmp_path_factory.mktemp("told-sipjs"), more_origins=(page_server.origin,))
    made.gateway.start()
    yield made
    assert made.gateway.stop() == 0


def test_a_page_on_sipjs_hears_of_it_by_re_invite_and_talks_on(
    sipjs_stage: Stage, chromium: Browser, page_server: PageServer
) -> None:
    made = ChangingTrunk(TRUNKS[NUMBER][1], sipjs_stage.ports[NUMBER], sipjs_stage.setup.certificates.pbx).start()
    page = SipJsPage(chromium, page_server.origin).sign_in(sipjs_stage.setup)
    page.call(NUMBER)
    assert page.reports[-1][1].startswith("grade=HOP_BY_HOP;")
    lose_encryption(sipjs_stage, made)
    page.page.wait_for_function(
        "() => sipjs.received().some(([from, header]) => from === 'INVITE' && header.startsWith('grade=CLEARTEXT;'))",
        timeout=TOLD_MS,
    )
    assert page.page.evaluate("() => sipjs.state()") == "Established"
    assert made.change(made.keyed()).status == 200
    page.page.wait_for_function("() => sipjs.received().at(-1)[1].startsWith('grade=HOP_BY_HOP;')", timeout=TOLD_MS)
    page.hang_up()
    page.wait_state("Terminated")
    page.close()
    made.stop()
    assert page.errors == []
