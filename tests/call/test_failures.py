"""Failed sign-ins in the audit log: how much is written is not the guesser's choice."""

from __future__ import annotations

import json

from gateway.base.values import HostPort
from gateway.call.failures import MAX_SOURCES, MAX_USERS, OTHERS, WINDOW_SECONDS, Failure, FailureReport

REASON = "wrong user or password"


def failure(host: str = "192.0.2.1", user: str = "alice", reason: str = REASON, port: int = 4711) -> Failure:
    return Failure(HostPort(host, port), "wss", user, reason, "REGISTER")


def test_the_first_failure_of_a_source_is_told_at_once() -> None:
    told = FailureReport().note(failure(), 0.0)
    assert told is not None
    assert (told["type"], told["user"], told["source"], told["reason"]) == (
        "auth.fail",
        "alice",
        "192.0.2.1:4711",
        REASON,
    )


def test_those_after_it_are_one_count_a_minute() -> None:
    report = FailureReport()
    report.note(failure(), 0.0)
    for number in range(10_000):
        assert report.note(failure(user=f"u{number % 7}", port=number), number / 1000) is None
    report.note(failure(reason="too many failures"), 59.0)
    assert report.due(59.9) == []
    (summary,) = report.due(60.0)
    assert (summary["type"], summary["source"], summary["count"]) == ("auth.fail", "192.0.2.1", 10_001)
    assert summary["reasons"] == {REASON: 10_000, "too many failures": 1}
    assert summary["users"] == [f"u{n}" for n in range(MAX_USERS)]
    assert summary["more_users"] == 2 * (10_000 // 7) + 1
    assert report.due(61.0) == []


def test_a_source_that_goes_on_is_counted_on_and_one_that_was_quiet_begins_anew() -> None:
    report = FailureReport()
    report.note(failure(), 0.0)
    report.note(failure(), 1.0)
    assert len(report.due(60.0)) == 1
    assert report.note(failure(), 61.0) is None
    assert [s["count"] for s in report.due(120.0)] == [1]
    assert report.due(180.0) == []
    assert report.note(failure(), 181.0) is not None


def test_the_addresses_of_an_ipv6_network_are_one_source() -> None:
    report = FailureReport()
    assert report.note(failure("2001:db8:1:2::1"), 0.0) is not None
    for number in range(500):
        assert report.note(failure(f"2001:db8:1:2::{number:x}"), 1.0) is None
    assert [s["source"] for s in report.due(60.0)] == ["2001:db8:1:2::/64"]


def test_a_minute_of_any_attack_is_a_bounded_number_of_records_of_bounded_size() -> None:
    report, written = FailureReport(), []
    for step in range(60_000):
        now, name = step / 100, "\N{SNOWMAN}" * 64 + str(step)
        told = report.note(failure(f"10.{step >> 16}.{step >> 8 & 255}.{step & 255}", user=name[-64:]), now)
        written += ([told] if told else []) + report.due(now)
    minutes = 60_000 / 100 / WINDOW_SECONDS
    assert len(written) <= (2 * MAX_SOURCES + 1) * (minutes + 1)
    assert max(len(json.dumps(r)) for r in written) < 2500
    assert any(r["source"] == OTHERS for r in written)


def test_what_is_counted_when_the_gateway_stops_is_told() -> None:
    report = FailureReport()
    report.note(failure(), 0.0)
    report.note(failure(), 1.0)
    assert [(s["count"], s["seconds"]) for s in report.rest(5.0)] == [(1, 5.0)]
