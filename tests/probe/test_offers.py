"""What a trunk can do: each offer is tried on it, and the strictest profile that works is recommended."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.base.errors import TransportError
from gateway.base.profiles import Profile
from gateway.probe import offers
from gateway.probe.offers import Attempt, Findings, keying_of, recommend, try_offers
from gateway.probe.rtp import Offer
from gateway.sip.message import Request, create_response, parse_message
from tests.certificates import dns, make_certificate
from tests.net.test_tls_connection import AUTHORITY, DOMAIN, tls_peer, trunk
from tests.rig.hosted import until
from tests.rig.nameserver import nameserver
from tests.rig.ports import free_port
from tests.rig.trunk import Answer, FakeTrunk, description
from tests.sites import made_trunk

HOST = "127.0.2.9"
PLAIN, SDES, DTLS = "plain", "sdes,AES_CM_128_HMAC_SHA1_80", "dtls,AEAD_AES_256_GCM"


def findings(*works: tuple[Offer, str], transport: str = "udp", name: str = "", others: bool = True) -> Findings:
    found = Findings("pbx", f"sip:pbx.example;transport={transport}", transport, verified_name=name)
    kept = dict(works)
    for offer in Offer:
        if offer in kept or others:
            found.attempts.append(Attempt(offer, offer in kept, 200, "", kept.get(offer, "")))
    return found


@pytest.mark.parametrize(
    ("found", "profile"),
    [
        (findings((Offer.SDES, SDES), transport="tls", name="pbx.example"), Profile.STRICT),
        (findings((Offer.SDES, SDES), (Offer.PLAIN, PLAIN), transport="tls", name="pbx.example"), Profile.STRICT),
        (findings((Offer.DTLS, DTLS), transport="tls", name="pbx.example"), Profile.STRICT),
        (findings((Offer.DTLS, DTLS), (Offer.PLAIN, PLAIN)), Profile.PREFER),
        (findings((Offer.SDES, SDES), transport="tls"), Profile.PREFER),
        (findings((Offer.SDES, SDES), transport="tcp"), Profile.PREFER),
        (findings((Offer.OSRTP, SDES), (Offer.PLAIN, PLAIN)), Profile.OSRTP),
        (findings((Offer.OSRTP, PLAIN), (Offer.PLAIN, PLAIN)), Profile.LEGACY),
        (findings((Offer.PLAIN, PLAIN), transport="tls", name="pbx.example"), Profile.LEGACY),
        (findings(), None),
        (findings(others=False), None),
    ],
)
def test_the_strictest_profile_that_works_is_recommended(found: Findings, profile: Profile | None) -> None:
    recommended, why = recommend(found)
    assert recommended is profile
    assert why


@pytest.mark.parametrize(
    ("transport", "name", "keying"),
    [("tls", "pbx.example", ("sdes", "dtls")), ("tls", "", ("dtls", "sdes")), ("udp", "", ("dtls", "sdes"))],
)
def test_where_keys_of_a_description_can_be_read_dtls_is_recommended_before_them(
    transport: str, name: str, keying: tuple[str, ...]
) -> None:
    found = findings((Offer.SDES, SDES), (Offer.DTLS, DTLS), transport=transport, name=name)
    assert keying_of(found) == keying


def test_what_could_not_be_reached_is_recommended_nothing() -> None:
    found = findings((Offer.SDES, SDES), transport="tls", name="pbx.example")
    found.failure = "refused"
    assert recommend(found)[0] is None


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "LISTEN_SECONDS", 0.05)
    monkeypatch.setattr(offers, "OPTIONS_SECONDS", 2.0)


def takes_plain_only(request: Request) -> list[Answer]:
    return [(488, b"")] if b"RTP/SAVP" in request.body else [(200, description(HOST))]


def takes_keys(request: Request) -> list[Answer]:
    """Any key that is offered is agreed to, with one of ours."""
    line = next((line for line in request.body.decode().splitlines() if "AES_CM_128" in line), "")
    if not line:
        return [(488, b"")]
    keyed = f"{line.partition('inline:')[0]}inline:{'A' * 40}"
    proto = "RTP/SAVP" if b"RTP/SAVP" in request.body else "RTP/AVP"
    return [(200, description(HOST, keyed, proto=proto))]


def tried(script: object, *, number: str = "600") -> tuple[Findings, FakeTrunk]:
    port = free_port(host=HOST)
    fake = FakeTrunk(HOST, port, script).start()  # type: ignore[arg-type]
    pbx = made_trunk(f"sip:{HOST}:{port}", media={"bind": "127.0.0.1"})
    try:
        return asyncio.run(try_offers(pbx, number, "example.test", 3.0)), fake
    finally:
        fake.stop()


def test_a_phone_without_encryption_is_found_out_and_every_step_is_told() -> None:
    found, fake = tried(takes_plain_only)
    assert [(a.offer, a.works, a.status) for a in found.attempts] == [
        (Offer.PLAIN, True, 200),
        (Offer.OSRTP, True, 200),
        (Offer.SDES, False, 488),
        (Offer.DTLS, False, 488),
    ]
    assert (found.options, found.recommended) == (200, Profile.LEGACY)
    methods = [request.method for request in fake.seen]
    assert methods[0] == "OPTIONS"
    assert methods.count("INVITE") == 4
    assert methods.count("BYE") == 2
    assert [step.split(" ")[0] for step in found.steps] == ["found", "OPTIONS", *["INVITE"] * 4]


def test_a_phone_that_takes_keys_over_udp_is_no_strict_one() -> None:
    found, _ = tried(takes_keys)
    works = {attempt.offer: attempt.works for attempt in found.attempts}
    assert works == {Offer.PLAIN: False, Offer.OSRTP: True, Offer.SDES: True, Offer.DTLS: False}
    assert found.recommended is Profile.PREFER


def test_a_target_dns_fails_for_keeps_none_of_the_others_from_being_tried() -> None:
    async def hops(*targets: str) -> list[str]:
        async with nameserver() as server:
            server.servfail = {"*"}
            pbx = made_trunk("", targets=[{"target": target} for target in targets])
            return [str(hop) for hop in await offers._hops(pbx, [server.address])]

    assert asyncio.run(hops("sip:gone.example:5060", f"sip:{HOST}:5060")) == [f"udp:{HOST}:5060"]
    with pytest.raises(TransportError, match=r"gone\.example cannot be resolved"):
        asyncio.run(hops("sip:gone.example:5060", "sip:gone.example:5061"))


def test_without_a_number_nobody_is_called() -> None:
    found, fake = tried(takes_keys, number="")
    assert [request.method for request in fake.seen] == ["OPTIONS"]
    assert (found.attempts, found.recommended) == ([], None)


def test_a_trunk_that_says_nothing_is_asked_for_a_bounded_time() -> None:
    port = free_port(host=HOST)
    trunk = made_trunk(f"sip:{HOST}:{port};transport=tcp", media={"bind": "127.0.0.1"})
    found = asyncio.run(try_offers(trunk, "600", "example.test", 1.0))
    assert "tcp to" in found.failure
    assert found.recommended is None


@pytest.mark.parametrize(("name", "answers"), [(DOMAIN, 2), ("impostor.example", 1)])
def test_a_challenge_is_answered_only_where_the_certificate_proves_the_trunk(
    tmp_path: Path, name: str, answers: int
) -> None:
    async def challenged() -> list[bytes]:
        seen: list[bytes] = []
        async with tls_peer(tmp_path, make_certificate(alternative_names=dns(name), issuer=AUTHORITY)) as peer:
            login = {"user": "acme", "password": "canary-password", "realm": DOMAIN}
            asking = asyncio.create_task(try_offers(trunk(tmp_path, peer.address, auth=login), "", DOMAIN, 3.0))
            await until(lambda: len(peer.peers) == 2, "the place was tried, then asked")
            gateway = peer.peers[1]
            for _ in range(answers):
                seen.append(await asyncio.wait_for(gateway.reader.readuntil(b"\r\n\r\n"), 5.0))
                request = parse_message(seen[-1], stream=True)
                assert isinstance(request, Request)
                challenge = f'Digest realm="{DOMAIN}", nonce="n", algorithm=MD5'
                gateway.send(bytes(create_response(request, 401, headers=[("WWW-Authenticate", challenge)])))
            assert (await asking).options == 401
            seen.append(await gateway.rest())
        return seen

    *asked, rest = asyncio.run(challenged())
    assert [b"\r\nAuthorization: Digest" in request for request in asked] == [False, True][:answers]
    assert b"Authorization" not in rest


def test_what_programs_get_has_no_key_in_it() -> None:
    found, fake = tried(takes_keys)
    told = repr(found.as_dict())
    offered = [line for r in fake.seen for line in r.body.decode().splitlines() if "inline:" in line]
    assert offered
    assert not [line for line in offered if line.split("inline:")[1] in told]
    assert "A" * 40 not in told
