"""What a monitor makes of a probe: the worst that was found, as exit code, and every complaint in words."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.base.grades import Grade
from gateway.probe.result import Demands, End, Expected, Result, Status, judged, read_security
from gateway.probe.tones import SILENCE, Heard

TONE = Heard(3.0, -12.0, 1000.0, 1.0, 0, 0.0)


def result(heard: Heard = TONE, **changes: object) -> Result:
    made = Result("browser probe calls 600", ends=[End("browser", "PCMU", "dtls", 1000.0, heard)], status=200)
    made.security = {"grade": "HOP_BY_HOP"}
    made.marks = {"ringing": 0.5, "answer": 1.0}
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_a_call_that_is_as_it_should_be_is_ok() -> None:
    assert judged(result(), Demands(expect=Expected.ECHO, grade=Grade.HOP_BY_HOP)) == (Status.OK, [])


def test_the_exit_codes_are_those_of_monitoring_plugins() -> None:
    assert [int(status) for status in (Status.OK, Status.WARNING, Status.CRITICAL, Status.UNKNOWN)] == [0, 1, 2, 3]


def test_a_call_that_failed_has_one_complaint() -> None:
    failed = result(SILENCE, failure="488 Not Acceptable Here", security={})
    assert judged(failed, Demands(grade=Grade.HOP_BY_HOP)) == (Status.CRITICAL, ["488 Not Acceptable Here"])


@pytest.mark.parametrize(
    ("heard", "expect", "status"),
    [
        (SILENCE, Expected.AUDIO, Status.CRITICAL),
        (SILENCE, Expected.ECHO, Status.CRITICAL),
        (SILENCE, Expected.NOTHING, Status.OK),
        (replace(TONE, frequency=440.0), Expected.AUDIO, Status.OK),
        (replace(TONE, frequency=440.0), Expected.ECHO, Status.CRITICAL),
        (replace(TONE, gaps=2, longest_gap=0.3), Expected.ECHO, Status.WARNING),
        (replace(TONE, gaps=2), Expected.NOTHING, Status.OK),
    ],
)
def test_what_came_back_must_be_what_was_expected(heard: Heard, expect: Expected, status: Status) -> None:
    assert judged(result(heard), Demands(expect=expect))[0] is status


def test_a_call_below_the_demanded_grade_is_critical_and_so_is_one_without_a_grade() -> None:
    demands = Demands(grade=Grade.HOP_BY_HOP)
    for security in ({"grade": "CLEARTEXT"}, {}, {"grade": "WONDERFUL"}):
        assert judged(result(security=security), demands)[0] is Status.CRITICAL
    assert judged(result(security={}), Demands())[0] is Status.OK


def test_the_time_to_the_answer_warns_and_alarms() -> None:
    assert judged(result(), Demands(warn_seconds=1.4))[0] is Status.WARNING
    assert judged(result(), Demands(warn_seconds=1.0, critical_seconds=1.4))[0] is Status.CRITICAL
    assert judged(result(), Demands(warn_seconds=1.6, critical_seconds=2.0))[0] is Status.OK


def test_a_call_over_another_trunk_is_critical_and_one_nobody_can_tell_of_unknown() -> None:
    legs = [{"trunk": ""}, {"trunk": "carrier"}]
    assert judged(result(legs=legs), Demands(trunk="carrier"))[0] is Status.OK
    assert judged(result(legs=legs), Demands(trunk="pbx")) == (
        Status.CRITICAL,
        ["the call went over carrier, not pbx"],
    )
    assert judged(result(), Demands(trunk="pbx"))[0] is Status.UNKNOWN


def test_packets_that_do_not_authenticate_are_critical() -> None:
    made = result()
    made.ends[0].refused = 3
    assert judged(made, Demands())[0] is Status.CRITICAL


def test_of_two_ends_each_must_hear_the_other() -> None:
    made = result(replace(TONE, frequency=700.0))
    made.ends.append(End("trunk", "PCMU", "plain", 700.0, TONE))
    assert judged(made, Demands())[0] is Status.OK
    made.ends[1].heard = replace(TONE, frequency=700.0)
    assert judged(made, Demands())[1] == ["trunk: heard 700 Hz, not the tone of 1000 Hz"]


def test_the_worst_complaint_decides_and_comes_first() -> None:
    status, why = judged(result(replace(TONE, gaps=1)), Demands(critical_seconds=1.0, grade=Grade.CLEARTEXT))
    assert status is Status.CRITICAL
    assert len(why) == 2
    assert why[0].startswith("answered after")


def test_what_could_not_be_asked_hides_no_alarm() -> None:
    status, why = judged(result(SILENCE), Demands(trunk="pbx"))
    assert status is Status.CRITICAL
    assert why == ["browser: nothing was heard", "the gateway could not be asked over which trunk the call went"]
    assert judged(result(replace(TONE, gaps=1)), Demands(trunk="pbx"))[0] is Status.UNKNOWN


def test_the_fields_of_call_security_are_read() -> None:
    value = 'grade=HOP_BY_HOP;worst=CLEARTEXT;scope="to pbx";browser="dtls,pending,wss";trunk="plain,none,udp";id=c-1'
    found = read_security(value)
    assert (found["grade"], found["scope"], found["trunk"], found["id"]) == (
        "HOP_BY_HOP",
        "to pbx",
        "plain,none,udp",
        "c-1",
    )


def test_what_programs_get_is_plain_json() -> None:
    told = json.loads(json.dumps(result().as_dict()))
    assert told["ends"][0]["heard_hz"] == 1000.0
    assert told["seconds"] == {"ringing": 0.5, "answer": 1.0}
