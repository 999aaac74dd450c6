"""Transfer by REFER: who stays is joined with the target before who asked is let go, and never at less protection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import CALLER, LegId, LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.call.machine.liveness import ASK_HELD_SECONDS
from gateway.call.machine.transfer import MAX_LEGS
from gateway.media.relay_commands import CloseLeg, OpenLeg, Route, Unroute
from gateway.media.relay_events import ConsentLost, LegSilent, WorkerLost
from gateway.routing.people import Person
from gateway.sip.message import Request
from gateway.sip.uri import SipUri
from gateway.trunks.identity import Asserts, CallerFrom, Passing, TrunkIdentity
from tests.call.machine_scene import CONTACT, MachineScene, answer, browser_answer, sdes_answer, trunk_flow
from tests.call.test_setup import finished
from tests.sites import made_site

PLAN = {
    "outbound": [{"id": "all", "dialled": "6*", "trunk": "pbx"}, {"id": "old", "dialled": "7*", "trunk": "old"}],
    "inbound": [{"id": "alice", "dialled": "100", "user": "alice"}],
}
SITE = made_site(
    PLAN,
    people=("bob",),
    trunks={
        "pbx": {"target": "sip:pbx.example;transport=tls", "networks": ["127.0.0.2/32"]},
        "old": {"target": "sip:127.0.0.3", "networks": ["127.0.0.3/32"], "security": "legacy"},
    },
)
THIRD = LegId(3)


def talking(profile: Profile = Profile.STRICT, *, outbound: bool = True, offers: str = " 0 101") -> MachineScene:
    """An answered call whose site has two trunks; a trunk that calls offers these payload types."""
    keyed = answer("RTP/SAVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40, "a=rtpmap:8 PCMA/8000")
    offer = {} if outbound else {"offer": keyed.replace(b" 0 101", offers.encode())}
    scene = MachineScene(profile=profile, outbound=outbound, **offer)  # type: ignore[arg-type]
    object.__setattr__(scene.state.context.make, "site", SITE)
    scene.calling()
    if outbound:
        has_keys = b"a=crypto" in scene.invite.body
        scene.reply(200, sdes_answer(scene.invite.body) if has_keys else answer()).ack()
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


def test_a_page_may_ask_while_the_other_side_has_not_agreed_to_its_hold_yet() -> None:
    scene = talking()
    scene.inside(LegKind.BROWSER, "INVITE", offer_of(scene, "sendonly"), cseq=40)
    assert sent(scene, "INVITE")[-1].body.count(b"a=sendonly")
    refer(scene)
    assert scene.responses[-1].status == 202


def offer_of(scene: MachineScene, direction: str) -> bytes:
    """What the browser of the scene offers again, with another direction."""
    assert scene.state.caller.invite is not None
    body = scene.state.caller.invite.body.replace(b"a=sendrecv", f"a={direction}".encode())
    return body if direction.encode() in body else body + f"a={direction}\r\n".encode()


def held(scene: MachineScene) -> MachineScene:
    """The page has put the call on hold, and the trunk has agreed to it."""
    scene.inside(LegKind.BROWSER, "INVITE", offer_of(scene, "sendonly"), cseq=40).ack_of(LegKind.BROWSER, 40)
    return scene.reply(200, keyed(scene, "recvonly"), tag="callee", purpose=Purpose.REINVITE)


def keyed(scene: MachineScene, direction: str) -> bytes:
    """The answer of who stays to our last offer, with a direction."""
    return sdes_answer(sent(scene, "INVITE")[-1].body).replace(b"sendrecv", direction.encode())


def test_who_was_on_hold_hears_and_speaks_again_when_the_target_is_there() -> None:
    scene = target_answers(refer(held(talking())))
    last = sent(scene, "INVITE")[-1]
    assert b"a=sendrecv" in last.body
    assert last.headers.get("Call-ID") == scene.state.legs[LegId(2)].call_id
    scene.reply(200, keyed(scene, "sendrecv"), tag="callee", purpose=Purpose.REINVITE)
    routes = {(r.source, r.sink): r.plan.is_open for r in scene.relayed(Route)}
    assert routes[LegId(2), THIRD]
    assert routes[THIRD, LegId(2)]


def test_the_hold_of_who_leaves_is_answered_too_late_to_matter() -> None:
    """Our re-offer to who stays is open when the target answers; what it answers then still counts."""
    scene = talking().inside(LegKind.BROWSER, "INVITE", offer_of(talking(), "sendonly"), cseq=40)
    hold = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.REINVITE][-1]
    held = sdes_answer(hold.request.body).replace(b"sendrecv", b"recvonly")
    target_answers(refer(scene))
    scene.feed(scene.answer_to(hold, 200, held, tag="callee"))
    assert b"a=sendrecv" in sent(scene, "INVITE")[-1].body
    assert finished(scene) is None


@pytest.mark.parametrize("status", [408, 481, 500])
@pytest.mark.parametrize("purpose", [Purpose.UPDATE, Purpose.OPTIONS, Purpose.REINVITE])
def test_what_who_has_left_says_to_an_older_question_ends_nothing(status: int, purpose: Purpose) -> None:
    scene = refer(talking())
    leaves = scene.state.caller
    method = {Purpose.UPDATE: "UPDATE", Purpose.OPTIONS: "OPTIONS", Purpose.REINVITE: "INVITE"}[purpose]
    ask = scene.state.send(leaves, leaves.in_dialog(method), leaves.flow, purpose)
    question = next(e for e in scene.state.out if isinstance(e, fx.SendRequest) and e.ask == ask)
    target_answers(scene)
    hears(scene)
    scene.feed(scene.answer_to(question, status))
    assert finished(scene) is None
    scene.feed(events.RequestFailed(ask, transport=True))
    assert finished(scene) is None


def gone_by_its_connection(scene: MachineScene) -> events.Event:
    return events.ConnectionClosed(CALLER)


def gone_by_consent(scene: MachineScene) -> events.Event:
    return ConsentLost(CALLER)


@pytest.mark.parametrize("lost", [gone_by_its_connection, gone_by_consent])
def test_a_page_that_breaks_down_after_its_refer_does_not_stop_the_search(
    lost: Callable[[MachineScene], events.Event],
) -> None:
    scene = refer(talking())
    scene.connect().open_media().reply(180, tag="target")
    scene.feed(lost(scene))
    assert finished(scene) is None
    scene.reply(200, sdes_answer(scene.invite.body), tag="target")
    assert {leg.id for leg in scene.state.pair} == {LegId(2), THIRD}
    hears(scene)
    assert finished(scene) is None
    assert scene.relayed(CloseLeg) == [CloseLeg(CALLER)]


def test_a_page_whose_connection_is_gone_is_sent_nothing_more() -> None:
    scene = refer(talking())
    scene.feed(events.ConnectionClosed(CALLER)).clear()
    target_answers(scene)
    assert [e for e in scene.take(fx.SendRequest) if e.leg == CALLER] == []


def test_a_page_that_breaks_down_without_having_asked_ends_the_call() -> None:
    scene = talking().feed(events.ConnectionClosed(CALLER)).feed(events.TimerFired(fx.Timer.RETURN, CALLER))
    assert finished(scene) is Termination.FLOW_LOST


def test_who_waits_alone_need_not_speak() -> None:
    """A trunk that falls silent while nobody hears it is asked seldom, and heard again when somebody is there."""
    scene = refer(talking())
    scene.connect().open_media().reply(180, tag="target")
    scene.inside(LegKind.BROWSER, "BYE", cseq=51)
    scene.feed(LegSilent(LegId(2)))
    clocks = [e for e in scene.take(fx.SetTimer) if e.name is fx.Timer.LIVENESS]
    assert [(e.leg, e.seconds) for e in clocks] == [(LegId(2), ASK_HELD_SECONDS)]
    scene.now += scene.state.site.limits.silence_seconds + 1
    scene.feed(events.TimerFired(fx.Timer.LIVENESS, LegId(2)))
    assert finished(scene) is None


def test_a_call_is_handed_over_no_more_when_it_has_had_too_many_legs() -> None:
    scene = talking()
    scene.state.last_leg = LegId(MAX_LEGS)
    assert refer(scene).responses[-1].status == 403
    assert scene.record("call.transfer")["decision"] == "refused"


def test_the_last_notify_says_in_our_words_why_nobody_was_found() -> None:
    scene = target_answers(refer(talking()), answer("RTP/SAVP"))
    hears(scene)
    assert Termination.ENCRYPTION_IGNORED.words in (sent(scene, "NOTIFY")[-1].headers.get("Warning") or "")


def test_what_a_phone_refuses_is_told_in_no_words_of_ours() -> None:
    scene = refer(talking())
    scene.connect().open_media().reply(486, tag="target")
    hears(scene)
    assert "Warning" not in sent(scene, "NOTIFY")[-1].headers


def test_who_asked_is_hung_up_on_only_when_it_has_answered_the_last_notify() -> None:
    scene = target_answers(refer(talking()))
    assert sent(scene, "BYE") == []
    (first,) = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.NOTIFY]
    scene.feed(scene.answer_to(first, 200))
    assert sent(scene, "BYE") == []
    hears(scene)
    assert len(sent(scene, "BYE")) == 1


def test_a_notify_that_is_never_answered_delays_the_goodbye_until_it_has_timed_out() -> None:
    scene = target_answers(refer(talking()))
    (first,) = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.NOTIFY]
    scene.feed(events.RequestFailed(first.ask, transport=False))
    assert len(sent(scene, "NOTIFY")) == 1
    assert len(sent(scene, "BYE")) == 1
    assert {leg.id for leg in scene.state.pair} == {LegId(2), THIRD}


def test_a_subscription_that_nobody_has_is_481_and_another_package_489() -> None:
    scene = talking()
    scene.inside(LegKind.BROWSER, "SUBSCRIBE", cseq=50, extra=(("Event", "refer"),))
    assert scene.responses[-1].status == 481
    scene.inside(LegKind.BROWSER, "SUBSCRIBE", cseq=51, extra=(("Event", "presence"),))
    assert scene.responses[-1].status == 489


def test_many_subscribes_get_one_notify_at_a_time() -> None:
    scene = refer(talking())
    for number in range(60, 90):
        scene.inside(LegKind.BROWSER, "SUBSCRIBE", cseq=number, extra=(("Event", "refer"),))
    assert len(sent(scene, "NOTIFY")) == 1
    assert {r.status for r in scene.responses[-30:]} == {200}


def test_header_fields_in_a_refer_to_change_nothing() -> None:
    scene = refer(
        talking(),
        to="<sip:601@example.test?From=%22boss%22%3Csip%3Aboss%40x%3E&Call-ID=1&Route=%3Csip%3Aevil.example%3E>",
    )
    scene.connect().open_media()
    invite = scene.invite
    assert "boss" not in bytes(invite).decode()
    assert "evil" not in bytes(invite).decode()


def test_a_target_in_another_domain_is_a_number_of_our_dialplan_and_nothing_else() -> None:
    scene = refer(talking(), to="<sip:601@evil.example>")
    assert [e.trunk for e in scene.take(fx.ConnectTrunk)] == ["pbx"]
    scene.connect().open_media()
    assert "evil" not in bytes(scene.invite).decode()


def test_a_worker_that_is_lost_during_the_search_ends_everything_once() -> None:
    scene = refer(talking())
    scene.connect().open_media().reply(180, tag="target")
    scene.feed(WorkerLost(hung=False))
    assert finished(scene) is Termination.WORKER_LOST
    assert len(scene.take(fx.CancelInvite)) == 1
    assert len(sent(scene, "BYE")) == 2
    assert len([e for e in scene.all if isinstance(e, fx.Finished)]) == 1


def test_a_target_that_speaks_another_codec_makes_who_stays_change_to_it() -> None:
    scene = refer(talking(), LegKind.TRUNK, to="<sip:602@pbx.example>")
    scene.connect().open_media()
    alaw = sdes_answer(scene.invite.body).replace(b"SAVP 0 101", b"SAVP 8 101").replace(b"0 PCMU", b"8 PCMA")
    scene.reply(200, alaw, tag="target")
    again = sent(scene, "INVITE")[-1]
    assert again.uri.startswith("sip:alice@")
    assert b"PCMA/8000" in again.body
    assert b"PCMU/8000" not in again.body


def test_a_target_who_may_not_be_rung_now_is_told_busy_and_the_call_goes_on() -> None:
    scene = refer(talking(), to="<sip:bob@example.test>")
    place = events.Place(scene.browser_flow, SipUri.parse("sip:bob@client.invalid;transport=ws"))
    scene.feed(events.Located("bob", (place,), Termination.USER_BUSY))
    hears(scene)
    assert told(scene)[-1][0] == "486"
    assert [request.uri for request in sent(scene, "INVITE")] == [scene.invite.uri]
    assert sent(scene, "BYE") == []
    assert not finished(scene)


def test_who_stays_is_asked_anew_when_the_target_may_send_what_was_not_agreed_with_it() -> None:
    """Both have PCMU, and a browser that answers may speak in any other codec of its answer (RFC 3264 7)."""
    scene = talking()
    scene.places = (events.Place(replace(scene.browser_flow, id=99), CONTACT),)
    scene.inside(LegKind.TRUNK, "REFER", cseq=50, extra=(("Refer-To", "<sip:100@pbx.example>"),))
    scene.locate().open_media()
    scene.reply(200, browser_answer(scene.invite.body), tag="target")
    assert finished(scene) is None
    again = sent(scene, "INVITE")[-1]
    assert again.headers.get("Call-ID") == scene.state.caller.call_id
    assert b"opus/48000" in again.body


def test_who_stays_is_asked_anew_when_it_may_send_what_the_target_does_not_take() -> None:
    scene = talking(outbound=False, offers=" 0 8 101")
    refer(scene, to="<sip:602@example.test>")
    scene.connect().open_media()
    alaw = sdes_answer(scene.invite.body).replace(b"SAVP 0 101", b"SAVP 8 101").replace(b"0 PCMU", b"8 PCMA")
    scene.reply(200, alaw, tag="target")
    again = sent(scene, "INVITE")[-1]
    assert again.headers.get("Call-ID") == scene.state.caller.call_id
    assert b"PCMU/8000" not in again.body


def test_nobody_hands_a_call_over_to_a_number_she_may_not_call() -> None:
    scene = talking(outbound=False)
    site = made_site({**PLAN, "permissions": [{"id": "no", "users": ["alice"], "deny": ["601"]}]}, people=("alice",))
    object.__setattr__(scene.state.context.make, "site", replace(SITE, dialplan=site.dialplan))
    refer(scene)
    assert scene.responses[-1].status == 403
    assert sent(scene, "NOTIFY") == []
    refer(scene, to="<sip:602@example.test>")
    assert scene.responses[-1].status == 202


def test_a_call_that_is_handed_over_to_a_trunk_is_that_of_the_user_who_does_it() -> None:
    """A carrier takes no call in the name of a stranger, and passes nothing of the first call on."""
    scene = talking(outbound=False)
    person = Person(("+4930123451",), "Alice")
    pbx = replace(
        SITE.trunks["pbx"],
        identity=TrunkIdentity(CallerFrom.NUMBER, asserts=Asserts.ASSERTED, diversion=Passing.ON),
        pass_headers=("Subject",),
    )
    site = replace(SITE, people={"alice": person}, trunks={**SITE.trunks, "pbx": pbx})
    object.__setattr__(scene.state.context.make, "site", site)
    refer(scene).connect().open_media()
    invite = sent(scene, "INVITE")[-1]
    assert invite.from_.uri.user == "+4930123451"
    assert invite.headers.get("P-Asserted-Identity") == "<sip:+4930123451@example.test>"
