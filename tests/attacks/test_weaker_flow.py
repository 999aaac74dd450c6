"""A call over verified TLS, and messages with its tags over anything less: no key goes out, no change is taken."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.demo.certificates import Pair
from gateway.sip.message import Request, Response, parse_message
from tests.attacks.wires import AttackWire, StreamWire, UdpWire
from tests.rig.hosted import until
from tests.rig.hosted_scene import SDES, SDES_HOST, HostedScene
from tests.rig.trunk import description

pytestmark = [pytest.mark.attack, pytest.mark.asyncio(loop_scope="module")]

KEYED = description(SDES_HOST, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "B" * 40, proto="RTP/SAVP", port=4010)
PATIENCE = 3.0
WAYS = ("udp", "tcp", "tls without a certificate", "tls with another certificate")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[True, False], ids=["networks", "learned address"])
async def scene(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> AsyncIterator[HostedScene]:
    made = HostedScene(tmp_path_factory.mktemp("scene"), setup={"sip": ("udp", "tcp", "tls")})
    if not request.param:
        made.setup.trunks["sdes"]["networks"] = []
        made = _again(made)
    await made.start()
    await made.canary(SDES)
    yield made
    await made.stop()


def _again(made: HostedScene) -> HostedScene:
    """The gateway of a scene with its changed configuration."""
    from tests.rig.hosted import HostedGateway

    made.host = HostedGateway(made.setup)
    return made


def context(scene: HostedScene, pair: Pair | None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(scene.setup.certificates.ca.certificate))
    made.check_hostname = False
    if pair is not None:
        made.load_cert_chain(pair.certificate, pair.key)
    return made


def wire(scene: HostedScene, way: str) -> AttackWire:
    """A way in from the trunk's own address."""
    certificates = scene.setup.certificates
    if way == "udp":
        return UdpWire(("127.0.0.1", scene.setup.sip_port), SDES_HOST, 0)
    if way == "tcp":
        return StreamWire(("127.0.0.1", scene.setup.sip_port), SDES_HOST)
    pair = {"tls": certificates.pbx, "tls with another certificate": certificates.gateway}.get(way)
    return StreamWire(("127.0.0.1", scene.setup.sip_tls_port), SDES_HOST, context(scene, pair))


def inside(scene: HostedScene, way: AttackWire, method: str, number: int, body: bytes = b"") -> bytes:
    """A request with the tags of the call that is up."""
    invite = [seen for seen in scene.trunks[SDES].seen if seen.method == "INVITE"][-1]
    lines = [
        f"{method} {invite.contact.uri if invite.contact else ''} SIP/2.0",
        f"Via: {way.via};branch=z9hG4bK{method}{number};rport",
        "Max-Forwards: 70",
        f"From: {invite.to};tag=faketrunk",
        f"To: {invite.from_}",
        f"Call-ID: {invite.call_id}",
        f"CSeq: {number} {method}",
        f"Contact: <sip:trunk@{SDES_HOST}:{scene.ports[SDES]};transport=tls>",
        *(["Content-Type: application/sdp"] if body else []),
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def said(scene: HostedScene, way: str, method: str, number: int, body: bytes = b"") -> Response | None:
    """The final answer to such a request."""

    def exchange() -> Response | None:
        made = wire(scene, way)
        try:
            made.send(inside(scene, made, method, number, body))
            while data := made.receive(PATIENCE):
                message = parse_message(data, stream=False)
                if isinstance(message, Response) and message.status >= 200:
                    return message
            return None
        finally:
            made.close()

    return await asyncio.to_thread(exchange)


@pytest.mark.parametrize("way", WAYS)
async def test_a_change_over_less_than_verified_tls_gets_403_and_no_key(scene: HostedScene, way: str) -> None:
    browser = await scene.browser()
    call, _, uid = await scene.call(browser, SDES)
    for number, method in enumerate(("INVITE", "UPDATE"), start=10):
        answer = await said(scene, way, method, number, KEYED)
        assert answer is not None
        assert (answer.status, answer.body) == (403, b"")
    assert scene.host.gateway.manager.live_calls == 1
    violations = scene.host.records("leg.violation", uid)
    assert {code for record in violations for code in record["codes"]} == {"sig.sips_not_honoured"}
    assert [record["message"] for record in violations] == ["INVITE", "UPDATE"]
    await call.hang_up()
    final = await scene.host.final(uid)
    assert "sig.sips_not_honoured" in final["codes"]
    await browser.close()


@pytest.mark.parametrize("way", WAYS)
async def test_a_bye_from_the_trunks_address_ends_the_call_over_any_flow(scene: HostedScene, way: str) -> None:
    browser = await scene.browser()
    _, _, uid = await scene.call(browser, SDES)
    answer = await said(scene, way, "BYE", 10)
    assert answer is not None
    assert answer.status == 200
    assert (await scene.host.final(uid))["termination"] == "hangup-trunk"
    (violation,) = scene.host.records("leg.violation", uid)
    assert (violation["message"], violation["decision"]) == ("BYE", "allowed")
    await browser.close()


async def test_a_second_connection_with_the_trunks_certificate_is_as_good_as_the_first(scene: HostedScene) -> None:
    browser = await scene.browser()
    call, _, uid = await scene.call(browser, SDES)
    answer = await said(scene, "tls", "INVITE", 10, KEYED)
    assert answer is not None
    assert answer.status == 200
    assert b"inline" in answer.body
    assert scene.host.records("leg.violation", uid) == []
    await call.hang_up()
    await scene.host.final(uid)
    await browser.close()


async def test_a_response_over_udp_answers_nothing_that_was_asked_over_tls(scene: HostedScene) -> None:
    browser = await scene.browser()
    call, _, uid = await scene.call(browser, SDES)

    def forge() -> None:
        trunk = scene.trunks[SDES]
        invite = [seen for seen in trunk.seen if seen.method == "INVITE"][-1]
        made = wire(scene, "udp")
        made.send(bytes(trunk.answer(invite, 200, KEYED)))
        made.close()

    await asyncio.to_thread(forge)
    await until(lambda: bool(scene.host.records("leg.violation", uid)), "no record of the forged response")
    (violation,) = scene.host.records("leg.violation", uid)
    assert (violation["message"], violation["why"]) == ("200 INVITE", "udp instead of tls")
    await call.hang_up()
    await scene.host.final(uid)
    await browser.close()


async def test_a_call_whose_connection_was_cut_is_hung_up_over_a_new_one(scene: HostedScene) -> None:
    browser = await scene.browser()
    call, _, uid = await scene.call(browser, SDES)
    await asyncio.to_thread(scene.trunks[SDES].stop)
    scene.trunks[SDES] = scene.new_trunk(SDES).start()
    await call.hang_up()
    assert (await scene.host.final(uid))["termination"] == "hangup-browser"
    await until(lambda: "BYE" in scene.trunks[SDES].methods(), "no BYE came over a new connection")
    bye: Request = next(seen for seen in scene.trunks[SDES].seen if seen.method == "BYE")
    assert bye.to.tag == "faketrunk"
    await browser.close()
