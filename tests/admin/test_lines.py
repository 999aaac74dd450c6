"""The lines of the admin socket: a request is one short JSON object of texts, and nothing else is one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admin.lines import MAX_FIELDS, MAX_REQUEST, MAX_VALUE, Ask, AskError, Problem, read_question, write


def problem(line: bytes) -> Problem:
    with pytest.raises(AskError) as caught:
        read_question(line)
    return caught.value.problem


def test_a_request_names_what_it_asks_and_gives_its_values() -> None:
    question = read_question(b'{"ask": "trace", "call": "c-1"}\n')
    assert (question.ask, question.get("call"), question.get("next")) == (Ask.TRACE, "c-1", "")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"calls\n",
        b"[]\n",
        b'"calls"\n',
        b"{\n",
        b"\xff\xfe\n",
        b'{"ask": 1}\n',
        b'{"ask": "calls", "call": ["c-1"]}\n',
        b'{"ask": "calls", "call": null}\n',
        b"[" * 4000 + b"\n",
        b'{"ask": "calls", "call": "' + b"x" * (MAX_VALUE + 1) + b'"}\n',
        b'{"ask": "calls", "call": "' + b"x" * MAX_REQUEST + b'"}\n',
        json.dumps({"ask": "calls"} | {str(n): "x" for n in range(MAX_FIELDS)}).encode(),
    ],
)
def test_whatever_else_comes_is_malformed(line: bytes) -> None:
    assert problem(line) is Problem.MALFORMED


@pytest.mark.parametrize("line", [b"{}", b'{"ask": "passwords"}', b'{"ask": ""}'])
def test_what_cannot_be_asked_is_told_with_what_can(line: bytes) -> None:
    assert problem(line) is Problem.UNKNOWN


@given(st.binary(max_size=200))
def test_no_line_raises_anything_else(line: bytes) -> None:
    try:
        read_question(line)
    except AskError:
        pass


def test_a_line_of_an_answer_is_ascii_whatever_a_peer_called_itself() -> None:
    line = write(row={"name": "Zoë\n\ud800\u202e"})
    assert line.isascii()
    assert line.count(b"\n") == 1
