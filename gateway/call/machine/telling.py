"""What the browser was told of its call, its protection and the other side, and what it must still hear (RFC 3311).

One rule for every cause: when an event has been dealt with, the call's posture is compared with the last report that
went to the browser. If they differ, the browser gets a new report, at once where its dialog allows it. So whoever
changes a leg calls `security.posture_changed` and nothing else: the record is written there, the relay's commands
follow it, and the report leaves at the end of the same step. Several changes become one report, the latest.

The report is an INFO of our package where the page has asked for it by `Recv-Info` (RFC 6086), the smallest message
there is and one that both libraries hand to the page. Else it is a `Call-Security` header on an UPDATE without a
description, which touches no session and cannot collide with an offer. A browser that does not take UPDATE (SIP.js)
gets a re-INVITE that repeats the session as it is. Who is at the other end is no part of the package: that goes by the
latter two.

Event sockets are shown the same, and need no dialog to be told (`ShowReport`).
"""

from __future__ import annotations

from gateway.call.legs.leg import Leg
from gateway.call.machine import change, direction, lost_dialog, report
from gateway.call.machine.effects import Purpose, ShowReport, TakeDown
from gateway.call.machine.events import ResponseIn
from gateway.call.machine.state import CallState, Phase
from gateway.policy.header import PACKAGE, News
from gateway.sdp.session import Way

JSON = "application/json"
NO_PACKAGE = frozenset({405, 415, 420, 469, 489, 501})
"""Answers that say: not by INFO of this package (RFC 6086 4.2.2: 469). It is not tried again until it is asked for."""
NO_UPDATE = frozenset({405, 415, 420, 501})
"""Answers that say: not by UPDATE. The next report goes by re-INVITE."""


def settle(call: CallState) -> None:
    """Tell each browser of the call what it has not heard yet, unless a report is under way or must wait."""
    legs = [leg for leg in call.pair if _has_heard(leg)] if call.live else []
    for leg in legs:
        news = report.news(call, leg)
        if report.is_wanted(call, leg):
            _show(call, leg, news)
        if _can_hear(call, leg) and not report.is_told(call, leg, news):
            _tell(call, leg)
    present = frozenset(leg.id for leg in legs)
    call.emit(*(TakeDown(leg) for leg in sorted(call.shown - present)))
    call.shown = present


def _has_heard(leg: Leg) -> bool:
    """Whether its browser knows of the call by a header; before that there is nothing that could have changed."""
    return leg.told is not None and leg.told.number > 0


def _show(call: CallState, leg: Leg, news: News) -> None:
    """What event sockets show: at once, for there is no dialog to wait for."""
    told, answered = leg.told, call.answered_at is not None
    now = (call.facts.uid, news, answered)
    if told is not None and told.shown != now:
        told.shown = now
        call.emit(ShowReport(leg.id, leg.number, leg.call_id, answered, report.drawn(call, leg, told)))


def _tell(call: CallState, leg: Leg) -> None:
    """Say it in the dialog of the leg, in the way its browser takes."""
    told, same_party = leg.told, report.is_same_party(call, leg)
    if told is None or (same_party and not report.is_wanted(call, leg)):
        return
    if told.waits or any(call.asks.awaits(leg.id, purpose) for purpose in (Purpose.UPDATE, Purpose.REPORT)):
        return
    if told.takes_package and same_party:
        _inform(call, leg)
    elif told.takes_update:
        _update(call, leg)
    elif call.phase is Phase.ESTABLISHED and leg.talk.may_offer(Way.REINVITE):
        change.reoffer(call, leg, direction.offer_from(call.other(leg)))


def response(call: CallState, leg: Leg, event: ResponseIn) -> None:
    """A response to our UPDATE."""
    status = event.response.status
    if status < 200 or leg.told is None:
        return
    call.asks.answered(event.ask)
    if status < 300:
        leg.told.retries = 0
        if leg.dialog is not None:
            leg.dialog.refresh_target(event.response)
    elif status in NO_UPDATE:
        unanswered(leg)
    elif not lost_dialog.is_said(call, leg, status):
        report.missed(call, leg)


def informed(call: CallState, leg: Leg, event: ResponseIn) -> None:
    """A response to an INFO of our package."""
    status = event.response.status
    if status < 200 or leg.told is None:
        return
    call.asks.answered(event.ask)
    if status < 300:
        leg.told.retries = 0
    elif status in NO_PACKAGE:
        uninformed(leg)
    elif not lost_dialog.is_said(call, leg, status):
        report.missed(call, leg)


def uninformed(leg: Leg) -> None:
    """This browser has asked for the package and does not take it, or says nothing to it: it is told as all others."""
    if leg.told is not None:
        leg.told.takes_package = False
        leg.told.forget()


def unanswered(leg: Leg) -> None:
    """This browser does not know UPDATE, or says nothing to it: it is told by re-INVITE, which it cannot overlook."""
    if leg.told is not None:
        leg.told.takes_update = False
        leg.told.forget()


def again(leg: Leg) -> None:
    """The wait is over; `settle` does the rest."""
    if leg.told is not None:
        leg.told.waits = False


def _can_hear(call: CallState, leg: Leg) -> bool:
    """Whether a request may be sent in the browser's dialog: confirmed, and acknowledged if it called."""
    return call.live and leg.invitation.is_open and leg.dialog is not None and not leg.is_away


def _update(call: CallState, leg: Leg) -> None:
    call.send(leg, leg.in_dialog("UPDATE", headers=report.announce(call, leg)), leg.next_hop(), Purpose.UPDATE)


def _inform(call: CallState, leg: Leg) -> None:
    made = report.written(call, leg)
    if made is None:
        return
    fields = (("Info-Package", PACKAGE), ("Content-Type", JSON), ("Content-Disposition", "Info-Package"))
    request = leg.in_dialog("INFO", headers=fields).with_body(made.body)
    call.send(leg, request, leg.next_hop(), Purpose.REPORT)
