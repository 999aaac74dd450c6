"""The catalogue of downgrades, row by row and profile by profile, against real signalling.

Each row has a driver that brings its weakness about; what the call then records must be what the row says. A row
without a driver, a driver without a row, or a code without either fails: nothing stands in the table that is not done.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.codes import Code
from gateway.base.profiles import Profile
from gateway.call.machine import effects as fx
from gateway.policy import model
from gateway.policy.catalogue import ROWS, Action, Alert, Row, Teller, alert_of
from tests.call.drivers import DRIVERS, accepted
from tests.call.machine_scene import MachineScene, answer
from tests.call.test_key_lines import GOOD, LINES, codes

LOUDNESS = list(Alert)
TESTS = Path(__file__).parents[1]
TOLERANT = (Profile.PREFER, Profile.OSRTP, Profile.LEGACY)
BY_LINE = [row for row in ROWS if row.require is Action.UNUSED]
DRIVEN = [row for row in ROWS if row.name in DRIVERS]
ASKED = {Code.SUITE_SMALL_KEY: {"min_key_bits": 256}}
"""What a policy must ask for, so that a good line shows the weakness."""
BESIDE = f"a=crypto:2 AEAD_AES_256_GCM inline:{'B' * 59}="
"""A key line that is good for every policy."""
ELSEWHERE = {
    "tls.old (listener)": "net/test_doors.py::test_a_peer_that_speaks_old_tls_alone_is_refused_and_recorded",
    "gw.key_leak": "base/test_withholding.py::test_a_key_on_its_way_into_a_log_line_is_withheld_and_told",
    "brw.origin_bad": "net/test_doors.py::test_a_page_of_another_origin_is_refused_and_recorded",
}
"""Rows that no call meets, and where they are tried."""
PACKETS = {
    "media.latch_mismatch": "media/test_worker_trunk.py",
    "media.mid_relatch": "media/test_worker_trunk.py",
    "media.plain_on_secure (packet)": "media/test_worker_protection.py",
    "media.plain_on_secure (leg)": "media/test_worker_proof.py",
    "media.key_mismatch": "media/test_worker_proof.py",
    "early.unkeyed (packets)": "media/test_worker_protection.py",
    "srtcp.absent (silent)": "media/test_worker_protection.py",
    "srtcp.absent (clear)": "media/test_worker_protection.py",
    "meta.leak": "media/test_worker_protection.py",
    "key.lifetime (near)": "media/test_relay_keys.py",
    "key.lifetime (over)": "media/test_relay_keys.py",
}
"""Where real packets bring about what the relay finds."""


def records(scene: MachineScene, code: str) -> list[dict[str, object]]:
    """Those of a call that have this code."""
    found = [effect.record for effect in scene.all if isinstance(effect, fx.WriteAudit)]
    return [record for record in found if code in (record.get("codes") or [])]  # type: ignore[operator]


def applies(row: Row, profile: Profile) -> bool:
    """Whether the row says anything of this profile."""
    condition = row.note.partition("only ")[2]
    return not condition or f"`{profile}`" in condition


def shown(scene: MachineScene, row: Row) -> Action | None:
    """What was done about the weakness of a row, as the records of its call say; None: it is in none of them."""
    found = records(scene, row.code)
    if not found:
        return None
    first = found[0]
    dropped = first["type"] == "media.latch" or first.get("kind") == "D4"
    if dropped and scene.state.live:
        return row.require if row.require is Action.RECORDED else Action.DROPPED
    if first["type"] == "leg.violation":
        over = scene.state.answered_at is not None and not scene.state.live
        return Action.ENDED if over and row.require is Action.ENDED else Action.REFUSED
    if first["type"] == "leg.downgraded" and Action.TOLERATED in (row.require, row.allow):
        return Action.TOLERATED
    return Action.RECORDED


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("row", DRIVEN, ids=lambda row: row.name)
def test_a_row_of_the_catalogue_is_what_happens(row: Row, profile: Profile) -> None:
    wanted = row.require if profile is Profile.STRICT else row.allow
    scene = DRIVERS[row.name](profile)
    if wanted is Action.PREVENTED:
        assert shown(scene, row) is None
        return
    if profile is not Profile.STRICT and not applies(row, profile):
        assert shown(scene, row) is not wanted
        return
    assert shown(scene, row) is wanted
    if wanted is Action.TOLERATED and row.cap is not None:
        assert records(scene, row.code)[0]["grade_after"] == row.cap.name
    least = row.alerts[0 if profile is Profile.STRICT else 1]
    assert LOUDNESS.index(Alert(str(records(scene, row.code)[0]["alert"]))) >= LOUDNESS.index(least)


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("row", BY_LINE, ids=lambda row: row.name)
def test_a_line_that_is_not_used_is_as_if_it_were_not_there(row: Row, profile: Profile) -> None:
    line, asked = LINES.get(row.code, GOOD), ASKED.get(row.code)
    beside = accepted(answer("RTP/SAVP", line, BESIDE), asked=asked)(profile)
    assert shown(beside, row) is Action.RECORDED
    alone = accepted(answer("RTP/SAVP", line), asked=asked)(profile)
    assert codes(alone, "leg.violation") == [row.code]
    plain = accepted(answer("RTP/AVP", line), asked=asked)(profile)
    kind = "leg.violation" if profile is Profile.STRICT else "leg.downgraded"
    assert codes(plain, kind) == sorted(["media.plain_rtp", row.code])


def denied_by(monkeypatch: pytest.MonkeyPatch, profile: Profile, code: Code) -> None:
    """The profile denies this code from now on."""
    monkeypatch.setitem(model.BUILT_IN, profile, replace(model.BUILT_IN[profile], deny=frozenset({code})))


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("row", DRIVEN, ids=lambda row: row.name)
def test_what_a_policy_denies_is_a_violation_whatever_the_grade(
    row: Row, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = shown(DRIVERS[row.name](profile), row)
    denied_by(monkeypatch, profile, row.code)
    scene = DRIVERS[row.name](profile)
    if usual is None or not records(scene, row.code):
        assert not records(scene, row.code), "it did not come about"
        return
    if any(record["type"] == "media.latch" for record in records(scene, row.code)):
        return  # a stranger's packets are dropped, whatever is denied
    assert records(scene, row.code)[0]["type"] in ("leg.violation", "leg.lost")
    if usual is Action.DROPPED:
        assert scene.state.live


@pytest.mark.parametrize("row", BY_LINE, ids=lambda row: row.name)
def test_a_line_that_is_not_used_is_nothing_a_policy_can_deny(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    denied_by(monkeypatch, Profile.STRICT, row.code)
    line = LINES.get(row.code, GOOD)
    beside = accepted(answer("RTP/SAVP", line, BESIDE), asked=ASKED.get(row.code))(Profile.STRICT)
    assert shown(beside, row) is Action.RECORDED


# Nothing is forgotten.


def test_every_code_has_a_row() -> None:
    assert {row.code for row in ROWS} == set(Code)
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_every_row_is_tried_and_nothing_is_tried_that_is_no_row() -> None:
    assert {row.name for row in ROWS} == set(DRIVERS) | set(ELSEWHERE) | {row.name for row in BY_LINE}
    assert {row.code for row in BY_LINE} == set(LINES) | set(ASKED)


def test_what_the_relay_finds_is_tried_with_real_packets() -> None:
    assert {row.name for row in ROWS if row.teller is Teller.PACKETS} == set(PACKETS)
    for name, where in PACKETS.items():
        assert name.partition(" ")[0] in (TESTS / where).read_text(), where


@pytest.mark.parametrize("where", sorted(filter(None, ELSEWHERE.values())))
def test_what_no_call_meets_is_tried_where_it_is_said(where: str) -> None:
    path, _, name = where.partition("::")
    assert f"def {name}(" in (TESTS / path).read_text()


def test_what_strict_tolerates_all_tolerate() -> None:
    for row in ROWS:
        if row.require not in (Action.REFUSED, Action.PREVENTED, Action.ENDED):
            assert row.require is row.allow, row.name


def test_a_row_that_is_tolerated_says_what_is_left() -> None:
    assert all(row.cap is not None for row in ROWS if row.allow is Action.TOLERATED and not row.note)


def test_the_loudest_of_several_codes_counts() -> None:
    assert alert_of([Code.MEDIA_AVP_WITH_CRYPTO, Code.MEDIA_PLAIN_RTP], required=True) is Alert.HIGH
    assert alert_of([Code.MEDIA_AVP_WITH_CRYPTO], required=True) is alert_of([], required=True) is Alert.NONE
