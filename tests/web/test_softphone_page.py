"""The softphone in Chromium, against a gateway that answers just as each test says."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aioice.ice
import pytest
import pytest_asyncio
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack
from playwright.async_api import Browser, Page, async_playwright, expect

from gateway.base.counters import Counters
from gateway.web.server import PageInfo, WebServer
from tests.sites import made_web
from tests.web.scripted_gateway import Header, ScriptedCall, ScriptedGateway

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.asyncio(loop_scope="module"),
]

MARKUP = '<img src=x onerror="document.title=1">'
GREEN = "sdes,AES_CM_128_HMAC_SHA1_80,tls1.3,verified"


def security(grade: str, trunk: str = GREEN, *, browser: str = "dtls,pending,wss", worst: str = "") -> Header:
    legs = f'browser="{browser}";trunk="{trunk}"'
    value = f'grade={grade};worst={worst or grade};scope="to pbx";{legs};rec=no;seq=1;policy="strict/9f3c";id=c-1'
    return ("Call-Security", value)


class ScriptedPage:
    """A page signed in to a scripted gateway."""

    def __init__(self, page: Page, gateway: ScriptedGateway) -> None:
        self.page, self.gateway, self.problems = page, gateway, list[str]()
        self._peers: list[RTCPeerConnection] = []
        self._peer_of: dict[str, RTCPeerConnection] = {}
        gateway.change = self.agree
        page.on("console", lambda message: self.problems.append(message.text))
        page.on("pageerror", lambda error: self.problems.append(str(error)))

    async def sign_in(self) -> None:
        await self.page.fill("#user", "alice")
        await self.page.fill("#password", "secret")
        await self.page.press("#password", "Enter")

    async def dial(self, script: Callable[[ScriptedCall], Awaitable[None]], number: str = "601") -> None:
        self.gateway.script = script
        await self.page.fill("#number", number)
        await self.page.press("#number", "Enter")

    async def call_in(self, *headers: Header, number: str = "carol", name: str = "Carol") -> ScriptedCall:
        """Somebody calls the page."""
        sdp, caller = await self.offer(), f'"{name}" <sip:{number}@example.com>'
        call = await self.gateway.invite(sdp, *headers, caller=caller, call_id=f"from-{number}")
        self._peer_of[call.call_id] = self._peers[-1]
        return call

    async def taken(self, call: ScriptedCall) -> None:
        """The page has answered a call to it, and media may flow."""
        answer = await call.answered()
        await self._peer_of[call.call_id].setRemoteDescription(RTCSessionDescription(answer.body, "answer"))

    async def agree(self, call: ScriptedCall) -> None:
        """Answers a re-INVITE: hold, resume."""
        peer = self._peer_of[call.call_id]
        await peer.setRemoteDescription(RTCSessionDescription(call.invite.body, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        await call.respond(200, "OK", sdp=peer.localDescription.sdp)

    async def answer(self, call: ScriptedCall, *headers: Header) -> None:
        peer = self._peer_of[call.call_id] = await self._peer()
        await peer.setRemoteDescription(RTCSessionDescription(call.invite.body, "offer"))
        peer.addTrack(AudioStreamTrack())
        await peer.setLocalDescription(await peer.createAnswer())
        await call.respond(200, "OK", *headers, sdp=peer.localDescription.sdp)

    async def offer(self) -> str:
        peer = await self._peer()
        peer.addTransceiver("audio")
        await peer.setLocalDescription(await peer.createOffer())
        sdp: str = peer.localDescription.sdp
        return sdp

    async def _peer(self) -> RTCPeerConnection:
        self._peers.append(RTCPeerConnection())
        return self._peers[-1]

    async def shows(self, element: str, **data: str) -> None:
        for name, value in data.items():
            await expect(self.page.locator(f"#{element}")).to_have_attribute(f"data-{name}", value, timeout=8000)

    async def says(self, element: str, text: str) -> None:
        await expect(self.page.locator(f"#{element}")).to_contain_text(text, timeout=8000)

    async def close(self) -> None:
        await asyncio.gather(*(peer.close() for peer in self._peers))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visit(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScriptedPage]:
    """The page, not yet signed in."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    gateway = ScriptedGateway()
    config = made_web(address="127.0.0.1:0")
    server = WebServer(config, gateway.handle, PageInfo("example.com"), Counters())
    await server.start()
    page = await browser.new_page()
    stage = ScriptedPage(page, gateway)
    await page.goto(f"http://{server.address}/")
    yield stage
    await page.close()
    await stage.close()
    await gateway.stop()
    await server.stop()
    assert stage.problems == []


@pytest_asyncio.fixture(loop_scope="module")
async def stage(visit: ScriptedPage) -> ScriptedPage:
    """The page, signed in."""
    await visit.sign_in()
    await visit.shows("registration", state="registered")
    return visit


async def test_signs_in_as_the_realm_the_gateway_names_and_out_again(visit: ScriptedPage) -> None:
    await visit.shows("registration", state="offline")
    await visit.sign_in()
    await visit.says("registration", "Signed in as alice")
    register = visit.gateway.requests[0]
    assert register.get("To") == "<sip:alice@example.com>"
    assert await visit.page.input_value("#password") == ""
    await visit.page.click("#sign-out")
    await visit.shows("registration", state="offline")
    await expect(visit.page.locator("#phone-card")).to_be_hidden()


async def test_refused_registration_is_told_and_not_repeated(visit: ScriptedPage) -> None:
    visit.gateway.register_status = (403, "Forbidden")
    await visit.sign_in()
    await visit.shows("registration", state="failed")
    await visit.says("sign-in-problem", "Wrong user name or password (403).")
    await asyncio.sleep(0.5)
    assert len(visit.gateway.requests) == 1


async def test_page_expects_a_grade_while_it_rings_and_cancels(stage: ScriptedPage) -> None:
    async def ring(call: ScriptedCall) -> None:
        await call.respond(180, "Ringing", security("HOP_BY_HOP"))
        await call.ended.wait()
        await call.respond(487, "Request Terminated")

    await stage.dial(ring)
    await stage.shows("call-state", state="ringing")
    await stage.says("security-title", "Expected: Encrypted on every hop")
    await stage.page.click("#hangup")
    await stage.shows("call-state", state="ended")
    await stage.says("reason", "You cancelled the call.")


async def test_early_media_is_a_state_of_its_own(stage: ScriptedPage) -> None:
    async def early(call: ScriptedCall) -> None:
        peer = await stage._peer()
        await peer.setRemoteDescription(RTCSessionDescription(call.invite.body, "offer"))
        peer.addTrack(AudioStreamTrack())
        await peer.setLocalDescription(await peer.createAnswer())
        await call.respond(183, "Session Progress", security("HOP_BY_HOP"), sdp=peer.localDescription.sdp)
        await call.respond(180, "Ringing")

    await stage.dial(early)
    await stage.shows("call-state", state="early")
    await expect(stage.page.locator("#remote-audio")).to_have_js_property("paused", False)


async def test_green_needs_the_grade_and_the_browsers_own_confirmation(stage: ScriptedPage) -> None:
    await stage.dial(lambda call: stage.answer(call, security("HOP_BY_HOP")))
    await stage.shows("call-state", state="in-call")
    await stage.says("leg-browser", "Your browser confirms it (AES-128 with an 80-bit tag, DTLS 1.2).")
    await stage.says("leg-trunk", "TLS 1.3, certificate verified")
    await stage.shows("security", grade="HOP_BY_HOP", colour="green")
    await stage.says("security-words", "Only this gateway and whoever carries the call beyond pbx.")
    assert await stage.page.evaluate("softphone.session().isEstablished()")


async def test_claim_the_browser_does_not_confirm_is_not_green(stage: ScriptedPage) -> None:
    header = security("HOP_BY_HOP", browser="dtls,AEAD_AES_256_GCM,wss")
    await stage.dial(lambda call: stage.answer(call, header))
    await stage.shows("security", grade="HOP_BY_HOP", colour="amber")
    await stage.says("security-title", "Your browser does not confirm this")
    await stage.says("leg-browser", "it uses AES-128 with an 80-bit tag")


@pytest.mark.parametrize(
    ("grade", "trunk", "colour"),
    [
        ("CLEARTEXT", "plain,none,udp", "red"),
        ("KEY_EXPOSED", "sdes,AEAD_AES_256_GCM,udp", "red"),
        ("PARTIAL", "sdes,AEAD_AES_256_GCM,tls1.3,verified", "amber"),
        ("UNAUTHENTICATED", "sdes,AEAD_AES_256_GCM,tls1.2,unverified", "amber"),
    ],
)
async def test_each_weaker_grade_has_its_colour(stage: ScriptedPage, grade: str, trunk: str, colour: str) -> None:
    await stage.dial(lambda call: stage.answer(call, security(grade, trunk)))
    await stage.shows("call-state", state="in-call")
    await stage.shows("security", grade=grade, colour=colour)


@pytest.mark.parametrize("headers", [(), (("Call-Security", "grade=PERFECT"),)])
async def test_call_without_a_usable_report_is_unknown_after_three_seconds(
    stage: ScriptedPage, headers: tuple[Header, ...]
) -> None:
    await stage.dial(lambda call: stage.answer(call, *headers))
    await stage.shows("call-state", state="in-call")
    await stage.says("security-title", "Not known yet")
    await stage.says("security-title", "Protection unknown")
    await stage.shows("security", grade="UNKNOWN", colour="grey")
    await stage.says("security-words", "Treat it as if anyone could listen.")


async def test_refused_call_says_why_in_both_places(stage: ScriptedPage) -> None:
    warning = ("Warning", '302 gw "Encryption is required and the other side refused it"')
    await stage.dial(lambda call: call.respond(488, "Not Acceptable Here", warning))
    await stage.shows("call-state", state="ended")
    await stage.says("reason", "Encryption is required and the other side refused it.")
    await expect(stage.page.locator("#reason-detail")).to_be_hidden()
    await stage.page.click("#reason-more summary")
    await expect(stage.page.locator("#reason-detail")).to_have_text("488 Not Acceptable Here")
    await stage.says("security-title", "Call refused to protect you")
    await stage.says("security-words", "Encryption is required and the other side refused it.")
    assert await stage.page.evaluate("softphone.session()") is None


async def test_busy_is_no_matter_of_security(stage: ScriptedPage) -> None:
    await stage.dial(lambda call: call.respond(486, "Busy Here"))
    await stage.says("reason", "The line is busy.")
    await stage.says("security-title", "No call")


async def test_reason_of_a_bye_is_shown(stage: ScriptedPage) -> None:
    async def script(call: ScriptedCall) -> None:
        await stage.answer(call, security("HOP_BY_HOP"))
        await stage.shows("call-state", state="in-call")
        await call.bye(("Reason", 'SIP;cause=488;text="encryption removed"'), security("CLEARTEXT", "plain,none,udp"))

    await stage.dial(script)
    await stage.says("reason", "Encryption removed.")
    await stage.shows("security", grade="CLEARTEXT", colour="red")


async def test_earlier_weakness_stays_visible(stage: ScriptedPage) -> None:
    await stage.dial(lambda call: stage.answer(call, security("HOP_BY_HOP", worst="CLEARTEXT")))
    await stage.says("security-notes", "Earlier in this call: not encrypted all the way.")


async def test_text_of_a_peer_is_never_markup(stage: ScriptedPage) -> None:
    quoted = MARKUP.replace('"', '\\"')
    warning = ("Warning", f'302 gw "{quoted}"')
    header = ("Call-Security", f'grade=CLEARTEXT;scope="to {quoted}";trunk="plain,{MARKUP[:10]},udp";policy="{quoted}"')
    await stage.dial(lambda call: call.respond(488, "Not Acceptable Here", warning, header))
    await stage.says("reason", MARKUP)
    await stage.gateway.invite(await stage.offer(), header, caller=f'"{quoted}" <sip:%3Cb%3E@example.com>')
    await stage.shows("call-state", state="incoming")
    await stage.says("peer", MARKUP)
    assert await stage.page.title() == "Softphone"
    assert await stage.page.locator("img, b:not(#keypad b)").count() == 0


async def test_who_is_connected_is_shown_with_the_answer_and_after_a_transfer(stage: ScriptedPage) -> None:
    answered: list[ScriptedCall] = []

    async def answer(call: ScriptedCall) -> None:
        await stage.answer(call, security("HOP_BY_HOP"), ("P-Asserted-Identity", '"Front Desk" <sip:601@example.com>'))
        answered.append(call)

    await stage.dial(answer)
    await stage.shows("call-state", state="in-call")
    await stage.says("peer", "Front Desk (601)")
    moved = ("P-Asserted-Identity", '"Bob \\"B\\" Example" <sip:%2B49301234@example.com>')
    await answered[0].inside("UPDATE", 1, security("HOP_BY_HOP"), moved)
    await stage.says("peer", 'Bob "B" Example (+49301234)')
    await answered[0].inside("UPDATE", 2, security("HOP_BY_HOP"))
    await stage.gateway.wait_until(lambda: sum("2 UPDATE" in str(m) for m in stage.gateway.requests) > 0)
    await stage.says("peer", 'Bob "B" Example (+49301234)')


async def test_incoming_call_shows_its_grade_before_it_is_answered_and_can_be_declined(stage: ScriptedPage) -> None:
    await stage.gateway.invite(await stage.offer(), security("CLEARTEXT", "plain,none,udp"))
    await stage.shows("call-state", state="incoming")
    await stage.says("peer", "Carol (carol)")
    await stage.says("security-title", "Expected: Not encrypted all the way")
    await stage.says("answer-hint", "Alt+A answers")
    await stage.page.click("#reject")
    await stage.says("reason", "You declined the call.")
    await stage.gateway.wait_for("SIP/2.0 603")


async def test_name_cannot_be_faked_by_direction_marks(stage: ScriptedPage) -> None:
    await stage.gateway.invite(await stage.offer(), caller='"\u202eecila\u200b" <sip:mallory@example.com>')
    await stage.says("peer", "ecila (mallory)")


async def test_typed_digits_fill_the_number_and_enter_dials(stage: ScriptedPage) -> None:
    await stage.dial(lambda call: call.respond(404, "Not Found"), number="600")
    await stage.shows("call-state", state="ended")
    await stage.page.fill("#number", "")
    await stage.page.click('[data-digit="6"]')
    await stage.page.keyboard.press("0")
    await stage.page.keyboard.press("#")
    assert await stage.page.input_value("#number") == "60#"


RECORD_TONES = """() => {
  window.tones = [];
  RTCDTMFSender.prototype.insertDTMF = function (tones) { window.tones.push(tones); };
  Object.defineProperty(RTCDTMFSender.prototype, 'canInsertDTMF', { get: () => !window.byInfo });
  const state = () => (window.connectionIsUp ? 'connected' : 'connecting');
  Object.defineProperty(RTCPeerConnection.prototype, 'connectionState', { get: state });
}"""
CONNECT = """() => {
  window.connectionIsUp = true;
  softphone.session().connection.dispatchEvent(new Event('connectionstatechange'));
}"""


async def test_digits_wait_for_the_connection_and_go_as_telephone_events(stage: ScriptedPage) -> None:
    await stage.page.evaluate(RECORD_TONES)
    await stage.dial(lambda call: stage.answer(call, security("HOP_BY_HOP")))
    await stage.shows("call-state", state="in-call")
    await stage.page.keyboard.press("5")
    await stage.page.click('[data-digit="#"]')
    assert await stage.page.evaluate("window.tones") == []
    await stage.page.evaluate(CONNECT)
    assert await stage.page.evaluate("window.tones") == ["5#"]
    await stage.says("reason", "Keypad: 5#")
    assert not any(message.method == "INFO" for message in stage.gateway.requests)


async def test_where_no_events_were_agreed_on_digits_go_by_info_and_the_page_says_when_nobody_takes_them(
    stage: ScriptedPage,
) -> None:
    await stage.page.evaluate(RECORD_TONES)
    await stage.page.evaluate("window.byInfo = true")
    await stage.dial(lambda call: stage.answer(call, security("HOP_BY_HOP")))
    await stage.shows("call-state", state="in-call")
    await stage.page.evaluate(CONNECT)
    await stage.page.keyboard.press("5")
    await stage.gateway.wait_for("INFO")
    (told,) = [message for message in stage.gateway.requests if message.method == "INFO"]
    assert (told.get("Content-Type"), told.body.split()[0]) == ("application/dtmf-relay", "Signal=5")
    assert await stage.page.evaluate("window.tones") == []
    await stage.says("reason", "Keypad: 5")
    stage.gateway.info_status = (488, "Not Acceptable Here")
    await stage.page.keyboard.press("6")
    await stage.says("reason", "Keypad tones cannot be sent in this call.")
    await stage.shows("call-state", state="in-call")


async def test_hold_mute_and_their_words(stage: ScriptedPage) -> None:
    await stage.dial(lambda call: stage.answer(call, security("HOP_BY_HOP")))
    await stage.shows("call-state", state="in-call")
    await stage.page.click("#mute")
    await stage.says("call-state", "In call, microphone muted")
    assert await stage.page.evaluate("softphone.session().connection.getSenders()[0].track.enabled") is False
    await stage.page.click("#mute")
    await stage.page.click("#hold")
    await stage.shows("call-state", state="held")
    await expect(stage.page.locator("#hold")).to_have_text("Resume")


async def test_microphone_is_processed_unless_raw_is_asked_for(stage: ScriptedPage) -> None:
    await stage.dial(lambda call: stage.answer(call, security("HOP_BY_HOP")))
    await stage.shows("call-state", state="in-call")
    track = "softphone.session().connection.getSenders()[0].track.getSettings().echoCancellation"
    assert await stage.page.evaluate(track) is True
    await stage.page.goto(stage.page.url + "?raw=1")
    await stage.sign_in()
    await stage.shows("registration", state="registered")
    await stage.dial(lambda call: stage.answer(call, security("HOP_BY_HOP")))
    await stage.shows("call-state", state="in-call")
    assert await stage.page.evaluate(track) is False


async def test_a_call_whose_connection_to_the_gateway_breaks_has_ended(stage: ScriptedPage) -> None:
    await stage.dial(lambda call: stage.answer(call, security("HOP_BY_HOP")))
    await stage.shows("call-state", state="in-call")
    await stage.gateway.drop()
    await stage.shows("call-state", state="ended")
    await stage.says("reason", "The connection to the gateway was lost, and the call with it.")
    await stage.shows("registration", state="registered")
    await stage.says("security-title", "Your last call: encrypted on every hop")
    await expect(stage.page.locator("#duration")).to_have_text("")
    assert await stage.page.evaluate("softphone.session()") is None


async def test_a_call_in_the_making_ends_with_the_connection_too(stage: ScriptedPage) -> None:
    await stage.dial(lambda call: call.respond(180, "Ringing", security("CLEARTEXT", "plain,none,udp")))
    await stage.shows("call-state", state="ringing")
    await stage.gateway.drop()
    await stage.shows("call-state", state="ended")
    await stage.says("security-title", "No call was made")


FAIL = """() => {
  Object.defineProperty(RTCPeerConnection.prototype, 'connectionState', { get: () => window.media });
  window.is = (state) => {
    window.media = state;
    softphone.session().connection.dispatchEvent(new Event('connectionstatechange'));
  };
}"""


async def test_a_call_whose_sound_is_interrupted_says_so_and_ends_when_it_fails(stage: ScriptedPage) -> None:
    await stage.page.evaluate(FAIL)
    await stage.dial(lambda call: stage.answer(call, security("HOP_BY_HOP")))
    await stage.shows("call-state", state="in-call")
    await stage.page.evaluate("is('disconnected')")
    await stage.says("reason", "The sound is interrupted.")
    await stage.page.evaluate("is('connected')")
    await expect(stage.page.locator("#reason")).to_have_text("")
    await stage.page.evaluate("is('failed')")
    await stage.shows("call-state", state="ended")
    await stage.says("reason", "The sound connection failed")
    await stage.gateway.wait_for("BYE")
    bye = next(request for request in stage.gateway.requests if request.method == "BYE")
    assert bye.get("Reason") == 'SIP ;cause=408; text="Media connection failed"'


async def test_a_second_enter_does_not_end_the_call_the_first_one_made(stage: ScriptedPage) -> None:
    await stage.dial(lambda call: call.respond(180, "Ringing"))
    await stage.page.keyboard.press("Enter")
    await stage.shows("call-state", state="ringing")
    await stage.page.keyboard.press("Enter")
    await stage.page.keyboard.press("Space")
    await expect(stage.page.locator("#call-state")).to_be_focused()
    assert [request.method for request in stage.gateway.requests] == ["REGISTER", "INVITE"]


async def test_an_incoming_call_leaves_the_focus_and_enter_does_not_answer_it(stage: ScriptedPage) -> None:
    await stage.page.focus("#number")
    await stage.page.keyboard.type("60")
    await stage.gateway.invite(await stage.offer(), security("CLEARTEXT", "plain,none,udp"))
    await stage.shows("call-state", state="incoming")
    await stage.page.keyboard.type("0")
    await stage.page.keyboard.press("Enter")
    await expect(stage.page.locator("#number")).to_be_focused()
    assert await stage.page.input_value("#number") == "600"
    await stage.shows("call-state", state="incoming")
    assert [request.method for request in stage.gateway.requests if request.method == "INVITE"] == []
    await stage.page.keyboard.press("Alt+a")
    await stage.gateway.wait_for("SIP/2.0 200")
    assert await stage.page.input_value("#number") == "600"


async def test_leaving_the_page_in_a_call_is_asked_first(stage: ScriptedPage) -> None:
    await stage.dial(lambda call: stage.answer(call, security("HOP_BY_HOP")))
    await stage.shows("call-state", state="in-call")
    event = "window.dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    assert await stage.page.evaluate(event) is False
    await stage.page.click("#hangup")
    await stage.shows("call-state", state="ended")
    assert await stage.page.evaluate(event) is True


@pytest.mark.parametrize("typed", ["601@other.example", "sip:601@other.example", "601@example.com.evil"])
async def test_a_number_of_another_domain_is_not_called_as_one_of_ours(stage: ScriptedPage, typed: str) -> None:
    await stage.dial(lambda call: call.respond(404, "Not Found"), number=typed)
    await stage.says("reason", "Only numbers and names of example.com can be called from here.")
    assert [request.method for request in stage.gateway.requests] == ["REGISTER"]


async def test_the_realm_may_be_named(stage: ScriptedPage) -> None:
    await stage.dial(lambda call: call.respond(486, "Busy Here"), number="601@EXAMPLE.com")
    await stage.says("reason", "The line is busy.")


async def test_a_digit_on_hold_is_refused_aloud(stage: ScriptedPage) -> None:
    await stage.dial(lambda call: stage.answer(call, security("HOP_BY_HOP")))
    await stage.shows("call-state", state="in-call")
    await stage.page.click("#hold")
    await stage.shows("call-state", state="held")
    await stage.page.keyboard.press("5")
    await stage.says("reason", "On hold no keypad tones are sent.")


async def test_lost_connection_is_told_and_comes_back(stage: ScriptedPage) -> None:
    await stage.gateway.drop()
    await stage.shows("registration", state="connecting")
    await expect(stage.page.locator("#phone-card")).to_be_visible()
    await stage.shows("registration", state="registered")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_page_fits_360_pixels(stage: ScriptedPage, scheme: str) -> None:
    await stage.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    await stage.page.set_viewport_size({"width": 360, "height": 640})
    await stage.dial(lambda call: stage.answer(call, security("CLEARTEXT", "plain,none,udp")))
    await stage.shows("call-state", state="in-call")
    assert await stage.page.evaluate("document.documentElement.scrollWidth") == 360
    below = "document.getElementById('security-short').getBoundingClientRect().bottom"
    assert await stage.page.evaluate(below) <= 640, "the verdict and its explanation are above the fold"
    await stage.page.click("#security-badge")
    await expect(stage.page.locator("#security-title")).to_be_in_viewport()
