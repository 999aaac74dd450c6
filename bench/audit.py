"""What the audit log costs: CPU for the records of a call, records a second, and the share of each step.

A call writes the records a real one does, in its order, and waits for them where a real one waits: before its 200, its
media and its end. fsync is real, in the directory for temporary files.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gateway.audit import record
from gateway.audit.chain import GENESIS, sealed
from gateway.audit.facts import Checkpoint
from gateway.audit.final import call_final
from gateway.audit.line import LineFormat
from gateway.audit.log import AuditLog
from gateway.audit.place import MEBIBYTE, AuditPlace
from gateway.base.counters import Counters
from gateway.base.termination import Termination
from gateway.base.values import CALLER, LegId
from gateway.policy.evaluate import judge
from gateway.policy.posture import SecurityVector
from tests.audit.samples import CALL, SOURCE, STRICT, TLS, answered
from tests.policy.vectors import browser, trunk

CALLS = 2000
AT_ONCE = 50
"""Calls that are being set up at the same time."""
GOAL_RECORDS, GOAL_CPU = 5000, 2.0
"""Records a second, and milliseconds of CPU for a call."""

Step = tuple[Callable[[], dict[str, object]], ...]


async def main() -> None:
    """Measure and print."""
    _steps_of_a_record()
    with tempfile.TemporaryDirectory() as directory:
        loop = asyncio.get_running_loop()
        place = AuditPlace(Path(directory), buffer_octets=64 * MEBIBYTE, pseudonyms=True)
        log = AuditLog(place, Counters(), deliver=loop.call_soon_threadsafe, soon=loop.call_soon)
        log.open()
        try:
            await _measure(log)
            ended = loop.create_future()
            log.checkpoint(ended.set_result)
            await ended
        finally:
            log.close()


async def _measure(log: AuditLog) -> None:
    steps = _call()
    records = sum(map(len, steps)) * CALLS
    for at_once in (1, AT_ONCE):
        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(CALLS // at_once):
            await asyncio.gather(*(_live(log, steps) for _ in range(at_once)))
        seconds, spent = time.perf_counter() - began, (time.process_time() - cpu) / CALLS * 1000
        print(
            f"  {at_once:3d} calls at once: {records / seconds:7.0f} records/s (goal {GOAL_RECORDS}),"
            f" {spent:5.2f} ms CPU per call of {sum(map(len, steps))} records (goal under {GOAL_CPU})"
        )


async def _live(log: AuditLog, steps: tuple[Step, ...]) -> None:
    """One call: the records of a step together, then it waits for the last of them."""
    for step in steps:
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        for make in step[:-1]:
            log.write(make())
        log.write(step[-1](), written.set_result)
        await written


def _call() -> tuple[Step, ...]:
    """What a call between a browser and a trunk with SDES over TLS writes."""
    near, far, posture = browser(), trunk("sdes"), answered()

    def leg(vector: SecurityVector, number: int) -> Callable[[], dict[str, object]]:
        return lambda: record.leg_record(
            CALL, STRICT, judge(STRICT, vector), vector, leg_id=number, checkpoint=Checkpoint.ANSWER, source=SOURCE,
            identity=TLS,
        )  # fmt: skip

    def verified(vector: SecurityVector, number: int) -> Callable[[], dict[str, object]]:
        return lambda: record.leg_verified(CALL, STRICT, vector, leg_id=number, confirmed=True)

    def latch(kind: str, number: LegId) -> Callable[[], dict[str, object]]:
        return lambda: record.media_latch(CALL, leg=kind, leg_id=number, address=SOURCE, expected=True)

    return (
        (lambda: record.call_start(CALL, STRICT, source=SOURCE, transport="wss", user_agent="JsSIP 3.10"),),
        (leg(far, 2),),
        (leg(near, 1), latch("browser", CALLER)),
        (latch("trunk", LegId(2)), verified(far, 2), verified(near, 1)),
        (lambda: call_final(CALL, STRICT, posture, Termination.HANGUP_BROWSER, duration=12.3, codecs=["opus"]),),
    )


def _steps_of_a_record() -> None:
    make = _call()[1][0]
    form, made = LineFormat(), make()
    draft = form.draft(made, 1)
    steps: tuple[tuple[str, Callable[[], object]], ...] = (
        ("build", make),
        ("draft", lambda: form.draft(made, 1)),
        ("seal", lambda: sealed(draft.text, GENESIS)),
    )
    took = ", ".join(f"{name} {_microseconds(step):.0f}" for name, step in steps)
    print(f"audit: microseconds of CPU for a leg record of {len(draft.text)} octets: {took}")


def _microseconds(step: Callable[[], object]) -> float:
    began = time.process_time()
    for _ in range(CALLS):
        step()
    return (time.process_time() - began) / CALLS * 1e6
