"""Loops are found by marks that say nothing about who made them."""

from __future__ import annotations

import itertools

import pytest

from gateway.base.values import Secret
from gateway.call.machine.hops import DIGEST_LENGTH, MAX_MARKS, NONCE_LENGTH, HopMarks
from tests.call.machine_scene import MachineScene


def marks(key: bytes = b"one", start: int = 1) -> HopMarks:
    numbers = itertools.count(start)
    return HopMarks(Secret(key), lambda length: f"{next(numbers):0{length}d}")


def test_a_gateway_knows_every_mark_it_made_without_remembering_one() -> None:
    maker = marks()
    made = [maker.new() for _ in range(50)]
    assert all(marks(start=1000).contains_ours([mark]) for mark in made)


def test_another_gateway_does_not_know_them() -> None:
    assert not marks(b"two").contains_ours([marks(b"one").new()])


def test_no_part_of_a_mark_is_in_another_one() -> None:
    maker = HopMarks(Secret(b"key"), lambda length: "".join(next(symbols) for _ in range(length)))
    symbols = itertools.cycle("abcdefghijklmnopqrstuvwxyz0123456789xq7")
    first, second = maker.new(), maker.new()
    assert not any(first[start : start + 8] in second for start in range(len(first) - 7))


def test_two_invites_of_one_call_carry_two_marks() -> None:
    scene = MachineScene()
    scene.calling()
    first = scene.invite.headers.get("Gateway-Hop")
    again = MachineScene().calling().invite.headers.get("Gateway-Hop")
    assert first
    scene.state.context.hop_marks.new()
    assert scene.state.context.hop_marks.contains_ours([first])
    assert again
    assert len(first) == NONCE_LENGTH + DIGEST_LENGTH


def test_a_mark_is_found_among_the_marks_of_other_gateways() -> None:
    maker = marks()
    mine, other = maker.new(), marks(b"two").new()
    assert maker.contains_ours([f"{other}, {mine}"])
    assert maker.contains_ours([other, mine])
    assert not maker.contains_ours([other] * MAX_MARKS + [mine])


@pytest.mark.parametrize("change", ["", "x", " ", "\u0661" * 40, "a" * 40, "a" * 100_000])
def test_what_is_no_mark_is_nobodys(change: str) -> None:
    assert not marks().contains_ours([change])


@pytest.mark.parametrize("place", range(NONCE_LENGTH + DIGEST_LENGTH))
def test_a_mark_with_one_character_changed_is_not_ours(place: int) -> None:
    mark = marks().new()
    swapped = "0" if mark[place] != "0" else "1"
    assert not marks().contains_ours([mark[:place] + swapped + mark[place + 1 :]])


def test_no_mark_is_ours() -> None:
    assert not marks().contains_ours([])
