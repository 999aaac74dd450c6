"""Calls through a PBX that authenticates the browsers itself: both ways, with what its digest covers left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_asyncio

from gateway.call.legs.user_agent import HOP_HEADER
from gateway.sip.events import RequestReceived, ResponseReceived
from gateway.sip.message import Request, Response, create_response
from tests.call.machine_scene import trunk_flow, vector
from tests.call.registration.reception import ADDRESS, PASSWORD, PLAN, REALM, Reception, RelayedPage
from tests.rig.registrar import StrictRegistrar, parameters, prove

pytestmark = pytest.mark.asyncio


@pytest.fixture
def reception(tmp_path: Path) -> Reception:
    return Reception(tmp_path)


@pytest_asyncio.fixture
async def page(reception: Reception) -> RelayedPage:
    page = RelayedPage(reception)
    assert (await page.register()).status == 200
    return page


class Dialled:
    """One call of a browser, INVITE by INVITE."""

    def __init__(self, page: RelayedPage, number: str = "+49-(30)-1") -> None:
        self.page, self.reception = page, page.reception
        self.uri = f"sip:{number}@{REALM}"

    async def invite(self, sequence: int, *credentials: tuple[str, str]) -> tuple[str, Request]:
        """Send it; gives its key, and the INVITE that left for the PBX."""
        request = self.page.invite("1", sequence=sequence)
        request = Request("INVITE", self.uri, request.headers, request.body).with_added(credentials)
        key = f"call-{sequence}"
        self.reception.office.request(request, key=key, flow=self.page.flow)
        await self.reception.office.settle()
        return key, self.reception.invites[-1]

    async def pbx_says(self, response: Response) -> None:
        """The PBX answers the INVITE it got last."""
        sent = self.reception.office.sip.sent
        key, (_, flow) = [(k, v) for k, v in sent.items() if v[0].method == "INVITE"][-1]
        self.reception.manager.on_event(ResponseReceived(key, response, flow))
        await self.reception.office.settle()

    def told(self, key: str) -> Response:
        """What the browser heard last."""
        return [response for k, response in self.reception.office.sip.answers if k == key][-1]


async def test_an_invite_keeps_what_a_digest_covers_and_a_nonce_may_be_tied_to(page: RelayedPage) -> None:
    call = Dialled(page)
    _, sent = await call.invite(500)
    assert sent.uri == call.uri
    assert (sent.call_id, sent.from_.tag, sent.cseq.number) == ("call-1", "callfrom", 500)
    assert str(sent.from_.uri) == f"sip:alice@{REALM}"
    assert str(sent.to.uri) == f"sip:1@{REALM}"
    assert sent.to.tag is None


async def test_another_spelling_of_a_user_is_another_user_where_a_registrar_says_who_they_are(
    page: RelayedPage,
) -> None:
    """RFC 3261 19.1.4: user parts differ by case."""
    invite = page.invite("1", sequence=500).with_header("From", f"<sip:Alice@{REALM}>;tag=callfrom")
    request = Request("INVITE", f"sip:1@{REALM}", invite.headers, invite.body)
    page.reception.office.request(request, key="call-500", flow=page.flow)
    await page.reception.office.settle()
    assert page.reception.office.statuses("call-500") == [403]


async def test_the_description_and_everything_else_is_built_here_as_for_any_trunk(page: RelayedPage) -> None:
    _, sent = await Dialled(page).invite(500)
    assert b"crypto" in sent.body
    assert b"fingerprint" not in sent.body
    assert "p1.invalid" not in bytes(sent).decode()
    assert HOP_HEADER in sent.headers


async def test_the_407_of_the_pbx_is_the_browsers_and_its_next_invite_brings_the_answer(page: RelayedPage) -> None:
    call, registrar = Dialled(page), page.reception.registrar
    key, first = await call.invite(500)
    await call.pbx_says(registrar.answer(first))
    told = call.told(key)
    assert told.status == 407
    challenges = told.headers.get_all("Proxy-Authenticate")
    assert [parameters(one)["algorithm"] for one in challenges] == ["SHA-256", "MD5"]
    assert all('qop="auth"' in one for one in challenges)
    assert "10.0.0.7" not in bytes(told).decode()
    proof = prove(challenges, "alice", PASSWORD, "INVITE", call.uri)
    _, second = await call.invite(501, ("Proxy-Authorization", proof))
    assert (second.call_id, second.from_.tag, second.cseq.number) == (first.call_id, first.from_.tag, 501)
    assert second.headers.get("Proxy-Authorization") == proof
    assert registrar.judge(second, "alice") == "right"
    records = page.reception.office.audit.records
    assert [r["termination"] for r in records if r["type"] == "call.final"] == ["challenged"]


async def test_the_ack_of_the_answer_carries_the_credentials_too(page: RelayedPage) -> None:
    """RFC 3261 22.1."""
    call = Dialled(page)
    key, first = await call.invite(500)
    await call.pbx_says(page.reception.registrar.answer(first))
    proof = prove(call.told(key).headers.get_all("Proxy-Authenticate"), "alice", PASSWORD, "INVITE", call.uri)
    _, second = await call.invite(501, ("Proxy-Authorization", proof))
    answer = create_response(
        second,
        200,
        to_tag="pbx",
        headers=(("Contact", "<sip:pbx@127.0.0.2:5061;transport=tls>"),),
        body=vector("pjsua2_answer_sdes_m"),
        content_type="application/sdp",
    )
    await call.pbx_says(answer)
    assert page.reception.office.sip.acks[-1].headers.get("Proxy-Authorization") == proof


async def test_credentials_go_to_the_registrar_and_to_no_other_trunk(page: RelayedPage) -> None:
    request = page.invite("700").with_added([("Authorization", _proof(page)), ("Proxy-Authorization", _proof(page))])
    await page.reception.hears(request, page.flow)
    (sent,) = page.reception.invites
    assert "Authorization" not in sent.headers
    assert "Proxy-Authorization" not in sent.headers
    assert sent.call_id != "call-1"


async def test_a_challenge_of_any_other_trunk_is_not_the_browsers(page: RelayedPage) -> None:
    reception = page.reception
    key = "other"
    reception.office.request(page.invite("700"), key=key, flow=page.flow)
    await reception.office.settle()
    reception.office.reply("INVITE", 407)
    await reception.office.settle()
    assert reception.office.statuses(key)[-1] == 502


async def test_credentials_of_somebody_else_do_not_pass(page: RelayedPage) -> None:
    call = Dialled(page)
    proof = prove([f'Digest realm="{REALM}", nonce="n"'], "bob", "builder", "INVITE", call.uri)
    _, sent = await call.invite(500, ("Proxy-Authorization", proof))
    assert "Proxy-Authorization" not in sent.headers


async def test_credentials_for_another_request_uri_do_not_pass(page: RelayedPage) -> None:
    proof = prove([f'Digest realm="{REALM}", nonce="n"'], "alice", PASSWORD, "INVITE", "sip:premium@example.test")
    _, sent = await Dialled(page).invite(500, ("Proxy-Authorization", proof))
    assert "Proxy-Authorization" not in sent.headers


async def test_a_challenge_that_cannot_be_relayed_ends_the_call_as_any_error_of_a_trunk(page: RelayedPage) -> None:
    page.reception.registrar.qop = "auth-int"
    call = Dialled(page)
    key, sent = await call.invite(500)
    await call.pbx_says(page.reception.registrar.answer(sent))
    assert call.told(key).status == 502


async def test_a_refused_password_is_a_new_challenge_and_not_the_end_of_the_sign_in(page: RelayedPage) -> None:
    call = Dialled(page)
    proof = prove([f'Digest realm="{REALM}", nonce="n"'], "alice", "guess", "INVITE", call.uri)
    key, sent = await call.invite(500, ("Proxy-Authorization", proof))
    await call.pbx_says(page.reception.registrar.answer(sent))
    assert call.told(key).status == 407


async def test_a_call_for_help_that_is_challenged_goes_to_the_next_trunk_and_only_the_last_waits_for_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = RelayedPage(Reception(tmp_path))
    await page.register()
    call = Dialled(page, "112")
    key, only = await call.invite(500)
    await call.pbx_says(page.reception.registrar.answer(only))
    assert call.told(key).status == 407
    monkeypatch.setattr("tests.call.registration.reception.PLAN", PLAN | {"emergency_trunks": ["pbx", "carrier"]})
    page = RelayedPage(Reception(tmp_path / "other"))
    await page.register()
    call = Dialled(page, "112")
    key, first = await call.invite(500)
    await call.pbx_says(page.reception.registrar.answer(first))
    assert len(page.reception.invites) == 2
    assert [status for status in page.reception.office.statuses(key) if status >= 300] == []


def _proof(page: RelayedPage) -> str:
    return prove([f'Digest realm="{REALM}", nonce="n"'], "alice", PASSWORD, "INVITE", f"sip:700@{REALM}")


# --- the PBX calls


def place_of(request: Request) -> str:
    """The URI by which the PBX calls a browser it registered by Contact."""
    return str(request.contacts[0].uri)


async def rings(reception: Reception, event: RequestReceived) -> list[tuple[int, str]]:
    """The connections that ring for an INVITE of the PBX, and the Contact each is called by."""
    before = len(reception.invites)
    reception.manager.on_event(event)
    await reception.office.settle()
    sent = [(request, flow) for request, flow in reception.office.sip.sent.values() if request.method == "INVITE"]
    return [(flow.id, request.uri) for request, flow in sent[before:]]


async def test_a_call_to_the_contact_rings_just_that_browser(page: RelayedPage) -> None:
    reception, second = page.reception, RelayedPage(page.reception, 2)
    await second.register()
    first_uri, second_uri = (place_of(request) for request in reception.relayed if "Authorization" in request.headers)
    assert await rings(reception, reception.from_pbx(second_uri)) == [(second.flow.id, second.contact)]
    assert await rings(reception, reception.from_pbx(first_uri, call_id="pbx-2")) == [(page.flow.id, page.contact)]


async def test_a_call_along_the_path_rings_just_that_browser(tmp_path: Path) -> None:
    registrar = StrictRegistrar(REALM, {"alice": PASSWORD}, keeps_path=True)
    reception = Reception(tmp_path, registrar, reached_by="path")
    pages = [RelayedPage(reception, number) for number in (1, 2)]
    for page in pages:
        assert (await page.register()).status == 200
    sent = reception.relayed[-1]
    assert str(sent.contacts[0].uri) == pages[1].contact
    assert "path" in sent.tokens("Supported")
    path = sent.headers.get("Path") or ""
    assert f"@{ADDRESS};transport=tls;lr" in path
    event = reception.from_pbx(pages[1].contact, route=path)
    assert await rings(reception, event) == [(pages[1].flow.id, pages[1].contact)]


async def test_a_registrar_that_drops_the_path_is_told_of_and_nobody_looks_signed_in(tmp_path: Path) -> None:
    """It would call the made-up host of the browser, and never reach it."""
    reception = Reception(tmp_path, reached_by="path")
    page = RelayedPage(reception)
    assert (await page.register()).status == 502


async def test_a_device_with_several_registrations_is_told_apart_by_its_flow_in_the_path(tmp_path: Path) -> None:
    """RFC 5626 5.1: `ob` says that the first hop keeps flows."""
    registrar = StrictRegistrar(REALM, {"alice": PASSWORD}, keeps_path=True)
    reception = Reception(tmp_path, registrar, reached_by="path")
    page = RelayedPage(reception)
    await page.register(contact=f'<{page.contact}>;+sip.instance="<urn:uuid:1>";reg-id=1;expires=600')
    sent = reception.relayed[-1]
    assert ";ob" in (sent.headers.get("Path") or "")
    assert sent.tokens("Supported") == {"path", "outbound"}


async def test_along_a_path_one_contact_is_registered_at_a_time(tmp_path: Path) -> None:
    reception = Reception(tmp_path, reached_by="path")
    page = RelayedPage(reception)
    contacts = "<sip:a@p.invalid>;expires=600, <sip:b@p.invalid>;expires=600"
    assert (await page.send(page.register_request(contact=contacts))).status == 400


async def test_a_call_to_a_place_that_is_gone_is_480_at_once(page: RelayedPage) -> None:
    reception = page.reception
    uri = place_of(reception.relayed[-1])
    reception.office.sip.gone.add(page.flow.id)
    reception.manager.flow_closed(page.flow)
    event = reception.from_pbx(uri)
    assert await rings(reception, event) == []
    assert reception.office.statuses(event.key) == [480]


async def test_a_place_is_called_no_longer_than_the_pbx_said(page: RelayedPage) -> None:
    reception = page.reception
    uri = place_of(reception.relayed[-1])
    reception.now += 601
    event = reception.from_pbx(uri)
    assert await rings(reception, event) == []
    assert reception.office.statuses(event.key) == [480]


async def test_no_other_trunk_calls_a_place_of_the_registrar(page: RelayedPage) -> None:
    reception = page.reception
    event = reception.from_pbx(place_of(reception.relayed[-1]))
    flow = trunk_flow()
    stranger = RequestReceived(event.key, event.request, type(flow)(9, "tls", flow.local, flow.remote, "carrier"))
    assert await rings(reception, stranger) == []
    assert reception.office.statuses(event.key) == [404]


async def test_a_device_that_comes_back_has_the_same_contact_and_takes_its_place(page: RelayedPage) -> None:
    reception = page.reception
    first, again = (RelayedPage(reception, number, instance="urn:uuid:7") for number in (5, 6))
    await first.register()
    uri = place_of(reception.relayed[-1])
    await again.register()
    assert place_of(reception.relayed[-1]) == uri
    assert await rings(reception, reception.from_pbx(uri)) == [(again.flow.id, again.contact)]


async def test_a_device_that_comes_back_is_known_as_one_so_that_its_call_goes_on(page: RelayedPage) -> None:
    reception = page.reception
    device = RelayedPage(reception, 5, instance="urn:uuid:7")
    await device.register()
    devices = reception.manager.location.devices.of(device.flow)
    assert [(one.user, one.instance) for one in devices] == [("alice", '"<urn:uuid:7>"')]


async def test_the_same_device_of_two_users_is_two_places(page: RelayedPage) -> None:
    reception = page.reception
    alice = RelayedPage(reception, 5, instance="urn:uuid:7")
    bob = RelayedPage(reception, 6, user="bob", password="builder", instance="urn:uuid:7")
    await alice.register()
    await bob.register()
    called = {place_of(request) for request in reception.relayed if "Authorization" in request.headers}
    assert len(called) == 3


async def test_a_dialplan_rule_rings_every_browser_of_the_user(page: RelayedPage) -> None:
    reception, second = page.reception, RelayedPage(page.reception, 2)
    await second.register()
    event = reception.from_pbx("sip:100@gw.example.test")
    assert {flow for flow, _ in await rings(reception, event)} == {page.flow.id, second.flow.id}


async def test_a_proxy_that_brings_a_call_of_one_browser_to_another_is_no_loop(page: RelayedPage) -> None:
    """It has our mark, the Call-ID and the tag of the first leg: a spiral (RFC 3261 16.3)."""
    reception = page.reception
    bob = RelayedPage(reception, 2, user="bob", password="builder")
    await bob.register()
    uri = place_of(reception.relayed[-1])
    _, sent = await Dialled(page).invite(500)
    mark = sent.headers.get(HOP_HEADER) or ""
    event = reception.from_pbx(uri, call_id=sent.call_id, tag=sent.from_.tag or "")
    brought = RequestReceived(event.key, event.request.with_added([(HOP_HEADER, mark)]), event.flow)
    assert await rings(reception, brought) == [(bob.flow.id, bob.contact)]


async def test_the_two_legs_a_proxy_has_joined_may_send_to_each_other_and_to_no_other_place_of_ours(
    page: RelayedPage,
) -> None:
    reception = page.reception
    bob = RelayedPage(reception, 2, user="bob", password="builder")
    await bob.register()
    uri = place_of(reception.relayed[-1])
    _, sent = await Dialled(page).invite(500)
    await rings(reception, reception.from_pbx(uri, call_id=sent.call_id, tag=sent.from_.tag or ""))
    await rings(reception, reception.from_pbx(uri, call_id=sent.call_id, tag="another"))
    await rings(reception, reception.from_pbx(uri, call_id="another", tag=sent.from_.tag or ""))
    calls = [runner.state for runner in reception.manager.index.runners]
    (first,) = [leg for call in calls for leg in call.legs.values() if leg.relayed is not None]
    (second,) = first.facing
    assert second.facing == [first]
    assert second.remote_address.tag is None
    assert [leg for call in calls for leg in call.legs.values() if leg.facing and leg not in (first, second)] == []


async def test_a_call_that_was_challenged_before_is_joined_with_nobody(page: RelayedPage) -> None:
    reception = page.reception
    bob = RelayedPage(reception, 2, user="bob", password="builder")
    await bob.register()
    uri = place_of(reception.relayed[-1])
    call = Dialled(page)
    _, sent = await call.invite(500)
    await call.pbx_says(reception.registrar.answer(sent))
    await rings(reception, reception.from_pbx(uri, call_id=sent.call_id, tag=sent.from_.tag or ""))
    calls = [runner.state for runner in reception.manager.index.runners]
    assert [leg for one in calls for leg in one.legs.values() if leg.facing] == []


async def test_a_call_to_a_number_with_our_mark_is_still_a_loop(page: RelayedPage) -> None:
    reception = page.reception
    _, sent = await Dialled(page).invite(500)
    mark = sent.headers.get(HOP_HEADER) or ""
    event = reception.from_pbx("sip:100@gw.example.test")
    looped = RequestReceived(event.key, event.request.with_added([(HOP_HEADER, mark)]), event.flow)
    assert await rings(reception, looped) == []
    assert reception.office.statuses(event.key) == [482]


@pytest.mark.parametrize("uri", ["sip:600@evil.test", f"sip:600@{REALM};maddr=10.0.0.9", f"sip:600@{REALM};method=BYE"])
async def test_a_request_uri_that_would_lead_the_pbx_elsewhere_is_no_route(page: RelayedPage, uri: str) -> None:
    """It goes on as it came, so it must mean the PBX wherever it is read."""
    request = page.invite("600")
    key = "astray"
    page.reception.office.request(type(request)("INVITE", uri, request.headers, request.body), key=key, flow=page.flow)
    await page.reception.office.settle()
    assert page.reception.office.statuses(key) == [404]
    assert page.reception.invites == []


async def test_a_telephone_number_as_tel_uri_goes_on_as_it_came(page: RelayedPage) -> None:
    request = page.invite("600")
    tel = type(request)("INVITE", "tel:+49-30-123", request.headers, request.body)
    await page.reception.hears(tel, page.flow)
    assert page.reception.invites[-1].uri == "tel:+49-30-123"
