"""What changes the protection of a call reaches its browser, whatever it was: record, relay, then report."""

from __future__ import annotations

import pytest

from gateway.base.codes import Code
from gateway.base.grades import Grade
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events, security
from gateway.call.machine.effects import Purpose
from gateway.media import relay_events as relay
from gateway.media.relay_commands import SetPeer
from gateway.sip.message import Request
from tests.call.machine_scene import MachineScene, answer, sdes_answer, trunk_flow, vector
from tests.call.test_change import from_browser, from_trunk, held
from tests.call.test_setup import finished

BROWSER_ANSWER = vector("chromium_answer_to_rtpengine")
KEY = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "B" * 40
SIPJS = "ACK,BYE,CANCEL,INFO,INVITE,MESSAGE,NOTIFY,OPTIONS,PRACK,REFER,REGISTER,SUBSCRIBE"
TOLERANT = (Profile.PREFER, Profile.OSRTP, Profile.LEGACY)


def outbound(profile: Profile = Profile.PREFER, allow: str = "") -> MachineScene:
    """The browser called; a keyed call over verified TLS, except under legacy, which offers no keys."""
    scene = MachineScene(profile=profile)
    if allow and scene.state.caller.invite is not None:
        scene.state.caller.invite = scene.state.caller.invite.with_added([("Allow", allow)])
    scene.calling()
    body = sdes_answer(scene.invite.body) if b"a=crypto" in scene.invite.body else answer()
    scene.reply(200, body.replace(b"RTP/SAVP", _proto(scene))).ack()
    return keyed(scene)


def _proto(scene: MachineScene) -> bytes:
    return b"RTP/SAVP" if b"RTP/SAVP" in scene.invite.body else b"RTP/AVP"


def inbound(profile: Profile = Profile.PREFER, offer: bytes = answer("RTP/SAVP", KEY)) -> MachineScene:
    """The trunk called, the browser answered."""
    scene = MachineScene(profile=profile, outbound=False, offer=offer, flow=trunk_flow()).calling()
    scene.reply(200, BROWSER_ANSWER)
    scene.ack(b"" if offer else answer("RTP/SAVP", KEY))
    return keyed(scene)


def keyed(scene: MachineScene) -> MachineScene:
    scene.feed(scene.keyed())
    return scene.clear()


def to_browser(scene: MachineScene) -> list[Request]:
    return [e.request for e in scene.take(fx.SendRequest) if scene.kind(e.leg) is LegKind.BROWSER]


def grade(message: Request) -> str:
    return (message.headers.get("Call-Security") or "").split(";")[0].removeprefix("grade=")


def answered(scene: MachineScene, status: int = 200, purpose: Purpose = Purpose.UPDATE) -> MachineScene:
    return scene.clear().reply(status, purpose=purpose)


@pytest.mark.parametrize("make", [outbound, inbound])
@pytest.mark.parametrize("profile", TOLERANT)
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_tolerated_loss_of_encryption_is_in_the_log_then_at_the_relay_then_at_the_browser(
    make: type[MachineScene], profile: Profile, method: str
) -> None:
    """POLICY mid.crypto_removed: L N. Nothing but the protection changes: no direction, no codec."""
    scene = make(profile)
    if profile is Profile.LEGACY and make is outbound:
        from_trunk(scene, "INVITE", answer("RTP/SAVP", KEY), cseq=800)
        answered(scene).clear()
    assert scene.state.posture.current is Grade.HOP_BY_HOP
    scene.inside(LegKind.TRUNK, method, answer("RTP/AVP"), cseq=900)
    (report,) = to_browser(scene)
    assert (report.method, grade(report), report.body) == ("UPDATE", "CLEARTEXT", b"")
    assert 'trunk="plain,none,tls1.3,verified"' in (report.headers.get("Call-Security") or "")
    steps = [type(e) for e in scene.done]
    assert steps.index(fx.WriteAudit) < steps.index(SetPeer) < steps.index(fx.Respond)
    assert steps.index(fx.Respond) < steps.index(fx.SendRequest)


@pytest.mark.parametrize("make", [outbound, inbound])
def test_sound_that_is_lost_is_told_once_for_each_leg(make: type[MachineScene]) -> None:
    scene = make()
    scene.feed(relay.MediaUnsent(scene.id(LegKind.BROWSER), "unmapped_dropped"))
    (report,) = to_browser(scene)
    assert (report.headers.get("Call-Security") or "").endswith(";lost=browser")
    answered(scene).clear()
    scene.feed(relay.MediaUnsent(scene.id(LegKind.BROWSER), "unsent"))
    assert to_browser(scene) == []
    scene.feed(relay.MediaUnsent(scene.id(LegKind.TRUNK), "unsent"))
    (report,) = to_browser(scene)
    assert (report.headers.get("Call-Security") or "").endswith(";lost=both")


def test_a_gain_is_told_too_and_the_worst_stays() -> None:
    scene = answered(from_trunk(outbound(), "INVITE", answer("RTP/AVP")))
    from_trunk(scene, "INVITE", answer("RTP/SAVP", KEY), cseq=901)
    (report,) = to_browser(scene)
    assert (report.headers.get("Call-Security") or "").startswith("grade=HOP_BY_HOP;worst=CLEARTEXT;")


def test_a_change_that_leaves_the_protection_as_it_was_tells_nobody() -> None:
    scene = from_trunk(outbound(), "INVITE", answer("RTP/SAVP", KEY, port=4900))
    assert to_browser(scene) == []


def test_changes_while_a_report_is_under_way_become_one_report_the_latest() -> None:
    scene = from_trunk(outbound(), "INVITE", answer("RTP/AVP"))
    from_trunk(scene, "INVITE", answer("RTP/SAVP", KEY), cseq=901)
    from_trunk(scene, "INVITE", answer("RTP/AVP"), cseq=902)
    from_trunk(scene, "INVITE", answer("RTP/SAVP", KEY), cseq=903)
    assert len(to_browser(scene)) == 1
    answered(scene)
    assert [grade(r) for r in to_browser(scene)] == ["HOP_BY_HOP"]
    answered(scene)
    assert to_browser(scene) == []


@pytest.mark.parametrize("make", [outbound, inbound])
@pytest.mark.parametrize("direction", [b"sendonly", b"inactive"])
def test_a_loss_during_the_browsers_own_hold_is_told(make: type[MachineScene], direction: bytes) -> None:
    scene = make()
    body = (
        held(direction)
        if make is outbound
        else BROWSER_ANSWER.replace(b"a=sendrecv", b"a=" + direction).replace(b"a=setup:active", b"a=setup:actpass")
    )
    scene.inside(LegKind.BROWSER, "INVITE", body, cseq=2)
    scene.reply(200, sdes_answer(scene.invite.body).replace(b"sendrecv", b"recvonly"), purpose=Purpose.REINVITE)
    assert finished(scene) is None
    from_trunk(scene.clear(), "INVITE", answer("RTP/AVP", direction="recvonly"))
    assert [grade(r) for r in to_browser(scene)] == ["CLEARTEXT"]


@pytest.mark.parametrize("direction", ["sendonly", "inactive"])
def test_a_loss_that_comes_with_the_trunks_hold_is_told_by_the_reinvite_of_the_hold_alone(direction: str) -> None:
    scene = from_trunk(outbound(), "INVITE", answer("RTP/AVP", direction=direction))
    assert [(r.method, grade(r)) for r in to_browser(scene)] == [("INVITE", "CLEARTEXT")]


def test_a_loss_in_the_answer_to_our_own_reinvite_is_told() -> None:
    scene = outbound(Profile.OSRTP)
    from_browser(scene, "INVITE", held(b"sendonly"))
    scene.clear().reply(200, answer("RTP/AVP", direction="recvonly"), purpose=Purpose.REINVITE)
    assert scene.records[-1] == "leg.downgraded"
    assert [grade(r) for r in to_browser(scene)] == ["CLEARTEXT"]


def test_what_the_ack_of_an_offerless_call_brings_is_told() -> None:
    """The INVITE to the browser said what the trunk leg would be at best."""
    scene = MachineScene(profile=Profile.OSRTP, outbound=False, offer=b"").calling()
    scene.reply(200, BROWSER_ANSWER).clear()
    scene.ack(answer("RTP/AVP"))
    assert [grade(r) for r in to_browser(scene)] == ["CLEARTEXT"]


def test_the_browser_is_told_when_it_has_acknowledged_and_not_before() -> None:
    """A request inside a dialog that is not confirmed would be refused."""
    scene = MachineScene(profile=Profile.OSRTP).calling()
    scene.reply(200, sdes_answer(scene.invite.body).replace(b"SAVP", b"AVP")).clear()
    trunk = scene.trunk_leg
    assert trunk is not None
    security.posture_changed(scene.state, trunk, found=frozenset({Code.GW_KEY_LEAK}), kind="D4")
    scene.feed(relay.MediaStarted(scene.id(LegKind.BROWSER)))
    assert to_browser(scene) == []
    scene.ack()
    assert [grade(r) for r in to_browser(scene)] == ["KEY_EXPOSED"]


def test_what_the_relay_finds_is_recorded_and_told_by_one_call() -> None:
    scene = outbound(Profile.STRICT)
    trunk = scene.trunk_leg
    assert trunk is not None
    verdict = security.posture_changed(scene.state, trunk, found=frozenset({Code.GW_KEY_LEAK}), kind="D4")
    assert verdict is not None
    scene.feed(relay.MediaStarted(scene.id(LegKind.TRUNK)))
    assert scene.records[-1] == "leg.violation"
    assert scene.record("leg.violation")["kind"] == "D4"
    assert [grade(r) for r in to_browser(scene)] == ["KEY_EXPOSED"]
    answered(scene)
    assert security.posture_changed(scene.state, trunk, gone=frozenset({Code.GW_KEY_LEAK})) is not None
    scene.feed(relay.MediaStarted(scene.id(LegKind.BROWSER)))
    assert [grade(r) for r in to_browser(scene)] == ["HOP_BY_HOP"]


@pytest.mark.parametrize("make", [outbound, inbound])
def test_a_browser_that_is_keyed_as_well_as_expected_is_no_news(make: type[MachineScene]) -> None:
    assert "UPDATE" not in [e.request.method for e in make().all if isinstance(e, fx.SendRequest)]


def test_a_browser_that_does_not_list_update_gets_a_reinvite_that_repeats_the_session() -> None:
    scene = from_trunk(outbound(allow=SIPJS), "INVITE", answer("RTP/AVP"))
    (report,) = to_browser(scene)
    ours = next(r.body for r in scene.responses if r.status == 200)
    assert (report.method, grade(report)) == ("INVITE", "CLEARTEXT")
    assert [x for x in report.body.splitlines() if x.startswith((b"m=", b"a=ice", b"a=fing", b"a=sendrecv"))] == [
        x for x in ours.splitlines() if x.startswith((b"m=", b"a=ice", b"a=fing", b"a=sendrecv"))
    ]
    accept = held(b"sendrecv").replace(b"actpass", b"active")
    scene.clear().reply(200, accept, purpose=Purpose.REINVITE)
    assert to_browser(scene) == []
    assert finished(scene) is None


@pytest.mark.parametrize("status", [405, 501, 415, 420])
def test_a_browser_that_refuses_update_gets_the_reinvite_at_once(status: int) -> None:
    scene = answered(from_trunk(outbound(), "INVITE", answer("RTP/AVP")), status)
    assert [(r.method, grade(r)) for r in to_browser(scene)] == [("INVITE", "CLEARTEXT")]


def test_a_browser_that_says_nothing_to_update_gets_the_reinvite_and_keeps_its_call() -> None:
    scene = from_trunk(outbound(), "INVITE", answer("RTP/AVP"))
    (sent,) = [e for e in scene.take(fx.SendRequest) if e.purpose is Purpose.UPDATE]
    scene.clear().feed(events.RequestFailed(sent.ask, transport=False))
    assert [(r.method, grade(r)) for r in to_browser(scene)] == [("INVITE", "CLEARTEXT")]
    assert finished(scene) is None


@pytest.mark.parametrize("status", [491, 500, 503, 403])
def test_a_report_that_was_not_read_is_sent_again_after_a_wait_that_grows(status: int) -> None:
    scene, waits = from_trunk(outbound(), "INVITE", answer("RTP/AVP")), []
    for _ in range(9):
        answered(scene, status)
        assert to_browser(scene) == []
        (timer,) = [e for e in scene.take(fx.SetTimer) if e.name is fx.Timer.REPORT]
        waits.append(timer.seconds)
        scene.clear().feed(scene.fires(fx.Timer.REPORT))
        assert [grade(r) for r in to_browser(scene)] == ["CLEARTEXT"]
    assert waits == sorted(waits)
    assert waits[-1] == 32.0


def test_a_reinvite_with_a_report_that_crosses_the_browsers_is_sent_again() -> None:
    scene = from_trunk(outbound(allow=SIPJS), "INVITE", answer("RTP/AVP"))
    for expected in (fx.Timer.GLARE, fx.Timer.GLARE, fx.Timer.REPORT, fx.Timer.GLARE):
        scene.clear().reply(491, purpose=Purpose.REINVITE)
        assert to_browser(scene) == []
        assert [e.name for e in scene.take(fx.SetTimer)] == [expected]
        scene.clear().feed(scene.fires(expected))
        assert [(r.method, grade(r)) for r in to_browser(scene)] == [("INVITE", "CLEARTEXT")]


def test_a_report_by_reinvite_waits_for_the_ack_of_a_change_that_is_under_way() -> None:
    """RFC 3261 14.1: no new INVITE while a transaction of that dialog is not confirmed."""
    scene = outbound(Profile.OSRTP, allow=SIPJS)
    from_browser(scene, "INVITE", held(b"sendonly")).clear()
    trunk = scene.trunk_leg
    assert trunk is not None
    security.posture_changed(scene.state, trunk, found=frozenset({Code.GW_KEY_LEAK}))
    scene.feed(relay.MediaStarted(scene.id(LegKind.BROWSER)))
    assert to_browser(scene) == []
    scene.reply(200, sdes_answer(scene.invite.body).replace(b"SAVP", b"AVP"), purpose=Purpose.REINVITE)
    assert to_browser(scene) == []
    scene.ack_of(LegKind.BROWSER, 2)
    assert [grade(r) for r in to_browser(scene)] == ["KEY_EXPOSED"]


def test_a_refused_reinvite_that_was_read_is_not_repeated() -> None:
    scene = from_trunk(outbound(allow=SIPJS), "INVITE", answer("RTP/AVP"))
    scene.clear().reply(488, purpose=Purpose.REINVITE)
    assert to_browser(scene) == []
    assert not scene.take(fx.SetTimer)


@pytest.mark.parametrize("status", [481, 408])
def test_a_browser_whose_dialog_is_gone_ends_the_call(status: int) -> None:
    scene = answered(from_trunk(outbound(), "INVITE", answer("RTP/AVP")), status)
    assert finished(scene) is Termination.PEER_TIMEOUT


def test_a_change_that_was_refused_is_told_with_what_it_would_have_done_and_the_grade_stays() -> None:
    scene = from_trunk(outbound(Profile.STRICT), "INVITE", answer("RTP/AVP"))
    assert scene.responses[-1].status == 488
    (report,) = to_browser(scene)
    assert (report.method, grade(report)) == ("UPDATE", "HOP_BY_HOP")
    assert (report.headers.get("Call-Security") or "").endswith(';refused="media.plain_rtp,mid.crypto_removed"')


def test_a_call_that_ends_tells_nobody_anything_but_goodbye() -> None:
    scene = from_trunk(outbound(), "INVITE", answer("RTP/AVP"))
    scene.feed(events.Lost(Termination.SHUTDOWN)).clear()
    scene.reply(491, purpose=Purpose.UPDATE).feed(scene.fires(fx.Timer.REPORT))
    assert to_browser(scene) == []
