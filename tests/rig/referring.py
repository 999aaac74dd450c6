"""Transfers by JsSIP as any page asks for them: `RTCSession.refer`, without the softphone's own buttons."""

from __future__ import annotations

from playwright.sync_api import Page

# Statuses as they come: that of the REFER, then those of its NOTIFYs; done when it was refused or the last one came.
REFER = """([number, target, other]) => new Promise((resolve) => {
  const sessions = softphone.sessions ? softphone.sessions() : [softphone.session()];
  const told = [];
  const notified = ({status_line: line}) => told.push(Number(line.status_code));
  const last = (event) => { notified(event); resolve(told); };
  const eventHandlers = {
    requestSucceeded: ({response}) => told.push(response.status_code),
    requestFailed: ({response, cause}) => { told.push(response ? response.status_code : cause); resolve(told); },
    trying: notified,
    progress: notified,
    accepted: last,
    failed: last,
  };
  const replaces = other === null ? {} : {replaces: sessions[other]};
  if (sessions[number].refer(target, {eventHandlers, ...replaces}) === false) resolve(told);
})"""


def refer(page: Page, target: str, *, call: int = 0) -> list[int]:
    """Hand a call of the page over to a URI; the status of the REFER, then those its NOTIFYs told."""
    return [int(status) for status in page.evaluate(REFER, [call, target, None])]


def refer_replacing(page: Page, target: str, other: int, *, call: int = 0) -> list[int]:
    """Join the other side of one call with that of another one of the page; JsSIP wants a URI besides."""
    return [int(status) for status in page.evaluate(REFER, [call, target, other])]
