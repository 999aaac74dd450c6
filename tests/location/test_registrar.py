"""The registrar by the steps of RFC 3261 10.3: what binds, what removes, what a query tells, what comes too late."""

from __future__ import annotations

import pytest

from gateway.base.errors import SipError
from gateway.location import registrar
from gateway.location.binding import MAX_BINDINGS, Binding
from gateway.location.contacts import DEFAULT_EXPIRES, MAX_EXPIRES
from gateway.location.store import MemoryStore
from gateway.sip.message import Response
from tests.location.pages import NODE, connection, register

HERE = "<sip:alice@here.invalid;transport=ws>"
THERE = "<sip:alice@there.invalid;transport=ws>"
THIS_FLOW, OTHER_FLOW = connection(7), connection(77)
NOW = 1000.0


class RegistrarDesk:
    """A registrar and a memory, with alice on two connections; counts CSeq up."""

    def __init__(self) -> None:
        self.now = NOW
        self.store = MemoryStore(lambda: self.now)
        self.change = registrar.Change()
        self.cseq = 0

    def send(
        self,
        *contacts: str,
        expires: str | None = None,
        now: float = NOW,
        there: bool = False,
        cseq: int = 0,
        call_id: str = "",
    ) -> Response:
        self.cseq += 1
        self.now = now
        name = call_id or ("reg-2" if there else "reg-1")
        request = register(*contacts, expires=expires, cseq=cseq or self.cseq, call_id=name)
        bindings = self.store.peek("alice")
        outcome = registrar.read(request, "alice", OTHER_FLOW if there else THIS_FLOW, NODE, bindings)
        if isinstance(outcome, Response):
            return outcome
        self.change = outcome
        self.store.put("alice", outcome.bound, outcome.unbound)
        assert [b.contact_uri for b in self.store.peek("alice")] == [b.contact_uri for b in outcome.applied(bindings)]
        return registrar.answer(request, self.store.peek("alice"))

    def bound(self, now: float = NOW) -> list[str]:
        return [value.partition(">")[0] + ">" for value in self.send(now=now).headers.values("Contact")]

    def bindings(self, now: float = NOW) -> tuple[Binding, ...]:
        self.now = now
        return self.store.peek("alice")


def test_a_contact_is_bound_to_its_connection_for_as_long_as_asked() -> None:
    desk = RegistrarDesk()
    answer = desk.send(f"{HERE};expires=300")
    assert answer.headers.values("Contact") == [f"{HERE};expires=300"]
    (binding,) = desk.bindings(NOW + 299)
    assert (binding.flow, binding.contact_uri, binding.seconds) == (THIS_FLOW, HERE[1:-1], 1)
    assert desk.bindings(NOW + 300) == ()
    assert len(desk.store) == 0


def test_an_answer_repeats_a_contact_byte_for_byte_so_that_a_client_finds_its_instance() -> None:
    contact = '<sip:a1b2@x.invalid;transport=ws>;+sip.ice;reg-id=1;+sip.instance="<urn:uuid:1>";expires=600'
    assert RegistrarDesk().send(contact).headers.values("Contact") == [contact]


# Step 6: Contact *.


@pytest.mark.parametrize("expires", [None, "3600", "1", "-1", "", "0x0", "zero", "0 0", "00000000000001"])
def test_a_star_without_expires_0_is_refused_and_removes_nothing(expires: str | None) -> None:
    desk = RegistrarDesk()
    desk.send(HERE)
    with pytest.raises(SipError) as refused:
        desk.send("*", expires=expires)
    assert refused.value.status == 400
    assert desk.bound() == [HERE]


@pytest.mark.parametrize("contacts", [("*", HERE), (HERE, "*"), (f"*, {HERE}",), ("*", "*"), ("*, *",)])
def test_a_star_that_does_not_stand_alone_is_refused(contacts: tuple[str, ...]) -> None:
    desk = RegistrarDesk()
    desk.send(HERE)
    with pytest.raises(SipError) as refused:
        desk.send(*contacts, expires="0")
    assert refused.value.status == 400
    assert desk.bound() == [HERE]


def test_a_star_with_parameters_is_no_star() -> None:
    desk = RegistrarDesk()
    desk.send(HERE)
    with pytest.raises(SipError):
        desk.send("*;expires=0", expires="0")
    assert desk.bound() == [HERE]


@pytest.mark.parametrize("expires", ["0", "00", " 0 "])
def test_a_star_with_expires_0_removes_the_bindings_of_every_connection(expires: str) -> None:
    desk = RegistrarDesk()
    desk.send(HERE)
    desk.send(THERE, there=True)
    assert desk.send("*", expires=expires).headers.values("Contact") == []
    assert desk.bindings() == ()


def test_a_star_that_comes_late_removes_nothing() -> None:
    desk = RegistrarDesk()
    desk.send(HERE, cseq=5)
    with pytest.raises(SipError) as refused:
        desk.send("*", expires="0", cseq=5)
    assert refused.value.status == 500
    assert desk.bound() == [HERE]


# Step 7: lifetimes, order, all or nothing.


@pytest.mark.parametrize(
    ("parameter", "header", "granted"),
    [
        ("", None, DEFAULT_EXPIRES),
        ("", "120", 120),
        (";expires=90", "120", 90),
        (";expires=60", None, 60),
        (";expires=3601", None, MAX_EXPIRES),
        (";expires=4294967295", None, MAX_EXPIRES),
        (";expires=4294967296", None, 3600),
        (";expires=99999999999999999999", None, 3600),
        ("", "0" * 5000 + "90", 90),
        (";expires=soon", "120", 3600),
        (";expires", "120", 3600),
        (';expires="90"', None, 3600),
        ("", "-5", 3600),
        ("", "\u0669\u0660", 3600),
        ("", "", 3600),
    ],
)
def test_a_lifetime_is_the_contacts_own_then_the_headers_then_ours(
    parameter: str, header: str | None, granted: int
) -> None:
    (contact,) = RegistrarDesk().send(HERE + parameter, expires=header).headers.values("Contact")
    assert contact == f"{HERE};expires={granted}"


@pytest.mark.parametrize(("parameter", "header"), [(";expires=1", None), (";expires=59", "600"), ("", "59")])
def test_a_lifetime_that_is_too_short_is_423_with_the_shortest_there_is(parameter: str, header: str | None) -> None:
    desk = RegistrarDesk()
    answer = desk.send(HERE + parameter, expires=header)
    assert (answer.status, answer.headers.get("Min-Expires")) == (423, "60")
    assert desk.bound() == []


@pytest.mark.parametrize(("parameter", "header"), [(";expires=0", "600"), ("", "0"), (";expires=000", None)])
def test_lifetime_0_removes_this_contact_and_no_other(parameter: str, header: str | None) -> None:
    desk = RegistrarDesk()
    desk.send(HERE)
    desk.send(THERE, there=True)
    desk.send(HERE + parameter, expires=header)
    assert desk.bound() == [THERE]


def test_removing_what_is_not_bound_is_no_mistake() -> None:
    desk = RegistrarDesk()
    assert desk.send(HERE, expires="0").status == 200
    assert len(desk.store) == 0


def test_several_contacts_are_bound_and_removed_in_one_request() -> None:
    desk = RegistrarDesk()
    desk.send(HERE, f"{THERE};expires=100")
    assert desk.bound() == [HERE, THERE]
    desk.send(f"{HERE};expires=0, {THERE}", expires="200")
    assert desk.bound() == [THERE]


def test_one_contact_with_a_lifetime_that_is_too_short_leaves_all_as_they_were() -> None:
    desk = RegistrarDesk()
    desk.send(HERE)
    answer = desk.send(f"{HERE};expires=0", f"{THERE};expires=5")
    assert answer.status == 423
    assert desk.bound() == [HERE]


@pytest.mark.parametrize("late", [4, 5])
def test_a_register_that_is_not_newer_than_the_binding_changes_nothing(late: int) -> None:
    desk = RegistrarDesk()
    desk.send(f"{HERE};expires=300", cseq=5)
    for contact in (f"{HERE};expires=0", f"{HERE};expires=3000", f"{THERE}, {HERE}"):
        with pytest.raises(SipError) as refused:
            desk.send(contact, cseq=late)
        assert refused.value.status == 500
    assert desk.bound(NOW + 299) == [HERE]
    assert desk.bound(NOW + 301) == []


def test_another_call_id_may_change_a_binding_whatever_its_number() -> None:
    desk = RegistrarDesk()
    desk.send(HERE, cseq=50)
    desk.send(HERE, expires="0", cseq=1, call_id="another")
    assert desk.bound() == []


def test_a_refresh_moves_a_contact_to_the_connection_it_came_on() -> None:
    desk = RegistrarDesk()
    desk.send(HERE)
    desk.send(HERE, there=True)
    assert [binding.flow for binding in desk.bindings()] == [OTHER_FLOW]
    assert [binding.flow for binding in desk.change.displaced] == [THIS_FLOW]


def test_a_refresh_stays_where_it_stood() -> None:
    desk = RegistrarDesk()
    desk.send(HERE)
    desk.send(THERE, there=True)
    desk.send(HERE, now=NOW + 10)
    assert desk.bound(NOW + 10) == [HERE, THERE]


def instance(name: str, number: str, contact: str) -> str:
    return f'{contact};reg-id={number};+sip.instance="<urn:uuid:{name}>"'


def test_the_same_device_over_a_new_connection_replaces_what_it_had() -> None:
    desk = RegistrarDesk()
    desk.send(instance("a", "1", HERE))
    desk.send(instance("a", "1", THERE), there=True)
    assert [(b.flow, b.contact_uri) for b in desk.bindings()] == [(OTHER_FLOW, THERE[1:-1])]
    assert [b.contact_uri for b in desk.change.displaced] == [HERE[1:-1]]


def test_another_registration_of_the_same_device_stands_beside_the_first() -> None:
    desk = RegistrarDesk()
    desk.send(instance("a", "1", HERE))
    desk.send(instance("a", "2", THERE), there=True)
    assert desk.bound() == [HERE, THERE]


def test_a_client_that_names_no_device_is_known_by_its_call_id() -> None:
    desk = RegistrarDesk()
    desk.send(HERE)
    desk.send(THERE, there=True, call_id="reg-1")
    assert desk.bound() == [THERE]


def test_several_devices_stand_beside_each_other() -> None:
    desk = RegistrarDesk()
    desk.send(instance("a", "1", HERE))
    desk.send(instance("b", "1", THERE), there=True)
    assert desk.change.displaced == ()
    assert desk.bound() == [HERE, THERE]


@pytest.mark.parametrize("contact", ["<mailto:alice@example.test>", "<tel:+4930123>", f"<sip:{'a' * 1100}@x>"])
def test_a_contact_that_cannot_be_called_is_refused(contact: str) -> None:
    with pytest.raises(SipError) as refused:
        RegistrarDesk().send(contact)
    assert refused.value.status == 400


def test_more_contacts_than_a_user_may_have_in_one_request_are_refused() -> None:
    with pytest.raises(SipError):
        RegistrarDesk().send(*[f"<sip:alice@n{number}.invalid>" for number in range(MAX_BINDINGS + 1)])


def test_one_binding_too_many_replaces_the_oldest() -> None:
    desk = RegistrarDesk()
    for number in range(MAX_BINDINGS + 1):
        desk.send(f"<sip:alice@n{number}.invalid>")
    bound = desk.bound()
    assert len(bound) == MAX_BINDINGS
    assert bound[0] == "<sip:alice@n1.invalid>"


def test_what_is_bound_in_one_request_never_displaces_itself() -> None:
    desk = RegistrarDesk()
    desk.send(HERE)
    desk.send(*[f"<sip:alice@n{number}.invalid>" for number in range(MAX_BINDINGS)], there=True)
    assert [b.contact_uri for b in desk.change.displaced] == [HERE[1:-1]]
    assert len(desk.bound()) == MAX_BINDINGS


def test_whose_address_it_is_must_be_who_signed_in() -> None:
    request = register(HERE, user="bob")
    answer = registrar.read(request, "alice", THIS_FLOW, NODE, ())
    assert isinstance(answer, Response)
    assert answer.status == 403


# Step 8: the answer.


def test_a_query_lists_every_binding_with_the_time_it_has_left_and_changes_nothing() -> None:
    desk = RegistrarDesk()
    desk.send(f"{HERE};expires=300")
    desk.send(f"{THERE};expires=100", there=True)
    for _ in range(2):
        listed = desk.send(now=NOW + 40).headers.values("Contact")
        assert listed == [f"{HERE};expires=260", f"{THERE};expires=60"]
    assert desk.send(now=NOW + 120).headers.values("Contact") == [f"{HERE};expires=180"]
