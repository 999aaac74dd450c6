"""Looks after certificates while the gateway runs: new files are taken, broken ones told of, ends announced.

Whatever happens to the files, what was loaded last goes on being used: a certificate that was renewed half-way, at
night, must not stop anybody's calls. Files are read in a thread, because a disk may hang.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gateway.base.counters import Counter, Counters
from gateway.base.errors import ConfigError
from gateway.renewal.expiry import ExpiryBook, Notice, Owner
from gateway.renewal.files import Stamp, Watched

LOOK_SECONDS = 5.0
"""Between two looks. A change is taken when two looks in a row see the same files: certificate and key are written one
after the other."""
RETRY_SECONDS = 60.0
"""Before files that were refused are tried once more: a certificate not valid yet, a directory nobody may read."""

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class _State:
    """What is known of the files of one context."""

    taken: Stamp | None = None
    """As they were when they were loaded last, or refused."""
    seen: Stamp | None = None
    """As they were at the last look."""
    refused: str = ""
    """Why what they hold now is not used; "" when it is."""
    tried_at: float = float("-inf")


@dataclass(frozen=True)
class _Outcome:
    """What one load came to."""

    watched: Watched
    stamp: Stamp
    context: ssl.SSLContext | None = None
    error: ConfigError | None = None
    ends: Sequence[tuple[str, Path, float]] = ()


class CertificateWatch:
    """Owns the state of all watched files.

    Args:
        watched: what is watched; loaded once already by those who use it.
        now: seconds since 1970, by the wall clock: certificates end by it.
    """

    def __init__(
        self,
        watched: Sequence[Watched],
        counters: Counters,
        *,
        now: Callable[[], float],
        every: float = LOOK_SECONDS,
    ) -> None:
        self._watched, self._counters, self._now, self._every = watched, counters, now, every
        self._states = {entry.key: _State() for entry in watched}
        self.book = ExpiryBook()
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def use(self, watched: Sequence[Watched]) -> None:
        """Watch these from now on, all of which have just been loaded where they are others than before."""
        known = {entry.key: entry for entry in self._watched}
        states = self._states
        self._states = {e.key: states[e.key] if e.is_as(known.get(e.key)) else _State() for e in watched}
        for owner, _ in list(self.book.rows()):
            key = owner.name if not owner.is_peer else f"trunks.{owner.name}.tls"
            if not any(f"{key}.".startswith(f"{known}.") for known in self._states):
                self.book.forget(owner)
        self._watched = watched
        self.reload()

    @property
    def refused(self) -> int:
        """How many contexts are older than their files, because those cannot be used."""
        return sum(bool(state.refused) for state in self._states.values())

    def start(self) -> None:
        """Begin to look; files are taken to be as they were loaded just now."""
        for entry in self._watched:
            self._states[entry.key].taken = entry.stamp()
            self._note_ends(entry.ends())
        self._tell()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def reload(self) -> None:
        """Load everything now, changed or not: somebody asked for it."""
        self._wanted.set()

    def peer_shown(self, trunk: str, digest: str, expires: float) -> None:
        """A trunk showed a certificate."""
        if trunk and expires:
            self.book.note(Owner(trunk, is_peer=True), digest, expires)
            self._tell()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), self._every)
            asked = self._wanted.is_set()
            self._wanted.clear()
            try:
                await self.look(asked=asked)
            except (
                Exception
            ):  # a defect of ours must not end the watch: certificates would run out months later, untold
                log.exception("certificates: this look failed; the next one is tried all the same")

    async def look(self, *, asked: bool = False) -> None:
        """Look once, and take what has changed; everything when it was asked for."""
        watched, states = self._watched, self._states
        outcomes = await in_thread(lambda: list(self._read(watched, states, asked=asked)))
        for outcome in outcomes:
            if outcome.watched in self._watched:  # else another configuration was loaded meanwhile
                self._take(outcome)
        self._tell()

    def _read(self, watched: Sequence[Watched], states: Mapping[str, _State], *, asked: bool) -> Iterator[_Outcome]:
        """In a thread: load what must be."""
        for entry in watched:
            stamp, state = entry.stamp(), states[entry.key]
            settled = stamp == state.seen
            state.seen = stamp
            changed = settled and stamp != state.taken
            again = bool(state.refused) and self._now() - state.tried_at >= RETRY_SECONDS
            if asked or changed or again:
                state.tried_at = self._now()
                yield self._load(entry, stamp)

    def _load(self, entry: Watched, stamp: Stamp) -> _Outcome:
        now = datetime.datetime.fromtimestamp(self._now(), datetime.UTC)
        try:
            context, ends = entry.load(now), entry.ends()
        except ConfigError as error:
            return _Outcome(entry, stamp, error=error)
        except Exception as error:  # noqa: BLE001 - whatever libraries make of a file; the others are taken all the same
            remedy = "give a PEM file that `sip-gateway check` accepts"
            return _Outcome(entry, stamp, error=ConfigError(f"cannot be used: {type(error).__name__}", remedy=remedy))
        if entry.stamp() != stamp:  # written while it was read: the next look will tell
            stamp = ()
        return _Outcome(entry, stamp, context, ends=ends)

    def _take(self, outcome: _Outcome) -> None:
        entry, state = outcome.watched, self._states[outcome.watched.key]
        state.taken = outcome.stamp
        if outcome.error is not None:
            self._refuse(entry, state, outcome.error)
            return
        if outcome.context is not None:
            entry.use(outcome.context)
        state.refused = ""
        self._counters.add(Counter.CERTIFICATES_LOADED)
        self._note_ends(outcome.ends)
        log.info("certificates=%s state=loaded files=%s", entry.key, ", ".join(map(str, entry.files)) or "system")

    def _refuse(self, entry: Watched, state: _State, error: ConfigError) -> None:
        """The one before stays in use. Told once, and again when it is another reason."""
        if state.refused != error.message:
            self._counters.add(Counter.CERTIFICATES_REFUSED)
            what = (entry.key, error.file or ", ".join(map(str, entry.files)), error.message, error.remedy)
            log.error("certificates=%s state=kept file=%s: %s; remedy: %s", *what)
        state.refused = error.message

    def _note_ends(self, ends: Sequence[tuple[str, Path, float]]) -> None:
        for key, path, expires in ends:
            self.book.note(Owner(key, is_peer=False), str(path), expires)

    def _tell(self) -> None:
        for notice in self.book.due(self._now()):
            log.warning(*_words(notice))


def _words(notice: Notice) -> tuple[object, ...]:
    """A log line about a certificate that ends."""
    end = f"{datetime.datetime.fromtimestamp(notice.expires, datetime.UTC):%Y-%m-%d %H:%M}"
    when = f"expired on {end}" if notice.days < 0 else f"expires on {end}, in {notice.days} days"
    if notice.owner.is_peer:
        return "trunk=%s certificate sha256=%s %s; remedy: tell whoever runs it", notice.owner.name, notice.label, when
    remedy = "renew it, the new file is taken by itself"
    return "certificate=%s file=%s %s; remedy: %s", notice.owner.name, notice.label, when, remedy


async def in_thread(work: Callable[[], T]) -> T:
    """What `work` gives, from a thread that nobody has to wait for when the process ends."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as caught:  # noqa: BLE001 - raised where it is awaited
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop has closed
            loop.call_soon_threadsafe(finish, result, error)

    threading.Thread(target=run, name="certificates", daemon=True).start()
    return await done
