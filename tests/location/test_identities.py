"""A flow is who it proved to be, until it closes."""

from __future__ import annotations

from gateway.location.identities import Identities
from tests.location.pages import connection

FLOW = connection(1)


def test_a_flow_that_proved_nothing_is_nobody() -> None:
    assert Identities().user_of(FLOW) is None


def test_a_flow_belongs_to_the_first_user_it_proved_to_be() -> None:
    known = Identities()
    assert known.authenticate(FLOW, "alice")
    assert known.authenticate(FLOW, "alice")
    assert not known.authenticate(FLOW, "bob")
    assert known.user_of(FLOW) == "alice"


def test_a_flow_that_is_forgotten_is_nobody_and_says_who_it_was() -> None:
    known = Identities()
    known.authenticate(FLOW, "alice")
    assert known.forget(FLOW) == "alice"
    assert known.forget(FLOW) is None
    assert known.user_of(FLOW) is None
    assert len(known) == 0
