"""What a call tells the gateway's own log, and what the audit log keeps of it."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.audit.render import render
from gateway.audit.severity import Severity, severity
from gateway.base.grades import Grade
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events, lines
from gateway.media.relay_quality import LegQuality, Reception
from gateway.sip.message import Request
from tests.call.machine_scene import MachineScene, answer, sdes_answer
from tests.call.office import Office, invite
from tests.call.test_runner import established, final

pytestmark = pytest.mark.asyncio


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name.startswith("gateway.call") and r.levelno == logging.INFO]


def typed(user: str) -> Request:
    """The INVITE of a browser that dials this."""
    request = invite("600")
    return Request("INVITE", f"sip:{user}@example.test", request.headers, request.body)


async def test_an_answered_call_has_three_lines_at_info(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await established(office)
    office.reply("BYE", 200) if "BYE" in office.methods else None
    (runner,) = office.manager.index.runners
    runner.feed(events.Lost(Termination.SHUTDOWN))
    await office.settle()
    start, answered, end = told(caplog)
    call = f"call={runner.id}"
    assert start == f"{call} out alice -> 600 via pbx policy=strict"
    assert answered == f"{call} state=answered grade=HOP_BY_HOP"
    assert end.startswith(f"{call} ended reason=shutdown status=503 seconds=")
    assert end.endswith("grade=HOP_BY_HOP")


async def test_a_refused_call_has_a_line_at_its_start_and_one_at_its_end(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    office.request(typed("hello%20world"))
    await office.settle()
    start, end = told(caplog)
    assert " out alice -> hello_world via - policy=strict" in start
    assert "ended reason=no-route status=404 seconds=0.0 grade=-" in end


async def test_a_number_is_masked_and_a_name_cannot_be_another_field(office: Office) -> None:
    scene = MachineScene()
    scene.state.facts = replace(scene.state.facts, number="+4930123456")
    assert " -> +493*****56 via " in lines.started(scene.state)
    scene.state.facts = replace(scene.state.facts, number="1 via evil policy=strict\ncall=c-2 \u202e")
    (line,) = lines.started(scene.state).splitlines()
    assert line.count(" via ") == 1
    assert line.isprintable()


@pytest.mark.parametrize(
    ("user", "kept"),
    [
        ("hello%20world", "hello world"),
        ("%0d%0aevil", "\\x0d\\x0aevil"),
        ("x" * 500, "x" * 64),
        ("%E2%80%AEabc", "\\u202eabc"),
        ("a%2B4930123456", "a+49" + "*" * 6 + "3456"[-2:]),
    ],
)
async def test_what_a_refused_caller_typed_is_kept_cleaned_and_bounded(office: Office, user: str, kept: str) -> None:
    office.request(typed(user))
    await office.settle()
    start = office.audit.records[0]
    assert start["type"] == "call.start"
    assert (start["to"], start["dialled"]) == (kept, kept)
    assert final(office)["to"] == kept
    assert final(office)["termination"] == "no-route"


async def test_what_was_dialled_is_kept_beside_the_number_it_became(office: Office) -> None:
    office.request(typed("6-0.0"))
    await office.settle()
    assert (office.audit.records[0]["to"], office.audit.records[0]["dialled"]) == ("600", "6-0.0")


async def test_the_final_record_has_the_codec_and_both_media_addresses_of_the_trunk_leg(office: Office) -> None:
    await established(office)
    (runner,) = office.manager.index.runners
    runner.feed(events.Lost(Termination.SHUTDOWN))
    await office.settle()
    end = final(office)
    assert (end["codec"], end["trunk_rtp"], end["own_rtp"]) == ("PCMU/8000", "127.0.0.2:4002", "127.0.0.1:20000")
    assert ", PCMU/8000 127.0.0.1:20000 <-> 127.0.0.2:4002, " in render(dict(end))


async def test_who_answered_a_call_from_a_trunk_is_readable() -> None:
    end = {"type": "call.final", "dir": "in", "from": "4711", "to": "100", "trunk": "pbx", "user": "alice"}
    assert "answered, 3 s by alice" in render(end | {"answered": True, "duration": 3, "grade_worst": "CLEARTEXT"})
    assert "by alice" not in render(end | {"answered": False})
    assert "by alice" not in render(end | {"answered": True, "duration": 3, "dir": "out"})


@pytest.mark.parametrize(
    ("termination", "expected"),
    [
        (Termination.ENCRYPTION_REQUIRED, Severity.LOW),
        (Termination.ENCRYPTION_IMPOSSIBLE, Severity.LOW),
        (Termination.BROWSER_OFFER_INSECURE, Severity.LOW),
        (Termination.ENCRYPTION_IGNORED, Severity.MEDIUM),
        (Termination.ENCRYPTION_WITHDRAWN, Severity.HIGH),
        (Termination.TRUNK_UNVERIFIED, Severity.MEDIUM),
        (Termination.BUSY, Severity.INFO),
        (Termination.NO_ROUTE, Severity.INFO),
    ],
)
async def test_a_call_refused_for_its_encryption_deserves_attention(
    termination: Termination, expected: Severity
) -> None:
    assert severity({"type": "call.final", "answered": False, "termination": termination.slug}) is expected


async def test_every_refusal_about_encryption_is_judged() -> None:
    about = [t for t in Termination if t.slug.startswith("encryption-") or t.warning == 302]
    ends = [{"type": "call.final", "answered": False, "termination": t.slug} for t in about]
    assert all(severity(end) in (Severity.LOW, Severity.MEDIUM, Severity.HIGH) for end in ends)


async def test_a_refused_leg_leaves_its_grade_with_the_call() -> None:
    scene = MachineScene(profile=Profile.STRICT).calling().reply(488)
    assert scene.state.termination is Termination.ENCRYPTION_REQUIRED
    assert scene.state.refused is Grade.CLEARTEXT
    assert lines.ended(scene.state, [e for e in scene.all if isinstance(e, fx.Finished)][-1], 1.0).endswith(
        "grade=CLEARTEXT"
    )
    assert MachineScene().calling().state.refused is None


async def test_the_grade_at_the_end_is_the_worst_of_the_call() -> None:
    scene = MachineScene(profile=Profile.PREFER).calling()
    scene.reply(200, sdes_answer(scene.invite.body)).ack()
    scene.feed(scene.keyed())
    scene.inside(LegKind.TRUNK, "INVITE", answer("RTP/AVP"), cseq=5)
    end = fx.Finished(Termination.HANGUP_TRUNK, 200)
    assert lines.ended(scene.state, end, 101.0).endswith(f"grade={scene.state.posture.worst.name}")


async def test_a_leg_that_turns_bad_has_a_line_and_one_that_is_good_again(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await established(office)
    (runner,) = office.manager.index.runners
    caplog.clear()
    trunk = next(leg.id for leg in runner.state.pair if leg.kind is LegKind.TRUNK)
    lost = 0
    for look in range(1, 7):
        lost += 150 if look <= 2 else 0
        runner.feed(events.Measured({trunk: LegQuality(Reception(500 * look, lost))}))
    await office.settle()
    assert told(caplog) == [
        f"call={runner.id} leg=trunk quality=bad way=heard cause=loss mos=2.08",
        f"call={runner.id} leg=trunk quality=good way=heard mos=4.38",
    ]
    await office.manager.stop()
