"""Our reliable provisional responses to one INVITE: numbered, one at a time, repeated for 64*T1 (RFC 3262 3)."""

from __future__ import annotations

import pytest

from gateway.call.legs.provisionals import MAX_WAITING, Provisionals
from gateway.sip.message import Response
from gateway.sip.reliable import RAck


def tokens(length: int) -> str:
    return "7".rjust(length, "0")


def waiting(*bodies: bytes) -> Provisionals:
    found = Provisionals()
    for body in bodies:
        found.waiting.append(Response(183 if body else 180, "", body=body))
    return found


def test_nothing_is_repeated_or_acknowledged_before_anything_was_sent() -> None:
    assert Provisionals().again(0.0) == 0.0
    assert not Provisionals().acknowledge(RAck(1, 1, "INVITE"))
    assert Provisionals().next(1, tokens, 0.0) is None


def test_one_is_out_at_a_time_and_each_has_the_number_after_the_one_before() -> None:
    found = waiting(b"", b"v=0")
    first = found.next(5, tokens, 0.0)
    assert first is not None
    assert first.headers.get("RSeq") == "8"
    assert found.next(5, tokens, 0.0) is None
    assert found.acknowledge(RAck(8, 5, "INVITE"))
    second = found.next(5, tokens, 0.0)
    assert second is not None
    assert second.headers.get("RSeq") == "9"
    assert second.tokens("Require") == {"100rel"}


@pytest.mark.parametrize("bodies", [(b"v=0",), (b"", b"v=0")])
def test_a_description_holds_the_answer_up_until_it_is_acknowledged(bodies: tuple[bytes, ...]) -> None:
    found = waiting(*bodies)
    for _ in bodies:
        assert found.holds_up_the_answer
        found.next(1, tokens, 0.0)
        assert found.holds_up_the_answer
        assert found.sent is not None
        assert found.acknowledge(found.sent.rack)
    assert not found.holds_up_the_answer


def test_ringing_holds_nothing_up() -> None:
    found = waiting(b"", b"")
    found.next(1, tokens, 0.0)
    assert not found.holds_up_the_answer


def test_pauses_double_and_end_after_64_t1() -> None:
    found, now, pauses = waiting(b""), 100.0, [0.5]
    found.next(1, tokens, now)
    while pauses[-1]:
        now += pauses[-1]
        pauses.append(found.again(now))
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 0.5, 0.0]
    assert now == 132.0


def test_the_oldest_of_too_many_is_left_out() -> None:
    found = waiting(*[str(n).encode() for n in range(MAX_WAITING + 2)])
    assert [r.body for r in found.waiting] == [b"2", b"3", b"4", b"5"]
