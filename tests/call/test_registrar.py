"""The registrar by the steps of RFC 3261 10.3: what binds, what removes, what a query tells, what comes too late."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.base.errors import SipError
from gateway.call.registrar import DEFAULT_EXPIRES, MAX_BINDINGS, MAX_EXPIRES, Registrar
from gateway.sip.message import Request, Response
from tests import messages
from tests.call.machine_scene import BROWSER_FLOW

HERE = "<sip:alice@here.invalid;transport=ws>"
THERE = "<sip:alice@there.invalid;transport=ws>"
OTHER_FLOW = replace(BROWSER_FLOW, id=77)
NOW = 1000.0


def register(
    *contacts: str, expires: str | None = None, call_id: str = "reg-1", cseq: int = 1, user: str = "alice"
) -> Request:
    extra = [f"Contact: {contact}" for contact in contacts]
    if expires is not None:
        extra.append(f"Expires: {expires}")
    aor = f"<sip:{user}@example.test>"
    via = f"SIP/2.0/WSS client.invalid;branch=z9hG4bK{call_id}{cseq}"
    lines = messages.fields("REGISTER", via=via, from_=f"{aor};tag=a", to=aor, call_id=call_id, cseq=cseq, extra=extra)
    return messages.request("REGISTER", "sip:example.test", lines)


class RegistrarDesk:
    """A registrar with alice signed in on two connections; counts CSeq up."""

    def __init__(self) -> None:
        self.registrar = Registrar()
        self.registrar.authenticate(BROWSER_FLOW, "alice")
        self.registrar.authenticate(OTHER_FLOW, "alice")
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
        name = call_id or ("reg-2" if there else "reg-1")
        request = register(*contacts, expires=expires, cseq=cseq or self.cseq, call_id=name)
        return self.registrar.register(request, OTHER_FLOW if there else BROWSER_FLOW, "alice", now)

    def bound(self, now: float = NOW) -> list[str]:
        return [value.partition(">")[0] + ">" for value in self.send(now=now).headers.values("Contact")]


def test_a_contact_is_bound_to_its_connection_for_as_long_as_asked() -> None:
    desk = RegistrarDesk()
    answer = desk.send(f"{HERE};expires=300")
    assert answer.headers.values("Contact") == [f"{HERE};expires=300"]
    binding = desk.registrar.lookup("alice", NOW + 299)
    assert binding is not None
    assert (binding.flow, binding.contact_uri) == (BROWSER_FLOW, HERE[1:-1])
    assert desk.registrar.lookup("alice", NOW + 300) is None
    assert len(desk.registrar) == 0


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
    assert desk.registrar.lookup("alice", NOW) is None


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
    assert len(desk.registrar) == 0


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
    desk.registrar.flow_closed(BROWSER_FLOW)
    binding = desk.registrar.lookup("alice", NOW)
    assert binding is not None
    assert binding.flow == OTHER_FLOW


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


def test_whose_address_it_is_must_be_who_signed_in() -> None:
    desk = RegistrarDesk()
    request = register(HERE, user="bob")
    assert desk.registrar.register(request, BROWSER_FLOW, "alice", NOW).status == 403
    assert len(desk.registrar) == 0


# Step 8: the answer.


def test_a_query_lists_every_binding_with_the_time_it_has_left_and_changes_nothing() -> None:
    desk = RegistrarDesk()
    desk.send(f"{HERE};expires=300")
    desk.send(f"{THERE};expires=100", there=True)
    for _ in range(2):
        listed = desk.send(now=NOW + 40).headers.values("Contact")
        assert listed == [f"{HERE};expires=260", f"{THERE};expires=60"]
    assert desk.send(now=NOW + 120).headers.values("Contact") == [f"{HERE};expires=180"]


def test_the_connection_that_registered_last_is_called_and_after_it_the_one_before() -> None:
    desk = RegistrarDesk()
    desk.send(HERE)
    desk.send(THERE, there=True)
    last = desk.registrar.lookup("alice", NOW)
    assert last is not None
    assert last.flow == OTHER_FLOW
    desk.registrar.flow_closed(OTHER_FLOW)
    before = desk.registrar.lookup("alice", NOW)
    assert before is not None
    assert before.flow == BROWSER_FLOW
    desk.registrar.flow_closed(BROWSER_FLOW)
    assert desk.registrar.lookup("alice", NOW) is None
    assert len(desk.registrar) == 0
