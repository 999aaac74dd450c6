"""A binding says what it replaces, and in which order those of a user are called."""

from __future__ import annotations

import pytest

from gateway.location.binding import MAX_BINDINGS, Binding, FlowName, targets
from gateway.sip.address import NameAddr
from tests.location.pages import NODE, connection


def binding(
    name: str, params: str = "", *, flow: int = 1, call_id: str = "", instance: str = "", node: str = NODE
) -> Binding:
    device = f';+sip.instance="<urn:uuid:{instance}>"' if instance else ""
    text = f"<sip:{name}@x.invalid>{params}{device}"
    return Binding(node, connection(flow), NameAddr.parse(text), text, call_id or f"reg-{name}", 1, 600.0)


@pytest.mark.parametrize(
    ("params", "q"),
    [
        ("", 1.0),
        (";q=1", 1.0),
        (";q=1.000", 1.0),
        (";q=0.5", 0.5),
        (";q=0.125", 0.125),
        (";q=0", 0.0),
        (";q=0.", 0.0),
        (";q", 1.0),
        (";q=2", 1.0),
        (";q=1.9", 1.0),
        (";q=-1", 1.0),
        (";q=.5", 1.0),
        (";q=0.5555", 1.0),
        (";q=nan", 1.0),
        (";q=1e9", 1.0),
        (';q="0.5"', 1.0),
    ],
)
def test_a_preference_is_read_by_its_grammar_and_counts_as_the_highest_otherwise(params: str, q: float) -> None:
    assert binding("a", params).q == q


def test_calls_go_to_what_the_user_prefers_and_then_to_what_came_last() -> None:
    bound = [binding("a", ";q=0.5"), binding("b"), binding("c", ";q=0.7"), binding("d"), binding("e", ";q=0.5")]
    assert [b.contact.uri.user for b in targets(bound)] == ["d", "b", "c", "e", "a"]


def test_one_device_is_called_by_one_of_its_ways_only() -> None:
    first = binding("a", ";reg-id=1", flow=1, instance="0a")
    second = binding("b", ";reg-id=2", flow=2, instance="0a")
    other = binding("c", flow=3, instance="0b")
    assert targets([first, second, other]) == (other, second)


def test_devices_that_do_not_say_who_they_are_are_all_called() -> None:
    assert len(targets([binding("a"), binding("b"), binding("c")])) == 3


def test_however_much_a_store_has_a_bounded_number_is_called() -> None:
    assert len(targets([binding(f"n{number}") for number in range(MAX_BINDINGS * 3)])) == MAX_BINDINGS


@pytest.mark.parametrize(
    ("new", "old", "replaced"),
    [
        (binding("a", flow=1), binding("a", flow=2, call_id="other"), True),
        (binding("a"), binding("b"), False),
        (binding("a", ";reg-id=1", instance="0a"), binding("b", ";reg-id=1", instance="0a", flow=2), True),
        (binding("a", ";reg-id=1", instance="0a"), binding("b", ";reg-id=2", instance="0a", flow=2), False),
        (binding("a", ";reg-id=1", instance="0a"), binding("b", ";reg-id=1", instance="0b", flow=2), False),
        (binding("a", instance="0a", call_id="same"), binding("b", instance="0b", flow=2, call_id="same"), False),
        (binding("a", call_id="same"), binding("b", call_id="same", flow=2), True),
        (binding("a", call_id="same"), binding("b", call_id="same"), False),
        (binding("a", call_id="same"), binding("b", call_id="same", node="another"), True),
    ],
)
def test_a_binding_replaces_its_own_contact_its_device_and_what_its_client_had(
    new: Binding, old: Binding, replaced: bool
) -> None:
    assert new.replaces(old) is replaced


def test_a_flow_is_named_so_that_another_process_can_tell_it_from_its_own() -> None:
    assert binding("a", flow=3).place == FlowName(NODE, 3)
    assert binding("a", flow=3, node="another").place != FlowName(NODE, 3)
