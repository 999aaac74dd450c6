"""A call of two browsers as the machine sees it: two legs of one kind, each with its own keys, reports and will."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.crypto_suite import AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80
from gateway.base.grades import Grade
from gateway.base.termination import Termination
from gateway.base.values import CALLER, LegId
from gateway.call.machine import effects as fx
from gateway.call.machine import events, report, security
from gateway.call.machine.direction import hears
from gateway.call.machine.effects import Purpose, Timer
from gateway.call.machine.state import Phase
from gateway.media import relay_events as relay
from gateway.media.relay_commands import OpenLeg, Route
from gateway.sip.message import Request, Response
from tests.call.machine_scene import BROWSER_FLOW, CONTACT, MachineScene, browser_answer, request, vector
from tests.effort import examples

BOB = LegId(2)
OFFER = vector("chromium_offer")


def calling(**changes: object) -> MachineScene:
    """Alice calls bob."""
    return MachineScene(callee="bob", **changes).calling()  # type: ignore[arg-type]


def answered(scene: MachineScene | None = None) -> MachineScene:
    scene = scene or calling()
    return scene.reply(180).reply(200, browser_answer(scene.invite.body)).ack()


def keyed(leg: LegId, suite: object = AEAD_AES_128_GCM) -> events.DtlsConnected:
    return events.DtlsConnected(leg, suite, "DTLSv1.2", "sha-256")  # type: ignore[arg-type]


def talking() -> MachineScene:
    return answered().feed(keyed(BOB)).feed(keyed(CALLER))


def from_peer(
    scene: MachineScene,
    leg: LegId,
    method: str,
    body: bytes = b"",
    *,
    cseq: int,
    extra: tuple[tuple[str, str], ...] = (),
) -> MachineScene:
    """A request of either browser inside its dialog."""
    side = scene.state.legs[leg]
    found = request(method, body, cseq=cseq, to_tag=side.local_tag, extra=extra).with_header("Call-ID", side.call_id)
    if not side.is_caller:
        found = found.with_header("From", "<sip:bob@example.test>;tag=callee")
    return scene.feed(events.RequestIn(leg, f"browser-{leg}-{method}-{cseq}", found, side.flow))


def reports(scene: MachineScene, leg: LegId) -> list[str]:
    """What this browser was told of the call by UPDATE, in order."""
    sent = [
        e.request for e in scene.all if isinstance(e, fx.SendRequest) and e.leg == leg and e.purpose is Purpose.UPDATE
    ]
    return [str(message.headers.get("Call-Security")) for message in sent]


def taken(scene: MachineScene, leg: LegId) -> MachineScene:
    """This browser takes the report that is out."""
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.leg == leg and e.purpose is Purpose.UPDATE][-1]
    return scene.feed(scene.answer_to(sent, 200))


def routes(scene: MachineScene) -> dict[tuple[int, int], bool]:
    """Which way media passes, as the relay was told last."""
    return {(r.source, r.sink): r.plan.is_open for r in scene.relayed(Route)}


def records(scene: MachineScene, kind: str) -> list[dict[str, object]]:
    return [e.record for e in scene.all if isinstance(e, fx.WriteAudit) and e.record["type"] == kind]


def offers_to(scene: MachineScene, leg: LegId) -> list[Request]:
    """Re-INVITEs this browser got."""
    return [e.request for e in scene.take(fx.SendRequest) if e.leg == leg and e.purpose is Purpose.REINVITE]


def test_each_browser_gets_a_place_credentials_and_a_handshake_of_its_own() -> None:
    scene = answered()
    first, second = scene.relayed(OpenLeg)
    assert {first.leg, second.leg} == {CALLER, BOB}
    assert first.place != second.place
    begun = [(e.leg, e.role) for e in scene.all if isinstance(e, fx.StartDtls)]
    assert sorted(begun) == [(CALLER, "server"), (BOB, "server")]
    clocks = {e.leg for e in scene.all if isinstance(e, fx.SetTimer) and e.name is Timer.KEYED}
    assert clocks == {CALLER, BOB}


def test_opus_passes_as_it_is_both_ways() -> None:
    scene = talking()
    assert routes(scene) == {(CALLER, BOB): True, (BOB, CALLER): True}
    for way in scene.relayed(Route):
        assert any(m.clock_rate == 48000 for m in way.plan.payloads)
    assert b"opus/48000" in scene.invite.body
    assert b"opus/48000" in scene.responses[-1].body


def test_both_legs_are_recorded_as_browsers_and_the_call_as_hop_by_hop() -> None:
    scene = talking()
    secured = records(scene, "leg.secured")
    assert [(r["leg"], r["leg_id"], r["grade_after"], r["dir"]) for r in secured] == [
        ("browser", BOB, "HOP_BY_HOP", "internal"),
        ("browser", CALLER, "HOP_BY_HOP", "internal"),
    ]
    assert scene.state.posture.current is Grade.HOP_BY_HOP
    assert scene.state.posture.labels() == {CALLER: "browser", BOB: "browser-2"}
    assert {r["profile"] for r in secured} == {"strict"}


def test_both_call_ids_lead_to_the_records() -> None:
    scene = talking()
    assert records(scene, "call.start")[0]["sip_call_id"] == {"browser": "caller-call-id", "trunk": ""}
    ids = {"browser": "caller-call-id", "trunk": "", "peer": scene.state.legs[BOB].call_id}
    assert all(r["sip_call_id"] == ids for r in records(scene, "leg.secured"))


def test_keys_of_one_browser_are_released_by_its_own_handshake_only() -> None:
    scene = answered().feed(keyed(BOB))
    assert [e.leg for e in scene.all if isinstance(e, fx.ReleaseDtlsKeys)] == [BOB]
    cleared = [e.leg for e in scene.all if isinstance(e, fx.ClearTimer) and e.name is Timer.KEYED]
    assert cleared == [BOB]


@pytest.mark.parametrize("late", [CALLER, BOB])
def test_a_browser_that_is_never_keyed_ends_the_call_whichever_it_is(late: LegId) -> None:
    other = BOB if late == CALLER else CALLER
    scene = answered().feed(keyed(other)).feed(events.TimerFired(Timer.KEYED, late))
    assert scene.state.termination is Termination.MEDIA_NOT_KEYED
    assert records(scene, "leg.violation")[-1]["leg_id"] == late
    assert scene.state.posture.legs()[other] is Grade.HOP_BY_HOP


@pytest.mark.parametrize("foreign", [CALLER, BOB])
def test_a_foreign_certificate_at_either_end_ends_the_call(foreign: LegId) -> None:
    scene = answered().feed(events.DtlsFailed(foreign, Termination.FINGERPRINT_MISMATCH))
    assert scene.state.termination is Termination.FINGERPRINT_MISMATCH


def test_each_browser_hears_how_the_other_is_protected() -> None:
    """Each time the other end is keyed; of its own keys a browser knows by itself."""
    scene = answered().feed(keyed(BOB))
    assert (len(reports(scene, CALLER)), len(reports(scene, BOB))) == (1, 0)
    taken(scene, CALLER).feed(keyed(CALLER, AES_CM_128_HMAC_SHA1_80))
    assert (len(reports(scene, CALLER)), len(reports(scene, BOB))) == (1, 1)
    for leg, far in ((CALLER, "AEAD_AES_128_GCM"), (BOB, "AES_CM_128_HMAC_SHA1_80")):
        last = reports(scene, leg)[-1]
        assert last.startswith("grade=HOP_BY_HOP;worst=HOP_BY_HOP;")
        assert f';trunk="dtls,{far},wss"' in last
        assert last.endswith(";far=browser")
    assert ';scope="to bob";' in reports(scene, CALLER)[-1]
    assert ';scope="to alice";' in reports(scene, BOB)[-1]


@pytest.mark.parametrize(("deaf", "words"), [(BOB, ("trunk", "browser")), (CALLER, ("browser", "trunk"))])
def test_lost_sound_is_told_to_each_in_its_own_words(deaf: LegId, words: tuple[str, str]) -> None:
    """Towards whom it is lost: for each reader `browser` is its own leg, `trunk` that of the other end."""
    scene = talking()
    for leg in (CALLER, BOB):
        taken(scene, leg)
    scene.feed(relay.MediaUnsent(deaf, "no route"))
    for leg, word in zip((CALLER, BOB), words, strict=True):
        assert reports(scene, leg)[-1].endswith(f";lost={word}")


@pytest.mark.parametrize("holder", [CALLER, BOB])
def test_either_holds_and_resumes_and_the_other_follows(holder: LegId) -> None:
    scene = talking()
    other = BOB if holder == CALLER else CALLER
    for leg in (CALLER, BOB):
        taken(scene, leg)
    body = OFFER if holder == CALLER else browser_answer(scene.invite.body).replace(b"setup:active", b"setup:actpass")
    scene.clear()
    from_peer(scene, holder, "INVITE", body.replace(b"a=sendrecv", b"a=sendonly"), cseq=5)
    assert b"a=recvonly" in scene.responses[-1].body
    (offer,) = offers_to(scene, other)
    assert b"a=sendonly" in offer.body
    held = browser_answer(offer.body).replace(b"a=sendonly", b"a=recvonly")
    scene.reply(200, held if other == BOB else _alices(held), purpose=Purpose.REINVITE)
    assert routes(scene) == {(holder, other): True, (other, holder): False}
    scene.feed(events.AckIn(f"browser-{holder}-INVITE-5", request("ACK", cseq=5))).clear()
    from_peer(scene, holder, "INVITE", body, cseq=6)
    (offer,) = offers_to(scene, other)
    assert b"a=sendrecv" in offer.body
    back = browser_answer(offer.body)
    scene.reply(200, back if other == BOB else _alices(back), purpose=Purpose.REINVITE)
    assert routes(scene) == {(holder, other): True, (other, holder): True}


def test_who_ends_a_hold_by_an_answer_is_heard_again() -> None:
    """Alice held; then a report goes to her by re-INVITE, and she answers that she sends again."""
    scene = talking()
    for leg in scene.state.legs.values():
        assert leg.told is not None
        leg.told.takes_update = False
    from_peer(scene, CALLER, "INVITE", OFFER.replace(b"a=sendrecv", b"a=inactive"), cseq=5)
    scene.feed(events.AckIn("browser-1-INVITE-5", request("ACK", cseq=5)))
    pages = Callers(scene)
    pages.rest()
    scene.clear().feed(relay.MediaUnsent(BOB, "no route"))
    pages.rest()
    assert scene.state.caller.will.sends
    assert pages.direction[BOB] == b"a=sendrecv"
    assert routes(scene) == {(CALLER, BOB): True, (BOB, CALLER): True}


def _alices(body: bytes) -> bytes:
    """An answer of alice's browser: with her certificate."""
    line = next(line for line in OFFER.splitlines() if line.startswith(b"a=fingerprint"))
    kept = [line if found.startswith(b"a=fingerprint") else found for found in body.splitlines()]
    return b"\r\n".join(kept) + b"\r\n"


@pytest.mark.parametrize("changer", [CALLER, BOB])
def test_a_new_certificate_in_mid_call_is_refused_and_the_second_ends_the_call(changer: LegId) -> None:
    scene = talking()
    body = OFFER if changer == CALLER else browser_answer(scene.invite.body).replace(b"setup:active", b"setup:actpass")
    line = next(line for line in body.splitlines() if line.startswith(b"a=fingerprint"))
    foreign = body.replace(line, b"a=fingerprint:sha-256 " + b":".join([b"01"] * 32))
    from_peer(scene, changer, "INVITE", foreign, cseq=5)
    assert scene.responses[-1].status == 488
    assert scene.state.live
    scene.feed(events.AckIn(f"browser-{changer}-INVITE-5", request("ACK", cseq=5)))
    from_peer(scene, changer, "INVITE", foreign, cseq=6)
    assert not scene.state.live


@pytest.mark.parametrize("leaver", [CALLER, BOB])
def test_who_hangs_up_ends_it_for_the_other_and_both_legs_are_recorded(leaver: LegId) -> None:
    scene = talking().clear()
    from_peer(scene, leaver, "BYE", cseq=7)
    byes = [e.leg for e in scene.take(fx.SendRequest) if e.purpose is Purpose.BYE]
    assert byes == [BOB if leaver == CALLER else CALLER]
    assert scene.state.termination is Termination.HANGUP_BROWSER


@pytest.mark.parametrize("lost", [CALLER, BOB])
@pytest.mark.parametrize("stage", ["answered", "talking"])
def test_a_connection_that_is_lost_at_either_end_and_not_replaced_ends_the_call(lost: LegId, stage: str) -> None:
    scene = talking() if stage == "talking" else answered()
    scene.feed(events.ConnectionClosed(lost)).feed(events.TimerFired(Timer.RETURN, lost))
    assert scene.state.termination is Termination.FLOW_LOST


@pytest.mark.parametrize("weak", [CALLER, BOB])
def test_a_page_over_an_unencrypted_websocket_is_refused_at_either_end(weak: LegId) -> None:
    open_ = replace(BROWSER_FLOW, transport="ws")
    scene = (
        MachineScene(callee="bob", browser_flow=open_, places=(events.Place(replace(BROWSER_FLOW, id=3), CONTACT),))
        if weak == CALLER
        else MachineScene(callee="bob", places=(events.Place(replace(open_, id=3), CONTACT),))
    )
    scene.calling()
    assert not [e for e in scene.all if isinstance(e, fx.SendRequest)]
    assert scene.state.phase is Phase.ENDED
    (violation,) = records(scene, "leg.violation")
    assert (violation["leg_id"], violation["profile"]) == (weak, "strict")


def test_a_call_without_an_offer_gets_ours_and_the_answer_in_the_ack_is_judged() -> None:
    scene = MachineScene(callee="bob", offer=b"").calling()
    scene.reply(200, browser_answer(scene.invite.body))
    offer = scene.responses[-1].body
    assert b"a=setup:actpass" in offer
    scene.ack(browser_answer(offer)).feed(keyed(CALLER)).feed(keyed(BOB))
    assert scene.state.posture.current is Grade.HOP_BY_HOP
    assert routes(scene) == {(CALLER, BOB): True, (BOB, CALLER): True}


def test_a_call_that_is_never_keyed_claims_nothing_for_either_leg() -> None:
    scene = answered()
    scene.feed(events.Lost(Termination.SHUTDOWN))
    assert [(r["leg"], r["leg_id"]) for r in records(scene, "leg.pending")] == [("browser", CALLER), ("browser", BOB)]
    assert security.info(scene.state).direction == "internal"


class Callers:
    """Plays both pages in mid-call: each may change the session, refuse a change or a report, and be slow."""

    def __init__(self, scene: MachineScene) -> None:
        self.scene = scene
        self.done: set[int] = set()
        """Requests of ours that have their answer."""
        self.cseq = 100
        self.refused: set[LegId] = set()
        """Whose page refused an offer of ours: it stands on what it had."""
        self.heard: dict[LegId, str] = {}
        """The last report each page read."""
        self.direction: dict[LegId, bytes] = {}
        """What each page agreed on last, as our side of it."""

    def owed(self, leg: LegId | None = None) -> list[fx.SendRequest]:
        """Requests that wait for an answer."""
        sent = [e for e in self.scene.all if isinstance(e, fx.SendRequest) and e.ask not in self.done]
        mid_call = [e for e in sent if e.purpose in (Purpose.UPDATE, Purpose.REINVITE)]
        return [e for e in mid_call if leg in (None, e.leg)]

    def answers(self, leg: LegId, status: int) -> None:
        for sent in self.owed(leg)[:1]:
            self.done.add(sent.ask)
            good = sent.purpose is Purpose.REINVITE and status == 200
            self._reads(sent, status)
            self.scene.feed(self.scene.answer_to(sent, status, self._body(leg, sent.request.body) if good else b""))

    def _reads(self, sent: fx.SendRequest, status: int) -> None:
        change = sent.purpose is Purpose.REINVITE
        if status == 200 or (change and status not in report.NOT_READ):
            self._told(sent.leg, sent.request)
        if change and status == 200:
            self._agreed(sent.leg, sent.request.body)
        elif change:
            self.refused.add(sent.leg)

    def _told(self, leg: LegId, message: Request | Response) -> None:
        """The report with the highest number counts."""
        said = str(message.headers.get("Call-Security"))
        if _number(said) > _number(self.heard.get(leg, ";seq=0;")):
            self.heard[leg] = said

    def _agreed(self, leg: LegId, ours: bytes) -> None:
        self.direction[leg] = next(line for line in ours.splitlines() if line in DIRECTIONS)

    def _body(self, leg: LegId, offer: bytes) -> bytes:
        """Agreed to: what is sent is received, and the other way."""
        turned = {b"a=sendonly": b"a=recvonly", b"a=recvonly": b"a=sendonly"}
        body = browser_answer(offer)
        found = next((line for line in turned if line in body), b"")
        body = body.replace(found, turned[found]) if found else body
        return _alices(body) if leg == CALLER else body

    def changes(self, leg: LegId, direction: str) -> None:
        self.cseq += 1
        first = invitation_of(self.scene)
        body = OFFER if leg == CALLER else browser_answer(first).replace(b"setup:active", b"setup:actpass")
        from_peer(self.scene, leg, "INVITE", body.replace(b"a=sendrecv", b"a=" + direction.encode()), cseq=self.cseq)
        if self.scene.responses[-1].status == 200:
            self._told(leg, self.scene.responses[-1])
            self._agreed(leg, self.scene.responses[-1].body)
            self.refused.discard(leg)
            self.scene.feed(events.AckIn(f"browser-{leg}-INVITE-{self.cseq}", request("ACK", cseq=self.cseq)))

    def waits_are_over(self) -> None:
        """Every clock of a report or of glare that was set and not cleared runs out."""
        clocks: dict[tuple[Timer, LegId], bool] = {}
        for effect in self.scene.all:
            if isinstance(effect, fx.SetTimer | fx.ClearTimer):
                clocks[effect.name, effect.leg] = isinstance(effect, fx.SetTimer)
        for (name, leg), is_set in clocks.items():
            if is_set and name in (Timer.REPORT, Timer.GLARE):
                self.scene.feed(events.TimerFired(name, leg))

    def rest(self) -> None:
        for _ in range(20):
            self.waits_are_over()
            for leg in (CALLER, BOB):
                self.answers(leg, 200)


def _number(said: str) -> int:
    return int(said.split(";seq=")[1].split(";")[0])


def invitation_of(scene: MachineScene) -> bytes:
    sent = [e.request.body for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.INVITE]
    return sent[0]


DIRECTIONS = [f"a={name}".encode() for name in ("sendrecv", "sendonly", "recvonly", "inactive")]
SIDES = st.sampled_from([CALLER, BOB])
MID_CALL = st.one_of(
    st.tuples(st.just("answers"), SIDES, st.sampled_from([200, 200, 491, 488, 405, 500, 503])),
    st.tuples(st.just("changes"), SIDES, st.sampled_from(["sendonly", "sendrecv", "recvonly", "inactive"])),
    st.tuples(st.just("keyed"), SIDES, st.sampled_from([AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80])),
    st.tuples(st.just("unsent"), SIDES, st.just("no route")),
    st.tuples(st.just("waits"), SIDES, st.none()),
)


@settings(max_examples=examples(150), deadline=None)
@given(steps=st.lists(MID_CALL, max_size=20), updates=st.booleans())
def test_when_both_pages_rest_each_has_heard_all_and_media_passes_as_both_want(
    steps: list[tuple[str, LegId, Any]], updates: bool
) -> None:
    scene = calling()
    if not updates:  # as SIP.js: reports go by re-INVITE
        for leg in scene.state.legs.values():
            assert leg.told is not None
            leg.told.takes_update = False
    answered(scene)
    pages = Callers(scene)
    for kind, side, what in steps:
        match kind:
            case "answers":
                pages.answers(side, what)
            case "changes":
                pages.changes(side, what)
            case "keyed":
                scene.feed(keyed(side, what))
            case "unsent":
                scene.feed(relay.MediaUnsent(side, what))
            case _:
                pages.waits_are_over()
        open_ = [sent.leg for sent in pages.owed() if sent.purpose is Purpose.REINVITE]
        assert len(open_) == len(set(open_)), "one change of a leg at a time"
    pages.rest()
    state = scene.state
    assert state.live
    assert pages.owed() == []
    alice, bob = state.pair
    for leg, far in ((alice, bob), (bob, alice)):
        if leg.id in pages.heard:
            assert pages.heard[leg.id].startswith(f"grade={state.posture.current.name};")
            assert f';trunk="{far.vector.summary()}"' in pages.heard[leg.id]
            assert (";lost=" in pages.heard[leg.id]) == (leg.media_lost or far.media_lost)
        if leg.id in pages.direction and leg.id not in pages.refused:
            sends = pages.direction[leg.id] in DIRECTIONS[:2]
            assert not leg.will.receives or sends == far.will.sends, "what the other side sends is announced"
    passes = {(CALLER, BOB): hears(bob, alice), (BOB, CALLER): hears(alice, bob)}
    assert routes(scene) == passes
