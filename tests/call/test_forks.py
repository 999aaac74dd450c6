"""Several phones answer one INVITE: one of them is the call, each of the others is acknowledged and hung up on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from gateway.base.counters import Counter
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.call.machine.events import Place
from gateway.call.machine.forks import FORK_SECONDS
from gateway.media.relay_commands import SetPeer
from gateway.sip.events import AckReceived, ResponseReceived
from gateway.sip.message import Headers, Request, create_response
from tests.call.machine_scene import BROWSER_FLOW, CONTACT, MachineScene, answer, sdes_answer
from tests.call.office import Office

KEY = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "B" * 40

STRANGER = "a=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40
WEAK_ANSWERS = {
    "no key": answer("RTP/SAVP"),
    "plain": answer("RTP/AVP"),
    "short tag": answer("RTP/SAVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:" + "A" * 40),
    "a tag we did not give": answer("RTP/SAVP", STRANGER),
    "garbage": b"v=0\r\n",
}


def byes(scene: MachineScene) -> list[tuple[str, str]]:
    """Tag and Reason of each BYE to the callee."""
    sent = [e.request for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.BYE]
    return [(r.to.tag or "", r.headers.get("Reason") or "") for r in sent if r.call_id == scene.callee_call_id]


def acks(scene: MachineScene) -> list[str]:
    return [e.request.to.tag or "" for e in scene.all if isinstance(e, fx.SendAck)]


def ringing(*tags: str, profile: Profile = Profile.STRICT) -> MachineScene:
    scene = MachineScene(profile=profile).calling()
    for tag in tags:
        scene.reply(180, tag=tag)
    return scene


# The first phone that answers is weak.


@pytest.mark.parametrize("body", WEAK_ANSWERS.values(), ids=list(WEAK_ANSWERS))
def test_a_weak_answer_is_hung_up_on_with_the_reason_while_others_ring(body: bytes) -> None:
    scene = ringing("desk", "softphone")
    scene.reply(200, body, tag="desk")
    assert scene.state.live
    assert acks(scene) == ["desk"]
    ((tag, reason),) = byes(scene)
    assert tag == "desk"
    assert reason.startswith("SIP;cause=488")
    violation = scene.record("leg.violation")
    assert "fork.mixed" in str(violation["codes"])
    assert [r.status for r in scene.responses] == [180, 180]


def test_a_secure_phone_that_answers_after_a_weak_one_is_the_call() -> None:
    scene = ringing("desk", "softphone")
    scene.reply(200, WEAK_ANSWERS["no key"], tag="desk")
    scene.reply(200, sdes_answer(scene.invite.body), tag="softphone").ack()
    assert scene.responses[-1].status == 200
    assert scene.record("leg.secured")["leg"] == "trunk"
    scene.feed(scene.keyed())
    assert scene.state.live
    assert [tag for tag, _ in byes(scene)] == ["desk"]


def test_the_caller_waits_no_longer_than_an_answer_can_come() -> None:
    scene = ringing("desk", "softphone")
    scene.clear().reply(200, WEAK_ANSWERS["no key"], tag="desk")
    assert [e.seconds for e in scene.take(fx.SetTimer)] == [FORK_SECONDS]
    scene = ringing("desk", "softphone")
    scene.now += 170.0
    scene.clear().reply(200, WEAK_ANSWERS["no key"], tag="desk")
    assert [e.seconds for e in scene.take(fx.SetTimer)] == [10.0]


def test_a_call_that_only_weak_phones_answered_ends_with_the_encryption_as_the_reason() -> None:
    scene = ringing("desk", "softphone")
    scene.reply(200, WEAK_ANSWERS["no key"], tag="desk")
    scene.feed(events.TimerFired(fx.Timer.RING))
    assert scene.state.termination is Termination.ENCRYPTION_IGNORED
    assert scene.responses[-1].status == 488
    assert (scene.responses[-1].headers.get("Warning") or "").startswith("302 ")


def test_the_last_weak_phone_ends_the_call_at_once() -> None:
    scene = ringing("desk", "softphone")
    scene.reply(200, WEAK_ANSWERS["no key"], tag="desk")
    scene.reply(200, WEAK_ANSWERS["no key"], tag="softphone")
    assert scene.state.termination is Termination.ENCRYPTION_IGNORED
    assert sorted(tag for tag, _ in byes(scene)) == ["desk", "softphone"]
    assert sorted(acks(scene)) == ["desk", "softphone"]


def test_a_weak_phone_that_rings_alone_ends_the_call_at_once() -> None:
    scene = ringing("desk")
    scene.reply(200, WEAK_ANSWERS["no key"], tag="desk")
    assert scene.state.termination is Termination.ENCRYPTION_IGNORED
    assert [tag for tag, _ in byes(scene)] == ["desk"]


def test_the_answer_of_a_phone_that_was_hung_up_on_is_acknowledged_again_and_nothing_more() -> None:
    scene = ringing("desk", "softphone")
    for _ in range(3):
        scene.reply(200, WEAK_ANSWERS["no key"], tag="desk")
    scene.reply(200, sdes_answer(scene.invite.body), tag="desk")  # it cannot make up its mind
    assert acks(scene) == ["desk"] * 4
    assert [tag for tag, _ in byes(scene)] == ["desk"]
    assert scene.records.count("leg.violation") == 1
    assert scene.state.live


def test_the_caller_may_give_up_while_it_waits_for_a_better_phone() -> None:
    scene = ringing("desk", "softphone")
    scene.reply(200, WEAK_ANSWERS["no key"], tag="desk")
    scene.feed(events.CancelIn())
    assert scene.responses[-1].status == 487
    scene.reply(200, sdes_answer(scene.invite.body), tag="softphone")
    assert [tag for tag, _ in byes(scene)] == ["desk", "softphone"]
    assert scene.order(fx.Finished) == ["Finished"]


@pytest.mark.parametrize("profile", [Profile.PREFER, Profile.OSRTP, Profile.LEGACY])
def test_where_weakness_is_tolerated_the_first_phone_is_the_call(profile: Profile) -> None:
    scene = ringing("desk", "softphone", profile=profile)
    keyed = b"a=crypto" in scene.invite.body
    proto = "RTP/SAVP" if b"RTP/SAVP" in scene.invite.body else "RTP/AVP"
    good = sdes_answer(scene.invite.body).replace(b"RTP/SAVP", proto.encode()) if keyed else answer()
    scene.reply(200, good, tag="desk").ack()
    assert scene.responses[-1].status == 200
    scene.clear().reply(200, good, tag="softphone")
    assert [tag for tag, _ in byes(scene)] == ["softphone"]
    lost = scene.record("leg.lost")
    assert (lost["decision"], lost["leg"]) == ("refused", "trunk")
    assert scene.state.live


def test_a_plain_phone_that_lost_does_not_touch_the_record_of_the_secure_one() -> None:
    scene = ringing("desk", "softphone", profile=Profile.OSRTP)
    good = sdes_answer(scene.invite.body).replace(b"RTP/SAVP", b"RTP/AVP")
    scene.reply(200, good, tag="desk").ack()
    worst = scene.state.posture.worst
    scene.clear().reply(200, answer(), tag="softphone")
    assert scene.record("leg.lost")["grade_after"] == "CLEARTEXT"
    assert scene.state.posture.worst is worst
    assert scene.told(SetPeer) == []
    assert scene.trunk_leg is not None
    assert scene.trunk_leg.dialog is not None
    assert scene.trunk_leg.dialog.remote_tag == "desk"


@pytest.mark.parametrize(("method", "status"), [("BYE", 200), ("INVITE", 481), ("UPDATE", 481), ("OPTIONS", 481)])
def test_what_a_phone_that_was_hung_up_on_still_asks_is_no_part_of_the_call(method: str, status: int) -> None:
    scene = ringing("desk", "softphone")
    scene.reply(200, WEAK_ANSWERS["no key"], tag="desk")
    scene.clear().inside(LegKind.TRUNK, method, cseq=7, tag="desk")
    assert [e.response.status for e in scene.take(fx.Respond)] == [status]
    assert [type(e) for e in scene.effects] == [fx.Respond]


def test_a_call_whose_last_ringing_phone_leaves_after_a_weak_one_answered_ends_for_the_encryption() -> None:
    scene = ringing("desk", "softphone")
    scene.reply(200, WEAK_ANSWERS["no key"], tag="desk")
    scene.inside(LegKind.TRUNK, "BYE", cseq=1, tag="softphone")
    assert scene.state.termination is Termination.ENCRYPTION_IGNORED
    assert (scene.responses[-2].status, scene.responses[-1].status) in {(200, 488), (488, 200)}


def test_early_media_that_policy_refuses_ends_nothing() -> None:
    scene = ringing("desk")
    scene.reply(183, WEAK_ANSWERS["plain"], tag="desk").reply(183, WEAK_ANSWERS["no key"], tag="softphone")
    assert scene.state.live
    assert {r.status for r in scene.responses} == {180}
    scene.reply(200, sdes_answer(scene.invite.body), tag="softphone")
    assert scene.responses[-1].status == 200


# Who answers after the call.


def test_two_byes_are_two_and_the_call_waits_for_both() -> None:
    scene = ringing("one", "two")
    scene.reply(200, sdes_answer(scene.invite.body), tag="one").ack()
    scene.reply(200, sdes_answer(scene.invite.body), tag="two")
    scene.feed(events.Lost(Termination.CONSENT_LOST))
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.BYE]
    to_trunk = [e for e in sent if scene.kind(e.leg) is LegKind.TRUNK]
    assert [e.request.to.tag for e in to_trunk] == ["two", "one"]
    for bye in (sent[0], sent[1]):
        scene.feed(scene.answer_to(bye, 200, tag=bye.request.to.tag or ""))
        assert scene.order(fx.Forget) == []
    scene.feed(scene.answer_to(sent[2], 200, tag=sent[2].request.to.tag or ""))
    assert scene.order(fx.Forget) == ["Forget"]


def test_a_bye_that_is_never_answered_ends_only_its_own_waiting() -> None:
    scene = ringing("one", "two")
    scene.reply(200, sdes_answer(scene.invite.body), tag="one").ack()
    scene.reply(200, sdes_answer(scene.invite.body), tag="two")
    (stray,) = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.BYE]
    scene.feed(events.RequestFailed(stray.ask, transport=False))
    assert scene.state.live
    scene.feed(events.Lost(Termination.CONSENT_LOST))
    assert scene.order(fx.Forget) == []


class ForkOffice(Office):
    """An office that has a call up to a stage, with a forked callee."""

    def answered(self, tag: str = "one") -> None:
        body = sdes_answer(next(r for r, _ in self.sip.sent.values() if r.method == "INVITE").body)
        self.reply("INVITE", 200, body, tag=tag)

    def all_byes_answered(self) -> None:
        for key, (request, flow) in list(self.sip.sent.items()):
            if request.method == "BYE":
                tag = request.to.tag or ""
                self.manager.on_event(ResponseReceived(key, create_response(request, 200, to_tag=tag), flow))

    def byes(self) -> list[str]:
        return [r.to.tag or "" for r, _ in self.sip.sent.values() if r.method == "BYE"]

    def acknowledged(self) -> list[str]:
        return [r.to.tag or "" for r in self.sip.acks]


async def hung_up_and_forgotten(directory: Path) -> ForkOffice:
    desk = ForkOffice(directory)
    desk.call()
    await desk.settle()
    desk.answered("one")
    desk.manager.on_event(AckReceived("in-1", Request("ACK", "sip:x", Headers()), desk.sip.flows["pbx"]))
    runner = next(iter(desk.manager.index.runners))
    runner.feed(events.Lost(Termination.CONSENT_LOST))
    await desk.settle()
    desk.all_byes_answered()
    await desk.settle()
    assert desk.manager.live_calls == 0
    return desk


@pytest.mark.asyncio
async def test_a_phone_that_answers_after_the_hang_up_is_acknowledged_and_hung_up_on(tmp_path: Path) -> None:
    desk = await hung_up_and_forgotten(tmp_path)
    finals = desk.audit.types().count("call.final")
    before = desk.byes().count("two")
    desk.answered("two")
    assert desk.acknowledged()[-1] == "two"
    assert desk.byes().count("two") == before + 1
    desk.answered("two")  # its answer again: our ACK was lost
    assert desk.acknowledged()[-2:] == ["two", "two"]
    assert desk.byes().count("two") == before + 1
    desk.all_byes_answered()
    assert desk.audit.types().count("call.final") == finals == 1


@pytest.mark.asyncio
async def test_the_phone_of_a_call_that_is_over_is_acknowledged_again_but_not_hung_up_on_twice(tmp_path: Path) -> None:
    desk = await hung_up_and_forgotten(tmp_path)
    before = desk.byes()
    desk.answered("one")
    assert desk.acknowledged()[-1] == "one"
    assert desk.byes() == before


@pytest.mark.asyncio
async def test_a_call_that_is_over_listens_for_forks_as_long_as_one_can_answer_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    planned: list[tuple[float, Callable[[], object]]] = []
    real = loop.call_later

    def call_later(delay: float, callback: Callable[..., object], *args: object) -> asyncio.TimerHandle:
        planned.append((delay, partial(callback, *args)))
        return real(delay, callback, *args)

    monkeypatch.setattr(loop, "call_later", call_later)
    desk = await hung_up_and_forgotten(tmp_path)
    assert len(desk.manager.index.late_forks) == 1
    delay, forget = planned[-1]
    assert FORK_SECONDS - 5.0 < delay <= FORK_SECONDS
    forget()
    assert desk.manager.index.late_forks == {}
    before = desk.byes(), desk.acknowledged()
    desk.answered("two")
    assert (desk.byes(), desk.acknowledged()) == before


@pytest.mark.parametrize("ending", ["cancelled", "refused"])
@pytest.mark.asyncio
async def test_answers_that_cross_the_end_of_ringing_are_all_hung_up_on(tmp_path: Path, ending: str) -> None:
    desk = ForkOffice(tmp_path)
    desk.call()
    await desk.settle()
    desk.reply("INVITE", 180, tag="one")
    runner = next(iter(desk.manager.index.runners))
    runner.feed(events.CancelIn() if ending == "cancelled" else events.Lost(Termination.SHUTDOWN))
    await desk.settle()
    desk.answered("one")
    desk.all_byes_answered()
    await desk.settle()
    assert desk.manager.live_calls == 0
    desk.answered("two")
    assert desk.acknowledged() == ["one", "two"]
    assert desk.byes() == ["one", "two"]
    assert desk.audit.types().count("call.final") == 1


@pytest.mark.asyncio
async def test_a_call_that_nobody_answered_leaves_nothing_behind(tmp_path: Path) -> None:
    desk = ForkOffice(tmp_path)
    desk.call()
    await desk.settle()
    desk.reply("INVITE", 486)
    await desk.settle()
    assert desk.manager.live_calls == 0
    assert desk.manager.index.late_forks == {}


def test_a_2xx_without_a_description_is_no_answer_of_a_phone_whose_18x_had_none() -> None:
    """Each fork answers for itself: the early answer of one says nothing of another."""
    scene = MachineScene().calling()
    scene.reply(183, sdes_answer(scene.invite.body), tag="desk").clear()
    scene.reply(200, tag="softphone")
    assert [tag for tag, _ in byes(scene)] == ["softphone"]
    assert scene.state.live
    scene.reply(200, tag="desk").ack()
    assert scene.responses[-1].status == 200
    assert scene.state.live


def test_a_place_whose_only_phone_answered_too_weakly_gets_no_cancel_after_its_2xx() -> None:
    """RFC 3261 9.1: an INVITE that has its final response cannot be cancelled; the other place rings on."""
    one, two = (Place(replace(BROWSER_FLOW, id=number), CONTACT) for number in (11, 12))
    scene = MachineScene(outbound=False, offer=answer("RTP/SAVP", KEY), places=(one, two)).calling().clear()
    scene.reply(200, b"v=0\r\n")
    assert [e.purpose for e in scene.take(fx.SendRequest)] == [Purpose.BYE]
    assert not scene.take(fx.CancelInvite)
    assert scene.state.live


def test_what_a_call_did_not_expect_is_in_the_counters_of_the_gateway(tmp_path: Path) -> None:
    """The ACK came before the answer it could be for."""

    async def run() -> None:
        desk = ForkOffice(tmp_path)
        desk.call()
        await desk.settle()
        runner = next(iter(desk.manager.index.runners))
        runner.feed(events.AckIn("in-1", Request("ACK", "sip:x", Headers())))
        await desk.settle()
        assert desk.services.counters[Counter.INVITE_UNEXPECTED] == 1
        assert desk.manager.live_calls == 1
        runner.feed(events.Lost(Termination.CONSENT_LOST))
        await desk.settle()

    asyncio.run(run())
