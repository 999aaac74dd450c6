"""How the legs of a call sound: looked at while it stands, on record when it turns, told to its browsers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.base.errors import MediaError
from gateway.base.termination import Termination
from gateway.base.values import CALLER, LegId, LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Finished, Timer
from gateway.call.machine.final import final_record
from gateway.call.machine.handed import hand_out
from gateway.call.machine.measuring import MAX_RECORDS, bad_legs
from gateway.media.relay_quality import LegQuality, Reception
from gateway.quality.watch import BAD_TIMES, GOOD_TIMES
from gateway.sip.replaces import Replaces
from tests.call.machine_scene import MachineScene
from tests.call.office import Office
from tests.call.test_between_browsers import BOB
from tests.call.test_between_browsers import talking as between_two
from tests.call.test_telling import outbound

TRUNK = LegId(2)
POOR = 0.3


class Line:
    """A call whose relay counts 50 packets a second on either leg, some of them lost."""

    def __init__(self, scene: MachineScene) -> None:
        self.scene, self.packets = scene, 0
        self.lost: dict[LegId, int] = {leg.id: 0 for leg in scene.state.pair}

    def look(self, loss: Mapping[LegKind, float] | None = None, times: int = 1) -> MachineScene:
        """It is looked at after the usual time, so often."""
        for _ in range(times):
            self.scene.now += self.scene.state.site.quality.seconds
            self.packets += 500
            for kind, share in (loss or {}).items():
                self.lost[self.scene.id(kind)] += round(500 * share)
            self.scene.feed(events.Measured(self.counted))
        return self.scene

    @property
    def counted(self) -> dict[LegId, LegQuality]:
        return {leg: LegQuality(Reception(self.packets, lost, 0.002), rtt=0.02) for leg, lost in self.lost.items()}

    def turn_bad(self, kind: LegKind = LegKind.TRUNK) -> MachineScene:
        return self.look({kind: POOR}, BAD_TIMES)


@pytest.fixture
def line() -> Line:
    return Line(outbound())


def records(scene: MachineScene) -> list[dict[str, object]]:
    return [e.record for e in scene.take(fx.WriteAudit) if e.record["type"] == "leg.quality"]


def shown(scene: MachineScene) -> list[dict[str, object]]:
    return [e.quality.as_dict() for e in scene.take(fx.ShowQuality)]


def measuring(scene: MachineScene) -> list[float]:
    return [e.seconds for e in scene.take(fx.SetTimer) if e.name is Timer.MEASURE]


def test_a_call_is_looked_at_from_when_it_stands_until_its_end() -> None:
    scene = MachineScene().calling()
    assert measuring(scene) == []
    scene = outbound()
    seconds = scene.state.site.quality.seconds
    assert [e.seconds for e in scene.all if isinstance(e, fx.SetTimer) and e.name is Timer.MEASURE] == [seconds]
    scene.feed(events.TimerFired(Timer.MEASURE))
    assert (scene.take(fx.Measure), measuring(scene)) == ([fx.Measure()], [seconds])
    scene.clear().feed(events.Lost(Termination.SHUTDOWN))
    assert fx.ClearTimer(Timer.MEASURE) in scene.take(fx.ClearTimer)
    assert scene.clear().feed(events.TimerFired(Timer.MEASURE)).effects == []


@pytest.mark.parametrize("kind", [LegKind.BROWSER, LegKind.TRUNK])
def test_a_leg_that_turns_bad_is_on_record_once_with_what_is_wrong(line: Line, kind: LegKind) -> None:
    scene = line.look({kind: 0.0})
    assert records(scene) == []
    scene = line.turn_bad(kind)
    (record,) = records(scene)
    assert (record["leg"], record["leg_id"]) == (kind.value, scene.id(kind))
    assert (record["quality"], record["way"], record["cause"], record["trunk"]) == ("bad", "heard", "loss", "pbx")
    assert record["heard"] | {"loss_percent": 30.0, "packets": 500} == record["heard"]  # type: ignore[operator]
    assert records(line.look({kind: POOR}, 5)) == [record]
    assert bad_legs(scene.state) == 1


def test_a_leg_that_is_good_again_is_on_record_with_how_long_it_was_not(line: Line) -> None:
    line.turn_bad()
    scene = line.scene.clear() and line.look(times=GOOD_TIMES)
    (record,) = records(scene)
    assert (record["quality"], record["cause"], record["lasted"]) == ("good", None, 10.0 * GOOD_TIMES)
    assert bad_legs(scene.state) == 0


def test_a_network_that_comes_and_goes_all_day_fills_no_disk(line: Line) -> None:
    for _ in range(MAX_RECORDS):
        line.turn_bad()
        line.look(times=GOOD_TIMES)
    assert len(records(line.scene)) == MAX_RECORDS
    assert line.scene.state.legs[TRUNK].sound.turns == 2 * MAX_RECORDS


def test_the_browser_is_shown_where_it_is_bad_and_who_hears_badly(line: Line) -> None:
    first = shown(line.look())
    assert [one["quality"] for one in first] == ["good"]
    assert [leg["leg"] for leg in first[0]["legs"]] == ["browser", "trunk"]  # type: ignore[attr-defined]
    line.scene.clear()
    told = shown(line.turn_bad(LegKind.TRUNK))[-1]
    assert (told["quality"], told["where"], told["hears"], told["cause"]) == ("bad", "trunk", "you", "loss")
    line.look(times=GOOD_TIMES)
    told = shown(line.turn_bad(LegKind.BROWSER))[-1]
    assert (told["where"], told["hears"]) == ("browser", "other")


def test_what_is_no_news_is_not_shown(line: Line) -> None:
    line.look()
    assert shown(line.scene.clear() and line.look(times=5)) == []
    assert len(shown(line.look({LegKind.TRUNK: POOR}))) == 1, "its MOS fell"


def test_two_browsers_each_see_their_own_leg_first() -> None:
    scene = between_two().clear()
    Line(scene).look({LegKind.BROWSER: POOR}, BAD_TIMES)  # that of the caller
    told = {e.leg: e.quality.as_dict() for e in scene.take(fx.ShowQuality)}
    assert {leg: (one["where"], one["hears"]) for leg, one in told.items()} == {
        CALLER: ("browser", "other"),
        BOB: ("trunk", "you"),
    }


def test_legs_the_relay_says_nothing_of_are_what_they_were(line: Line) -> None:
    line.turn_bad()
    line.scene.clear().feed(events.Measured({}))
    line.scene.feed(events.Measured({LegId(9): LegQuality(Reception(500, 400))}))
    assert bad_legs(line.scene.state) == 1
    assert records(line.scene) == []


def test_a_call_that_is_over_has_no_bad_legs_and_is_looked_at_no_more(line: Line) -> None:
    line.turn_bad()
    line.scene.feed(events.Lost(Termination.SHUTDOWN)).clear()
    assert line.look({LegKind.TRUNK: POOR}).effects == []
    assert bad_legs(line.scene.state) == 0


def test_a_leg_handed_over_begins_with_a_clean_record_and_the_numbers_it_has(line: Line) -> None:
    line.turn_bad()
    handed = hand_out(line.scene.state, CALLER, Replaces("call", "to", "from"))
    assert not isinstance(handed, int)
    assert (handed.leg.sound.is_bad, handed.leg.sound.turns) == (False, 0)
    assert handed.leg.sound.last == line.counted[TRUNK]


def test_the_final_record_tells_how_each_leg_sounded_all_in_all_and_at_its_worst(line: Line) -> None:
    line.look(times=7)
    line.turn_bad()
    ended = Finished(Termination.HANGUP_TRUNK, 200)
    counted = line.counted | {LegId(9): LegQuality(), TRUNK: line.counted[TRUNK]}
    quality = final_record(line.scene.state, ended, {}, line.scene.now + 4.0, counted)["quality"]
    assert isinstance(quality, dict)
    assert set(quality) == {"browser", "trunk"}
    assert (quality["browser"]["mos"], quality["browser"]["bad_seconds"]) == (pytest.approx(4.4, abs=0.05), 0.0)
    assert quality["trunk"]["bad_seconds"] == 4.0
    assert quality["trunk"]["mos_lowest"] < quality["trunk"]["mos"] < quality["browser"]["mos"]
    assert quality["trunk"]["heard"] | {"packets": 4500, "lost": 300, "loss_percent": 6.67} == quality["trunk"]["heard"]
    assert (quality["trunk"]["sent"], quality["trunk"]["rtt_ms"]) == (None, 20.0)


def test_a_leg_on_which_nothing_was_heard_has_no_figures() -> None:
    ended = Finished(Termination.HANGUP_TRUNK, 200)
    assert final_record(outbound().state, ended, {}, 200.0, {CALLER: LegQuality()})["quality"] == {}


@pytest.mark.asyncio
async def test_a_running_call_asks_its_relay_and_a_relay_that_does_not_answer_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = Office(tmp_path)
    office.call("600")
    await office.settle()
    (runner,) = office.manager.index.runners
    relay = office.pool.call
    relay.quality = {CALLER: LegQuality(Reception(500, 5))}
    heard: list[events.Event] = []
    monkeypatch.setattr(runner, "feed", heard.append)
    runner._measure(fx.Measure())
    await runner.finished()
    assert heard == [events.Measured(relay.quality)]
    relay.silent = True
    with pytest.raises(MediaError):
        await runner.media.counters()
    runner._measure(fx.Measure())
    await runner.finished()
    assert len(heard) == 1


def test_a_user_who_was_shown_no_report_sees_nothing_of_the_sound() -> None:
    scene = outbound()
    scene.state.caller.told = None
    scene.feed(events.Measured({})).clear()  # it is taken down
    assert shown(Line(scene).look()) == []


def test_a_leg_is_judged_by_the_codec_that_is_spoken(line: Line) -> None:
    line.look()
    latest = line.scene.state.legs[TRUNK].sound.latest
    assert latest is not None
    assert latest.heard is not None
    assert latest.heard.delay == pytest.approx(0.02 + 0.02 + 0.01)  # PCMU: a packet, the buffer, half a round trip
