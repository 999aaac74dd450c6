"""Which call a message belongs to: by transaction, dialog or Call-ID."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from gateway.base.values import LegId
from gateway.call.machine.forks import LateForks
from gateway.sip.agent import Agent
from gateway.sip.dialog import DialogKey

if TYPE_CHECKING:
    from gateway.call.run.runner import CallRunner

K = TypeVar("K", int, str)


@dataclass
class Entries:
    """Under which keys one call is found."""

    sent: set[str] = field(default_factory=set)
    received: set[str] = field(default_factory=set)
    dialogs: set[DialogKey] = field(default_factory=set)
    call_ids: set[str] = field(default_factory=set)
    flows: Set[int] = frozenset()
    users: Set[str] = frozenset()


class CallIndex:
    """Which call a transaction or dialog belongs to. Entries live exactly as long as their call.

    Each call keeps the list of its own entries, so that its end looks at no other call.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.received: dict[str, CallRunner] = {}
        self.dialogs: dict[DialogKey, tuple[CallRunner, LegId]] = {}
        self.late_forks: dict[str, LateForks] = {}
        """By the key of an answered INVITE whose call is forgotten, until no fork can answer any more; bounded by the
        transactions of the stack, which end at the same time."""
        self.call_ids: dict[str, set[CallRunner]] = {}
        """The Call-IDs of all legs of every call. Several calls have one where a registrar authenticates browsers: the
        one it challenged and the one with credentials, and the one that a proxy brings to another browser."""
        self.runners: dict[CallRunner, Entries] = {}
        self._by_flow: dict[int, dict[CallRunner, None]] = {}
        """Whose legs use a connection: when a thousand of them end at once, each looks at its own calls only."""
        self._by_user: dict[str, dict[CallRunner, None]] = {}
        """Whose browsers take part, names in small letters; for each time one of them signs in."""
        self.ended: Counter[str] = Counter()
        """Calls that are forgotten, by their trunk as records name it; as many names as there are trunks."""
        self.recorded_peers: set[int] = set()
        """Flows to trunks whose TLS peer is in the audit log; emptied as they close."""

    def lines_of(self, trunk: str) -> int:
        """Calls over a trunk now, those that ring and those that are being connected included; emergency calls not."""
        return sum(runner.state.lines_of(trunk) for runner in self.runners)

    def begin(self, runner: CallRunner) -> None:
        """One more call."""
        self.runners[runner] = Entries()

    def sends(self, runner: CallRunner, key: str, call_id: str) -> None:
        """A request of this call has left in the transaction `key`."""
        self.runners[runner].sent.add(key)
        self._call_id(runner, call_id)

    def receives(self, runner: CallRunner, key: str, call_id: str = "") -> None:
        """Of a request with this key something more may come for the call: an ACK, a CANCEL, or their absence."""
        self.received[key] = runner
        self.runners[runner].received.add(key)
        if call_id:
            self._call_id(runner, call_id)

    def tracks(self, runner: CallRunner, key: DialogKey, leg: LegId) -> None:
        """Requests inside this dialog belong to this leg."""
        self.dialogs[key] = (runner, leg)
        self.runners[runner].dialogs.add(key)

    def moves(self, owner: CallRunner, runner: CallRunner, key: DialogKey, leg: LegId) -> None:
        """A dialog is one of another call from now on, and so is its Call-ID.

        What may still come of requests that were sent or received in it before stays with the call they were part of.
        """
        self.runners[owner].dialogs.discard(key)
        self.runners[owner].call_ids.discard(key[0])
        self._no_call_id(owner, key[0])
        self.tracks(runner, key, leg)
        self._call_id(runner, key[0])

    def stands(self, runner: CallRunner, flows: Set[int], users: Set[str]) -> None:
        """The legs of a call use these connections and are these users' now; nothing, where it is forgotten."""
        entries = self.runners.get(runner)
        if entries is None:
            return
        if entries.flows != flows:
            _move(self._by_flow, runner, entries.flows, flows)
            entries.flows = flows
        if entries.users != users:
            _move(self._by_user, runner, entries.users, users)
            entries.users = users

    def on(self, flow: int) -> tuple[CallRunner, ...]:
        """The calls with a leg on this connection, in the order in which they came to it."""
        return tuple(self._by_flow.get(flow, ()))

    def of_user(self, user: str) -> tuple[CallRunner, ...]:
        """The calls in which a browser of this user takes part, however its name is written."""
        return tuple(self._by_user.get(user.lower(), ()))

    def drop(self, runner: CallRunner) -> None:
        """Forget everything of one call."""
        self.stands(runner, frozenset(), frozenset())
        entries = self.runners.pop(runner, Entries())
        for key in entries.sent:
            self._agent.forget(key)
        for key in entries.received:
            self.received.pop(key, None)
        for dialog in entries.dialogs:
            self.dialogs.pop(dialog, None)
        for call_id in entries.call_ids:
            self._no_call_id(runner, call_id)

    def of_call_id(self, call_id: str) -> tuple[CallRunner, ...]:
        """The calls that have this Call-ID on one of their legs."""
        return tuple(self.call_ids.get(call_id, ()))

    def caller_of(self, call_id: str) -> str:
        """The Call-ID of the caller of the call that has this one on a leg, one that lives first; "" without any."""
        found = sorted(self.of_call_id(call_id), key=lambda runner: not runner.state.live)
        return found[0].state.caller.call_id if found else ""

    def is_living(self, call_id: str) -> bool:
        """Whether a call, not forgotten yet, has this Call-ID on one of its legs."""
        return call_id in self.call_ids

    def done(self, runner: CallRunner, key: str) -> None:
        """Nothing more comes for a request of this call."""
        if runner in self.runners:
            self.runners[runner].sent.discard(key)

    def acknowledged(self, key: str) -> CallRunner | None:
        """The ACK of an INVITE we answered is in, or never comes: gives whose it is, and forgets it."""
        runner = self.received.pop(key, None)
        if runner is not None:
            self.runners[runner].received.discard(key)
        return runner

    def _call_id(self, runner: CallRunner, call_id: str) -> None:
        self.call_ids.setdefault(call_id, set()).add(runner)
        self.runners[runner].call_ids.add(call_id)

    def _no_call_id(self, runner: CallRunner, call_id: str) -> None:
        calls = self.call_ids.get(call_id, set())
        calls.discard(runner)
        if not calls:
            self.call_ids.pop(call_id, None)


def _move(index: dict[K, dict[CallRunner, None]], runner: CallRunner, before: Set[K], after: Set[K]) -> None:
    """Let a call be found under other keys; of a key without calls nothing is kept."""
    for key in before - after:
        index[key].pop(runner)
        if not index[key]:
            del index[key]
    for key in after - before:
        index.setdefault(key, {})[runner] = None
