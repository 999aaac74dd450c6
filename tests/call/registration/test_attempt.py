"""What all who deal with a REGISTER need."""

from __future__ import annotations

import logging

import pytest

from gateway.base.values import HostPort
from gateway.call.registration.attempt import LOG_LINES, Attempt, Lines, later
from gateway.sip.digest_relay import Given
from gateway.sip.events import RequestReceived
from gateway.sip.flow import Flow
from gateway.sip.message import Headers, Request

REQUEST = Request("REGISTER", "sip:example.test", Headers([("Authorization", "Digest secret-response")]))
FLOW = Flow(1, "wss", HostPort("127.0.0.1", 443), HostPort("192.0.2.1", 1000))


def test_a_stranger_does_not_decide_how_much_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    lines = Lines(logging.getLogger("gateway.test"), lambda: now[0])
    for number in range(1000):
        lines.tell("user=%s cannot be registered", number)
        lines.tell("something else")
    assert len(caplog.records) <= 2 * LOG_LINES.burst
    now[0] = 60.0
    lines.tell("user=%s cannot be registered", "late")
    assert caplog.messages[-1] == "user=late cannot be registered"


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "1"), (5, "5"), (14.01, "15")])
def test_to_come_back_later_is_said_in_whole_seconds(seconds: float, said: str) -> None:
    response = later(REQUEST, seconds)
    assert (response.status, response.headers.get("Retry-After")) == (503, said)


def test_credentials_are_not_printed() -> None:
    given = Given((("Authorization", "Digest secret-response"),), "alice\x00" + "a" * 100)
    attempt = Attempt(RequestReceived("k", Request("REGISTER", "sip:x", Headers()), FLOW), "alice", (), given)
    assert "secret-response" not in repr(attempt)
    assert len(attempt.claimed) == 64
