"""A short queue is one: first in, first out, and full is full."""

from __future__ import annotations

import sys
from collections import deque

import pytest

from gateway.base.short import Short


def test_what_comes_first_goes_first_and_what_is_put_before_goes_before() -> None:
    queue: Short[int] = Short()
    queue.append(1)
    queue.extend([2, 3])
    queue.appendleft(0)
    assert [queue.popleft() for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(IndexError):
        queue.popleft()


def test_the_oldest_makes_room() -> None:
    queue: Short[int] = Short(3)
    queue.extend(range(10))
    assert queue == [7, 8, 9]
    queue.append(10)
    assert queue == [8, 9, 10]


def test_empty_it_is_much_smaller_than_a_deque() -> None:
    assert sys.getsizeof(Short()) < sys.getsizeof(deque()) / 4
