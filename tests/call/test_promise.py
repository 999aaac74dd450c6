"""For random policies, offers, answers and changes in mid-call, no leg is ever weaker than its policy requires.

The straight way through a call, where each message may be any of those peers really send; `test_machine` and
`test_machine_legs` play the crooked ways under the same promise.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Literal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.base.crypto_suite import AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.media import relay_events as relay
from gateway.policy.model import ProfileRules
from gateway.sip.flow import Flow
from tests.call.machine_scene import BROWSER_FLOW, MachineScene, answer, browser_answer, sdes_answer
from tests.call.promise import RULES, is_kept, was_recorded
from tests.call.test_machine import BROWSER_BODIES, FLOWS, TRUNK_BODIES
from tests.effort import examples

TRUNK_SAYS = st.sampled_from(["well", "well", "well", *sorted(TRUNK_BODIES)])
BROWSER_SAYS = st.sampled_from(["well", "well", *sorted(BROWSER_BODIES)])
CHANGES = st.lists(
    st.tuples(st.just(LegKind.TRUNK), TRUNK_SAYS) | st.tuples(st.just(LegKind.BROWSER), BROWSER_SAYS), max_size=4
)


class Promised(MachineScene):
    """A scene in which the promise is looked at after each event."""

    def _keep(self, effects: list[fx.Effect]) -> None:
        super()._keep(effects)
        for effect in effects:
            if isinstance(effect, fx.WriteAudit):
                was_recorded(effect.record, self.state.policy)
        is_kept(self.state)

    @property
    def waits(self) -> bool:
        """An INVITE of ours is out."""
        return self.state.live and any(isinstance(e, fx.SendRequest) and e.purpose is Purpose.INVITE for e in self.all)

    def trunk_says(self, what: str, offer: bytes) -> bytes:
        if what != "well":
            return TRUNK_BODIES[what]
        if b" AES_CM_128_HMAC_SHA1_80 " not in offer:
            return answer()
        keyed = sdes_answer(offer)
        return keyed if b"RTP/SAVP" in offer else keyed.replace(b"RTP/SAVP", b"RTP/AVP")

    def callee_says(self, what: str, status: int) -> None:
        if not self.waits:
            return
        ours = self.invite.body
        if self.outbound:
            self.reply(status, self.trunk_says(what, ours))
        else:
            self.reply(status, browser_answer(ours) if ours else b"")

    def changes(self, leg: LegKind, what: str, number: int) -> None:
        side = self.leg(leg)
        if not self.state.live or side is None or side.dialog is None:
            return
        bodies = TRUNK_BODIES if leg is LegKind.TRUNK else BROWSER_BODIES
        body = bodies["keyed anew" if leg is LegKind.TRUNK else "good"] if what == "well" else bodies[what]
        self.inside(leg, "INVITE" if number % 2 else "UPDATE", body, cseq=number)
        sent = [e for e in self.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.REINVITE]
        for ask in sent[-1:] if self.state.live else ():
            said = self.trunk_says("well", ask.request.body)
            good = said if self.kind(ask.leg) is LegKind.TRUNK else browser_answer(ask.request.body)
            self.feed(self.answer_to(ask, 200, good))


def play(
    rules: ProfileRules,
    outbound: bool,
    flow: Flow,
    websocket: Literal["ws", "wss"],
    said: tuple[str, str, str],
    changes: list[tuple[LegKind, str]],
    suite: object,
) -> Promised:
    """One call from its INVITE to its end."""
    offer, early, final = said
    body = BROWSER_BODIES["good"] if outbound else TRUNK_BODIES["keyed" if offer == "well" else offer]
    browser = replace(BROWSER_FLOW, transport=websocket)
    scene = Promised(rules=rules, outbound=outbound, flow=flow, offer=body, browser_flow=browser)
    scene.calling()
    if early != "nothing":
        scene.callee_says(early, 183)
    scene.callee_says(final, 200)
    if scene.state.live and scene.state.caller.invitation.is_confirmed:
        ours = [e.response.body for e in scene.all if isinstance(e, fx.Respond) and e.response.status == 200]
        scene.ack(scene.trunk_says("well", ours[-1]) if scene.asks_for_our_offer else b"")
    if scene.state.live and scene.leg(LegKind.BROWSER) is not None:
        scene.feed(scene.keyed(suite))  # type: ignore[arg-type]
        scene.feed(lambda scene: relay.MediaMismatch(scene.id(LegKind.TRUNK), "srtcp.absent"))
    for number, (leg, what) in enumerate(changes, 2):
        scene.changes(leg, what, number)
    scene.feed(events.CancelIn())
    for side in scene.state.pair:
        if scene.state.live:
            scene.inside(side.kind, "BYE", cseq=40)
    return scene


@settings(max_examples=examples(1500), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rules=RULES,
    outbound=st.booleans(),
    flow=st.sampled_from(FLOWS),
    websocket=st.sampled_from(["wss", "wss", "ws"]),
    said=st.tuples(TRUNK_SAYS, st.just("nothing") | TRUNK_SAYS, TRUNK_SAYS),
    changes=CHANGES,
    suite=st.sampled_from([AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80]),
)
def test_no_leg_is_ever_weaker_than_its_policy_requires(
    rules: ProfileRules,
    outbound: bool,
    flow: Flow,
    websocket: Literal["ws", "wss"],
    said: tuple[str, str, str],
    changes: list[tuple[LegKind, str]],
    suite: object,
) -> None:
    scene = play(rules, outbound, flow, websocket, said, changes, suite)
    ends = Counter(type(effect) for effect in scene.all)
    assert scene.records.count("call.start") == 1
    assert ends[fx.Finished] == (not scene.state.live), "one end for each call that began, and none before"
