"""What the softphone says of how a call sounds, from what the gateway tells."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.call.run.bulletin import Sounds
from gateway.quality.leg import score
from gateway.quality.told import CallQuality, Side
from tests.quality.measures import Counted, Leg, after
from tests.web.test_softphone_words import run_module

GOOD, LOSSY = after(10, 0.0, sent_loss=0.0), after(10, 0.0, sent_loss=0.3)
LATE, UNEVEN = Leg(Counted(500, 0), rtt=1.2), Leg(Counted(500, 0, 0.3))


def told(browser: Leg, trunk: Leg, *bad: str) -> dict[str, object]:
    """As the event socket has it."""
    found = {"browser": browser, "trunk": trunk}
    sides = tuple(Side(leg, leg in bad, score(measured, None, "opus")) for leg, measured in found.items())
    return Sounds("c-1", "sip-1", CallQuality(sides)).as_dict()


def read(object_: object) -> Any:
    return run_module("quality.js", "m.readQuality(a[0])", object_)


def words(object_: object, scope: str = "to Carrier A") -> str:
    return str(run_module("quality.js", "m.describeQuality(m.readQuality(a[0]), a[1])", object_, scope))


YOU, OTHER = "You may hear the other side badly", "The other side may hear you badly"


@pytest.mark.parametrize(
    ("browser", "trunk", "bad", "line"),
    [
        (GOOD, GOOD, "", "The sound is good."),
        (LOSSY, GOOD, "browser", f"{YOU}: parts of it are lost between you and the gateway."),
        (GOOD, LOSSY, "trunk", f"{OTHER}: parts of it are lost between the gateway and Carrier A."),
        (GOOD, LATE, "trunk", f"{YOU}: it takes long between the gateway and Carrier A."),
        (UNEVEN, GOOD, "browser", f"{OTHER}: it comes at uneven times between you and the gateway."),
    ],
)
def test_one_calm_line_says_who_hears_badly_why_and_where(browser: Leg, trunk: Leg, bad: str, line: str) -> None:
    assert words(told(browser, trunk, bad)) == line


def test_before_anything_was_measured_there_is_nothing_to_say() -> None:
    assert words(told(Leg(), Leg())) == ""
    assert run_module("quality.js", "m.describeQuality(null)") == ""


def test_the_figures_of_each_leg_are_read() -> None:
    quality = read(told(GOOD, LOSSY, "trunk"))
    assert [leg["leg"] for leg in quality["legs"]] == ["browser", "trunk"]
    assert [leg["quality"] for leg in quality["legs"]] == ["good", "bad"]
    assert quality["legs"][1]["sent"]["loss"] == 30.0
    assert quality["legs"][1]["roundTrip"] == 30.0


@pytest.mark.parametrize("odd", [None, 7, "bad", [], {}, {"quality": "splendid"}, {"quality": ["bad"]}])
def test_what_is_no_word_of_quality_is_none(odd: object) -> None:
    assert read(odd) is None
    assert words(odd) == ""


@pytest.mark.parametrize(
    "more",
    [
        {"where": "<b>", "hears": "constructor", "cause": "__proto__", "legs": 3},
        {"legs": [None, {"leg": "x"}, {"leg": "trunk", "mos": "4", "heard": [1], "sent": "x"}] * 9},
    ],
)
def test_words_nobody_knows_are_left_out(more: dict[str, object]) -> None:
    quality = read({"quality": "bad", **more})
    assert (quality["where"], quality["hears"], quality["cause"]) == ("", "", "")
    assert len(quality["legs"]) <= 2
    assert words({"quality": "bad", **more}) == "The sound is not good."
