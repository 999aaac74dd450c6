"""Changes that cross each other, come twice, or come from a fork that lost."""

from __future__ import annotations

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine.effects import Purpose
from gateway.media.relay_commands import SetPeer
from tests.call.machine_scene import MachineScene, answer, sdes_answer, vector
from tests.call.test_change import established, from_browser, from_trunk, held
from tests.call.test_setup import finished

OFFER = vector("chromium_offer")
KEY = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "B" * 40
PCMA = answer().replace(b" 0 101", b" 8 101").replace(b"0 PCMU", b"8 PCMA")


def sent(scene: MachineScene) -> list[tuple[str, str]]:
    return [(scene.kind(e.leg).value, e.request.method) for e in scene.take(fx.SendRequest)]


def forked() -> MachineScene:
    """Two phones rang, one was picked up."""
    scene = MachineScene().calling().reply(180, tag="loser").reply(180, tag="callee")
    return scene.reply(200, sdes_answer(scene.invite.body)).ack().clear()


def test_a_bye_in_the_dialog_of_a_fork_that_lost_does_not_end_the_call() -> None:
    scene = forked().inside(LegKind.TRUNK, "BYE", cseq=1, tag="loser")
    assert scene.responses[-1].status == 200
    assert finished(scene) is None


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "OPTIONS"])
def test_nothing_else_is_served_in_that_dialog(method: str) -> None:
    scene = forked().inside(LegKind.TRUNK, method, answer("RTP/SAVP", KEY), cseq=1, tag="loser")
    assert scene.responses[-1].status == 481
    assert not scene.told(SetPeer)


def test_the_numbering_of_a_lost_fork_does_not_disturb_the_winner() -> None:
    scene = forked().inside(LegKind.TRUNK, "OPTIONS", cseq=900, tag="loser").inside(LegKind.TRUNK, "OPTIONS", cseq=2)
    assert scene.responses[-1].status == 200


def test_a_loser_is_told_goodbye_once_and_acknowledged_each_time() -> None:
    scene = forked()
    body = sdes_answer(scene.invite.body)
    for _ in range(3):
        scene.reply(200, body, tag="loser")
    assert len(scene.take(fx.SendAck)) == 3
    assert sent(scene) == [("trunk", "BYE")]


def test_a_repeated_2xx_of_an_earlier_reinvite_is_not_the_answer_to_the_present_one() -> None:
    scene = from_browser(established(), "INVITE", held(b"sendonly"))
    first = [e for e in scene.all if isinstance(e, fx.SendRequest)][-1]
    hold_answer = sdes_answer(scene.invite.body).replace(b"a=sendrecv", b"a=recvonly")
    scene.reply(200, hold_answer, purpose=Purpose.REINVITE)
    from_browser(scene, "INVITE", held(b"sendrecv"), cseq=3).clear()
    stale = scene.answer_to(first, 200, hold_answer)
    scene.feed(stale)
    assert [type(e) for e in scene.effects] == [fx.SendAck]
    scene.reply(200, sdes_answer(scene.invite.body), purpose=Purpose.REINVITE)
    assert scene.ways == (True, True)


def test_a_2xx_to_our_reinvite_that_comes_after_the_end_is_acknowledged() -> None:
    scene = from_browser(established(), "INVITE", held(b"sendonly"))
    from_browser(scene, "BYE", cseq=3).clear()
    scene.reply(200, sdes_answer(scene.invite.body), purpose=Purpose.REINVITE)
    assert [type(e) for e in scene.effects] == [fx.SendAck]
    scene.reply(200, purpose=Purpose.BYE)
    assert len([e for e in scene.all if isinstance(e, fx.Forget)]) == 1


def test_glare_after_the_end_starts_no_clock() -> None:
    scene = from_browser(established(), "INVITE", held(b"sendonly"))
    from_browser(scene, "BYE", cseq=3).clear()
    scene.reply(491, purpose=Purpose.REINVITE)
    assert not scene.take(fx.SetTimer)


@pytest.mark.parametrize(("status", "byes"), [(408, 2), (481, 1)])
def test_a_dialog_that_is_gone_ends_the_call_and_408_is_still_told_goodbye(status: int, byes: int) -> None:
    """RFC 3261 12.2.1.2."""
    scene = from_browser(established(), "INVITE", held(b"sendonly")).clear().reply(status, purpose=Purpose.REINVITE)
    assert finished(scene) is Termination.PEER_TIMEOUT
    assert [m for _, m in sent(scene)] == ["BYE"] * byes


def test_our_reinvite_waits_for_the_ack_that_brings_an_answer_on_the_same_leg() -> None:
    """One offer at a time per dialog (RFC 3264 4)."""
    scene = from_trunk(
        established(), "INVITE", sdes_answer(established().invite.body).replace(b"sendrecv", b"sendonly")
    )
    assert sent(scene) == [("browser", "INVITE")]
    scene.clear()
    from_trunk(scene, "INVITE", cseq=901)
    assert scene.responses[-1].status == 200
    from_browser(scene, "INVITE", held(b"sendonly"))
    assert scene.responses[-1].status == 491  # ours to the browser is open
    browser_answer = vector("chromium_answer_to_rtpengine").replace(b"sendrecv", b"recvonly")
    fingerprint = next(line for line in OFFER.splitlines() if line.startswith(b"a=fingerprint"))
    own = next(line for line in browser_answer.splitlines() if line.startswith(b"a=fingerprint"))
    scene.reply(200, browser_answer.replace(own, fingerprint), purpose=Purpose.REINVITE)
    assert finished(scene) is None
    assert ("trunk", "INVITE") not in sent(scene)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_while_an_ack_owes_us_an_answer_the_other_side_may_change_and_is_passed_on_after_it(method: str) -> None:
    """One offer at a time in each dialog (RFC 3264 4): that of the other side is another one."""
    scene = from_trunk(established(), "INVITE")
    offered = scene.responses[-1].body
    from_browser(scene.clear(), method, held(b"sendonly"))
    assert scene.responses[-1].status == 200
    assert sent(scene) == []
    scene.ack_of(LegKind.TRUNK, 900, sdes_answer(offered))
    assert sent(scene) == [("trunk", "INVITE")]
    assert b"a=sendonly" in scene.invite.body


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_change_while_our_offer_in_a_2xx_waits_for_its_answer_is_491(method: str) -> None:
    """RFC 3261 14.2: our offer in this dialog is open; so is it for UPDATE (RFC 3311 5.2)."""
    scene = from_trunk(established(), "INVITE")
    from_trunk(scene, method, sdes_answer(established().invite.body), cseq=901)
    assert scene.responses[-1].status == 491


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_change_before_the_other_side_has_agreed_to_anything_is_500_with_retry_after(method: str) -> None:
    """The caller sent no offer: its answer to ours comes in the ACK, before that the callee cannot be answered."""
    scene = MachineScene(profile=Profile.LEGACY, outbound=False, offer=b"").calling()
    scene.reply(200, vector("chromium_answer_to_rtpengine"))
    scene.inside(LegKind.BROWSER, method, OFFER, cseq=2)
    assert scene.responses[-1].status == 500
    assert int(scene.responses[-1].headers.get("Retry-After") or "-1") in range(11)
    assert scene.state.live


def test_our_reinvite_waits_for_the_ack_of_theirs() -> None:
    """RFC 3261 14.1."""
    scene = from_browser(established(), "INVITE", held(b"sendonly"))
    scene.reply(200, sdes_answer(scene.invite.body).replace(b"sendrecv", b"recvonly"), purpose=Purpose.REINVITE)
    key = established().invite.body
    from_trunk(scene.clear(), "INVITE", sdes_answer(key).replace(b"sendrecv", b"inactive"))
    assert sent(scene) == []
    scene.ack_of(LegKind.BROWSER, 2)
    assert sent(scene) == [("browser", "INVITE")]


def test_an_update_with_an_offer_before_the_answer_is_491() -> None:
    """RFC 3311 5.2: our own offer is still open."""
    scene = MachineScene(profile=Profile.LEGACY).calling().reply(180)
    scene.inside(LegKind.TRUNK, "UPDATE", answer(), cseq=1)
    assert scene.responses[-1].status == 491
    assert finished(scene) is None


def test_another_codec_of_the_trunk_is_offered_to_a_browser_that_had_not_agreed_to_it() -> None:
    scene = established(Profile.LEGACY)
    from_trunk(scene, "INVITE", PCMA)
    assert b"RTP/AVP 8 101" in scene.responses[-1].body
    assert sent(scene) == [("browser", "INVITE")]
    assert b"PCMA/8000" in scene.invite.body
    assert b"PCMU/8000" not in scene.invite.body
    line = next(x for x in OFFER.splitlines() if x.startswith(b"m=audio"))
    browser = OFFER.replace(line, b"m=audio 9 UDP/TLS/RTP/SAVPF 8 126").replace(b"setup:actpass", b"setup:active")
    scene.reply(200, browser, purpose=Purpose.REINVITE)
    assert scene.mapped(LegKind.TRUNK, LegKind.BROWSER)[8] == 8
    assert scene.mapped(LegKind.BROWSER, LegKind.TRUNK)[8] == 8
    assert finished(scene) is None


def test_a_reordered_offer_of_the_trunk_keeps_the_codec_the_browser_has() -> None:
    scene = established(Profile.LEGACY)
    both = answer().replace(b" 0 101", b" 8 0 101").replace(b"a=rtpmap:0", b"a=rtpmap:8 PCMA/8000\r\na=rtpmap:0")
    from_trunk(scene, "INVITE", both)
    assert b"RTP/AVP 0 101" in scene.responses[-1].body
    assert sent(scene) == []


def test_new_payload_numbers_are_mapped_at_once() -> None:
    scene = established(Profile.LEGACY)
    from_trunk(scene, "INVITE", answer().replace(b" 101", b" 96").replace(b":101 ", b":96 "))
    assert scene.keypads(LegKind.TRUNK, LegKind.BROWSER)[0][96] == 8000
    assert scene.keypads(LegKind.BROWSER, LegKind.TRUNK)[1] == {96: 8000}
    assert sent(scene) == []


def test_a_new_media_address_of_the_trunk_reaches_the_relay_and_not_the_browser() -> None:
    scene = established(Profile.LEGACY)
    from_trunk(scene, "INVITE", answer(port=4900))
    assert scene.told(SetPeer)[-1].rtp.port == 4900
    assert sent(scene) == []


@pytest.mark.parametrize("weak", [answer("RTP/SAVP"), answer("RTP/AVP")])
def test_whoever_insists_on_a_change_without_keys_ends_the_call(weak: bytes) -> None:
    """Else a peer could write violation records for ever."""
    scene = from_trunk(from_trunk(established(), "INVITE", weak), "INVITE", weak, cseq=901)
    assert finished(scene) in (Termination.ENCRYPTION_REMOVED, Termination.ENCRYPTION_IGNORED)
    assert scene.records.count("leg.violation") == 2


def test_a_refused_change_does_not_move_where_our_requests_go() -> None:
    """RFC 6141 4.2."""
    scene = established()
    trunk = scene.leg(LegKind.TRUNK)
    assert trunk is not None
    assert trunk.dialog is not None
    before = trunk.dialog.remote_target
    scene.inside(LegKind.TRUNK, "INVITE", answer("RTP/AVP"), cseq=900, contact="<sip:other@127.0.0.2:5061>")
    assert trunk.dialog.remote_target == before
    scene.inside(LegKind.TRUNK, "UPDATE", cseq=902, contact="<sip:other@127.0.0.2:5061>")
    assert str(trunk.dialog.remote_target) == "sip:other@127.0.0.2:5061"


def test_a_second_change_of_the_browser_waits_until_the_trunk_has_answered_the_first() -> None:
    scene = from_browser(established(), "INVITE", held(b"sendonly")).clear()
    from_browser(scene, "INVITE", held(b"sendrecv"), cseq=3)
    assert scene.responses[-1].status == 200
    assert sent(scene) == []
    scene.reply(200, sdes_answer(scene.invite.body).replace(b"sendrecv", b"recvonly"), purpose=Purpose.REINVITE)
    assert sent(scene) == [("trunk", "INVITE")]
    assert b"a=sendrecv" in scene.invite.body


def test_the_same_dtls_event_twice_changes_nothing() -> None:
    scene = established()
    scene.feed(scene.keyed())
    assert scene.effects == []
