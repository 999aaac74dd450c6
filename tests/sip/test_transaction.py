"""The transaction tables are complete, and every way through them comes to an end (RFC 3261 17, RFC 6026)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.base.errors import SipError
from gateway.sip.timers import TIMERS, Timer
from gateway.sip.transaction import (
    INVITE_CLIENT,
    INVITE_SERVER,
    MACHINES,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    Effect,
    Event,
    Machine,
    State,
    response_event,
)

EVERY_MACHINE = pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.name)


def _states(machine: Machine) -> set[State]:
    return {state for state, _ in machine.rows} - {State.INITIAL}


def _targets(machine: Machine, state: State) -> Iterator[State]:
    return (step[0] for (origin, _), step in machine.rows.items() if origin is state)


@EVERY_MACHINE
def test_each_state_knows_each_event_and_each_of_its_timers(machine: Machine) -> None:
    assert {trigger for state, trigger in machine.rows if state is State.INITIAL} == {Event.START}
    for state in _states(machine):
        known = {trigger for origin, trigger in machine.rows if origin is state}
        assert known == machine.events | set(machine.timers[state]), state


@EVERY_MACHINE
def test_each_state_can_be_reached_from_the_first(machine: Machine) -> None:
    reached, fresh = {State.INITIAL}, {State.INITIAL}
    while fresh:
        fresh = {target for state in fresh for target in _targets(machine, state)} - reached
        reached |= fresh
    assert reached - {State.INITIAL, State.TERMINATED} == _states(machine) == set(machine.timers)


@EVERY_MACHINE
@pytest.mark.parametrize("reliable", [True, False])
def test_timers_alone_bring_each_state_to_its_end(machine: Machine, reliable: bool) -> None:
    for state in _states(machine):
        seen = set[State]()
        while state is not State.TERMINATED:
            assert state not in seen, f"{state} is never left"
            seen.add(state)
            once = [timer for timer in machine.timers[state] if TIMERS[timer].cap is None]
            assert all(TIMERS[timer].delay(reliable) is not None for timer in once)
            last = max(once, key=lambda timer: TIMERS[timer].delay(reliable) or 0)
            state = machine.step(state, last)[0]


@EVERY_MACHINE
def test_a_timer_that_fires_once_leaves_the_states_it_runs_in(machine: Machine) -> None:
    for (state, trigger), (target, _) in machine.rows.items():
        if isinstance(trigger, Timer) and TIMERS[trigger].cap is None:
            assert target is not state
            assert trigger not in machine.timers.get(target, ())


@EVERY_MACHINE
def test_the_end_is_final_and_a_missing_row_is_a_typed_error(machine: Machine) -> None:
    for event in Event:
        with pytest.raises(SipError) as caught:
            machine.step(State.TERMINATED, event)
        assert caught.value.status == 500


@EVERY_MACHINE
def test_a_lost_transport_ends_every_state_and_is_told_only_while_something_was_due(machine: Machine) -> None:
    told = set()
    for state in _states(machine):
        target, effects = machine.step(state, Event.TRANSPORT_ERROR)
        assert target is State.TERMINATED
        assert effects in ((), (Effect.REPORT_TRANSPORT,))
        if effects:
            told.add(state)
    assert machine is not INVITE_CLIENT or State.ACCEPTED not in told
    assert not told & {State.COMPLETED, State.CONFIRMED, State.ACKNOWLEDGED}


def test_timer_b_runs_only_before_the_first_provisional_response() -> None:
    with_b = {state for state, timers in INVITE_CLIENT.timers.items() if Timer.B in timers}
    assert with_b == {State.CALLING, State.CANCEL_PENDING}


def test_accepted_absorbs_retransmitted_invites_as_rfc_6026_has_it() -> None:
    for state in (State.ACCEPTED, State.ACKNOWLEDGED):
        assert INVITE_SERVER.step(state, Event.REQUEST) == (state, ())
        assert INVITE_SERVER.timers[state][-1] is Timer.L
    assert INVITE_CLIENT.step(State.ACCEPTED, Event.SUCCESS) == (State.ACCEPTED, (Effect.PASS_RESPONSE,))
    assert INVITE_CLIENT.timers[State.ACCEPTED] == (Timer.M,)


def test_a_cancel_goes_out_only_after_a_provisional_response() -> None:
    rows = [(state, trigger) for (state, trigger), step in INVITE_CLIENT.rows.items() if Effect.SEND_CANCEL in step[1]]
    assert set(rows) == {(State.CANCEL_PENDING, Event.PROVISIONAL), (State.PROCEEDING, Event.CANCEL)}


def test_every_final_response_to_an_invite_is_answered_or_handed_up() -> None:
    for state in _states(INVITE_CLIENT) - {State.COMPLETED, State.ACCEPTED}:
        assert INVITE_CLIENT.step(state, Event.SUCCESS) == (State.ACCEPTED, (Effect.PASS_RESPONSE,))
        assert INVITE_CLIENT.step(state, Event.FAILURE) == (
            State.COMPLETED,
            (Effect.SEND_ACK, Effect.PASS_RESPONSE),
        )
    assert INVITE_CLIENT.step(State.COMPLETED, Event.FAILURE) == (State.COMPLETED, (Effect.SEND_ACK,))


def test_a_non_invite_request_gets_no_provisional_response_but_100() -> None:
    effects = {effect for _, step in NON_INVITE_SERVER.rows.items() for effect in step[1]}
    assert Effect.RESPOND not in effects
    assert NON_INVITE_SERVER.step(State.TRYING, Timer.TRYING) == (State.PROCEEDING, (Effect.SEND_TRYING,))
    assert NON_INVITE_CLIENT.step(State.PROCEEDING, Timer.E)[1] == (Effect.SEND, Effect.SLOW_DOWN)


def test_a_user_hears_of_one_cancel_only() -> None:
    passing = [state for (state, _), step in INVITE_SERVER.rows.items() if Effect.PASS_CANCEL in step[1]]
    assert passing == [State.PROCEEDING]


@pytest.mark.parametrize(
    ("status", "event"),
    [
        (100, Event.PROVISIONAL),
        (199, Event.PROVISIONAL),
        (200, Event.SUCCESS),
        (299, Event.SUCCESS),
        (300, Event.FAILURE),
        (699, Event.FAILURE),
    ],
)
def test_a_status_is_read_by_its_class(status: int, event: Event) -> None:
    assert response_event(status) is event
