"""Takes registrations of connections that have ended back at the registrar, as far as it lets us.

Only the user could prove that it is wanted, and the user is gone. What is left is the last proof: a registrar that
takes a nonce twice removes the registration by it, any other one refuses and lets it run out. So it is tried once and
without haste: a page that is loaded anew registers before, and a registrar that restarts is not flooded.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from gateway.call.registration import rewriting
from gateway.call.registration.book import Book, Registered
from gateway.call.registration.link import NoAnswerError, RegistrarLink
from gateway.sip.cseq import MAX_CSEQ

log = logging.getLogger(__name__)

LEAVE_SECONDS = 5.0
"""Before a registration is taken back: the same device may be back on another connection by then."""
MAX_LEAVING = 2048
"""Registrations that wait to be taken back; of more, as when every connection ends at once, the rest runs out."""
MAX_ASKED = 8
"""Taken back at one time."""


class Leavers:
    """What is to be taken back."""

    def __init__(self, link: RegistrarLink, book: Book, *, seconds: float = LEAVE_SECONDS) -> None:
        self._link, self._book, self._seconds = link, book, seconds
        self._jobs: dict[asyncio.Task[None], str] = {}
        """With the name of the place."""
        self._asked: dict[str, asyncio.Event] = {}
        """Places that are being taken back now: whoever wants one again waits until that is over."""
        self._coming: Tally[str] = Tally()
        """Places that are being registered now: they are not taken back."""
        self._turns = asyncio.Semaphore(MAX_ASKED)
        self._stopped = False

    def __len__(self) -> int:
        """Registrations that wait, or are being taken back."""
        return len(self._jobs)

    def leave(self, place: Registered) -> None:
        """Take it back after a while, unless it is somebody's again by then."""
        if self._stopped or len(self._jobs) >= MAX_LEAVING or place.last.cseq.number >= MAX_CSEQ:
            return
        job = asyncio.get_running_loop().create_task(self._leave(place))
        self._jobs[job] = place.name
        job.add_done_callback(self._done)

    @contextmanager
    def coming(self, names: Iterable[str]) -> Iterator[None]:
        """While these are being registered."""
        counted = list(names)
        self._coming.update(counted)
        try:
            yield
        finally:
            self._coming.subtract(counted)
            for name in counted:
                if not self._coming[name]:
                    del self._coming[name]

    async def gone(self, names: Iterable[str]) -> None:
        """Wait until none of these is being taken back: what is registered then stays."""
        for name in names:
            if (asked := self._asked.get(name)) is not None:
                await asked.wait()

    async def stop(self) -> None:
        """Take nothing more back."""
        self._stopped = True
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    async def _leave(self, place: Registered) -> None:
        await asyncio.sleep(self._seconds)
        async with self._turns:
            if place.name in self._coming or place.name in self._asked or self._book.has(place.name):
                return
            over = self._asked[place.name] = asyncio.Event()
            try:
                await self._ask(place)
            finally:
                del self._asked[place.name]
                over.set()

    async def _ask(self, place: Registered) -> None:
        last = place.last
        contact = rewriting.removed(place.contact)
        request = rewriting.leaving(last, contact, place.given, last.cseq.number + 1)
        try:
            response, _ = await self._link.ask(request)
        except NoAnswerError as error:
            log.info("trunk=%s user=%s is left to run out: %s", self._link.trunk, place.user, error)
            return
        if 200 <= response.status < 300:
            log.info("trunk=%s user=%s is taken back", self._link.trunk, place.user)
        else:
            log.info("trunk=%s user=%s is left to run out: %d", self._link.trunk, place.user, response.status)

    def _done(self, job: asyncio.Task[None]) -> None:
        self._jobs.pop(job, None)
        error = None if job.cancelled() else job.exception()
        if error is not None:
            log.error("a registration cannot be taken back: %s", error, exc_info=error)
