"""Signing in by token at the manager: who is let in, for how long, and what everybody else is told (RFC 8898)."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.counters import Counter
from gateway.base.values import HostPort, Secret
from gateway.call.manager import CallManager
from gateway.sip.auth import DigestServer
from gateway.sip.flow import Flow
from gateway.sip.message import Response
from gateway.tokens.door import TokenDoor
from gateway.tokens.issuer import Issuer
from gateway.tokens.keys import KeyRing
from gateway.tokens.rings import ASK_AGAIN_SECONDS, KeyRings
from tests.call.office import Office
from tests.call.test_sign_in import browser
from tests.rig.issuing import AUDIENCE, ISSUER, claims, confused, ec_jwk, ec_key, issue, jwks, rsa_jwk, unsigned
from tests.sip.digest import REALM, credentials, register

pytestmark = pytest.mark.asyncio
WHO = Issuer(ISSUER, AUDIENCE, Path("keys"), "https://login.example.test/authorize")


class Scene:
    """A manager with users alice and bob, who may come with tokens."""

    def __init__(self, directory: Path, *issuers: Issuer, users: Sequence[str] = ("alice", "bob")) -> None:
        self.office, self.now, self.keys, self._count = Office(directory), 1000.0, [rsa_jwk("r1"), ec_jwk("e1")], 0
        services = self.office.services
        known = {name: credentials() for name in users}
        self.office.sites.current = replace(self.office.sites.current, users=known, realm=REALM)
        object.__setattr__(services, "clock", lambda: self.now)
        issuers = issuers or (WHO,)
        self.rings = KeyRings(issuers, services.counters, lambda: self.now, self._read)
        door = TokenDoor(issuers, self.rings, lambda: datetime.datetime.now(datetime.UTC).timestamp())
        self.manager = CallManager(services, DigestServer(REALM, Secret(b"k"), services.tokens), door)
        self.office.manager = self.manager

    async def _read(self, issuer: Issuer) -> KeyRing:
        await asyncio.sleep(0)
        return KeyRing.parse(jwks(*self.keys))

    async def ask(self, flow: Flow, token: str = "", *, user: str = "alice", method: str = "REGISTER") -> Response:
        self._count += 1
        key = f"ask-{self._count}"
        message = register(f"Bearer {token}" if token else "", method=method)
        message = message.with_header("Call-ID", key).with_header("To", f"<sip:{user}@{REALM}>")
        if method == "REGISTER":
            message = message.with_header("Contact", f"<sip:{user}@client.invalid;transport=ws>;expires=600")
        self.office.request(message, key=key, flow=flow)
        await self.office.settle()
        await self.office.settle()
        return [response for k, response in self.office.sip.answers if k == key][-1]

    def records(self, kind: str) -> list[dict[str, object]]:
        return [dict(record) for record in self.office.audit.records if record["type"] == kind]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def challenges(response: Response) -> list[str]:
    return [value.partition(" ")[0] for value in response.headers.get_all("WWW-Authenticate")]


async def test_a_challenge_names_where_tokens_are_had_and_digest_stays_for_who_has_a_password(scene: Scene) -> None:
    response = await scene.ask(browser(1))
    assert response.status == 401
    assert challenges(response) == ["Bearer", "Digest", "Digest"]
    assert response.headers.get_all("WWW-Authenticate")[0] == (
        f'Bearer realm="{REALM}", authz_server="https://login.example.test/authorize"'
    )


async def test_nobody_is_asked_for_a_password_where_nobody_has_one(tmp_path: Path) -> None:
    scene = Scene(tmp_path, replace(WHO, anyone=True), users=())
    assert challenges(await scene.ask(browser(1))) == ["Bearer"]
    assert (await scene.ask(browser(1), issue(sub="dora"), user="dora")).status == 200


@pytest.mark.parametrize("kid", ["r1", "e1"])
async def test_a_good_token_signs_its_user_in_and_is_on_record_without_itself(scene: Scene, kid: str) -> None:
    token = issue(kid)
    assert (await scene.ask(browser(1), token)).status == 200
    (record,) = scene.records("auth.ok")
    assert record["user"] == "alice"
    assert token not in str(scene.office.audit.records)
    assert scene.manager.location.identities.user_of(browser(1)) == "alice"
    assert (await scene.ask(browser(1), method="OPTIONS")).status == 200, "the connection is alice's"


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (unsigned, "algorithm of the token is not allowed"),
        (confused, "algorithm of the token is not allowed"),
        (lambda: issue(aud="other"), "token is for another audience"),
        (lambda: issue(exp=1000), "token expired"),
        (lambda: issue("e7"), "unknown key of the issuer"),
        (lambda: issue(key=ec_key(5)), "signature of the token is wrong"),
        (lambda: issue(sub="mallory"), "token names no user of this gateway"),
        (lambda: "x.y.z", "malformed token"),
        (lambda: "", "malformed token"),
    ],
)
async def test_a_token_that_proves_nothing_is_401_counted_and_told(scene: Scene, token: object, reason: str) -> None:
    assert callable(token)
    text = token() or " "
    response = await scene.ask(browser(1), text)
    assert response.status == 401
    assert 'error="invalid_token"' in response.headers.get_all("WWW-Authenticate")[0]
    counters = scene.office.services.counters
    assert (counters[Counter.TOKENS_REFUSED], counters[Counter.AUTH_FAILED]) == (1, 1)
    (told,) = scene.records("auth.fail")
    assert told["reason"] == reason
    assert scene.manager.location.identities.user_of(browser(1)) is None


async def test_wrong_tokens_make_nobody_wait(scene: Scene) -> None:
    """A signature is not guessed; and everybody in an office has the same address."""
    for _ in range(100):
        assert (await scene.ask(browser(1), issue(exp=1000))).status == 401
    assert (await scene.ask(browser(2), issue())).status == 200


async def test_over_a_connection_anybody_can_read_no_token_counts(scene: Scene) -> None:
    plain = replace(browser(1), transport="ws")
    assert (await scene.ask(plain, issue())).status == 401
    here = replace(plain, id=2, remote=HostPort("127.0.0.1", 4000))
    assert (await scene.ask(here, issue())).status == 200


async def test_who_has_no_issuers_reads_no_tokens(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.manager = scene.office.manager = CallManager(
        scene.office.services, DigestServer(REALM, Secret(b"k"), scene.office.services.tokens)
    )
    response = await scene.ask(browser(1), issue())
    assert challenges(response) == ["Digest", "Digest"]


async def test_a_token_of_one_user_does_not_speak_for_another(scene: Scene) -> None:
    assert (await scene.ask(browser(1), issue(), user="bob")).status == 403
    assert (await scene.ask(browser(2), issue(sub="bob"), user="bob")).status == 200
    assert (await scene.ask(browser(2), issue(), user="alice")).status == 401, "a connection has one user"


async def test_a_registration_lasts_no_longer_than_its_token(scene: Scene) -> None:
    response = await scene.ask(browser(1), issue(exp=claims()["exp"] - 300 + 100))
    (contact,) = response.contacts
    assert 100 <= int(contact.params.get("expires") or 0) <= 130
    scene.now += 131
    assert await scene.manager.location.locate("alice") == ()


async def test_when_a_token_has_expired_the_next_request_is_challenged_and_a_new_one_goes_on(scene: Scene) -> None:
    await scene.ask(browser(1), issue(exp=claims()["exp"] - 300 + 100))
    scene.now += 131
    for method in ("REGISTER", "OPTIONS", "INVITE"):
        assert (await scene.ask(browser(1), method=method)).status == 401
    assert (await scene.ask(browser(1), issue())).status == 200
    assert (await scene.ask(browser(1), method="OPTIONS")).status == 200
    assert len(scene.records("auth.ok")) == 1, "it is the same user on the same connection"


async def test_the_same_token_again_and_an_older_one_take_nothing_away(scene: Scene) -> None:
    await scene.ask(browser(1), issue())
    left = scene.manager.sign_in.seconds_left(browser(1))
    await scene.ask(browser(1), issue(exp=claims()["exp"] - 300 + 60))
    assert scene.manager.sign_in.seconds_left(browser(1)) == pytest.approx(left, abs=1)


async def test_a_token_under_a_new_key_waits_for_that_key_and_is_answered_once(scene: Scene) -> None:
    await scene.ask(browser(1), issue())
    scene.now += ASK_AGAIN_SECONDS
    scene.keys = [ec_jwk("e5", 5)]
    assert (await scene.ask(browser(2), issue("e5", key=ec_key(5)))).status == 200
    assert len([r for k, r in scene.office.sip.answers if k == "ask-2"]) == 1


async def test_a_handshake_that_brings_a_token_needs_no_sign_in(scene: Scene) -> None:
    await scene.manager.sign_in.welcome(browser(1), Secret(issue()))
    assert (await scene.ask(browser(1))).status == 200
    assert [r["method"] for r in scene.records("auth.ok")] == ["GET"]


async def test_a_handshake_with_a_wrong_token_is_a_strangers(scene: Scene) -> None:
    await scene.manager.sign_in.welcome(browser(1), Secret(issue(exp=1000)))
    assert (await scene.ask(browser(1))).status == 401
    assert [r["reason"] for r in scene.records("auth.fail")] == ["token expired"]
    assert (await scene.ask(browser(1), issue())).status == 200
