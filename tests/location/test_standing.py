"""Who lost a binding without asking for it is told, once; who has one is told nothing."""

from __future__ import annotations

from gateway.location.binding import Binding
from gateway.location.registrar import Change
from gateway.location.standing import MAX_LISTENERS, Gone, Standings
from tests.location.pages import NODE, connection
from tests.location.test_binding import binding

A, B = binding("a", flow=1), binding("b", flow=2)


class Listeners:
    """The connections of alice, and what is bound."""

    def __init__(self) -> None:
        self.standings = Standings(NODE)
        self.bindings: tuple[Binding, ...] = ()

    def change(self, flow: int, change: Change) -> list[tuple[int, Gone | None]]:
        self.bindings = change.applied(self.bindings)
        self.standings.changed("alice", connection(flow), change, self.bindings)
        return self.news()

    def bind(self, *bound: Binding) -> list[tuple[int, Gone | None]]:
        displaced = tuple(old for old in self.bindings if any(new.replaces(old) for new in bound))
        return self.change(bound[0].flow.id, Change(bound, (), displaced))

    def news(self, *busy: int) -> list[tuple[int, Gone | None]]:
        return [(news.flow.id, news.gone) for news in self.standings.news("alice", self.bindings, frozenset(busy))]


def test_who_is_bound_beside_others_is_told_nothing() -> None:
    alice = Listeners()
    assert alice.bind(A) == []
    assert alice.bind(B) == []
    assert len(alice.standings) == 1


def test_who_was_removed_by_another_connection_is_told_once() -> None:
    alice = Listeners()
    alice.bind(A)
    alice.bind(B)
    assert alice.change(2, Change(removed=(A,))) == [(1, Gone.REMOVED)]
    assert alice.news() == []


def test_who_removes_its_own_contact_knows_of_it() -> None:
    alice = Listeners()
    alice.bind(A)
    assert alice.change(1, Change(removed=(A,))) == []
    assert len(alice.standings) == 0


def test_who_gave_way_is_told_and_may_come_back_when_nobody_is_there_any_more() -> None:
    alice = Listeners()
    alice.bind(A)
    twin = binding("a", flow=2, call_id="twin")
    assert alice.bind(twin) == [(1, Gone.DISPLACED)]
    assert alice.change(2, Change(removed=(twin,))) == [(1, Gone.LOST)]


def test_a_device_in_two_tabs_rings_in_the_later_one_and_the_first_is_told() -> None:
    alice = Listeners()
    alice.bind(binding("a", flow=1, instance="0a"))
    assert alice.bind(binding("b", flow=2, instance="0a")) == [(1, Gone.DISPLACED)]


def test_a_client_that_comes_back_over_a_new_connection_leaves_nobody_to_tell() -> None:
    alice = Listeners()
    alice.bind(A)
    assert alice.bind(binding("a", flow=9)) == []
    assert alice.change(2, Change(removed=alice.bindings)) == [(9, Gone.REMOVED)]


def test_who_has_run_out_shall_register_again_whoever_else_is_there() -> None:
    alice = Listeners()
    alice.bind(A)
    alice.bind(B)
    alice.bindings = (B,)
    assert alice.news() == [(1, Gone.LOST)]


def test_who_was_told_and_registers_again_is_told_that_it_is_bound_and_can_be_told_again() -> None:
    alice = Listeners()
    alice.bind(A)
    alice.bind(B)
    alice.change(2, Change(removed=(A,)))
    assert alice.bind(A) == [(1, None)]
    assert alice.bind(A) == []
    assert alice.change(2, Change(removed=(A,))) == [(1, Gone.REMOVED)]


def test_the_versions_of_what_one_connection_is_told_count_up() -> None:
    alice = Listeners()
    numbers = []
    for _ in range(2):
        alice.bind(A)
        alice.bindings = ()
        numbers += [news.number for news in alice.standings.news("alice", (), frozenset())]
    assert numbers == [0, 2]


def test_who_cannot_be_told_now_is_told_when_it_can() -> None:
    alice = Listeners()
    alice.bind(A)
    alice.bindings = ()
    assert alice.news(1) == []
    assert alice.news() == [(1, Gone.LOST)]


def test_a_connection_with_two_contacts_has_lost_nothing_while_one_is_left() -> None:
    alice = Listeners()
    alice.bind(A, binding("z", flow=1))
    assert alice.change(2, Change(removed=(A,))) == []


def test_connections_of_another_process_are_not_ours_to_tell() -> None:
    alice = Listeners()
    alice.bind(A)
    far = binding("b", flow=1, node="another")
    alice.bindings = (far,)
    assert alice.change(2, Change(removed=(far,))) == [(1, Gone.LOST)]


def test_other_users_hear_nothing_of_it() -> None:
    alice = Listeners()
    alice.bind(A)
    assert alice.standings.news("bob", (), frozenset()) == []


def test_however_many_connections_there_are_a_bounded_number_is_told() -> None:
    alice = Listeners()
    for number in range(MAX_LISTENERS * 2):
        alice.bind(binding(f"n{number}", flow=number + 1))
    alice.bindings = ()
    assert [flow for flow, _ in alice.news()] == list(range(MAX_LISTENERS + 1, MAX_LISTENERS * 2 + 1))


def test_a_connection_that_is_gone_leaves_nothing_behind() -> None:
    alice = Listeners()
    alice.bind(A)
    alice.standings.drop("alice", 1)
    alice.standings.drop("alice", 1)
    alice.bindings = ()
    assert alice.news() == []
    assert len(alice.standings) == 0
