"""Transfer by REFER: who stays is joined with the target before who asked is let go, and never at less protection."""

from __future__ import annotations

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import CALLER, LegId, LegKind
from gateway.call import effects as fx
from gateway.call import events
from gateway.call.effects import Purpose
from gateway.media.relay_commands import CloseLeg, OpenLeg, Route, Unroute
from gateway.sip.message import Request
from tests.call.machine_scene import MachineScene, answer, browser_answer, sdes_answer, trunk_flow
from tests.call.test_setup import finished
from tests.sites import made_site

PLAN = {"outbound": [{"id": "all", "dialled": "6*", "trunk": "pbx"}, {"id": "old", "dialled": "7*", "trunk": "old"}]}
SITE = made_site(
    PLAN,
    trunks={
        "pbx": {"target": "sip:pbx.example;transport=tls", "networks": ["127.0.0.2/32"]},
        "old": {"target": "sip:127.0.0.3", "networks": ["127.0.0.3/32"], "security": "legacy"},
    },
)
THIRD = LegId(3)


def talking(profile: Profile = Profile.STRICT, *, outbound: bool = True) -> MachineScene:
    """An answered call whose site has two trunks."""
    offer = {} if outbound else {"offer": answer("RTP/SAVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40)}
    scene = MachineScene(profile=profile, outbound=outbound, **offer)  # type: ignore[arg-type]
    object.__setattr__(scene.state.context.make, "site", SITE)
    scene.calling()
    if outbound:
        keyed = b"a=crypto" in scene.invite.body
        scene.reply(200, sdes_answer(scene.invite.body) if keyed else answer()).ack()
    else:
        scene.reply(200, browser_answer(scene.invite.body))
        scene.feed(events.AckIn("invite-key", scene.in_dialog(LegKind.TRUNK, "ACK", cseq=1)))
    return scene.feed(scene.keyed()).clear()


def refer(scene: MachineScene, leg: LegKind = LegKind.BROWSER, to: str = "<sip:601@example.test>") -> MachineScene:
    return scene.inside(leg, "REFER", cseq=50, extra=(("Refer-To", to),))


def target_answers(scene: MachineScene, body: bytes | None = None) -> MachineScene:
    """The trunk is reached, the relay has room, and the target picks up."""
    scene.connect().open_media()
    return scene.reply(200, body or sdes_answer(scene.invite.body), tag="target")


def sent(scene: MachineScene, method: str) -> list[Request]:
    return [e.request for e in scene.all if isinstance(e, fx.SendRequest) and e.request.method == method]


def told(scene: MachineScene) -> list[tuple[str, str]]:
    """Status and state of the subscription in each NOTIFY."""
    notifies = sent(scene, "NOTIFY")
    return [(n.body.decode().split()[1], n.headers.get("Subscription-State") or "") for n in notifies]


def hears(scene: MachineScene) -> None:
    """Who asked answers every NOTIFY."""
    while True:
        open_ = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.ask in scene.state.legs[e.leg].notices]
        if not open_:
            return
        scene.feed(scene.answer_to(open_[0], 200))


def test_a_blind_transfer_joins_the_trunk_with_the_target_and_lets_the_browser_go() -> None:
    scene = refer(talking())
    assert scene.responses[-1].status == 202
    assert told(scene) == [("100", "active;expires=240")]
    target_answers(scene)
    hears(scene)
    assert [status for status, _ in told(scene)] == ["100", "200"]
    assert told(scene)[-1][1] == "terminated;reason=noresource"
    assert {leg.id for leg in scene.state.pair} == {LegId(2), THIRD}
    byes = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.BYE]
    assert [e.leg for e in byes] == [CALLER]
    assert finished(scene) is None
    assert scene.state.live


def test_the_new_leg_is_bridged_before_the_old_one_is_dropped() -> None:
    scene = refer(talking()).clear()
    target_answers(scene)
    hears(scene)
    steps = [e for e in scene.done if isinstance(e, Route | Unroute | CloseLeg)]
    joined = [n for n, e in enumerate(steps) if isinstance(e, Route) and {e.source, e.sink} == {LegId(2), THIRD}]
    left = [n for n, e in enumerate(steps) if isinstance(e, Unroute | CloseLeg)]
    assert len(joined) == 2
    assert max(joined) < min(left)


def test_the_record_of_the_new_leg_stands_before_its_route() -> None:
    scene = target_answers(refer(talking()).clear())
    steps = scene.done
    record = next(n for n, e in enumerate(steps) if isinstance(e, fx.WriteAudit) and e.record.get("leg_id") == THIRD)
    assert record < next(n for n, e in enumerate(steps) if isinstance(e, Route))


@pytest.mark.parametrize("status", [404, 486, 503, 603])
def test_a_target_that_refuses_leaves_the_call_as_it_was(status: int) -> None:
    scene = refer(talking())
    before = scene.state.bridge
    scene.connect().open_media().reply(status, tag="target")
    hears(scene)
    assert told(scene)[-1] == (str(status), "terminated;reason=noresource")
    assert scene.state.bridge == before
    assert scene.relayed(CloseLeg) == [CloseLeg(THIRD)]
    assert finished(scene) is None


def test_a_number_nobody_may_dial_is_403_and_in_the_log() -> None:
    scene = refer(talking(), to="<sip:900@example.test>")
    assert scene.responses[-1].status == 403
    assert (scene.record("call.transfer")["decision"], scene.record("call.transfer")["target"]) == ("refused", "900")
    assert not scene.told(OpenLeg)


def test_a_target_weaker_than_the_call_is_refused_in_the_sipfrag_and_in_the_log() -> None:
    """POLICY mid.transfer_weaker: the trunk itself would take plain media, the call it belongs to does not."""
    scene = refer(talking(), to="<sip:701@example.test>")
    scene.flow = trunk_flow("udp")
    scene.connect()
    hears(scene)
    assert told(scene)[-1][0] == "403"
    assert "mid.transfer_weaker" in str(scene.record("leg.violation")["codes"])
    assert not [r for r in sent(scene, "INVITE") if "701" in r.uri]
    assert finished(scene) is None


def test_an_answer_without_keys_is_hung_up_on_and_the_call_goes_on() -> None:
    scene = target_answers(refer(talking()), answer("RTP/SAVP"))
    hears(scene)
    assert told(scene)[-1][0] == "488"
    assert "mid.transfer_weaker" in str(scene.record("leg.violation")["codes"])
    assert finished(scene) is None
    assert {leg.id for leg in scene.state.pair} == {CALLER, LegId(2)}


def test_who_asked_may_hang_up_while_the_target_rings() -> None:
    scene = refer(talking())
    scene.connect().open_media().reply(180, tag="target")
    scene.inside(LegKind.BROWSER, "BYE", cseq=51)
    assert scene.responses[-1].status == 200
    assert finished(scene) is None
    scene.reply(200, sdes_answer(scene.invite.body), tag="target")
    assert {leg.id for leg in scene.state.pair} == {LegId(2), THIRD}
    assert finished(scene) is None


def test_who_stays_is_hung_up_on_when_the_target_fails_after_that() -> None:
    scene = refer(talking())
    scene.connect().open_media()
    scene.inside(LegKind.BROWSER, "BYE", cseq=51)
    scene.reply(486, tag="target")
    assert finished(scene) is Termination.BUSY
    assert [r.uri for r in sent(scene, "BYE")] == ["sip:callee@127.0.0.2:5061"]


def test_who_stays_may_hang_up_while_the_target_rings() -> None:
    scene = refer(talking())
    scene.connect().open_media().reply(180, tag="target")
    scene.inside(LegKind.TRUNK, "BYE", cseq=51)
    assert finished(scene) is Termination.HANGUP_TRUNK
    assert scene.take(fx.CancelInvite)
    assert len(sent(scene, "BYE")) == 1


def test_a_trunk_may_hand_a_browser_over_to_itself_and_to_no_other_trunk() -> None:
    scene = refer(talking(outbound=False), LegKind.TRUNK, to="<sip:701@pbx.example>")
    assert scene.responses[-1].status == 202
    assert [e.trunk for e in scene.take(fx.ConnectTrunk)] == ["pbx"]


def test_a_second_transfer_waits_for_the_first() -> None:
    scene = refer(talking())
    scene.inside(LegKind.BROWSER, "REFER", cseq=60, extra=(("Refer-To", "<sip:602@example.test>"),))
    assert scene.responses[-1].status == 491


def test_the_browser_that_stays_hears_who_is_there_now_and_how_it_is_protected() -> None:
    scene = refer(talking(outbound=False), LegKind.TRUNK, to="<sip:602@pbx.example>").clear()
    target_answers(scene)
    updates = [r for r in sent(scene, "UPDATE") if r.headers.get("P-Asserted-Identity")]
    assert updates[-1].headers.get("P-Asserted-Identity") == "<sip:602@example.test>"
    assert 'trunk="sdes' in (updates[-1].headers.get("Call-Security") or "")


def test_without_a_subscription_nobody_is_told_and_who_asked_is_hung_up_on_at_once() -> None:
    scene = talking().inside(
        LegKind.BROWSER, "REFER", cseq=50, extra=(("Refer-To", "<sip:601@example.test>"), ("Refer-Sub", "false"))
    )
    assert scene.responses[-1].headers.get("Refer-Sub") == "false"
    target_answers(scene)
    assert told(scene) == []
    assert len(sent(scene, "BYE")) == 1
