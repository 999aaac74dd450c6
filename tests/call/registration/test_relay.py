"""Browsers sign in at the PBX: what reaches it, what comes back, and whom a connection is taken for after that."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.base.counters import Counter
from gateway.base.errors import SipError, TransportError
from gateway.call.guesses import NAME_AT_PLACE
from gateway.call.registration import link
from gateway.call.registration.book import GRACE_SECONDS
from gateway.call.registration.limits import USER
from tests.call.registration.reception import ADDRESS, PASSWORD, REALM, Reception, RelayedPage
from tests.rig.registrar import parameters

pytestmark = pytest.mark.asyncio


@pytest.fixture
def reception(tmp_path: Path) -> Reception:
    return Reception(tmp_path)


async def test_a_browser_signs_in_with_the_password_that_only_the_pbx_knows(reception: Reception) -> None:
    page = RelayedPage(reception)
    assert (await page.register()).status == 200
    assert [r.status for r in page.heard] == [401, 200]
    assert reception.relay.user_of(page.flow) == "alice"
    await reception.hears(page.invite("700"), page.flow)
    assert len(reception.invites) == 1


@pytest.mark.parametrize("strongest", [False, True])
async def test_md5_and_sha_256_both_pass_and_the_order_is_that_of_the_pbx(
    reception: Reception, strongest: bool
) -> None:
    page = RelayedPage(reception, strongest=strongest)
    assert (await page.register()).status == 200
    challenges = page.heard[0].headers.get_all("WWW-Authenticate")
    assert [parameters(challenge)["algorithm"] for challenge in challenges] == ["SHA-256", "MD5"]
    given = reception.relayed[-1].headers.get("Authorization")
    assert parameters(given or "")["algorithm"] == ("SHA-256" if strongest else "MD5")


async def test_what_the_digest_covers_and_a_nonce_may_be_tied_to_goes_through_octet_for_octet(
    reception: Reception,
) -> None:
    page = RelayedPage(reception)
    await page.register()
    sent = reception.relayed[-1]
    assert (sent.method, sent.uri) == ("REGISTER", f"sip:{REALM}")
    for name in ("From", "To", "Call-ID", "CSeq"):
        original = page.register_request().headers.get(name)
        assert sent.headers.get(name) == (original if name != "CSeq" else "102 REGISTER")


async def test_nothing_else_of_the_browser_reaches_the_pbx(reception: Reception) -> None:
    page = RelayedPage(reception)
    await page.send(page.register_request(User_Agent="JsSIP", Route="<sip:evil.invalid;lr>", Path="<sip:evil.invalid>"))
    sent = reception.relayed[-1]
    assert {name for name, _ in sent.headers} == {"From", "To", "Call-ID", "CSeq", "Max-Forwards", "Contact", "Expires"}
    assert "invalid" not in bytes(sent).decode()


async def test_the_pbx_is_given_a_contact_here_that_names_the_place(reception: Reception) -> None:
    page = RelayedPage(reception, instance="urn:uuid:1")
    await page.register()
    (contact,) = reception.relayed[-1].contacts
    assert (contact.uri.user or "").startswith("gw-")
    assert f"{contact.uri.host}:{contact.uri.port}" == ADDRESS
    assert contact.uri.transport == "tls"
    assert contact.params.get("+sip.instance") == '"<urn:uuid:1>"'


async def test_a_browser_that_was_not_let_in_is_nobody_and_its_calls_go_nowhere(reception: Reception) -> None:
    page = RelayedPage(reception, password="guess")
    assert (await page.register()).status == 401
    assert reception.relay.user_of(page.flow) is None
    for request in (page.invite("700"), page.invite("600")):
        assert (await page.send(request)).status == 403
    assert reception.invites == []


async def test_only_the_200_of_its_own_register_makes_a_connection_somebody(reception: Reception) -> None:
    """Another connection, or the answer to another user's REGISTER, is no use."""
    page, other = RelayedPage(reception), RelayedPage(reception, 2)
    await page.register()
    assert (await other.send(other.invite("700"))).status == 403
    assert (await page.send(page.invite("700", user="bob"))).status == 403


async def test_credentials_pass_only_over_the_connection_that_was_challenged(reception: Reception) -> None:
    """Whoever has seen an Authorization of somebody else cannot use it here."""
    victim, thief = RelayedPage(reception), RelayedPage(reception, 2)
    reception.registrar.once = False
    challenged = await victim.send(victim.register_request())
    stolen = victim.proving(challenged)
    assert (await victim.send(stolen)).status == 200
    assert (await thief.send(stolen)).status == 401
    assert "Authorization" not in reception.relayed[-1].headers
    assert reception.relay.user_of(thief.flow) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("qop=auth", "qop=auth-int"),
        ("Digest ", "Basic "),
        (f'uri="sip:{REALM}"', 'uri="sip:other.test"'),
        ("nc=00000001", "nc=1"),
    ],
)
async def test_credentials_beyond_what_can_be_relayed_are_held_back(reception: Reception, old: str, new: str) -> None:
    page = RelayedPage(reception)
    request = page.proving(await page.send(page.register_request()))
    value = (request.headers.get("Authorization") or "").replace(old, new)
    assert new in value
    assert (await page.send(request.with_header("Authorization", value))).status == 401
    assert "Authorization" not in reception.relayed[-1].headers


async def test_a_registration_is_asked_for_no_longer_than_the_limit(tmp_path: Path) -> None:
    reception = Reception(tmp_path, max_expires="120")
    response = await RelayedPage(reception).register(expires=3600)
    assert reception.relayed[-1].contacts[0].params.get("expires") == "120"
    assert response.contacts[0].params.get("expires") == "120"


async def test_a_pbx_that_cannot_be_reached_is_503(reception: Reception) -> None:
    del reception.office.sip.flows["pbx"]
    page = RelayedPage(reception)
    response = await page.send(page.register_request())
    assert (response.status, response.headers.get("Retry-After")) == (503, "5")


async def test_a_pbx_whose_identity_is_not_verified_gets_no_register(reception: Reception) -> None:
    async def connect(_trunk: str, *_tried: object, **_how: object) -> None:
        raise TransportError("refused", verification="the certificate is for another name")

    reception.office.sip.connect = connect  # type: ignore[method-assign,assignment]
    page = RelayedPage(reception)
    assert (await page.send(page.register_request())).status == 503
    assert reception.relayed == []


async def test_a_request_that_cannot_be_sent_is_503(reception: Reception) -> None:
    reception.breaks(SipError("Too many requests in flight", 503))
    page = RelayedPage(reception)
    assert (await page.send(page.register_request())).status == 503


async def test_a_pbx_that_says_nothing_is_504_before_the_browser_gives_up(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "ANSWER_SECONDS", 0.01)
    reception.silent = True
    page = RelayedPage(reception)
    with pytest.raises(AssertionError):
        await page.send(page.register_request())
    await _until_answered(reception)
    assert reception.office.sip.answers[-1][1].status == 504
    assert reception.relay._limits.open == 0


async def _until_answered(reception: Reception) -> None:
    while not reception.office.sip.answers:
        await reception.office.settle()


async def test_counts_of_a_nonce_go_through_in_their_order(reception: Reception) -> None:
    """RFC 7616 3.4: one nonce for several requests."""
    page = RelayedPage(reception)
    challenged = await page.send(page.register_request())
    for count in (1, 2, 3):
        assert (await page.send(page.proving(challenged, count=count))).status == 200
    assert (await page.send(page.proving(challenged, count=3))).status == 401


async def test_wrong_passwords_are_counted_and_soon_do_not_reach_the_pbx(reception: Reception) -> None:
    for number in range(NAME_AT_PLACE.free + 1):
        assert (await RelayedPage(reception, number, password="guess").register()).status == 401
    before = len(reception.relayed)
    late = RelayedPage(reception, 90)
    response = await late.register()
    assert (response.status, response.headers.get("Retry-After")) == (503, "1")
    assert len(reception.relayed) == before + 1  # the one that asks for the challenge
    counters = reception.office.services.counters
    assert (counters[Counter.AUTH_FAILED], counters[Counter.AUTH_DELAYED]) == (NAME_AT_PLACE.free + 1, 1)
    assert [r["type"] for r in reception.office.audit.records] == ["auth.fail"]
    reception.now += 2
    assert (await RelayedPage(reception, 91).register()).status == 200


async def test_of_guesses_at_once_over_many_connections_no_more_reach_the_pbx_than_one_after_the_other(
    reception: Reception,
) -> None:
    pages = [RelayedPage(reception, number, password="guess") for number in range(3 * NAME_AT_PLACE.free)]
    guesses = [(page.proving(await page.send(page.register_request())), page.flow) for page in pages]
    before = len(reception.relayed)
    for number, (request, flow) in enumerate(guesses):
        reception.office.request(request, key=f"guess-{number}", flow=flow)
    await reception.settle()
    assert len(reception.relayed) == before + NAME_AT_PLACE.free + 1
    counters = reception.office.services.counters
    assert counters[Counter.AUTH_DELAYED] == len(pages) - NAME_AT_PLACE.free - 1


async def test_whoever_waits_behind_a_guess_and_ends_is_not_kept_and_not_asked_for(reception: Reception) -> None:
    pages = [RelayedPage(reception, number, password="guess") for number in range(2)]
    guesses = [(page.proving(await page.send(page.register_request())), page.flow) for page in pages]
    reception.silent = True
    for number, (request, flow) in enumerate(guesses):
        reception.office.request(request, key=f"guess-{number}", flow=flow)
    await reception.settle()
    for page in pages:
        reception.office.sip.gone.add(page.flow.id)
        reception.manager.flow_closed(page.flow)
    asked = len(reception.relayed)
    reception.silent = False
    await reception.settle()
    assert len(reception.relay.book) == 0
    assert len(reception.relayed) == asked


async def test_a_flood_of_strangers_stops_before_the_pbx_and_users_refresh_all_the_same(reception: Reception) -> None:
    page = RelayedPage(reception)
    await page.register()
    before = len(reception.relayed)
    for number in range(2, 1002):
        stranger = RelayedPage(reception, number, host=f"198.51.100.{number % 5}")
        await reception.hears(stranger.register_request(), stranger.flow)
    assert len(reception.relayed) - before <= 301
    assert (await page.register()).status == 200


async def test_a_page_gone_mad_is_slowed_down_by_itself(reception: Reception) -> None:
    page, other = RelayedPage(reception), RelayedPage(reception, 2, user="bob", password="builder")
    await page.register()
    statuses = [(await page.send(page.register_request())).status for _ in range(USER.burst + 5)]
    assert set(statuses[: USER.burst]) == {401}
    assert statuses[-1] == 503
    assert (await other.register()).status == 200


@pytest.mark.parametrize(
    ("from_", "to", "status"),
    [
        ("", "<sip:bob@example.test>", 403),
        ("<sip:bob@example.test>;tag=1", "", 403),
        ("<sip:alice@other.test>;tag=1", "", 403),
        ("", "<sip:alice@other.test>", 404),
        ("<sip:al%20ice@example.test>;tag=1", "<sip:al%20ice@example.test>", 403),
        ("<sip:example.test>;tag=1", "<sip:example.test>", 403),
    ],
)
async def test_nobody_registers_anybody_else_or_another_domain(
    reception: Reception, from_: str, to: str, status: int
) -> None:
    page = RelayedPage(reception)
    assert (await page.send(page.register_request(from_=from_, to=to))).status == status
    assert reception.relayed == []


async def test_a_register_for_another_domain_or_for_a_user_is_not_passed_on(reception: Reception) -> None:
    page = RelayedPage(reception)
    for uri in ("sip:other.test", f"sip:alice@{REALM}"):
        request = page.register_request()
        assert (await page.send(type(request)("REGISTER", uri, request.headers))).status == 404
    assert reception.relayed == []


async def test_who_does_not_refresh_is_nobody_when_the_time_the_pbx_gave_is_over(reception: Reception) -> None:
    page = RelayedPage(reception)
    await page.register(expires=600)
    reception.now += 600 + GRACE_SECONDS + 1
    assert (await page.send(page.invite("700"))).status == 403
    assert (await page.register()).status == 200
    assert reception.relay.user_of(page.flow) == "alice"


async def test_a_register_without_hops_left_is_483(reception: Reception) -> None:
    page = RelayedPage(reception)
    request = page.register_request().with_header("Max-Forwards", "0")
    assert (await page.send(request)).status == 483


async def test_ten_contacts_are_enough_for_one_connection(reception: Reception) -> None:
    page = RelayedPage(reception)
    for number in range(10):
        reception.now += 10
        assert (await page.register(contact=f"<sip:a{number}@p.invalid>;expires=600")).status == 200
    reception.now += 10
    assert (await page.register(contact="<sip:a10@p.invalid>;expires=600")).status == 403


@pytest.mark.parametrize("uri", [f"sip:{REALM};maddr=10.0.0.9", f"sip:{REALM};lr", f"sip:{REALM};ttl=1"])
async def test_a_request_uri_that_leads_a_proxy_elsewhere_is_not_passed_on(reception: Reception, uri: str) -> None:
    page = RelayedPage(reception)
    request = page.register_request()
    assert (await page.send(type(request)("REGISTER", uri, request.headers))).status == 404
    assert reception.relayed == []


@pytest.mark.parametrize("password", [PASSWORD, "guess"])
async def test_nothing_is_left_of_a_connection_that_ends_while_the_pbx_thinks(
    reception: Reception, password: str
) -> None:
    page = RelayedPage(reception, password=password)
    request = page.proving(await page.send(page.register_request()))
    reception.silent = True
    assert await reception.hears(request, page.flow) is None
    reception.office.sip.gone.add(page.flow.id)
    reception.manager.flow_closed(page.flow)
    reception.silent = False
    await reception.settle()
    assert len(reception.relay.book) == 0
    assert await reception.hears(page.register_request(), page.flow) is None
    assert len(reception.relay.book) == 0
