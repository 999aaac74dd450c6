"""Keys that come to the end of their lifetime, that change with an address, or that the packets name (RFC 4568)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.base.codes import Code
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine.effects import Purpose
from gateway.media.relay_commands import MAX_LIFETIME, SetKeys
from gateway.media.relay_events import KeysWorn
from gateway.policy.model import BUILT_IN
from tests.call.machine_scene import MachineScene, answer, trunk_flow
from tests.call.test_key_lines import GOOD, OTHER, answered, inbound
from tests.call.test_setup import finished

OURS = pytest.mark.parametrize("profile", list(Profile))


def talking(profile: Profile = Profile.STRICT, line: str = GOOD, **asked: object) -> MachineScene:
    """A call a trunk made, with keys; both hear each other."""
    rules = replace(BUILT_IN[profile], **asked)  # type: ignore[arg-type]
    offer = answer("RTP/SAVP", line)
    scene = MachineScene(profile=profile, rules=rules, outbound=False, offer=offer, flow=trunk_flow())
    return answered(scene.calling()).clear()


def worn(scene: MachineScene, *, spent: bool = False, leg: LegKind = LegKind.TRUNK) -> MachineScene:
    return scene.feed(lambda s: KeysWorn(s.id(leg), spent))


def keys(scene: MachineScene) -> list[SetKeys]:
    trunk = scene.id(LegKind.TRUNK)
    return [command for command in scene.relayed(SetKeys) if command.leg == trunk]


def reinvites(scene: MachineScene) -> list[str]:
    """The key lines of each re-INVITE to the trunk."""
    sent = [e.request for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.REINVITE]
    return [line for r in sent for line in r.body.decode().splitlines() if line.startswith("a=crypto")]


def last_codes(scene: MachineScene) -> list[object]:
    records = [e.record for e in scene.all if isinstance(e, fx.WriteAudit) and e.record.get("leg") == "trunk"]
    found = records[-1]["codes"]
    assert isinstance(found, list)
    return found


@OURS
def test_before_a_lifetime_ends_a_new_key_is_offered_and_the_log_says_why(profile: Profile) -> None:
    scene = worn(talking(profile))
    before = keys(scene)[-1]
    assert last_codes(scene) == ["key.lifetime"]
    (line,) = reinvites(scene)
    assert line.startswith("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:")
    scene.reply(200, answer("RTP/SAVP", OTHER), purpose=Purpose.REINVITE)
    now = keys(scene)[-1]
    assert (now.tx == before.tx, now.rx == before.rx) == (False, False)
    assert last_codes(scene) == []
    assert finished(scene) is None


def test_a_record_is_written_before_the_offer_leaves() -> None:
    order = worn(talking()).order(fx.WriteAudit, fx.SendRequest)
    assert order[-2:] == ["WriteAudit", "SendRequest"]


def test_a_peer_that_keeps_its_key_is_still_on_record_and_ends_a_call_that_requires_protection() -> None:
    scene = worn(talking())
    scene.reply(200, answer("RTP/SAVP", GOOD), purpose=Purpose.REINVITE)
    assert keys(scene)[-1].rx == keys(scene)[0].rx
    assert last_codes(scene) == ["key.lifetime"]
    worn(scene, spent=True)
    assert scene.record("leg.violation")["codes"] == ["key.lifetime"]
    assert finished(scene) is Termination.KEY_SPENT


@pytest.mark.parametrize("profile", [Profile.PREFER, Profile.OSRTP, Profile.LEGACY])
def test_a_spent_key_is_tolerated_where_plain_media_would_be_unless_it_is_denied(profile: Profile) -> None:
    scene = worn(talking(profile), spent=True)
    assert finished(scene) is None
    assert last_codes(scene) == ["key.lifetime"]
    assert len(reinvites(scene)) == 1, "it is asked for all the same"
    denied = worn(talking(profile, deny=frozenset({Code.KEY_LIFETIME})), spent=True)
    assert finished(denied) is Termination.KEY_SPENT


def test_an_offer_of_a_key_that_is_refused_leaves_the_old_one_and_the_next_offer_brings_another() -> None:
    scene = worn(talking()).reply(488, purpose=Purpose.REINVITE)
    assert finished(scene) is None
    assert len(keys(scene)) == 1
    worn(scene)
    first, second = reinvites(scene)
    assert first != second


def test_an_offer_of_a_key_that_meets_another_one_comes_again() -> None:
    scene = worn(talking()).reply(491, purpose=Purpose.REINVITE)
    scene.feed(scene.fires(fx.Timer.GLARE))
    assert len(reinvites(scene)) == 2


def test_a_peer_that_changes_its_key_first_is_answered_with_a_new_one_of_ours() -> None:
    scene = worn(talking()).reply(491, purpose=Purpose.REINVITE)
    before = keys(scene)[-1]
    scene.inside(LegKind.TRUNK, "INVITE", answer("RTP/SAVP", OTHER), cseq=2).ack()
    now = keys(scene)[-1]
    assert (now.tx == before.tx, now.rx == before.rx) == (False, False)
    assert last_codes(scene) == []


def test_a_browsers_keys_cannot_be_changed_and_are_on_record() -> None:
    scene = worn(talking(), leg=LegKind.BROWSER)
    assert not reinvites(scene)
    assert finished(scene) is None
    assert finished(worn(scene, leg=LegKind.BROWSER, spent=True)) is Termination.KEY_SPENT


def test_what_is_told_of_a_plain_leg_or_of_none_changes_nothing() -> None:
    scene = MachineScene(profile=Profile.LEGACY).calling().reply(200, answer()).ack()
    scene.feed(scene.keyed()).clear()
    worn(scene)
    assert (scene.effects, finished(scene)) == ([], None)


def test_the_lifetime_and_the_names_of_the_keys_reach_the_relay() -> None:
    scene = talking(line=GOOD + "|2^20|5:4")
    (given,) = keys(scene)
    assert (given.rx_mki, given.tx_mki, given.lifetime) == (b"\0\0\0\x05", b"\0\0\0\x01", 1 << 20)
    assert "|1:4\r\n" in next(r.body.decode() for r in scene.responses if r.body)
    (plain,) = keys(talking())
    assert (plain.rx_mki, plain.tx_mki, plain.lifetime) == (b"", b"", MAX_LIFETIME)


def test_an_answer_may_name_its_key_although_our_offer_did_not() -> None:
    scene = MachineScene().calling()
    scene.reply(200, answer("RTP/SAVP", GOOD.replace(":1 ", ":3 ") + "|2^31|1:1"))
    (given,) = keys(scene)
    assert (given.rx_mki, given.tx_mki, given.lifetime) == (b"\x01", b"", 1 << 31)


def test_who_is_at_another_address_gets_a_key_that_nobody_had_before() -> None:
    scene = talking()
    scene.inside(LegKind.TRUNK, "INVITE", answer("RTP/SAVP", OTHER, port=4100), cseq=2)
    first, second = keys(scene)
    assert first.tx != second.tx


def test_who_stays_where_it_is_keeps_our_key_whatever_it_does_with_its_own() -> None:
    scene = talking()
    scene.inside(LegKind.TRUNK, "INVITE", answer("RTP/SAVP", OTHER, direction="sendonly"), cseq=2)
    first, second = keys(scene)
    assert (first.tx == second.tx, first.rx == second.rx) == (True, False)


def test_a_key_that_may_protect_too_little_is_not_used() -> None:
    scene = inbound(answer("RTP/SAVP", GOOD + "|2^11"))
    assert scene.record("leg.violation")["codes"] == ["key.lifetime"]
    assert finished(scene) is Termination.ENCRYPTION_UNUSABLE
