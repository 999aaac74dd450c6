"""Every leg of an answered call has a record, also one that never got keys, and nothing is claimed for it."""

from __future__ import annotations

import pytest

from gateway.audit.final import call_final
from gateway.base.codes import Code
from gateway.base.crypto_suite import AEAD_AES_256_GCM
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events, security
from gateway.call.machine.effects import Timer
from gateway.sdp.summary import Described
from tests.call.machine_scene import MachineScene, answer, sdes_answer, vector


def _answered(profile: Profile = Profile.STRICT) -> MachineScene:
    scene = MachineScene(profile).calling()
    return scene.reply(200, sdes_answer(scene.invite.body) if profile is Profile.STRICT else answer())


def _final(scene: MachineScene) -> dict[str, object]:
    (finished,) = [e for e in scene.all if isinstance(e, fx.Finished)]
    state = scene.state
    return call_final(security.info(state), state.policy, state.posture, finished.termination, duration=1.0)


def _legs(scene: MachineScene) -> list[tuple[str, object, object]]:
    """Records of the browser leg, in order: type, codes, checkpoint."""
    found = [e.record for e in scene.all if isinstance(e, fx.WriteAudit)]
    return [(str(r["type"]), r["codes"], r["checkpoint"]) for r in found if r.get("leg") == "browser"]


def test_a_browser_that_does_neither_ice_nor_dtls_gets_its_record_before_the_end() -> None:
    scene = _answered().ack().feed(lambda scene: scene.fires(Timer.KEYED))
    assert _legs(scene) == [("leg.violation", ["early.unkeyed"], "P4")]
    record = scene.record("leg.violation")
    assert (record["kind"], record["grade_after"], record["decision"]) == ("D4", "CLEARTEXT", "refused")
    order = scene.order(fx.WriteAudit, fx.Finished)
    assert order.index("Finished") == len(order) - 1
    final = _final(scene)
    assert final["termination"] == "media-not-keyed"
    assert (final["grade_at_answer"], final["grade_worst"], final["grade_current"]) == (None, None, None)
    assert final["legs"] == {"browser": "pending", "trunk": "HOP_BY_HOP"}
    assert final["answered"] is True


def test_a_weaker_trunk_leg_is_still_told_of_when_the_browser_never_had_keys() -> None:
    scene = _answered(Profile.LEGACY).ack().feed(lambda scene: scene.fires(Timer.KEYED))
    assert (_final(scene)["grade_at_answer"], _final(scene)["grade_worst"]) == ("CLEARTEXT", "CLEARTEXT")


@pytest.mark.parametrize(
    "end",
    [
        events.Lost(Termination.CONSENT_LOST),
        events.Lost(Termination.FLOW_LOST),
        events.Lost(Termination.WORKER_HUNG),
        events.Lost(Termination.SHUTDOWN),
        events.AckMissing("invite-key"),
    ],
    ids=lambda e: getattr(getattr(e, "termination", None), "slug", type(e).__name__),
)
def test_whatever_ends_a_call_whose_browser_has_no_keys_yet_its_leg_is_recorded_as_pending(end: events.Event) -> None:
    scene = _answered().feed(end)
    assert _legs(scene) == [("leg.pending", [], "P7")]
    assert scene.order(fx.WriteAudit, fx.Finished)[-1] == "Finished"
    assert _final(scene)["grade_worst"] is None


@pytest.mark.parametrize("hanging", [LegKind.BROWSER, LegKind.TRUNK])
def test_a_peer_that_hangs_up_before_the_keys_leaves_a_pending_record(hanging: LegKind) -> None:
    scene = _answered().ack().inside(hanging, "BYE", cseq=2)
    assert _legs(scene) == [("leg.pending", [], "P7")]


def test_a_handshake_that_fails_is_the_record_and_nothing_is_pending() -> None:
    scene = (
        _answered()
        .ack()
        .feed(lambda scene: events.DtlsFailed(scene.id(LegKind.BROWSER), Termination.FINGERPRINT_MISMATCH))
    )
    assert [kind for kind, _, _ in _legs(scene)] == ["leg.violation"]


def test_a_trunk_whose_answer_to_our_late_offer_never_came_is_recorded_as_pending() -> None:
    scene = MachineScene(Profile.STRICT, outbound=False, offer=b"").calling()
    scene.reply(200, vector("chromium_offer").replace(b"actpass", b"active"))
    scene.feed(events.AckMissing("invite-key"))
    record = scene.record("leg.pending")
    assert {r["leg"] for r in (e.record for e in scene.all if isinstance(e, fx.WriteAudit)) if "leg" in r} == {
        "browser",
        "trunk",
    }
    assert record["checkpoint"] == "P7"


def test_a_call_that_was_keyed_ends_without_a_pending_record_and_with_its_grades() -> None:
    scene = _answered().ack().feed(lambda scene: scene.keyed(AEAD_AES_256_GCM))
    scene.inside(LegKind.BROWSER, "BYE", cseq=2)
    assert "leg.pending" not in scene.records
    final = _final(scene)
    assert (final["grade_at_answer"], final["grade_worst"]) == ("HOP_BY_HOP", "HOP_BY_HOP")


def test_a_call_that_was_not_answered_needs_no_record_of_its_legs() -> None:
    scene = MachineScene().calling().feed(events.CancelIn())
    assert "leg.pending" not in scene.records


def test_the_record_of_a_leg_names_what_its_description_offered_to_protect_it_and_no_key() -> None:
    scene = _answered().ack().feed(lambda scene: scene.keyed(AEAD_AES_256_GCM))
    found = [e.record for e in scene.all if isinstance(e, fx.WriteAudit) and e.record["type"] == "leg.secured"]
    by_leg = {str(record["leg"]): record for record in found}
    trunk, browser = by_leg["trunk"]["sdp_after"], by_leg["browser"]["sdp_after"]
    assert isinstance(trunk, dict)
    assert isinstance(browser, dict)
    assert (trunk["proto"], trunk["suites"]) == ("RTP/SAVP", ["AES_CM_128_HMAC_SHA1_80"])
    assert (browser["proto"], browser["fingerprints"]) == ("UDP/TLS/RTP/SAVPF", ["sha-256"])
    assert all(record["sdp_before"] is None for record in found)
    assert "inline" not in str(found)


def test_a_change_that_is_recorded_tells_what_was_described_before_it() -> None:
    scene = _answered().ack().feed(lambda scene: scene.keyed(AEAD_AES_256_GCM))
    leg = scene.leg(LegKind.TRUNK)
    assert leg is not None
    scene.state.described[leg.id] = Described("RTP/SAVP", "inactive")
    security.posture_changed(scene.state, leg, found=frozenset({Code.MEDIA_PLAIN_ON_SECURE}), kind="D4")
    record = next(e.record for e in reversed(scene.state.out) if isinstance(e, fx.WriteAudit))
    assert record["sdp_before"] == {"proto": "RTP/SAVP", "direction": "inactive"}
    assert record["sdp_after"] != record["sdp_before"]
