"""What the relay sees of a leg's packets reaches log, header and grade; it hangs up on nobody."""

from __future__ import annotations

import pytest

from gateway.base.crypto_suite import AEAD_AES_256_GCM
from gateway.base.grades import Grade
from gateway.base.profiles import Profile
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.media import relay_events as relay
from tests.call.machine_scene import MachineScene, answer, sdes_answer


def plain(scene: MachineScene) -> events.Event:
    return relay.MediaMismatch(scene.id(LegKind.TRUNK), "media.plain_on_secure")


def other_key(scene: MachineScene) -> events.Event:
    return relay.MediaMismatch(scene.id(LegKind.TRUNK), "media.key_mismatch")


def _keyed(profile: Profile = Profile.PREFER) -> MachineScene:
    scene = MachineScene(profile).calling()
    scene.reply(200, sdes_answer(scene.invite.body)).ack()
    scene.feed(lambda scene: scene.keyed(AEAD_AES_256_GCM))
    return scene.clear()


def _told(scene: MachineScene) -> list[str]:
    found = [e.request for e in scene.take(fx.SendRequest) if scene.kind(e.leg) is LegKind.BROWSER]
    return [str(r.headers.get("Call-Security")) for r in found]


@pytest.mark.parametrize(
    ("event", "code", "grade"),
    [(plain, "media.plain_on_secure", Grade.CLEARTEXT), (other_key, "media.key_mismatch", Grade.UNAUTHENTICATED)],
    ids=["plain", "other key"],
)
@pytest.mark.parametrize("profile", [Profile.PREFER, Profile.STRICT])
def test_packets_that_contradict_the_description_are_recorded_and_shown_and_end_no_call(
    profile: Profile, event: events.Event, code: str, grade: Grade
) -> None:
    scene = _keyed(profile).feed(event)
    record = scene.record("leg.violation" if profile is Profile.STRICT else "leg.downgraded")
    assert (record["leg"], record["kind"], record["checkpoint"]) == ("trunk", "D4", "P6")
    assert record["codes"] == [code]
    assert (record["grade_before"], record["grade_after"]) == ("HOP_BY_HOP", grade.name)
    assert record["sip_sent"] is None
    assert scene.state.live
    assert scene.take(fx.Finished) == []
    assert (scene.state.posture.current, scene.state.posture.worst) == (grade, grade)
    assert _told(scene)
    assert f"grade={grade.name};" in _told(scene)[0]
    before = len(scene.records)
    assert len(scene.feed(event).records) == before, "once"


def test_the_first_packet_that_authenticates_restores_what_was_agreed_and_the_worst_grade_stays() -> None:
    scene = _keyed().feed(plain).clear().feed(lambda scene: relay.MediaStarted(scene.id(LegKind.TRUNK)))
    record = scene.record("leg.secured")
    assert (record["grade_before"], record["grade_after"], record["checkpoint"]) == ("CLEARTEXT", "HOP_BY_HOP", "P6")
    assert (scene.state.posture.current, scene.state.posture.worst) == (Grade.HOP_BY_HOP, Grade.CLEARTEXT)


def test_a_hold_while_packets_contradict_the_description_is_no_weakening() -> None:
    scene = _keyed(Profile.STRICT).feed(plain)
    keyed = sdes_answer(scene.invite.body).replace(b"a=sendrecv", b"a=sendonly")
    scene.clear().inside(LegKind.TRUNK, "INVITE", keyed, cseq=2)
    assert [r.response.status for r in scene.take(fx.Respond)] == [200]
    assert scene.state.live


def test_before_the_call_stands_a_contradiction_waits() -> None:
    scene = MachineScene(Profile.STRICT).calling()
    scene.reply(200, sdes_answer(scene.invite.body)).feed(plain)
    assert "leg.violation" not in scene.records
    scene.ack()
    assert scene.record("leg.violation")["codes"] == ["media.plain_on_secure"]


def test_a_plain_leg_has_nothing_to_contradict() -> None:
    scene = MachineScene(Profile.LEGACY).calling().reply(200, answer()).ack()
    before = scene.records
    assert scene.feed(plain).feed(relay.LegVerified(scene.id(LegKind.TRUNK), True)).records == before


@pytest.mark.parametrize(("confirmed", "sent"), [(True, "confirmed"), (False, "unconfirmed")])
@pytest.mark.parametrize("leg", list(LegKind))
def test_packets_that_authenticate_are_a_record_of_their_own(leg: LegKind, confirmed: bool, sent: str) -> None:
    scene = _keyed().feed(lambda scene: relay.LegVerified(scene.id(leg), confirmed))
    record = scene.record("leg.verified")
    assert (record["leg"], record["received"], record["sent"]) == (leg.value, "authenticated", sent)
    assert (record["grade_after"], record["checkpoint"]) == ("HOP_BY_HOP", "P6")
    assert not [e for e in scene.take(fx.SendRequest) if e.purpose is Purpose.UPDATE], "nothing changed for the browser"


def test_an_unknown_code_of_a_relay_is_no_finding() -> None:
    scene = _keyed()
    before = len(scene.records)
    for code in ("nonsense", "suite.null"):
        scene.feed(relay.MediaMismatch(scene.id(LegKind.TRUNK), code))
    assert len(scene.records) == before
