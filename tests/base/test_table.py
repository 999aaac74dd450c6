"""A table that is asked for a row it does not have says so by name, and is drawn with what it means in words."""

from __future__ import annotations

from enum import Enum

from gateway.base.counters import Counter
from gateway.base.table import Table, Unexpected
from gateway.cli.pictures import picture


class Door(Enum):
    SHUT = "nobody can pass"
    OPEN = "anybody can pass"


class Hand(Enum):
    PUSH = "somebody pushes"
    LEAN = "somebody leans on it"
    KNOCK = "somebody knocks"


class Act(Enum):
    CREAK = "it creaks"
    KEEP = "nothing"


DOOR = Table(
    "door",
    Door.SHUT,
    {
        (Door.SHUT, Hand.PUSH): (Door.OPEN, Act.CREAK),
        (Door.SHUT, Hand.LEAN): (Door.OPEN, Act.CREAK),
        (Door.OPEN, Hand.PUSH): (Door.SHUT, Act.KEEP),
        (Door.OPEN, Hand.LEAN): (Door.OPEN, Act.CREAK),
        (Door.OPEN, Hand.KNOCK): (Door.OPEN, Act.KEEP),
    },
    Counter.OFFER_UNEXPECTED,
)


def test_a_row_that_is_missing_is_an_outcome_with_a_name_and_a_counter() -> None:
    assert DOOR.step(Door.SHUT, Hand.PUSH) == (Door.OPEN, Act.CREAK)
    missing = DOOR.step(Door.SHUT, Hand.KNOCK)
    assert missing == Unexpected("door", "SHUT", "KNOCK", Counter.OFFER_UNEXPECTED)
    assert str(missing) == "door: KNOCK in SHUT"
    assert not DOOR.expects(Door.SHUT, Hand.KNOCK)


def test_the_picture_names_each_state_and_what_leads_where_and_leaves_out_what_changes_nothing() -> None:
    assert picture(DOOR).splitlines() == [
        "```",
        "SHUT: nobody can pass",
        "  somebody pushes; somebody leans on it  -> OPEN  it creaks",
        "OPEN: anybody can pass",
        "  somebody pushes                        -> SHUT",
        "  somebody leans on it                            it creaks",
        "```",
    ]
