"""Synthetic calls against a gateway in this process: what works is measured, and what does not ends with one reason."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.base.termination import Termination
from gateway.base.values import HostPort, Secret
from gateway.call.machine.events import Lost
from gateway.probe.calls import Door, MediaEnd, Plan, TrunkSide, browser_calls, trunk_calls
from gateway.probe.result import Demands, Expected, Result, Status, judged
from gateway.probe.rtp import Offer
from gateway.probe.webrtc import BrowserEnd
from gateway.sip.flow import Flow
from gateway.sip.message import Message, Request
from tests.rig.gateway import PASSWORD, REALM
from tests.rig.hosted import until
from tests.rig.hosted_scene import PLAIN, PLAIN_HOST, HostedScene

NOWHERE = "999"
WAIT = 10.0


def door(scene: HostedScene, **changes: Any) -> Door:
    certificate = x509.load_pem_x509_certificate(scene.setup.certificates.web.certificate.read_bytes())
    digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
    made = Door(
        url=scene.setup.origin.replace("https", "wss") + "/ws",
        origin=scene.setup.origin,
        realm=REALM,
        user="alice",
        password=Secret(PASSWORD),
        tls=aiohttp.Fingerprint(digest),
    )
    return replace(made, **changes)


def plan(number: str, **changes: Any) -> Plan:
    def end(frequency: float) -> MediaEnd:
        return BrowserEnd(frequency)

    async def legs(_call: str) -> list[Mapping[str, object]]:
        return []

    made = Plan(number=number, ring_seconds=5.0, talk_seconds=1.0, make_end=end, ask_legs=legs)
    return replace(made, **changes)


def trunk(scene: HostedScene, transport: str, offer: Offer) -> TrunkSide:
    gateway = HostPort("127.0.0.1", scene.setup.sip_port)
    return TrunkSide(name="plain", source=PLAIN_HOST, gateway=gateway, transport=transport, offer=offer)


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[HostedScene]:
    scene = await HostedScene(directory).start()
    before = scene.host.holdings()
    try:
        yield scene
        await scene.host.returned_to(replace(before, calls=before.calls + 9), WAIT)
        assert not scene.host.gateway.manager.location.identities.users
    finally:
        await scene.stop()


def probed(directory: Path, work: Any) -> Result:
    async def run() -> Result:
        async with running(directory) as scene:
            found: Result = await asyncio.wait_for(work(scene), 30.0)
            return found

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("transport", "offer", "keying"),
    [("udp", Offer.PLAIN, "plain"), ("tcp", Offer.OSRTP, "sdes,AEAD_AES_256_GCM")],
)
def test_a_call_from_a_trunk_is_heard_at_both_ends(tmp_path: Path, transport: str, offer: Offer, keying: str) -> None:
    found = probed(tmp_path, lambda scene: trunk_calls(door(scene), trunk(scene, transport, offer), plan("100")))
    assert judged(found, Demands(expect=Expected.ECHO)) == (Status.OK, [])
    browser, port = found.ends
    assert (browser.protection, port.protection) == ("dtls", keying)
    assert browser.heard.is_tone(700.0)
    assert port.heard.is_tone(1000.0)
    assert set(found.marks) == {"connect", "sign_in", "ringing", "answer", "ice", "dtls", "first_audio"}
    assert found.security["grade"] in ("CLEARTEXT", "KEY_EXPOSED")


def test_a_number_that_leads_nowhere_is_a_failure_with_its_status(tmp_path: Path) -> None:
    found = probed(tmp_path, lambda scene: browser_calls(door(scene), plan(NOWHERE)))
    assert found.status >= 400
    assert str(found.status) in found.failure
    assert judged(found, Demands())[0] is Status.CRITICAL
    assert found.steps[-1] == f"sent INVITE to {NOWHERE}"


def test_a_wrong_password_is_a_failure_and_is_nowhere_in_the_result(tmp_path: Path) -> None:
    wrong = "canary-wrong-password"
    found = probed(tmp_path, lambda scene: browser_calls(door(scene, password=Secret(wrong)), plan(PLAIN)))
    assert found.failure.startswith("sign-in refused: 401")
    assert wrong not in repr(found)


def test_a_refused_password_is_tried_once_a_probe_and_each_register_has_a_number_of_its_own(tmp_path: Path) -> None:
    async def registers(scene: HostedScene) -> Result:
        numbers: list[int] = []
        receive = scene.host.gateway.stack.receive

        def received(flow: Flow, message: Message, now: float) -> None:
            if isinstance(message, Request) and message.method == "REGISTER":
                numbers.append(message.cseq.number)
            receive(flow, message, now)

        scene.host.gateway.stack.receive = received  # type: ignore[method-assign]
        await browser_calls(door(scene, password=Secret("canary-wrong-password")), plan(PLAIN))
        assert numbers == [1, 2]
        numbers.clear()
        found = await browser_calls(door(scene), plan(NOWHERE))
        assert numbers[:2] == [1, 2]
        assert numbers[2:] == sorted({*numbers[2:]})
        assert numbers[2] > 2
        return found

    assert probed(tmp_path, registers).status >= 400


def test_a_call_nobody_answers_is_given_up_in_time_and_cancelled(tmp_path: Path) -> None:
    async def ringing(scene: HostedScene) -> Result:
        scene.scripts[PLAIN] = lambda _request: [(180, b"")]
        found = await browser_calls(door(scene), plan(PLAIN, ring_seconds=1.0))
        seen = scene.trunks[PLAIN].seen
        await until(lambda: "CANCEL" in [request.method for request in seen], "the trunk was told", WAIT)
        assert (await scene.host.final(scene.host.last_call()))["termination"] == "cancelled"
        return found

    found = probed(tmp_path, ringing)
    assert found.failure == "no answer to INVITE within 1 s"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tls": aiohttp.Fingerprint(bytes(32))}, "cannot be reached"),
        ({"tls": True}, "cannot be reached"),
        ({"url": "wss://127.0.0.1:1/ws"}, "cannot be reached"),
        ({"origin": "https://evil.example"}, "refuses the WebSocket: 403"),
    ],
)
def test_a_door_that_stays_shut_is_a_failure_in_words(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    found = probed(tmp_path, lambda scene: browser_calls(door(scene, **changes), plan(PLAIN)))
    assert words in found.failure
    assert found.steps == []


def test_a_call_the_other_side_ends_at_once_has_failed(tmp_path: Path) -> None:
    async def hung_up(scene: HostedScene) -> Result:
        media = scene.answer_with(PLAIN)
        calling = asyncio.create_task(browser_calls(door(scene), plan(PLAIN, talk_seconds=20.0)))
        await until(lambda: bool(media.target), "the trunk was called", WAIT)
        media.talk()
        runner = next(iter(scene.host.gateway.manager.index.runners))
        await until(lambda: bool(runner.state.answered_at), "the call was answered", WAIT)
        runner.feed(Lost(Termination.MEDIA_TIMEOUT))
        result = await calling
        scene.media.pop(PLAIN).close()
        return result

    found = probed(tmp_path, hung_up)
    assert found.failure.startswith("the call was ended")
