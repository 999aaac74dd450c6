"""The INVITE of a leg: each row of both tables, and the ways of real calls through them (RFC 3261 9, 13, 15)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.counters import Counter
from gateway.base.table import Table, Unexpected
from gateway.call.legs.invite_state import (
    CALLEE,
    CALLER,
    INVITES,
    Act,
    Callee,
    CalleeEvent,
    Caller,
    CallerEvent,
    InviteState,
    callee_invite,
    caller_invite,
)

C, R = CalleeEvent, CallerEvent
TABLES = pytest.mark.parametrize("table", INVITES, ids=lambda table: table.name)
AnyTable = Table[Any, Any, Act]


def members(table: AnyTable) -> tuple[list[Enum], list[Enum]]:
    """Every state and every event of a table."""
    return (list(Callee), list(C)) if table is CALLEE else (list(Caller), list(R))


@TABLES
def test_each_step_is_the_tables_and_what_has_no_row_is_named_and_changes_nothing(table: AnyTable) -> None:
    states, happenings = members(table)
    for state in states:
        for event in happenings:
            invite: InviteState[Any, Any] = InviteState(table, state)
            outcome = invite.on(event)
            row = table.rows.get((state, event))
            if row is None:
                assert outcome == Unexpected(table.name, state.name, event.name, Counter.INVITE_UNEXPECTED)
                assert str(outcome) == f"{table.name}: {event.name} in {state.name}"
                assert invite.state is state
            else:
                assert (invite.state, outcome) == row


@TABLES
def test_each_state_is_reached_and_each_event_is_expected_somewhere(table: AnyTable) -> None:
    states, happenings = members(table)
    reached, fresh = {table.first}, {table.first}
    while fresh:
        fresh = {target for (origin, _), (target, _) in table.rows.items() if origin in fresh} - reached
        reached |= fresh
    assert reached == set(states)
    assert {event for _, event in table.rows} == set(happenings)


@TABLES
def test_every_state_can_be_told_that_the_call_is_over_and_telling_it_twice_does_nothing(table: AnyTable) -> None:
    for state in members(table)[0]:
        invite: InviteState[Any, Any] = InviteState(table, state)
        end = C.END if table is CALLEE else R.END
        assert isinstance(invite.on(end), Act)
        assert invite.on(end) is Act.KEEP


@pytest.mark.parametrize("state", [s for s in Callee if s is not Callee.IDLE], ids=lambda s: s.name)
def test_a_2xx_to_our_invite_is_never_overlooked(state: Callee) -> None:
    """RFC 3261 13.2.2.4: it is judged, or acknowledged and hung up on."""
    assert InviteState(CALLEE, state).on(C.SUCCESS) in (Act.JUDGE, Act.HANG_UP)


@pytest.mark.parametrize(
    ("events", "state", "last"),
    [
        ([C.SEND, C.TRYING, C.RING, C.SUCCESS, C.ACCEPT], Callee.CONFIRMED, Act.JOIN),
        ([C.SEND, C.SUCCESS, C.ACCEPT, C.END], Callee.ENDED, Act.BYE),
        ([C.SEND, C.SUCCESS, C.ACCEPT, C.BYE, C.END], Callee.ENDED, Act.KEEP),
        ([C.SEND, C.SUCCESS, C.END], Callee.ENDED, Act.BYE),
        ([C.SEND, C.RING, C.SUCCESS, C.REJECT], Callee.EARLY, Act.WAIT_ON),
        ([C.SEND, C.RING, C.SUCCESS, C.REJECT, C.SUCCESS, C.ACCEPT, C.SUCCESS], Callee.CONFIRMED, Act.HANG_UP),
        ([C.SEND, C.FAILURE, C.SEND], Callee.CALLING, Act.KEEP),
        ([C.SEND, C.RING, C.BYE, C.RING], Callee.EARLY, Act.TELL),
        ([C.SEND, C.RING, C.END, C.FAILURE], Callee.CANCELLED, Act.KEEP),
        ([C.SEND, C.END, C.SUCCESS], Callee.CANCELLED, Act.HANG_UP),
        ([C.SEND, C.END, C.NO_RESPONSE, C.SUCCESS], Callee.CANCELLED, Act.HANG_UP),
        ([C.SEND, C.NO_RESPONSE], Callee.TIMED_OUT, Act.DECIDE),
        ([C.END], Callee.CANCELLED, Act.KEEP),
    ],
)
def test_our_invite_goes_the_way_of_its_responses(events: Sequence[CalleeEvent], state: Callee, last: Act) -> None:
    invite = callee_invite()
    acts = [invite.on(event) for event in events]
    assert invite.state is state
    assert acts[-1] is last


@pytest.mark.parametrize(
    ("events", "state", "last"),
    [
        ([R.RING, R.ANSWER, R.ACK], Caller.ACKNOWLEDGED, Act.JOIN),
        ([R.ANSWER, R.ACK, R.ACK], Caller.ACKNOWLEDGED, Act.KEEP),
        ([R.ANSWER, R.ACK, R.END], Caller.ENDED, Act.BYE),
        ([R.ANSWER, R.ACK, R.BYE, R.END], Caller.ENDED, Act.KEEP),
        ([R.ANSWER, R.END, R.ACK], Caller.ENDED, Act.BYE),
        ([R.ANSWER, R.END, R.BYE, R.ACK], Caller.ENDED, Act.KEEP),
        ([R.ANSWER, R.ACK_MISSING, R.END], Caller.ENDED, Act.BYE),
        ([R.ANSWER, R.CANCEL], Caller.ANSWERED, Act.KEEP),
        ([R.RING, R.CANCEL, R.END], Caller.REFUSED, Act.REFUSE),
        ([R.RING, R.BYE, R.END], Caller.REFUSED, Act.REFUSE),
        ([R.END], Caller.REFUSED, Act.REFUSE),
        ([R.ACK_MISSING, R.END], Caller.REFUSED, Act.REFUSE),
    ],
)
def test_their_invite_goes_the_way_of_our_responses(events: Sequence[CallerEvent], state: Caller, last: Act) -> None:
    invite = caller_invite()
    acts = [invite.on(event) for event in events]
    assert invite.state is state
    assert acts[-1] is last


def test_a_bye_waits_for_the_ack_of_our_2xx() -> None:
    """RFC 3261 15: the callee's user agent must not send BYE before."""
    invite = caller_invite()
    invite.on(R.ANSWER)
    assert invite.on(R.END) is Act.AWAIT_ACK
    assert invite.on(R.ACK) is Act.BYE


@pytest.mark.parametrize(
    ("state", "confirmed", "open_", "unheard", "over"),
    [
        (Callee.IDLE, False, False, False, False),
        (Callee.CALLING, False, False, True, False),
        (Callee.PROCEEDING, False, False, False, False),
        (Callee.EARLY, False, False, False, False),
        (Callee.ANSWERED, True, False, False, False),
        (Callee.CONFIRMED, True, True, False, False),
        (Callee.CANCELLING, False, False, False, False),
        (Callee.CANCELLED, False, False, False, False),
        (Callee.REFUSED, False, False, False, False),
        (Callee.TIMED_OUT, False, False, False, False),
        (Callee.ENDED, True, False, False, True),
    ],
)
def test_what_is_asked_of_our_invite(state: Callee, confirmed: bool, open_: bool, unheard: bool, over: bool) -> None:
    invite = InviteState(CALLEE, state)
    asked = (invite.is_confirmed, invite.is_open, invite.is_unheard, invite.is_over, invite.owes_bye)
    assert asked == (confirmed, open_, unheard, over, False)


@pytest.mark.parametrize(
    ("state", "confirmed", "open_", "over", "owes"),
    [
        (Caller.RECEIVED, False, False, False, False),
        (Caller.RINGING, False, False, False, False),
        (Caller.ANSWERED, True, False, False, False),
        (Caller.ACKNOWLEDGED, True, True, False, False),
        (Caller.ENDING, True, False, True, True),
        (Caller.REFUSED, False, False, False, False),
        (Caller.ENDED, True, False, True, False),
    ],
)
def test_what_is_asked_of_their_invite(state: Caller, confirmed: bool, open_: bool, over: bool, owes: bool) -> None:
    invite = InviteState(CALLER, state)
    asked = (invite.is_confirmed, invite.is_open, invite.is_unheard, invite.is_over, invite.owes_bye)
    assert asked == (confirmed, open_, False, over, owes)


@given(st.lists(st.sampled_from(C)))
def test_whatever_happens_our_invite_is_cancelled_or_hung_up_on_at_most_once(events: list[CalleeEvent]) -> None:
    """One CANCEL at most for each INVITE, one BYE at most for the dialog that is the call; none after their BYE."""
    invite = callee_invite()
    ends = 0
    for event in events:
        act = invite.on(event)
        ends = 0 if event is C.SEND and act is Act.KEEP else ends + (act in (Act.CANCEL, Act.BYE))
        assert ends <= 1
        assert not (act is Act.CANCEL and invite.is_confirmed)


@given(st.lists(st.sampled_from(R)))
def test_whatever_happens_a_caller_gets_one_final_response_and_one_bye_at_most(events: list[CallerEvent]) -> None:
    invite = caller_invite()
    finals = byes = 0
    for event in events:
        act = invite.on(event)
        finals += act is Act.REFUSE or (event is R.ANSWER and not isinstance(act, Unexpected))
        byes += act is Act.BYE
    assert finals <= 1
    assert byes <= 1
    assert not (byes and invite.state is not Caller.ENDED)
