"""What goes over the admin socket: one JSON request in a line, rows of JSON back, a line each, and a last one. PURE.

    -> {"ask": "calls"}
    <- {"row": {...}}
    <- {"done": 1}

    -> {"ask": "trace", "call": "c-9x"}
    <- {"error": "no-such-call", "why": "no call begins with c-9x"}

The last line is `done` with the number of rows, or `error`. Then the next request may follow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.base.errors import GatewayError

MAX_REQUEST = 4096
"""Octets of one request with its line end: a few names."""
MAX_ANSWER_LINE = 1 << 18
"""Octets of one line of an answer: the longest is a message of a trace, bounded by `redaction`."""
MAX_FIELDS = 8
"""Names in one request."""
MAX_VALUE = 256
"""Characters of a value: user names and call ids are shorter."""


class Ask(StrEnum):
    """What can be asked."""

    TRUNKS = "trunks"
    USERS = "users"
    REGISTRATIONS = "registrations"
    CALLS = "calls"
    PINS = "pins"
    CLEAR_PIN = "clear-pin"
    WORKERS = "workers"
    RELIEVE = "relieve"
    TRACE = "trace"
    RELOAD = "reload"


class Problem(StrEnum):
    """Why there is no answer, in a word for programs."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    NO_SUCH_CALL = "no-such-call"
    AMBIGUOUS = "ambiguous"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"


class AskError(GatewayError):
    """A question that has no answer.

    Args:
        problem: the kind of it.
        why: a sentence for who asked.
    """

    def __init__(self, problem: Problem, why: str) -> None:
        super().__init__(why)
        self.problem, self.why = problem, why


@dataclass(frozen=True, slots=True)
class Question:
    """One request."""

    ask: Ask
    fields: Mapping[str, str]

    def get(self, name: str) -> str:
        """The value of that name, "" without one."""
        return self.fields.get(name, "")


def read_question(line: bytes) -> Question:
    """Read one line.

    Raises:
        AskError: it is no request, whatever it is instead.
    """
    found = _object(line)
    words = {name: value for name, value in found.items() if isinstance(value, str) and len(value) <= MAX_VALUE}
    if len(words) != len(found) or len(words) > MAX_FIELDS:
        raise AskError(Problem.MALFORMED, f"a request has at most {MAX_FIELDS} values, each a short text")
    try:
        ask = Ask(words.pop("ask", ""))
    except ValueError:
        raise AskError(Problem.UNKNOWN, f"ask for one of {', '.join(Ask)}") from None
    return Question(ask, words)


def _object(line: bytes) -> dict[str, object]:
    if len(line) > MAX_REQUEST:
        raise AskError(Problem.MALFORMED, f"a request has at most {MAX_REQUEST} octets")
    try:
        found = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise AskError(Problem.MALFORMED, "a request is one JSON object in a line") from None
    if not isinstance(found, dict):
        raise AskError(Problem.MALFORMED, "a request is one JSON object in a line")
    return found


def write(**values: object) -> bytes:
    """One line of an answer, in ASCII, so that it can be shown by anything."""
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def write_error(error: AskError) -> bytes:
    """The last line of an answer there is none of."""
    return write(error=error.problem.value, why=error.why)
