"""Which call a message belongs to: by transaction, dialog or Call-ID."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.call import effects as fx
from gateway.call.forks import LateForks

if TYPE_CHECKING:
    from gateway.call.runner import CallRunner

_ANSWERED_ONCE = (fx.Purpose.BYE, fx.Purpose.UPDATE, fx.Purpose.OPTIONS)
"""Only the 2xx of an INVITE is repeated by its sender (RFC 3261 13.3.1.4)."""


class CallIndex:
    """Which call a transaction or dialog belongs to. Entries live exactly as long as their call."""

    def __init__(self) -> None:
        self.sent: dict[str, tuple[CallRunner, fx.SendRequest]] = {}
        self.received: dict[str, CallRunner] = {}
        self.dialogs: dict[tuple[str, str, str], tuple[CallRunner, fx.LegName]] = {}
        self.late_forks: dict[str, LateForks] = {}
        """By the key of an answered INVITE whose call is forgotten, until no fork can answer any more; bounded by the
        transactions of the stack, which end at the same time."""
        self.call_ids: dict[str, CallRunner] = {}
        """The Call-IDs of both legs of every call."""
        self.runners: set[CallRunner] = set()
        self.recorded_peers: set[int] = set()
        """Flows to trunks whose TLS peer is in the audit log; emptied as they close."""

    def drop(self, runner: CallRunner) -> None:
        """Forget everything of one call."""
        self.runners.discard(runner)
        for sent in [k for k, v in self.sent.items() if v[0] is runner]:
            del self.sent[sent]
        for received in [k for k, v in self.received.items() if v is runner]:
            del self.received[received]
        for dialog in [k for k, d in self.dialogs.items() if d[0] is runner]:
            del self.dialogs[dialog]
        for call_id in [k for k, v in self.call_ids.items() if v is runner]:
            del self.call_ids[call_id]

    def is_living(self, call_id: str) -> bool:
        """Whether a call, not forgotten yet, has this Call-ID on one of its legs."""
        return call_id in self.call_ids

    def answered(self, key: str, status: int) -> None:
        """After a final response nothing more comes for a request of ours; only the 2xx of an INVITE is repeated."""
        found = self.sent.get(key)
        if found is not None and (status >= 300 or (status >= 200 and found[1].purpose in _ANSWERED_ONCE)):
            del self.sent[key]
