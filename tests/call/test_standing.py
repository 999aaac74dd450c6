"""Each of a user's connections is told where the calls of that user ring, by the reg event (RFC 3680)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gateway.base.counters import Counter
from gateway.base.errors import TransportError
from gateway.base.values import HostPort
from gateway.call.registrar import MAX_BINDINGS, MAX_SIGN_INS
from gateway.call.standing import MAX_LISTENERS
from gateway.sip.events import RequestTimeout, ResponseReceived, TransportFailed
from gateway.sip.flow import Flow
from gateway.sip.message import Request, create_response
from tests.call.office import Office
from tests.call.test_registrar import register

NAMESPACE = "{urn:ietf:params:xml:ns:reginfo}"


def document(request: Request) -> ElementTree.Element:
    """The body of a NOTIFY, which the gateway has just written itself."""
    return ElementTree.fromstring(request.body)  # noqa: S314


@dataclass
class Page:
    """A client of alice with its own Contact and Call-ID, as JsSIP is one."""

    office: Office
    name: str
    flow: Flow
    instance: str = ""
    cseq: int = 0

    def register(self, *, expires: int = 600, star: bool = False) -> list[str]:
        """Register over its connection; gives the users of the Contacts of the answer."""
        self.cseq += 1
        instance = f';reg-id=1;+sip.instance="<urn:uuid:{self.instance}>"' if self.instance else ""
        contact = "*" if star else f"<{self.uri}>;expires={expires}{instance}"
        sent = register(contact, expires="0" if star else None, call_id=f"reg-{self.name}", cseq=self.cseq)
        key = f"{self.name}-{self.cseq}"
        self.office.request(sent, key=key, flow=self.flow)
        (answer,) = [response for k, response in self.office.sip.answers if k == key]
        assert answer.status == 200
        return [contact.uri.user or "" for contact in answer.contacts]

    @property
    def uri(self) -> str:
        return f"sip:{self.name}@client.invalid;transport=ws"

    def come_back(self, number: int) -> Page:
        """The same client on a new connection; the gateway need not have noticed that the old one is gone."""
        self.flow = connection(number)
        self.office.manager.registrar.authenticate(self.flow, "alice")
        return self

    def close(self) -> None:
        self.office.manager.flow_closed(self.flow)

    def notifies(self) -> list[Request]:
        return [r for r, flow in self.office.sip.sent.values() if r.method == "NOTIFY" and flow == self.flow]

    def told(self) -> list[str]:
        """Of each NOTIFY so far: how it stands in the document, `rings`, `rings,others`, `waits` or an event."""
        return [self._read(request) for request in self.notifies()]

    def _read(self, request: Request) -> str:
        contacts = document(request).findall(f".//{NAMESPACE}contact")
        (own,) = [c for c in contacts if c.findtext(f"{NAMESPACE}uri") == self.uri]
        if own.get("state") == "terminated":
            return str(own.get("event"))
        rings = own.get("q") == max(str(c.get("q")) for c in contacts)
        return ("rings" if rings else "waits") + (",others" if len(contacts) > 1 and rings else "")

    def answer(self, status: int = 200) -> None:
        """Answer the NOTIFY that came last."""
        key, (request, flow) = [(k, v) for k, v in self.office.sip.sent.items() if v[1] == self.flow][-1]
        self.office.manager.on_event(ResponseReceived(key, create_response(request, status), flow))


def connection(number: int) -> Flow:
    return Flow(number, "wss", HostPort("127.0.0.1", 8443), HostPort("192.0.2.7", 40000 + number))


class Pages:
    """Clients of alice at one manager."""

    def __init__(self, directory: Path) -> None:
        self.office = Office(directory)
        self.now = 1000.0
        object.__setattr__(self.office.services, "clock", lambda: self.now)

    def open(self, name: str, *, instance: str = "") -> Page:
        page = Page(self.office, name, connection(len(name) * 100 + ord(name[-1])), instance)
        self.office.manager.registrar.authenticate(page.flow, "alice")
        return page

    def rings(self) -> str:
        binding = self.office.manager.registrar.lookup("alice", self.now)
        return binding.contact.uri.user or "" if binding is not None else ""


@pytest.fixture
def pages(tmp_path: Path) -> Pages:
    return Pages(tmp_path)


pytestmark = pytest.mark.asyncio


async def test_who_signs_in_alone_is_told_nothing(pages: Pages) -> None:
    first = pages.open("a")
    assert first.register() == ["a"]
    first.register()
    assert first.notifies() == []


async def test_a_second_sign_in_is_told_to_the_first_page_and_to_itself(pages: Pages) -> None:
    first, second = pages.open("a"), pages.open("b")
    first.register()
    assert sorted(second.register()) == ["a", "b"]
    assert (first.told(), second.told(), pages.rings()) == (["waits"], ["rings,others"], "b")


async def test_the_notify_is_a_request_of_its_own_to_the_registered_contact(pages: Pages) -> None:
    first, second = pages.open("a"), pages.open("b")
    first.register()
    second.register()
    (request,) = first.notifies()
    assert (request.uri, request.to.tag) == (first.uri, None)
    assert request.to.uri == request.from_.uri
    assert request.headers.get("Event") == "reg"
    assert request.headers.get("Subscription-State") == "terminated"
    assert request.headers.get("Content-Type") == "application/reginfo+xml"
    assert request.contact is not None
    root = document(request)
    assert (root.tag, root.get("version"), root.get("state")) == (f"{NAMESPACE}reginfo", "0", "full")
    registration = root.find(f"{NAMESPACE}registration")
    assert registration is not None
    assert (registration.get("aor"), registration.get("state")) == ("sip:alice@example.test", "active")


async def test_a_contact_with_characters_that_mean_something_in_xml_stands_in_it_as_it_is(pages: Pages) -> None:
    first, odd = pages.open("a"), pages.open("b&'c")
    first.register()
    odd.register()
    (request,) = first.notifies()
    uris = [e.text for e in document(request).iter(f"{NAMESPACE}uri")]
    assert uris == [odd.uri, first.uri]


async def test_when_the_page_that_rings_closes_the_one_before_rings_and_is_told_so(pages: Pages) -> None:
    first, second = pages.open("a"), pages.open("b")
    first.register()
    second.register()
    first.answer()
    second.close()
    assert (first.told(), pages.rings()) == (["waits", "rings"], "a")


async def test_when_the_page_that_waits_closes_the_one_that_rings_is_told_that_it_is_alone(pages: Pages) -> None:
    first, second = pages.open("a"), pages.open("b")
    first.register()
    second.register()
    second.answer()
    first.close()
    assert second.told() == ["rings,others", "rings"]


async def test_signing_out_on_the_page_that_rings_gives_the_calls_back(pages: Pages) -> None:
    first, second = pages.open("a"), pages.open("b")
    first.register()
    second.register()
    first.answer()
    second.answer()
    second.register(expires=0)
    assert (first.told()[-1], second.told(), pages.rings()) == ("rings", ["rings,others"], "a")


async def test_a_refresh_takes_the_calls_from_nobody(pages: Pages) -> None:
    first, second = pages.open("a"), pages.open("b")
    first.register()
    second.register()
    for page in (first, second, first, first):
        pages.now += 100
        page.register()
        for each in (first, second):
            each.answer()
    assert (first.told(), second.told(), pages.rings()) == (["waits"], ["rings,others"], "b")


async def test_who_unbinds_and_binds_again_has_chosen_to_ring_there(pages: Pages) -> None:
    first, second = pages.open("a"), pages.open("b")
    first.register()
    second.register()
    first.answer()
    second.answer()
    first.register(expires=0)
    second.answer()
    first.register()
    second.answer()
    assert pages.rings() == "a"
    assert (first.told()[-1], second.told()[-1]) == ("rings,others", "waits")


async def test_a_page_that_comes_back_takes_no_calls_from_one_that_lives(pages: Pages) -> None:
    first, second = pages.open("a"), pages.open("b")
    first.register()
    second.register()
    first.close()
    first.come_back(900).register()
    assert (first.told(), pages.rings()) == (["waits"], "b")
    second.close()
    second.come_back(901).register()
    assert (second.told(), pages.rings()) == (["waits"], "a")


async def test_a_page_that_comes_back_when_nobody_else_is_there_rings(pages: Pages) -> None:
    first = pages.open("a")
    first.register()
    first.close()
    first.come_back(900).register()
    assert (first.told(), pages.rings()) == ([], "a")


@pytest.mark.parametrize("how", ["same client", "same instance"])
async def test_the_same_device_on_a_new_connection_is_no_second_sign_in(pages: Pages, how: str) -> None:
    first = pages.open("a", instance="0a")
    first.register()
    old = Page(pages.office, first.name, first.flow)
    if how == "same client":
        back = first.come_back(900)
    else:
        back = pages.open("reloaded", instance="0a")
    assert back.register() == [back.name]
    assert (old.notifies(), back.told(), pages.rings()) == ([], [], back.name)
    pages.office.manager.flow_closed(old.flow)
    assert (back.told(), pages.rings()) == ([], back.name)


async def test_the_same_device_keeps_its_place_when_the_old_connection_is_not_known_to_be_gone(pages: Pages) -> None:
    first, second = pages.open("a"), pages.open("b")
    first.register()
    second.register()
    first.come_back(900).register()
    assert (first.told(), pages.rings()) == (["waits"], "b")
    second.come_back(901).register()
    assert pages.rings() == "b"


async def test_another_client_with_the_same_contact_displaces_the_first_and_says_so(pages: Pages) -> None:
    first, twin = pages.open("a"), pages.open("b")
    first.register()
    pages.office.request(register(f"<{first.uri}>", call_id="twin"), key="twin", flow=twin.flow)
    (request,) = first.notifies()
    events = [c.get("event") for c in document(request).iter(f"{NAMESPACE}contact")]
    assert events == ["registered", "rejected"]


async def test_a_star_of_one_page_is_told_to_the_others_as_unregistered(pages: Pages) -> None:
    first, second = pages.open("a"), pages.open("b")
    first.register()
    second.register()
    first.answer()
    second.answer()
    assert second.register(star=True) == []
    assert (first.told(), second.told(), pages.rings()) == (["waits", "unregistered"], ["rings,others"], "")


async def test_a_page_whose_contact_has_run_out_shall_register_again_when_the_other_one_goes(pages: Pages) -> None:
    first, second = pages.open("a"), pages.open("b")
    first.register(expires=60)
    second.register()
    first.answer()
    pages.now += 61
    second.close()
    assert first.told() == ["waits", "deactivated"]
    first.answer()
    first.register()
    assert (first.told()[-1], pages.rings()) == ("deactivated", "a")


@pytest.mark.parametrize("status", [200, 202, 405, 481, 489, 500, 603])
async def test_any_answer_will_do_and_none_counts_as_an_error(pages: Pages, status: int) -> None:
    first, second = pages.open("a"), pages.open("b")
    first.register()
    second.register()
    first.answer(100)
    first.answer(status)
    assert pages.office.services.counters.snapshot()[Counter.SIP_UNMATCHED_RESPONSE.value] == 0
    second.close()
    assert first.told() == ["waits", "rings"]


async def test_a_page_that_does_not_answer_is_told_one_thing_at_a_time_and_the_latest_when_it_has_given_up(
    pages: Pages,
) -> None:
    first, second = pages.open("a"), pages.open("b")
    first.register()
    second.register()
    for _ in range(50):
        second.register(expires=0)
        second.register()
        second.register(expires=0)
    assert first.told() == ["waits"]
    key = next(k for k, (r, flow) in pages.office.sip.sent.items() if r.method == "NOTIFY" and flow == first.flow)
    pages.office.manager.on_event(RequestTimeout(key))
    assert first.told() == ["waits", "rings"]


async def test_a_notify_that_cannot_be_sent_harms_nobody(pages: Pages) -> None:
    first, second = pages.open("a"), pages.open("b")
    first.register()
    pages.office.sip.broken["NOTIFY"] = TransportError("full")
    assert sorted(second.register()) == ["a", "b"]
    del pages.office.sip.broken["NOTIFY"]
    second.close()
    assert first.told() == ["rings"]


async def test_a_notify_that_did_not_arrive_is_let_go(pages: Pages) -> None:
    first, second = pages.open("a"), pages.open("b")
    first.register()
    second.register()
    key = next(k for k, (_, flow) in pages.office.sip.sent.items() if flow == first.flow)
    pages.office.manager.on_event(TransportFailed(key))
    assert first.told() == ["waits"]


async def test_a_connection_that_closed_before_it_answered_is_forgotten(pages: Pages) -> None:
    first, second = pages.open("a"), pages.open("b")
    first.register()
    second.register()
    first.close()
    second.answer()
    second.close()
    third = pages.open("c")
    third.register()
    assert (len(first.told()), third.told()) == (1, [])


async def test_other_users_hear_nothing_of_it(pages: Pages) -> None:
    first, second = pages.open("a"), pages.open("b")
    bob = connection(5000)
    pages.office.manager.registrar.authenticate(bob, "bob")
    first.register()
    second.register()
    assert {flow for _, flow in pages.office.sip.sent.values()} == {first.flow, second.flow}


async def test_a_connection_that_only_calls_is_told_nothing(pages: Pages) -> None:
    caller = pages.open("a")
    pages.open("b").register()
    assert caller.notifies() == []


async def test_however_many_pages_sign_in_a_bounded_number_is_told(pages: Pages) -> None:
    opened = [pages.open("x" * (number // 20 + 1) + chr(97 + number % 20)) for number in range(MAX_LISTENERS * 3)]
    for page in opened:
        page.register()
    assert len(opened[-1].register()) == MAX_BINDINGS
    before = len(pages.office.sip.sent)
    for page in opened:
        if page.notifies():
            page.answer()
    opened[-1].close()
    assert len(pages.office.sip.sent) - before <= MAX_LISTENERS * 2


async def test_a_page_is_a_new_one_after_too_many_others(pages: Pages) -> None:
    first, keeper = pages.open("a"), pages.open("b")
    first.register()
    keeper.register()
    first.close()
    for number in range(MAX_SIGN_INS):
        passing = pages.open("x" * (number + 2))
        passing.register()
        passing.close()
    keeper.answer()
    first.come_back(9000).register()
    assert pages.rings() == "a"
