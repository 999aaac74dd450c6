"""Secrets with a known spelling go through calls good and bad; no output of the gateway may contain one of them."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.sip.auth import compute_ha1
from gateway.sip.message import Request
from tests.rig.browser import ScriptedBrowser
from tests.rig.browser_media import BrowserMedia
from tests.rig.gateway import PASSWORD, REALM, GatewayProcess
from tests.rig.hosted_scene import PLAIN, SDES, HostedScene, both_hear
from tests.rig.srtp import GCM_256, Certificate
from tests.rig.trunk import Answer, description

pytestmark = pytest.mark.attack

WRONG_PASSWORD = "canary-wrong-password-Kx4"
PIN = "canary-pin-73914682"
COOKIE = "canary-cookie-h2Vq"
CANARY_KEY = base64.b64encode(b"canary-sdes-key-thirty-octets!").decode()
CANARY_LINE = f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{CANARY_KEY}"


@dataclass
class Planted:
    """Everything that must stay secret, in every spelling somebody might print it in."""

    found: dict[str, str] = field(default_factory=dict)

    def text(self, what: str, *secrets: str) -> None:
        for secret in secrets:
            assert len(secret) >= 8, what
            self.found[secret] = what

    def octets(self, what: str, *secrets: bytes) -> None:
        for secret in secrets:
            plain = base64.b64encode(secret).decode().rstrip("=")
            escaped = "".join(f"\\x{octet:02x}" for octet in secret)
            spellings = (plain, plain.translate(str.maketrans("+/", "-_")), secret.hex(), secret.hex().upper())
            self.text(what, *spellings, secret.hex(":"), escaped, repr(secret)[2:-1])

    def inline(self, what: str, messages: Iterable[Request]) -> None:
        """Keys in the bodies the gateway sent or was sent."""
        for message in messages:
            for key in re.findall(rb"inline:([A-Za-z0-9+/=]+)", message.body):
                self.octets(what, base64.b64decode(key))

    def seen_in(self, path: Path) -> set[str]:
        text = path.read_bytes().decode("latin-1")
        return {what for secret, what in self.found.items() if secret in text}


class Outputs:
    """A gateway process and all it writes."""

    def __init__(self, directory: Path) -> None:
        self.scene = HostedScene(directory)  # its hosted gateway is never started: it only reads the audit log
        self.process = GatewayProcess(self.scene.setup)
        self.planted = Planted()

    def files(self) -> list[Path]:
        audit = self.process.audit_path.parent
        return [self.process.log_path, *(p for p in audit.rglob("*") if p.is_file())]

    def plant_files(self) -> None:
        """Digests of the passwords, private keys of the listeners."""
        for user in self.scene.setup.users:
            for algorithm in ("MD5", "SHA-256"):
                self.planted.text("HA1", compute_ha1(user, REALM, PASSWORD, algorithm))
        for key in (self.scene.setup.directory / "certs").glob("*.key"):
            self.planted.text("private key", *(row for row in key.read_text().splitlines() if "-----" not in row))

    def plant_media(self, media: BrowserMedia) -> None:
        self.planted.text("ICE password", media.password)
        if media.remote_password:
            self.planted.text("ICE password", media.remote_password)
        if media.dtls is not None:
            self.planted.octets("DTLS key", *media.dtls.secrets)

    def plant_sign_in(self, browser: ScriptedBrowser) -> None:
        self.planted.text("password", browser.password)
        for value in browser.authorizations:
            for name in ("response", "nonce", "cnonce"):
                self.planted.text(f"digest {name}", value.split(f'{name}="')[1].split('"')[0])


@pytest_asyncio.fixture(loop_scope="module")
async def outputs(tmp_path: Path) -> AsyncIterator[Outputs]:
    made = Outputs(tmp_path)
    made.process.start()
    for trunk in made.scene.trunks.values():
        trunk.start()
    yield made
    made.process.stop()
    for trunk in made.scene.trunks.values():
        trunk.stop()
    for media in made.scene.media.values():
        media.close()


async def good_calls(outputs: Outputs, browser: ScriptedBrowser) -> None:
    """Plain, SDES with two suites, both DTLS roles, hold, a new key in mid-call, digits, all hung up."""
    for number, setup in ((PLAIN, "active"), (SDES, "active"), (SDES, "passive")):
        call, trunk, uid = await outputs.scene.call(browser, number, setup=setup)
        await both_hear(call, trunk)
        trunk.hush()
        hold = call.media.description(direction="inactive") + f"{CANARY_LINE}\r\n".encode()
        assert (await call.request("INVITE", hold)).status == 488
        await call.request("INVITE", call.media.description(direction="sendonly"))
        await call.request("INFO", f"Signal={PIN}\r\n".encode())
        outputs.plant_media(call.media)
        outputs.planted.octets("SDES key", *([trunk.key] if trunk.key else []))
        await call.hang_up()
        await outputs.scene.host.final(uid)
    trunk = outputs.scene.answer_with(SDES, GCM_256)
    call = await browser.dial(SDES)
    outputs.plant_media(call.media)
    outputs.planted.octets("SDES key", trunk.key)
    await call.hang_up()


async def failing_calls(outputs: Outputs, browser: ScriptedBrowser) -> None:
    """Every way a secret could end up in an error message."""
    scene = outputs.scene
    wrong = await browser.invite(PLAIN, claimed=Certificate().fingerprint)
    await wrong.final()
    outputs.plant_media(wrong.media)
    await wrong.end()
    for number, body in (
        (PLAIN, b""),
        (SDES, description("127.0.2.2", proto="RTP/SAVP")),
        (SDES, description("127.0.2.2", CANARY_LINE, proto="RTP/AVP")),
        (SDES, description("127.0.2.2", CANARY_LINE + "|2^99:x", proto="RTP/SAVP")),
        (SDES, description("127.0.2.2", CANARY_LINE.replace("_80", "_99"), proto="RTP/SAVP")),
        (SDES, description("127.0.2.2", CANARY_LINE[:-6], proto="RTP/SAVP")),
        (SDES, CANARY_LINE.encode()),
    ):
        scene.scripts[number] = _with(body)
        assert (await (await browser.invite(number)).final()).status >= 400, body
    scene.scripts.clear()
    for offer in (description("127.0.0.1", CANARY_LINE, proto="RTP/SAVP"), CANARY_LINE.encode()):
        call = await browser.invite(PLAIN, _Offering(offer))
        assert (await call.final()).status == 488


def _with(body: bytes) -> object:
    def script(_request: Request) -> list[Answer]:
        return [(200, body)]

    return script


class _Offering(BrowserMedia):
    """A browser that offers what it is told to."""

    def __init__(self, offer: bytes) -> None:
        super().__init__()
        self._offer = offer

    def description(self, *, setup: str = "", direction: str = "sendrecv") -> bytes:
        return self._offer


async def garbage(outputs: Outputs, browser: ScriptedBrowser) -> None:
    """Messages nobody can parse, full of secrets."""
    rubbish = (
        f"INVITE sip:{SDES}@{REALM} SIP/2.0\r\nAuthorization: Digest response={PIN}\r\nCSeq: x\r\n\r\n{CANARY_LINE}",
        f"REGISTER sip:{REALM} SIP/2.0\r\nAuthorization: Digest username=alice, response={PIN}\r\n\r\n",
        f"\x00{CANARY_LINE}\r\n{PIN}\r\n\r\n",
    )
    for text in rubbish:
        await browser.write(text.encode())
    for text in rubbish:
        outputs.scene.trunks[PLAIN].datagram(text.encode(), ("127.0.0.1", outputs.scene.setup.sip_port))


@pytest.mark.asyncio(loop_scope="module")
async def test_no_planted_secret_is_in_any_output(outputs: Outputs) -> None:
    planted = outputs.planted
    outputs.plant_files()
    planted.text("planted", PIN, COOKIE)
    planted.octets("planted SDES key", base64.b64decode(CANARY_KEY))
    intruder = ScriptedBrowser(outputs.scene.setup.origin, "alice", WRONG_PASSWORD)
    await intruder.open(query=f"?ticket={COOKIE}", headers={"Cookie": f"session={COOKIE}"})
    assert (await intruder.register()).status == 401
    outputs.plant_sign_in(intruder)
    await intruder.close()
    alice = await outputs.scene.browser()
    outputs.plant_sign_in(alice)
    await good_calls(outputs, alice)
    await failing_calls(outputs, alice)
    live = await outputs.scene.browser("bob")
    outputs.plant_sign_in(live)
    await outputs.scene.call(live, SDES)
    await garbage(outputs, alice)
    for trunk in outputs.scene.trunks.values():
        planted.inline("SDES key", trunk.seen)
    outputs.process.wait_records("auth.fail")
    assert outputs.process.stop() == 0  # with a call still up
    await alice.close()
    await live.close()
    assert len(outputs.process.records("call.final")) == len(outputs.process.records("call.start")) >= 15
    assert {path.name: planted.seen_in(path) for path in outputs.files()} == {p.name: set() for p in outputs.files()}
    assert "DEBUG" in outputs.process.log
    assert "Traceback" not in outputs.process.log
    assert len(planted.found) > 200


def test_a_leak_would_be_found(tmp_path: Path) -> None:
    planted = Planted()
    planted.octets("SDES key", base64.b64decode(CANARY_KEY))
    for spelling in (CANARY_LINE, base64.b64decode(CANARY_KEY).hex(), str(base64.b64decode(CANARY_KEY))):
        (tmp_path / "log").write_text(f"something {spelling} something")
        assert planted.seen_in(tmp_path / "log") == {"SDES key"}
