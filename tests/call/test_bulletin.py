"""What a user sees of her calls: her own, the latest, until the call is gone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.grades import Grade
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegId, LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.run.bulletin import Bulletin, News, Over, Shown, Sounds
from gateway.policy.header import Report
from gateway.quality.told import CallQuality
from tests.call.machine_scene import MachineScene, answer, sdes_answer
from tests.call.office import Office
from tests.call.test_change import from_trunk
from tests.call.test_telling import KEY, outbound


def shown(call: str = "c-1", *, seq: int = 1, grade: Grade = Grade.HOP_BY_HOP) -> Shown:
    report = Report(
        grade=grade, worst=grade, scope="to pbx", browser="", trunk="", seq=seq, policy="strict/1", call_id=call
    )
    return Shown(report, f"sip-{call}", answered=True)


PLACE = ("uid-1", LegId(1))


def test_a_user_sees_her_own_legs_and_the_latest_of_each() -> None:
    board = Bulletin()
    board.show("alice", PLACE, shown())
    board.show("alice", PLACE, shown(seq=2))
    board.show("bob", ("uid-1", LegId(2)), shown(seq=3))
    assert [one.report.seq for one in board.shown_to("alice")] == [2]
    assert [one.report.seq for one in board.shown_to("bob")] == [3]
    assert board.shown_to("carol") == ()


def test_a_name_is_one_however_it_is_written() -> None:
    board = Bulletin()
    heard: list[News] = []
    board.listen("Alice", heard.append)
    board.show("ALICE", PLACE, shown())
    assert len(heard) == len(board.shown_to("alice")) == 1


def test_how_a_call_sounds_is_seen_by_who_sees_the_call_until_it_is_taken_down() -> None:
    board, sounds = Bulletin(), Sounds("c-1", "sip-c-1", CallQuality(()))
    board.show_quality(PLACE, sounds)
    assert board.sounds_to("alice") == ()
    heard: list[News] = []
    board.listen("alice", heard.append)
    board.show("alice", PLACE, shown())
    assert board.sounds_to("alice") == ()
    board.show_quality(PLACE, sounds)
    assert board.sounds_to("Alice") == (sounds,)
    assert board.sounds_to("bob") == ()
    assert heard[-1] == sounds
    board.forget("uid-1")
    board.show("alice", PLACE, shown())
    assert board.sounds_to("alice") == ()


def test_only_who_listens_for_a_user_hears_of_her() -> None:
    board = Bulletin()
    alice: list[News] = []
    bob: list[News] = []
    leave = board.listen("alice", alice.append)
    board.listen("bob", bob.append)
    board.show("alice", PLACE, shown())
    board.take_down(PLACE)
    assert [type(news) for news in alice] == [Shown, Over]
    assert bob == []
    leave()
    board.show("alice", PLACE, shown())
    assert len(alice) == 2


def test_a_call_that_is_gone_leaves_nothing_behind() -> None:
    board = Bulletin()
    heard: list[News] = []
    board.listen("alice", heard.append)
    for leg in (1, 2, 3):
        board.show("alice", ("uid-1", LegId(leg)), shown())
    board.show("alice", ("uid-2", LegId(1)), shown("c-2"))
    board.forget("uid-1")
    board.forget("uid-1")
    assert len(board) == len(board.shown_to("alice")) == 1
    assert [news for news in heard if isinstance(news, Over)] == [Over("c-1", "sip-c-1")] * 3


def test_a_listener_that_fails_keeps_no_other_from_hearing() -> None:
    board = Bulletin()
    heard: list[News] = []

    def fails(_news: object) -> None:
        raise RuntimeError("broken")

    board.listen("alice", fails)
    board.listen("alice", heard.append)
    board.show("alice", PLACE, shown())
    assert len(heard) == 1


# --- what a call puts up


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def put_up(scene: MachineScene) -> list[fx.ShowReport]:
    return scene.take(fx.ShowReport)


def test_a_change_is_shown_behind_its_record_and_at_once_though_a_report_is_under_way() -> None:
    scene = from_trunk(outbound(Profile.PREFER), "INVITE", answer("RTP/AVP"))
    (one,) = put_up(scene)
    assert (one.report.grade, one.user, one.answered) == (Grade.CLEARTEXT, scene.browser_leg.number, True)
    assert one.sip_call_id == scene.browser_leg.call_id
    steps = [type(effect) for effect in scene.effects]
    assert steps.index(fx.WriteAudit) < steps.index(fx.ShowReport)
    from_trunk(scene.clear(), "INVITE", answer("RTP/SAVP", KEY))
    assert [shown.report.grade for shown in put_up(scene)] == [Grade.HOP_BY_HOP]
    assert not [e for e in scene.take(fx.SendRequest) if scene.kind(e.leg) is LegKind.BROWSER]


def test_header_and_event_count_in_one_row() -> None:
    scene = from_trunk(outbound(Profile.PREFER), "INVITE", answer("RTP/AVP"))
    (told,) = [e.request for e in scene.take(fx.SendRequest) if e.request.method == "UPDATE"]
    header = dict(part.split("=", 1) for part in (told.headers.get("Call-Security") or "").split(";"))
    assert {int(header["seq"]), put_up(scene)[0].report.seq} == {put_up(scene)[0].report.seq, int(header["seq"])}
    assert int(header["seq"]) != put_up(scene)[0].report.seq


def test_a_change_that_was_refused_is_shown() -> None:
    scene = from_trunk(outbound(Profile.STRICT), "INVITE", answer("RTP/AVP"))
    (one,) = put_up(scene)
    assert (one.report.grade, [code.value for code in one.report.refused]) == (
        Grade.HOP_BY_HOP,
        ["media.plain_rtp", "mid.crypto_removed"],
    )


def test_a_call_is_shown_before_its_answer_and_as_answered_then() -> None:
    scene = MachineScene().calling()
    assert put_up(scene) == []
    scene.reply(180)
    assert [(e.answered, e.report.grade) for e in put_up(scene)] == [(False, Grade.HOP_BY_HOP)]
    scene.clear().reply(200, sdes_answer(scene.invite.body)).ack()
    assert put_up(scene)[-1].answered


def test_what_changes_nothing_is_shown_to_nobody() -> None:
    scene = outbound(Profile.STRICT)
    from_trunk(scene, "INVITE", answer("RTP/SAVP", KEY, port=4900))
    assert put_up(scene) == []


def test_the_end_of_a_call_takes_it_down_behind_the_final_record() -> None:
    scene = outbound(Profile.STRICT).feed(events.Lost(Termination.SHUTDOWN))
    order = scene.order(fx.Finished, fx.TakeDown)
    assert order == ["Finished", "TakeDown"]
    assert scene.feed(events.TimerFired(fx.Timer.LINGER)).take(fx.TakeDown)[1:] == []


@pytest.mark.asyncio
async def test_what_calls_show_is_gone_with_them(office: Office) -> None:
    office.call("700", key="in-1")
    await office.settle()
    office.reply("INVITE", 180)
    await office.settle()
    board = office.services.bulletin
    assert [one.sip_call_id for one in board.shown_to("alice")] == ["call-1"]
    assert board.shown_to("bob") == ()
    office.reply("INVITE", 486)
    await office.settle()
    assert len(board) == 0


@pytest.mark.parametrize("tone", ["", "insecure_beep"])
def test_the_tone_of_the_policy_is_announced_while_the_call_is_weaker_than_preferred(tone: str) -> None:
    scene = tuned(outbound(Profile.PREFER), tone=tone)
    from_trunk(scene, "INVITE", answer("RTP/AVP"))
    assert put_up(scene)[-1].report.tone == tone
    (told,) = [e.request for e in scene.take(fx.SendRequest) if e.request.method == "UPDATE"]
    assert (";tone=insecure_beep" in (told.headers.get("Call-Security") or "")) is bool(tone)
    from_trunk(scene.clear(), "INVITE", answer("RTP/SAVP", KEY), cseq=901)
    assert put_up(scene)[-1].report.tone == ""


def test_a_policy_that_wants_nobody_told_of_changes_is_obeyed() -> None:
    scene = tuned(outbound(Profile.PREFER), notify=False)
    from_trunk(scene, "INVITE", answer("RTP/AVP"))
    assert put_up(scene) == []
    assert not [e for e in scene.take(fx.SendRequest) if scene.kind(e.leg) is LegKind.BROWSER]
    assert scene.records[-1] == "leg.downgraded"


def tuned(scene: MachineScene, **changes: object) -> MachineScene:
    """The same call under rules that differ in this."""
    rules = replace(scene.state.policy.rules, **changes)  # type: ignore[arg-type]
    scene.state.policy = replace(scene.state.policy, rules=rules)
    for leg in scene.state.legs.values():
        if leg.policy is not None:
            leg.policy = replace(leg.policy, rules=rules)
    return scene
