"""What the browser hears of the answers of its PBX, and whom its connection is taken for after them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.base.counters import Counter
from gateway.call.guesses import NAME_AT_PLACE
from gateway.sip.message import Response
from tests.call.registration.reception import PASSWORD, REALM, Reception, RelayedPage
from tests.rig.registrar import StrictRegistrar, parameters

pytestmark = pytest.mark.asyncio


@pytest.fixture
def reception(tmp_path: Path) -> Reception:
    return Reception(tmp_path)


async def test_the_browser_learns_nothing_of_what_is_behind_the_gateway(reception: Reception) -> None:
    reception.registrar.bindings["alice"] = {}
    desk = RelayedPage(reception, 2)
    await reception.hears(desk.register_request(), desk.flow)
    page = RelayedPage(reception)
    await page.register()
    told = "".join(bytes(response).decode() for response in page.heard)
    assert "10.0.0.7" not in told
    assert "gw-" not in told


async def test_the_browser_hears_its_own_contact_with_the_time_the_pbx_gave(reception: Reception) -> None:
    reception.rewrite = _shorten
    page = RelayedPage(reception)
    response = await page.register(expires=600)
    (contact,) = response.contacts
    assert (str(contact.uri), contact.params.get("expires")) == (page.contact, "77")
    (binding,) = await reception.manager.location.locate("alice")
    assert round(binding.seconds) == 77


def _shorten(response: Response) -> Response:
    contact = response.headers.get("Contact")
    return response.with_header("Contact", contact.replace("expires=600", "expires=77")) if contact else response


async def test_a_connection_is_one_user_for_ever(reception: Reception) -> None:
    page = RelayedPage(reception)
    await page.register()
    bob = RelayedPage(reception, 1, user="bob", password="builder")
    before = len(reception.relayed)
    assert (await bob.send(bob.register_request())).status == 403
    assert len(reception.relayed) == before
    await page.register(expires=0)
    assert (await bob.send(bob.register_request())).status == 403


async def test_a_pbx_that_asks_for_no_password_signs_nobody_in(reception: Reception) -> None:
    """It trusts the gateway's address, and would let anybody be anybody."""
    reception.registrar.asks = False
    page = RelayedPage(reception)
    assert (await page.register()).status == 502
    assert reception.relay.user_of(page.flow) is None
    assert (await page.send(page.invite("700"))).status == 403
    faked = page.register_request().with_added([("Authorization", _made_up())])
    assert (await page.send(faked)).status == 502
    assert "Authorization" not in reception.relayed[-1].headers


def _made_up() -> str:
    return (
        f'Digest username="alice", realm="{REALM}", nonce="x", uri="sip:{REALM}", response="{"0" * 32}", '
        'algorithm=MD5, qop=auth, nc=00000001, cnonce="c"'
    )


async def test_of_a_challenge_only_qop_auth_is_left_because_bodies_are_rewritten(reception: Reception) -> None:
    page = RelayedPage(reception)
    (first, _) = (await page.send(page.register_request())).headers.get_all("WWW-Authenticate")
    assert 'qop="auth"' in first
    assert parameters(first)["opaque"] == "o"


@pytest.mark.parametrize("qop", ["auth-int", ""])
async def test_a_challenge_that_cannot_be_relayed_is_the_fault_of_what_is_behind_us(
    reception: Reception, qop: str
) -> None:
    reception.registrar.qop = qop
    page = RelayedPage(reception)
    response = await page.send(page.register_request())
    assert response.status == 502
    assert "WWW-Authenticate" not in response.headers


async def test_no_realm_but_the_one_that_is_configured_may_ask_for_a_password(tmp_path: Path) -> None:
    reception = Reception(tmp_path, StrictRegistrar("elsewhere.test", {"alice": PASSWORD}), realm=REALM)
    page = RelayedPage(reception)
    assert (await page.send(page.register_request())).status == 502


@pytest.mark.parametrize("status", [403, 404, 480, 500, 503, 603])
async def test_a_refusal_of_the_pbx_is_told_as_it_is(reception: Reception, status: int) -> None:
    reception.registrar.refuses["alice"] = status
    page = RelayedPage(reception)
    assert (await page.send(page.register_request())).status == status


async def test_a_redirection_is_not_followed(reception: Reception) -> None:
    reception.registrar.refuses["alice"] = 302
    page = RelayedPage(reception)
    assert (await page.send(page.register_request())).status == 502


async def test_the_least_time_of_the_pbx_is_told_and_kept_although_it_is_above_our_limit(tmp_path: Path) -> None:
    reception = Reception(tmp_path, max_expires="60")
    reception.registrar.least = 900
    page = RelayedPage(reception)
    response = await page.register(expires=600)
    assert (response.status, response.headers.get("Min-Expires")) == (423, "900")
    assert (await page.register(expires=900)).status == 200
    assert reception.relayed[-1].contacts[0].params.get("expires") == "900"


async def test_retry_after_of_the_pbx_reaches_the_browser(reception: Reception) -> None:
    reception.registrar.refuses["alice"] = 503
    reception.rewrite = lambda response: response.with_header("Retry-After", "18 (maintenance);duration=3600")
    page = RelayedPage(reception)
    assert (await page.send(page.register_request())).headers.get("Retry-After") == "18"


async def test_a_nonce_that_is_too_old_is_no_guess(reception: Reception) -> None:
    page = RelayedPage(reception)
    for count in range(NAME_AT_PLACE.free + 3):
        request = page.proving(await page.send(page.register_request()))
        reception.registrar.nonces.clear()
        response = await page.send(request)
        assert response.status == 401, count
        assert parameters(response.headers.get_all("WWW-Authenticate")[0])["stale"] == "TRUE"
    assert reception.office.services.counters[Counter.AUTH_FAILED] == 0


async def test_signing_out_is_signing_out_here_too(reception: Reception) -> None:
    page = RelayedPage(reception)
    await page.register()
    response = await page.register(expires=0)
    assert (response.status, response.contacts) == (200, ())
    assert reception.registrar.bindings["alice"] == {}
    assert reception.relay.user_of(page.flow) is None
    assert await reception.manager.location.locate("alice") == ()


async def test_a_star_removes_every_browser_of_the_user(reception: Reception) -> None:
    page, second = RelayedPage(reception), RelayedPage(reception, 2)
    await page.register()
    await second.register()
    challenged = await second.send(second.register_request(expires=None, contact="*", Expires="0"))
    request = second.proving(challenged, expires=None, contact="*").with_added([("Expires", "0")])
    assert (await second.send(request)).status == 200
    assert reception.registrar.bindings["alice"] == {}
    assert reception.relay.user_of(page.flow) is None
    assert reception.relay.book.places == 0
    assert reception.manager.bindings.peek("alice") == ()


async def test_a_query_lists_what_the_user_has_here(reception: Reception) -> None:
    page, second = RelayedPage(reception), RelayedPage(reception, 2)
    await page.register()
    await second.register()
    response = await page.register(expires=None)
    assert {str(contact.uri) for contact in response.contacts} == {page.contact, second.contact}


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_whom_the_pbx_knows_no_more_begins_nothing_more(reception: Reception, status: int) -> None:
    page = RelayedPage(reception)
    await page.register()
    challenged = await page.send(page.register_request())
    if status == 401:
        reception.registrar.passwords["alice"] = "another one"
    else:
        reception.registrar.refuses["alice"] = status
    assert (await page.send(page.proving(challenged))).status == status
    assert (await page.send(page.invite("700"))).status == 403


async def test_who_has_connections_enough_is_told_to_come_back_and_taken_back_at_the_pbx(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reception.relay._leavers, "_seconds", 0.0)
    reception.office.sip.full = True
    reception.registrar.once = False
    page = RelayedPage(reception)
    response = await page.register()
    assert (response.status, response.headers.get("Retry-After")) == (503, "60")
    assert reception.relay.user_of(page.flow) is None
    await reception.settle()
    assert reception.registrar.bindings["alice"] == {}


async def test_a_browser_that_left_before_the_answer_came_is_not_bound(reception: Reception) -> None:
    page = RelayedPage(reception)
    request = page.proving(await page.send(page.register_request()))
    reception.office.sip.gone.add(page.flow.id)
    reception.manager.flow_closed(page.flow)
    await reception.hears(request, page.flow)
    assert reception.relay.book.places == 0
    assert await reception.manager.location.locate("alice") == ()


async def test_a_guess_counts_although_its_connection_ends_before_the_answer(reception: Reception) -> None:
    page = RelayedPage(reception, password="guess")
    request = page.proving(await page.send(page.register_request()))
    reception.silent = True
    assert await reception.hears(request, page.flow) is None
    reception.office.sip.gone.add(page.flow.id)
    reception.manager.flow_closed(page.flow)
    reception.silent = False
    await reception.settle()
    assert reception.office.services.counters[Counter.AUTH_FAILED] == 1
    assert len(reception.relay.book) == 0


async def test_a_sign_in_is_recorded_once_for_a_connection(reception: Reception) -> None:
    page = RelayedPage(reception)
    await page.register()
    await page.register()
    assert [(r["type"], r["user"]) for r in reception.office.audit.records] == [("auth.ok", "alice")]


async def test_without_credentials_a_refresh_of_who_is_signed_in_is_believed(reception: Reception) -> None:
    """Some registrars do not ask again on every refresh."""
    page = RelayedPage(reception)
    await page.register()
    reception.registrar.asks = False
    assert (await page.send(page.register_request())).status == 200


async def test_a_next_nonce_of_the_pbx_may_be_answered(reception: Reception) -> None:
    """RFC 7616 3.5."""
    page = RelayedPage(reception)
    reception.rewrite = _with_next_nonce
    response = await page.register()
    assert response.headers.get("Authentication-Info") == 'nextnonce="next1"'
    request = page.proving(page.heard[0])
    written = request.headers.get("Authorization") or ""
    value = written.replace(parameters(written)["nonce"], "next1")
    await page.send(request.with_header("Authorization", value))
    assert "next1" in (reception.relayed[-1].headers.get("Authorization") or "")


def _with_next_nonce(response: Response) -> Response:
    info = [("Authentication-Info", 'nextnonce="next1"')]
    return response.with_added(info) if response.status == 200 else response
