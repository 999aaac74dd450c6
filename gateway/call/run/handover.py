"""Legs that move from one running call to another: found by the dialog that is named, and moved in one step.

Both calls decide by themselves, each in its own machine. In between nothing is half done: what can go wrong is looked
at first, then the relay, the handshake and the index follow at once, without waiting for anybody.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.base.errors import MediaError
from gateway.base.values import LegId
from gateway.call.legs.leg import Leg
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.events import Handed
from gateway.call.machine.handed import PENDING, hand_out, is_same_peer
from gateway.call.run.index import CallIndex
from gateway.sip.events import RequestReceived
from gateway.sip.flow import objection
from gateway.sip.replaces import Named, Replaces, answer_to, read_replaces

if TYPE_CHECKING:
    from gateway.call.run.runner import CallRunner

log = logging.getLogger(__name__)

ELSEWHERE = 503
"""The media of the two calls is in two workers, or in one that is lost: it cannot be joined."""


@dataclass(frozen=True, slots=True)
class Offered:
    """What was found for a call, until it takes it."""

    owner: CallRunner
    named: LegId
    replaces: Replaces
    handed: Handed


class Handover:
    """What one call takes over from others."""

    def __init__(self, runner: CallRunner, index: CallIndex) -> None:
        self._runner, self._index = runner, index
        self._offered: Offered | None = None

    def find(self, effect: fx.FindDialog) -> None:
        """Tell the call what the dialog is: a leg it may take, or why there is none."""
        self._offered = None
        entry = next(
            (found for key in effect.replaces.keys_either_way if (found := self._index.dialogs.get(key))), None
        )
        if entry is None:
            self._runner.feed(events.DialogMissing(answer_to(Named.UNKNOWN, effect.replaces), is_others=False))
            return
        owner, named = entry
        if not self._may(effect, owner, named):
            self._runner.feed(events.DialogMissing(answer_to(Named.OTHERS, effect.replaces), is_others=True))
            return
        handed = hand_out(owner.state, named, effect.replaces)
        if isinstance(handed, Handed):
            self._offered = Offered(owner, named, effect.replaces, handed)
            self._runner.feed(events.DialogFound(handed))
        else:
            self._runner.feed(events.DialogMissing(handed, is_others=False))

    def _may(self, effect: fx.FindDialog, owner: CallRunner, named: LegId) -> bool:
        """Whether who asks has a say in that dialog, and asks over what proves as much as it was made with."""
        asks, leg = self._runner.state.legs.get(effect.leg), owner.state.legs.get(named)
        if asks is None or leg is None or owner is self._runner:
            return False
        return is_same_peer(self._runner.state.site, asks, leg) and not leg.objection_to(effect.flow)

    def take(self, effect: fx.TakeOver) -> None:
        """Move the leg that was found, unless something has happened to it meanwhile."""
        offered, self._offered = self._offered, None
        handed = self._again(offered) if offered is not None else None
        if offered is None or handed is None:
            self._runner.feed_first(events.NotTaken(PENDING))
            return
        owner, left = offered.owner, handed.leg.id
        try:
            self._runner.media.adopt(effect.leg, owner.media, left)
        except MediaError as error:
            log.warning("call=%s cannot take over a leg of call=%s: %s", self._runner.id, owner.id, error)
            self._runner.feed_first(events.NotTaken(ELSEWHERE))
            return
        handed.leg.id = effect.leg
        if handed.leg.dialog is not None:
            self._index.moves(owner, self._runner, handed.leg.dialog.key, effect.leg)
        log.info("call=%s takes over a leg of call=%s", self._runner.id, owner.id)
        self._runner.feed_first(events.TakenOver(handed))
        owner.feed_first(events.HandedOver(left))

    def _again(self, offered: Offered) -> Handed | None:
        """The leg as it is now, if it is what was judged, and its call has nothing else in hand."""
        if not offered.owner.is_at_rest:
            return None
        now, before = hand_out(offered.owner.state, offered.named, offered.replaces), offered.handed
        if not isinstance(now, Handed):
            return None
        same = now.leg.id == before.leg.id and now.leg.vector == before.leg.vector and now.floor == before.floor
        return now if same and now.leg.agreed is before.leg.agreed else None


def replace_leg(index: CallIndex, event: RequestReceived, user: str) -> int | None:
    """Give an INVITE with Replaces to the call whose leg it names; the status it is refused with, else None.

    Args:
        user: who sent it, empty for a trunk. A dialog of another user or trunk does not exist.

    Raises:
        SipError: 400, the header field is malformed or contradicts another.
    """
    replaces = read_replaces(event.request)
    if replaces is None:
        return 0
    entry = next((found for key in replaces.keys if (found := index.dialogs.get(key))), None)
    if entry is None:
        return answer_to(Named.UNKNOWN, replaces)
    runner, named = entry
    leg = runner.state.legs.get(named)
    if leg is None or not _is_theirs(runner, leg, event, user):
        runner.feed(events.FlowRefused(named, event.flow, "INVITE with Replaces", "from elsewhere", 481))
        return answer_to(Named.OTHERS, replaces)
    index.receives(runner, event.key, event.request.call_id)
    runner.feed(events.Replacing(named, event.key, event.request, event.flow, replaces))
    return None


def _is_theirs(runner: CallRunner, leg: Leg, event: RequestReceived, user: str) -> bool:
    """Whether the sender has a say in this dialog, and speaks over what proves as much as it was made with."""
    if leg.habits.is_person:
        return bool(user) and runner.state.site.is_same_user(leg.number, user)
    return not user and event.flow.trunk == leg.trunk_name and not objection(event.flow, leg.founding)
