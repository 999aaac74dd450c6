"""Chromium signs in at a Kamailio through the gateway, and calls both ways: the gateway never sees the password."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.interop.conftest import BROWSER_HERTZ, TRUNK_HERTZ
from tests.rig.audio import Samples, heard, peak, read_wav, write_tone
from tests.rig.chromium import RATE, SoftphonePage
from tests.rig.gateway import PASSWORD, REALM, GatewayProcess, GatewaySetup
from tests.rig.kamailio import Kamailio, KamailioSetup
from tests.rig.phone import Phone
from tests.rig.ports import free_port
from tests.rig.registrar import StrictRegistrar
from tests.rig.registrar_trunk import RegistrarTrunk
from tests.rig.sipjs import PageServer, SipJsPage
from tests.rig.tools import needs
from tests.rig.trunk import TrunkDialog, description

pytestmark = pytest.mark.interop
with_kamailio = needs("kamailio")

PHONE_HOST = "127.0.3.2"
TALK_SECONDS = 1.5


class RegistrarStage:
    """A gateway, the Kamailio that registers its browsers, and a telephone behind it."""

    def __init__(
        self, directory: Path, *, reached_by: str = "contact", transport: str = "tcp", origin: str = "", **options: Any
    ) -> None:
        self.directory, self._phones = directory, 0
        self.phone_port = free_port(host=PHONE_HOST)
        setup = KamailioSetup(
            directory / "kamailio", phone=f"{PHONE_HOST}:{self.phone_port}", path=reached_by == "path", **options
        )
        self.kamailio = Kamailio(setup)
        suffix = "" if transport == "udp" else f";transport={transport}"
        trunk = {"target": f"{self.kamailio.target}{suffix}", "security": "legacy", "networks": [f"{setup.host}/32"]}
        self.setup = GatewaySetup(
            directory / "gateway",
            trunks={"pbx": trunk},
            outbound=[{"id": "all", "dialled": "*", "trunk": "pbx"}],
            inbound=[],
            registration={"relay": "pbx", "reached_by": reached_by},
            more_origins=(origin,) if origin else (),
        )
        self.gateway = GatewayProcess(self.setup)
        self.tone = write_tone(directory / "phone.wav", TRUNK_HERTZ, rate=16000, seconds=60)

    def start(self) -> RegistrarStage:
        self.kamailio.start()
        self.gateway.start()
        return self

    def stop(self) -> None:
        self.gateway.stop()
        self.kamailio.stop()

    def phone(self, **options: Any) -> Phone:
        """The telephone that is called by 600."""
        self._phones += 1
        options = {"play": self.tone} | options
        directory = self.directory / "phones"
        return Phone(directory, f"phone{self._phones}", host=PHONE_HOST, port=self.phone_port, **options).start()


@pytest.fixture(scope="module")
def registrar_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistrarStage]:
    made = RegistrarStage(tmp_path_factory.mktemp("registrar")).start()
    yield made
    made.stop()


def hear(samples: Samples, rate: int, hertz: float) -> None:
    sound = heard(samples, rate)
    assert len(sound) > 0.5 * TALK_SECONDS * rate
    frequency, _ = peak(sound, rate)
    assert frequency == pytest.approx(hertz, abs=15)


def talk(page: SoftphonePage, phone: Phone) -> None:
    """Both hear each other; then the page hangs up."""
    samples = page.listen(TALK_SECONDS)
    phone.wait_recorded(TALK_SECONDS)
    page.click("hangup")
    phone.wait("state", text="DISCONNECTED")
    phone.stop()
    hear(samples, RATE, TRUNK_HERTZ)
    hear(*read_wav(phone.recording), BROWSER_HERTZ)


def in_and_out(stage: RegistrarStage, chromium: Browser, transport: str) -> None:
    """Sign in, call the telephone, be called by it; nothing of the password is anywhere in the gateway."""
    page = SoftphonePage(chromium, stage.gateway.url).sign_in()
    try:
        phone = stage.phone()
        page.call("600")
        talk(page, phone)
        phone = stage.phone()
        phone.do("call", uri=f"sip:alice@{stage.kamailio.setup.host}:{stage.kamailio.port}{transport}")
        page.wait_state("incoming")
        page.click("answer")
        page.wait_state("in-call")
        page.wait_connected()
        talk(page, phone)
    finally:
        page.close()
    ends = [record["termination"] for record in stage.gateway.wait_records("call.final", 3)]
    assert ends == ["challenged", "hangup-browser", "hangup-browser"]
    for path in (stage.gateway.log_path, stage.gateway.audit_path, stage.gateway.config):
        assert PASSWORD not in path.read_text()


@with_kamailio
def test_a_page_signs_in_at_kamailio_and_calls_and_is_called(
    registrar_stage: RegistrarStage, chromium: Browser
) -> None:
    """The strictest Kamailio: a nonce for one request URI, Call-ID and From tag, each count good once."""
    in_and_out(registrar_stage, chromium, "")
    assert "auth alice" in registrar_stage.kamailio.log


@with_kamailio
@pytest.mark.slow
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_kamailio_reaches_the_page_along_a_path(tmp_path: Path, chromium: Browser, transport: str) -> None:
    stage = RegistrarStage(tmp_path, reached_by="path", transport=transport).start()
    try:
        in_and_out(stage, chromium, "")
        assert ".invalid;transport=ws" in stage.kamailio.log
    finally:
        stage.stop()


@with_kamailio
@pytest.mark.slow
def test_a_wrong_password_is_told_and_the_right_one_let_in(registrar_stage: RegistrarStage, chromium: Browser) -> None:
    page = SoftphonePage(chromium, registrar_stage.gateway.url)
    try:
        page.page.fill("#user", "alice")
        page.page.fill("#password", "guess")
        page.page.click("#sign-in")
        page.page.wait_for_selector("#registration[data-state=failed]", timeout=10000)
        page.sign_in()
    finally:
        page.close()


@with_kamailio
@pytest.mark.slow
def test_sip_js_signs_in_and_calls_as_well(tmp_path: Path, chromium: Browser, page_server: PageServer) -> None:
    stage = RegistrarStage(tmp_path, origin=page_server.origin).start()
    page = SipJsPage(chromium, page_server.origin)
    phone = stage.phone()
    try:
        page.sign_in(stage.setup)
        page.call("600")
        samples = page.listen(TALK_SECONDS)
        page.hang_up()
        phone.stop()
        hear(samples, RATE, TRUNK_HERTZ)
    finally:
        phone.stop()
        page.close()
        stage.stop()


@with_kamailio
@pytest.mark.slow
def test_kamailio_forks_to_every_page_of_the_user_and_one_answers(
    registrar_stage: RegistrarStage, chromium: Browser
) -> None:
    pages = [SoftphonePage(chromium, registrar_stage.gateway.url).sign_in() for _ in range(2)]
    phone = registrar_stage.phone()
    try:
        phone.do("call", uri=f"sip:alice@{registrar_stage.kamailio.setup.host}:{registrar_stage.kamailio.port}")
        for page in pages:
            page.wait_state("incoming")
        pages[1].click("answer")
        pages[1].wait_state("in-call")
        pages[1].wait_connected()
        pages[0].wait_state("ended")
        talk(pages[1], phone)
    finally:
        phone.stop()
        for page in pages:
            page.close()


@with_kamailio
@pytest.mark.slow
def test_a_page_that_is_closed_is_signed_out_at_a_kamailio_that_takes_a_nonce_twice(
    tmp_path: Path, chromium: Browser
) -> None:
    stage = RegistrarStage(tmp_path, once=False).start()
    try:
        page = SoftphonePage(chromium, stage.gateway.url).sign_in()
        page.close()
        stage.gateway.wait_log("user=alice is taken back", 15)
    finally:
        stage.stop()


@with_kamailio
@pytest.mark.slow
def test_a_refusal_behind_kamailio_is_told_to_the_person(registrar_stage: RegistrarStage, chromium: Browser) -> None:
    page = SoftphonePage(chromium, registrar_stage.gateway.url).sign_in()
    try:
        page.dial("486")
        page.wait_state("ended")
        assert "busy" in page.text("reason").lower()
    finally:
        page.close()
    assert REALM in registrar_stage.gateway.config.read_text()


@with_kamailio
@pytest.mark.slow
def test_two_pages_call_each_other_through_kamailio(registrar_stage: RegistrarStage, chromium: Browser) -> None:
    """A proxy leaves the media to us: both legs of both calls are this gateway's."""
    alice = SoftphonePage(chromium, registrar_stage.gateway.url).sign_in()
    bob = SoftphonePage(chromium, registrar_stage.gateway.url).sign_in("bob")
    try:
        alice.dial("bob")
        bob.wait_state("incoming")
        bob.click("answer")
        for page in (alice, bob):
            page.wait_state("in-call")
            page.wait_connected()
        for page in (alice, bob):
            hear(page.listen(TALK_SECONDS), RATE, BROWSER_HERTZ)
        bob.click("hangup")
        alice.wait_state("ended")
    finally:
        alice.close()
        bob.close()


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_page_signs_in_at_a_registrar_that_is_no_kamailio(tmp_path: Path, chromium: Browser, transport: str) -> None:
    """One by the letter of the RFCs: SHA-256 and MD5, auth-int besides auth, nonces for one request, 407 for calls."""
    registrar = StrictRegistrar(REALM, {"alice": PASSWORD})
    host = "127.0.3.9"
    trunk = RegistrarTrunk(registrar, host, free_port(host=host), transport=transport).start()
    suffix = "" if transport == "udp" else f";transport={transport}"
    setup = GatewaySetup(
        tmp_path / "gateway",
        trunks={
            "pbx": {"target": f"sip:{host}:{trunk.port}{suffix}", "security": "legacy", "networks": [f"{host}/32"]}
        },
        outbound=[{"id": "all", "dialled": "*", "trunk": "pbx"}],
        inbound=[],
        registration={"relay": "pbx"},
    )
    gateway = GatewayProcess(setup).start()
    page = SoftphonePage(chromium, gateway.url).sign_in()
    try:
        page.call("600")
        page.click("hangup")
        page.wait_state("ended")
        (place,) = registrar.bindings["alice"].values()
        if transport == "udp":
            called, here = place.contact.uri.user or "", ("127.0.0.1", setup.sip_port)
            trunk.request("INVITE", called, here, TrunkDialog("in1"), description(host))
            page.wait_state("incoming")
    finally:
        page.close()
        assert gateway.stop() == 0
        trunk.stop()
    methods = [(request.method, "Authorization" in request.headers) for request in registrar.seen]
    assert methods[:2] == [("REGISTER", False), ("REGISTER", True)]
    invites = [request for request in registrar.seen if request.method == "INVITE"]
    assert [len(request.headers.get_all("Proxy-Authorization")) for request in invites] == [0, 1]
    assert len({(request.call_id, request.from_.tag, request.uri) for request in invites}) == 1
