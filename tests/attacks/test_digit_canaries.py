"""Digits go through calls in every way there is; no output of the gateway says which they were."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from gateway.sip.message import Request
from tests.attacks.test_canaries import Outputs
from tests.media.keypad import Keypad
from tests.rig.browser import BrowserCall
from tests.rig.browser_media import BrowserMedia
from tests.rig.gateway import wait_for
from tests.rig.hosted_scene import PLAIN, PLAIN_HOST, SDES, SDES_HOST, both_hear
from tests.rig.media import MediaEnd, TrunkMedia
from tests.rig.srtp import CM_80

pytestmark = pytest.mark.attack

RELAY = "application/dtmf-relay"
PRESSED, TOLD_BY_INFO = "D", "C"
"""Those that nobody presses by chance, and no word of the log is."""
LENGTHS = ("391", "393")
"""Milliseconds; in INFO, of the browser and of the trunk."""
TOLD = re.compile(rf"\b[{PRESSED}{TOLD_BY_INFO}]\b|Signal|Duration=|milliseconds=|\b(?:{'|'.join(LENGTHS)})\b ?ms")
EVENTS = ("a=rtpmap:0 PCMU/8000", "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000")


class PageWithKeypad(BrowserMedia):
    def description(self, *, setup: str = "", direction: str = "sendrecv") -> bytes:
        return with_events(super().description(setup=setup, direction=direction))


class TrunkWithKeypad(TrunkMedia):
    def body(self, *lines: str, direction: str = "sendrecv", signalled: tuple[str, int] | None = None) -> bytes:
        return with_events(super().body(*lines, direction=direction, signalled=signalled))


def with_events(description: bytes) -> bytes:
    text = description.decode()
    audio = next(line for line in text.split("\r\n") if line.startswith("m=audio"))
    return text.replace(audio, audio + " 101").replace(*EVENTS).encode()


@pytest_asyncio.fixture(loop_scope="module")
async def outputs(tmp_path: Path) -> AsyncIterator[Outputs]:
    made = Outputs(tmp_path)
    made.scene.setup.trunks["sdes"]["dtmf"] = "info"
    made.scene.setup.write()
    made.process.start()
    for trunk in made.scene.trunks.values():
        trunk.start()
    yield made
    made.process.stop()
    for trunk in made.scene.trunks.values():
        trunk.stop()


async def press(end: MediaEnd) -> None:
    """A digit as a telephone-event, beside what the end has said so far."""
    end.hush()
    keypad = Keypad(ssrc=end.ssrc, sequence=end.sent, began=0.0, ends=3)
    for _, packet in keypad.press(PRESSED, 0.2, 1.0):
        end.send(end.srtp.seal(packet) if end.srtp is not None else packet)
        await asyncio.sleep(0.02)
    end.sent = keypad.sequence


def events_heard(end: MediaEnd) -> list[bytes]:
    return [p for p in end.payloads() if len(p) == 4 and p[0] in (14, 15)]


async def heard(end: MediaEnd, ends: int) -> None:
    """Wait until so many digits have ended there."""
    await until(lambda: sum(p[1] >> 7 for p in events_heard(end)) >= 3 * ends)


async def until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_for, condition, 5.0, "it did not arrive")


def infos(seen: list[Request]) -> list[bytes]:
    return [request.body for request in seen if request.method == "INFO"]


def told_by_trunk(outputs: Outputs, call: BrowserCall, number: str) -> None:
    """The trunk tells a digit in the dialog of the INVITE it was sent last."""
    trunk = outputs.scene.trunks[number]
    invite = [request for request in trunk.seen if request.method == "INVITE"][-1]
    body = f"Signal={TOLD_BY_INFO}\r\nDuration={LENGTHS[1]}\r\n"
    lines = [
        f"INFO {invite.contact.uri if invite.contact else ''} SIP/2.0",
        f"Via: SIP/2.0/{trunk.transport.upper()} {trunk.host}:{trunk.port};branch=z9hG4bK{call.call_id}",
        "Max-Forwards: 70",
        f"From: {invite.headers.get('To')};tag=faketrunk",
        f"To: {invite.headers.get('From')}",
        f"Call-ID: {invite.call_id}",
        "CSeq: 7 INFO",
        f"Content-Type: {RELAY}",
        f"Content-Length: {len(body)}",
    ]
    trunk.send(("\r\n".join(lines) + "\r\n\r\n" + body).encode())


async def digits_as_events(outputs: Outputs, call: BrowserCall, trunk: TrunkMedia) -> None:
    """The trunk takes telephone-events: whatever tells a digit, it arrives as one, once."""
    await press(call.media)
    await heard(trunk, 1)
    answer = await call.request("INFO", f"Signal={TOLD_BY_INFO}\r\nDuration={LENGTHS[0]}\r\n".encode(), kind=RELAY)
    assert answer.status == 200
    await heard(trunk, 2)
    await press(trunk)
    await heard(call.media, 1)
    told_by_trunk(outputs, call, PLAIN)
    await heard(call.media, 2)


async def digits_by_info(outputs: Outputs, call: BrowserCall) -> None:
    """The trunk takes INFO: the browser may press and tell, and is told."""
    seen = outputs.scene.trunks[SDES].seen
    await press(call.media)
    await until(lambda: len(infos(seen)) == 1)
    answer = await call.request("INFO", f"Signal={TOLD_BY_INFO}\r\nDuration={LENGTHS[0]}\r\n".encode(), kind=RELAY)
    assert answer.status == 200
    await until(lambda: len(infos(seen)) == 2)
    assert infos(seen) == [b"Signal=D\r\nDuration=200\r\n", b"Signal=C\r\nDuration=391\r\n"]
    told_by_trunk(outputs, call, SDES)
    await until(lambda: bool(infos(call.seen)))
    assert infos(call.seen) == [b"Signal=C\r\nDuration=393\r\n"]


async def metrics(outputs: Outputs) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{outputs.scene.setup.origin}/metrics", ssl=False) as page,
    ):
        return await page.text()


def leaks(outputs: Outputs) -> Iterator[str]:
    for path in outputs.files():
        for line in path.read_bytes().decode("latin-1").splitlines():
            if TOLD.search(line):
                yield f"{path.name}: {line[:200]}"


@pytest.mark.asyncio(loop_scope="module")
async def test_no_output_says_which_digits_were_pressed_or_how_long(outputs: Outputs) -> None:
    scene, alice = outputs.scene, await outputs.scene.browser()
    for number, host, profile in ((PLAIN, PLAIN_HOST, None), (SDES, SDES_HOST, CM_80)):
        trunk = scene.media[number] = TrunkWithKeypad(host, profile)
        call = await alice.dial(number, PageWithKeypad())
        await both_hear(call, trunk)
        trunk.hush()
        if number == PLAIN:
            await digits_as_events(outputs, call, trunk)
        else:
            await digits_by_info(outputs, call)
        await call.hang_up()
        trunk.close()
    assert not TOLD.search(await metrics(outputs))
    await alice.close()
    assert await asyncio.to_thread(outputs.process.stop) == 0
    assert list(leaks(outputs)) == []
    assert "DEBUG" in outputs.process.log
    assert len(outputs.process.records("call.final")) == 2


def test_a_leak_would_be_found() -> None:
    for line in ("digit=D", "'D'", "Signal=5", "PlayDigit(leg=1, digit=Secret(***), milliseconds=391)", "for 393 ms"):
        assert TOLD.search(line)
