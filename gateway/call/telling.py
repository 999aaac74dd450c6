"""What the browser was told of its call, its protection and the other side, and what it must still hear (RFC 3311).

One rule for every cause: when an event has been dealt with, the call's posture is compared with the last report that
went to the browser. If they differ, the browser gets a new report, at once where its dialog allows it. So whoever
changes a leg calls `security.posture_changed` and nothing else: the record is written there, the relay's commands
follow it, and the report leaves at the end of the same step. Several changes become one report, the latest.

The report is a `Call-Security` header on an UPDATE without a description, which touches no session and cannot collide
with an offer. A browser that does not take UPDATE (SIP.js) gets a re-INVITE that repeats the session as it is.
"""

from __future__ import annotations

from gateway.base.termination import Termination
from gateway.call import change, direction, ending, report
from gateway.call.browser_leg import BrowserLeg
from gateway.call.effects import Purpose
from gateway.call.events import ResponseIn
from gateway.call.state import CallState, Phase

NO_UPDATE = frozenset({405, 415, 420, 501})
"""Answers that say: not by UPDATE. The next report goes by re-INVITE."""


def settle(call: CallState) -> None:
    """Tell the browser what it has not heard yet, unless a report is under way or must wait."""
    browser = call.browser
    if browser is None or not _can_hear(call, browser) or report.is_told(call):
        return
    if call.report_waits or call.awaits(browser.name, Purpose.UPDATE):
        return
    if browser.takes_update:
        _update(call, browser)
    elif _may_reoffer(call):
        change.reoffer(call, browser, direction.offer_from(call.other(browser)))


def response(call: CallState, leg: BrowserLeg, event: ResponseIn) -> None:
    """A response to our UPDATE."""
    status = event.response.status
    if status < 200:
        return
    call.answered(event.ask)
    if status < 300:
        call.report_retries = 0
        if leg.dialog is not None:
            leg.dialog.refresh_target(event.response)
    elif status in (408, 481):  # RFC 3261 12.2.1.2: the dialog is over; after 481 the peer knows
        ending.terminate(call, Termination.PEER_TIMEOUT, by=leg.name if status == 481 else None)
    elif status in NO_UPDATE:
        unanswered(call, leg)
    else:
        report.missed(call)


def unanswered(call: CallState, leg: BrowserLeg) -> None:
    """This browser does not know UPDATE, or says nothing to it: it is told by re-INVITE, which it cannot overlook."""
    leg.takes_update, call.told = False, None


def again(call: CallState) -> None:
    """The wait is over; `settle` does the rest."""
    call.report_waits = False


def _can_hear(call: CallState, browser: BrowserLeg) -> bool:
    """Whether a request may be sent in the browser's dialog: confirmed, and acknowledged if it called."""
    return call.live and browser.confirmed and browser.dialog is not None and (browser.acked or not browser.is_caller)


def _may_reoffer(call: CallState) -> bool:
    busy = call.reoffer is not None or call.reoffer_again or call.ack_offer_key
    return call.phase is Phase.ESTABLISHED and not busy


def _update(call: CallState, browser: BrowserLeg) -> None:
    request = browser.in_dialog("UPDATE", headers=report.announce(call))
    call.send(browser.name, request, browser.next_hop(), Purpose.UPDATE)
