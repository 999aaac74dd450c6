"""The transaction layer: owns every transaction, feeds triggers to its table and carries the effects out (RFC 3261 17).

The client and the server side register one performer per effect; this file knows no SIP method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gateway.sip.events import AckTimeout, CancelReceived, RequestTimeout, StackEvent, TransportFailed
from gateway.sip.flow import Flow
from gateway.sip.message import Message, Request
from gateway.sip.timers import T2, TIMERS, Timer, TimerQueue
from gateway.sip.transaction import Effect, RunningTimer, State, Transaction, Trigger

Performer = Callable[[Transaction, Message | None, Flow, float], None]
"""Carries out one effect: transaction, the message that triggered it if any, the flow it came by, now."""
FlowKey = tuple[int, str, int]


class TransactionLayer:
    """Transactions by key, their timers, and what they want sent and reported."""

    def __init__(self) -> None:
        self.transmissions: list[tuple[Flow, bytes]] = []
        self.events: list[StackEvent] = []
        """Both lists are drained after each input, and grow by at most a few entries per message or due timer."""
        self.on_end: list[Callable[[Transaction], None]] = []
        """Told of each transaction that is gone, so that indexes kept elsewhere stay as small as this one."""
        self._transactions: dict[str, Transaction] = {}
        self._by_flow: dict[FlowKey, dict[str, None]] = {}
        self._timers = TimerQueue()
        self._performers: dict[Effect, Performer] = {
            Effect.SEND: self._send,
            Effect.SLOW_DOWN: self._slow_down,
            Effect.PROLONG: self._prolong,
            Effect.REPORT_TIMEOUT: self._reporter(RequestTimeout),
            Effect.REPORT_TRANSPORT: self._reporter(TransportFailed),
            Effect.REPORT_ACK_TIMEOUT: self._reporter(AckTimeout),
            Effect.PASS_CANCEL: self._pass_cancel,
        }

    def __len__(self) -> int:
        return len(self._transactions)

    @property
    def is_idle(self) -> bool:
        """True when no transaction, timer or index entry is left."""
        return not (self._transactions or self._by_flow or len(self._timers))

    def register(self, performers: dict[Effect, Performer]) -> None:
        """Say who carries out which effect."""
        self._performers.update(performers)

    def find(self, key: str) -> Transaction | None:
        """The transaction of that key while it lives."""
        return self._transactions.get(key)

    def add(self, transaction: Transaction) -> None:
        """Take a new transaction in; the caller then feeds it START."""
        self._transactions[transaction.key] = transaction
        self._by_flow.setdefault(_flow_key(transaction.flow), {})[transaction.key] = None

    def feed(
        self,
        transaction: Transaction,
        trigger: Trigger,
        now: float,
        message: Message | None = None,
        flow: Flow | None = None,
    ) -> None:
        """Make one step of the machine: effects, state, timers; an effect that raises leaves all as it was."""
        state, effects = transaction.machine.step(transaction.state, trigger)
        for effect in effects:
            self._performers[effect](transaction, message, flow or transaction.flow, now)
        transaction.state = state
        self._set_timers(transaction, now)

    def end(self, transaction: Transaction) -> None:
        """Forget a transaction that lives, with all that belongs to it."""
        transaction.state = State.TERMINATED
        del self._transactions[transaction.key]
        for timer in list(transaction.timers):
            self._stop(transaction, timer)
        flow_key = _flow_key(transaction.flow)
        keys = self._by_flow[flow_key]
        del keys[transaction.key]
        if not keys:
            del self._by_flow[flow_key]
        for told in self.on_end:
            told(transaction)

    def of_flow(self, flow: Flow) -> Iterator[Transaction]:
        """The transactions that live on a flow, oldest first; they may end meanwhile."""
        for key in list(self._by_flow.get(_flow_key(flow), ())):
            transaction = self._transactions.get(key)
            if transaction is not None:
                yield transaction

    def handle_timers(self, now: float) -> None:
        """Fire every timer that is due."""
        for key, timer in self._timers.due(now):
            self._fire(self._transactions[key], timer, now)

    def next_deadline(self) -> float | None:
        """When `handle_timers` is wanted next."""
        return self._timers.next_deadline()

    def transmit(self, flow: Flow, data: bytes) -> None:
        """Send bytes on a flow."""
        self.transmissions.append((flow, data))

    def _fire(self, transaction: Transaction, timer: Timer, now: float) -> None:
        interval = TIMERS[timer].next_interval(transaction.timers.pop(timer).interval)
        if interval is not None:
            self._start(transaction, timer, interval, now)
        self.feed(transaction, timer, now)

    def _set_timers(self, transaction: Transaction, now: float) -> None:
        """Run exactly the timers of the state; one of length zero fires at once."""
        if transaction.state is State.TERMINATED:
            self.end(transaction)
            return
        wanted = transaction.machine.timers[transaction.state]
        for timer in [timer for timer in transaction.timers if timer not in wanted]:
            self._stop(transaction, timer)
        for timer in [timer for timer in wanted if timer not in transaction.timers]:
            delay = TIMERS[timer].delay(transaction.flow.is_reliable)
            if delay == 0:
                self.feed(transaction, timer, now)
                return
            if delay is not None:
                self._start(transaction, timer, delay, now)

    def _start(self, transaction: Transaction, timer: Timer, interval: float, now: float) -> None:
        # From `now`, not from the old deadline: after a stall one retransmission goes out, not a burst of them.
        ticket = self._timers.start(transaction.key, timer, now + interval)
        transaction.timers[timer] = RunningTimer(ticket, interval)

    def _stop(self, transaction: Transaction, timer: Timer) -> None:
        running = transaction.timers.pop(timer, None)
        if running is not None:
            self._timers.stop(running.ticket)

    def _send(self, transaction: Transaction, message: Message | None, flow: Flow, now: float) -> None:
        # Always the transaction's own flow: a retransmission that claims another source gets no answer there.
        self.transmit(transaction.flow, transaction.wire)

    def _slow_down(self, transaction: Transaction, message: Message | None, flow: Flow, now: float) -> None:
        self._stop(transaction, Timer.E)
        self._start(transaction, Timer.E, T2, now)

    def _prolong(self, transaction: Transaction, message: Message | None, flow: Flow, now: float) -> None:
        self._stop(transaction, Timer.C)

    def _pass_cancel(self, transaction: Transaction, message: Message | None, flow: Flow, now: float) -> None:
        if not transaction.silent:
            cancel = message if isinstance(message, Request) else None
            self.events.append(CancelReceived(transaction.key, cancel))

    def _reporter(self, event: Callable[[str], StackEvent]) -> Performer:
        def report(transaction: Transaction, message: Message | None, flow: Flow, now: float) -> None:
            if not transaction.silent:
                self.events.append(event(transaction.key))

        return report


def _flow_key(flow: Flow) -> FlowKey:
    return flow.id, flow.remote.host, flow.remote.port
