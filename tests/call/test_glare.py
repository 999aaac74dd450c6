"""Two changes at once: who waits how long, and what a change gets that comes too early (RFC 3261 14, RFC 3311 5.2)."""

from __future__ import annotations

import secrets
from itertools import count

import pytest

from gateway.base.counters import Counter
from gateway.base.profiles import Profile
from gateway.base.values import LegId, LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.sdp import glare
from tests.call.machine_scene import OTHER, MachineScene, answer, sdes_answer, vector

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
OFFER = vector("chromium_offer")


def lots(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


@pytest.mark.parametrize(("owner", "least", "most"), [(True, 2.1, 4.0), (False, 0.0, 2.0)])
def test_the_owner_of_the_call_id_waits_2_to_4_seconds_and_the_other_side_less_than_2(
    owner: bool, least: float, most: float
) -> None:
    waits = {glare.wait_seconds(lots, owns_call_id=owner) for _ in range(2000)}
    assert least - 1e-9 <= min(waits)
    assert max(waits) <= most + 1e-9
    assert len(waits) > 100
    assert all(abs(wait * 100 - round(wait * 100)) < 1e-6 for wait in waits)


def test_retry_after_is_drawn_from_0_to_10() -> None:
    assert {glare.retry_after(lots) for _ in range(500)} == set(range(11))


@pytest.mark.parametrize("owner", [True, False])
def test_the_wait_is_a_function_of_the_token_source(owner: bool) -> None:
    assert {glare.wait_seconds(lambda n: "0" * n, owns_call_id=owner) for _ in range(9)} == {2.1 if owner else 0.0}
    numbers = count()
    assert len({glare.wait_seconds(lambda n: f"{next(numbers):0{n}d}", owns_call_id=owner) for _ in range(9)}) == 9


def established(*, outbound: bool) -> MachineScene:
    scene = MachineScene(profile=Profile.LEGACY, outbound=outbound, offer=OFFER if outbound else answer()).calling()
    scene.reply(200, answer() if outbound else OFFER.replace(b"setup:actpass", b"setup:active")).ack()
    scene.feed(scene.keyed())
    return scene.clear()


def hold(scene: MachineScene, leg: LegKind, cseq: int = 900) -> MachineScene:
    body = OFFER if leg is LegKind.BROWSER else answer()
    return scene.inside(leg, "INVITE", body.replace(b"a=sendrecv", b"a=sendonly"), cseq=cseq)


@pytest.mark.parametrize("outbound", [True, False])
@pytest.mark.parametrize("held", LegKind)
def test_after_491_we_wait_as_the_owner_of_that_dialogs_call_id(outbound: bool, held: LegKind) -> None:
    """The Call-ID is ours where we sent the INVITE: towards the callee."""
    scene = hold(established(outbound=outbound), held)
    (sent,) = [e for e in scene.take(fx.SendRequest) if e.purpose is Purpose.REINVITE]
    assert scene.kind(sent.leg) is OTHER[held]
    scene.clear().reply(491, purpose=Purpose.REINVITE)
    assert scene.take(fx.Count) == [fx.Count(Counter.OFFER_GLARE)]
    (timer,) = [e for e in scene.take(fx.SetTimer) if e.name is fx.Timer.GLARE]
    callee = LegKind.TRUNK if outbound else LegKind.BROWSER
    owner = scene.kind(sent.leg) is callee
    assert (2.1 <= timer.seconds <= 4.0) if owner else (0.0 <= timer.seconds <= 2.0)
    scene.clear().feed(scene.fires(fx.Timer.GLARE))
    assert [scene.kind(e.leg) for e in scene.take(fx.SendRequest)] == [OTHER[held]]


@pytest.mark.parametrize("outbound", [True, False])
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_change_that_meets_ours_is_491(outbound: bool, method: str) -> None:
    scene = hold(established(outbound=outbound), LegKind.BROWSER).clear()
    scene.inside(LegKind.TRUNK, method, answer(), cseq=901)
    assert scene.responses[-1].status == 491
    assert scene.take(fx.Count) == [fx.Count(Counter.OFFER_GLARE)]
    assert scene.responses[-1].headers.get("Retry-After") is None


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_change_of_the_caller_before_our_answer_is_500_with_retry_after(method: str) -> None:
    """RFC 3261 14.2: a second INVITE before the final response to the first; RFC 3311 5.2: an unanswered offer."""
    scene = MachineScene(profile=Profile.LEGACY, outbound=False, offer=answer()).calling().reply(180)
    scene.inside(LegKind.TRUNK, method, answer(), cseq=2)
    assert scene.responses[-1].status == 500
    assert int(scene.responses[-1].headers.get("Retry-After") or "-1") in range(11)
    assert scene.state.live


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_change_of_the_callee_before_its_answer_is_491(method: str) -> None:
    scene = MachineScene(profile=Profile.STRICT).calling().reply(180)
    scene.inside(LegKind.TRUNK, method, sdes_answer(scene.invite.body), cseq=1)
    assert scene.responses[-1].status == 491
    assert scene.state.live


def test_an_update_with_an_offer_on_the_leg_whose_answer_we_wait_for_is_491() -> None:
    scene = established(outbound=True)
    scene.inside(LegKind.TRUNK, "INVITE", cseq=900)  # no offer: ours is in the 200
    scene.inside(LegKind.TRUNK, "UPDATE", answer(), cseq=901)
    assert scene.responses[-1].status == 491


def test_a_step_that_no_row_expects_is_counted_and_changes_nothing() -> None:
    """A state that does not expect an event says so; nothing comes of it."""
    scene = hold(established(outbound=True), LegKind.BROWSER)
    trunk = scene.trunk_leg
    before = trunk.talk.session
    scene.state.count(trunk.talk.agree())
    assert scene.state.out == [fx.Count(Counter.OFFER_UNEXPECTED)]
    assert trunk.talk.session is before


def test_a_wait_that_is_over_when_nothing_waits_changes_nothing() -> None:
    scene = established(outbound=True).feed(events.TimerFired(fx.Timer.GLARE, LegId(2)))
    assert scene.effects == []
