"""Certificates that end: told at 30, 7 and 1 days and when they have ended, once each."""

from __future__ import annotations

import pytest

from gateway.renewal.expiry import DAY, MAX_TOLD, ExpiryBook, Owner

WEB, PBX = Owner("listen.web", is_peer=False), Owner("pbx", is_peer=True)
END = 1_000_000_000.0


def days_told(book: ExpiryBook, *left: float) -> list[list[int]]:
    """What is told so many days before the end."""
    return [[notice.days for notice in book.due(END - days * DAY)] for days in left]


def test_a_certificate_is_told_of_at_30_7_and_1_days_and_when_it_has_ended() -> None:
    book = ExpiryBook()
    book.note(WEB, "web.pem", END)
    told = days_told(book, 31, 30.1, 29.9, 29, 8, 6.9, 6, 1.1, 0.9, 0.5, -0.1, -5)
    assert told == [[], [], [29], [], [], [6], [], [], [0], [], [-1], []]


@pytest.mark.parametrize(("left", "days"), [(5.5, 5), (0.2, 0), (-3.5, -4)])
def test_one_that_is_seen_late_is_told_of_once(left: float, days: int) -> None:
    book = ExpiryBook()
    book.note(PBX, "ab", END)
    assert days_told(book, left, left) == [[days], []]


def test_a_renewed_certificate_is_another_one() -> None:
    book = ExpiryBook()
    book.note(WEB, "web.pem", END)
    assert days_told(book, 20) == [[20]]
    book.note(WEB, "web.pem", END + 90 * DAY)
    assert days_told(book, 20, 0) == [[], []]
    assert days_told(book, -60.5) == [[29]]
    assert [end for _, end in book.rows()] == [END + 90 * DAY]


def test_a_peer_whose_nodes_show_two_certificates_is_told_of_once_for_each() -> None:
    book = ExpiryBook()
    told = []
    for label in ("one", "two", "one", "two"):
        book.note(PBX, label, END)
        told += [notice.label for notice in book.due(END - 5 * DAY)]
    assert told == ["one", "two"]


def test_what_was_told_is_remembered_within_a_limit() -> None:
    book = ExpiryBook()
    for number in range(MAX_TOLD + 10):
        book.note(PBX, str(number), END)
        book.due(END - DAY / 2)
    assert len(book._told) == MAX_TOLD


def test_who_has_no_certificate_any_more_is_not_told_of() -> None:
    book = ExpiryBook()
    book.note(PBX, "ab", END)
    book.forget(PBX)
    assert days_told(book, 5) == [[]]
