"""Asks trunks by OPTIONS whether they are there (RFC 3261 11), and knows which are down (`trunks.health`).

A trunk is asked when a call to it hears nothing, and as a keepalive when it was silent for as long as its
configuration says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from functools import partial

from gateway.base.counters import Counter
from gateway.base.errors import GatewayError, NoHopError, TransportError
from gateway.base.values import HostPort
from gateway.call.run.services import Services
from gateway.sip.flow import Flow
from gateway.sip.message import Headers, Request, Response
from gateway.trunks.contact import contact_of
from gateway.trunks.health import JITTER, KEEPALIVE_TRIES, PROBE_SECONDS, TRY_SECONDS, Standing, TrunkHealth
from gateway.trunks.model import Trunk
from gateway.trunks.table import is_reached_as
from gateway.trunks.target import Spot

log = logging.getLogger(__name__)

TOKEN_LENGTH = 16
LOTS = 36**4


class TrunkProbes:
    """One question at a time for each trunk; whoever wants to know meanwhile waits for the same answer."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._health = TrunkHealth()
        self._asking: dict[str, asyncio.Task[bool]] = {}
        self._again: dict[str, asyncio.TimerHandle] = {}
        """Trunks that are down, and when they are asked again."""
        self._watched: dict[str, asyncio.TimerHandle] = {}
        """Trunks with a keepalive, and when it is looked whether they have been silent."""
        self._stopped = False

    def start(self) -> None:
        """Begin to watch the trunks that have a keepalive."""
        for name, trunk in self._trunks.items():
            if trunk.keepalive:
                self._watch(name, trunk.keepalive)

    def renew(self, before: Mapping[str, Trunk]) -> None:
        """Other trunks were loaded. Of those that are found elsewhere, or nowhere, nothing is known any more.

        Args:
            before: what they were.
        """
        now = self._trunks
        moved = {name for name, trunk in before.items() if not is_reached_as(trunk, now.get(name))}
        self._health.forget(moved)
        for name in moved & self._again.keys():
            self._again.pop(name).cancel()
        for name in before.keys() | now.keys():
            was, wanted = (trunks[name].keepalive if name in trunks else 0.0 for trunks in (before, now))
            if was == wanted and name not in moved:
                continue
            if (timer := self._watched.pop(name, None)) is not None:
                timer.cancel()
            if wanted:
                self._watch(name, wanted)

    @property
    def _trunks(self) -> Mapping[str, Trunk]:
        return self._services.sites.current.trunks

    @property
    def down(self) -> int:
        """How many trunks are down."""
        return self._health.down

    def is_down(self, trunk: str) -> bool:
        """Whether calls to this trunk are only tried."""
        return self._health.is_down(trunk)

    def standing(self, trunk: str) -> Standing:
        """What is known of a trunk, for who asks."""
        return self._health.standing(trunk)

    async def connect(self, trunk: str, tried: Collection[Spot] = (), *, urgent: bool = False) -> Flow:
        """A flow to the trunk; one that is down gets little time.

        Args:
            tried: places of it where the call was not taken.
            urgent: a call for help.

        Raises:
            TransportError: as `SipSender.connect`; a trunk that cannot be reached is down from then on.
        """
        asked_at = self._services.clock()
        try:
            async with asyncio.timeout(TRY_SECONDS if self.is_down(trunk) else None):
                return await self._services.sip.connect(trunk, tried, urgent=urgent)
        except TimeoutError as error:
            raise TransportError(f"trunk {trunk}: no connection in time") from error
        except NoHopError:
            raise
        except TransportError as error:
            if not error.verification and not tried:
                self._silent(trunk, asked_at, "no connection")
            raise

    async def answers(self, trunk: str) -> bool:
        """Ask the trunk now; False when it says nothing within `PROBE_SECONDS`."""
        return await asyncio.shield(self._ask(trunk))

    def heard(self, trunk: str) -> None:
        """A message came from this trunk."""
        if trunk not in self._trunks or not self._health.heard(trunk, self._services.clock()):
            return
        log.warning("trunk=%s state=down->up", trunk)
        if timer := self._again.pop(trunk, None):
            timer.cancel()

    async def stop(self) -> None:
        """Ask nothing more; after that nothing of it runs."""
        self._stopped = True
        for timer in (*self._again.values(), *self._watched.values()):
            timer.cancel()
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    def _watch(self, trunk: str, seconds: float) -> None:
        pause = seconds * (1 - JITTER * self._lot())
        self._watched[trunk] = asyncio.get_running_loop().call_later(pause, self._look, trunk, seconds)

    def _look(self, trunk: str, seconds: float) -> None:
        """A keepalive is due, unless the trunk has spoken or is being asked for other reasons."""
        self._watch(trunk, seconds)
        if not self.is_down(trunk) and not self._health.was_heard(
            trunk, self._services.clock() - seconds * (1 - JITTER)
        ):
            self._ask(trunk, KEEPALIVE_TRIES)

    def _ask(self, trunk: str, tries: int = 1) -> asyncio.Task[bool]:
        task = self._asking.get(trunk)
        if task is None:
            task = self._asking[trunk] = asyncio.get_running_loop().create_task(self._probe(trunk, tries))
            task.add_done_callback(lambda _: self._asking.pop(trunk, None))
        return task

    async def _probe(self, trunk: str, tries: int) -> bool:
        asked_at = self._services.clock()
        for _ in range(tries):
            self._services.counters.add(Counter.TRUNK_PROBES)
            if await self._answer(trunk):
                self.heard(trunk)
                return True
        self._silent(trunk, asked_at, "no answer to OPTIONS")
        return False

    async def _answer(self, trunk: str) -> bool:
        """Any final response means that somebody is there; who wants to be left alone has said so just now.

        A place of the trunk that says nothing is left for another one, which is asked next.
        """
        key, flow = "", None
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                flow = await self._services.sip.connect(trunk)
                question = _Question()
                key = self._services.agent.ask(self._options(trunk, flow), flow, question)
                return await question.answered
        except NoHopError:
            return True
        except TimeoutError:
            if flow is not None:
                self._services.sip.unheard(flow)
            return False
        except GatewayError:
            return False
        finally:
            self._services.agent.forget(key)

    def _options(self, trunk: str, flow: Flow) -> Request:
        """From and Contact are those of calls: some trunks answer nobody they cannot find by them (Teams)."""
        site = self._services.sites.current
        asked = site.trunk(trunk)
        target, domain = asked.target, asked.identity.domain or site.realm
        uri, tokens = f"sip:{HostPort(target.host, target.port)}", self._services.tokens
        headers = Headers(
            [
                ("From", f"<sip:gateway@{domain}>;tag={tokens(TOKEN_LENGTH)}"),
                ("To", f"<{uri}>"),
                ("Call-ID", tokens(TOKEN_LENGTH)),
                ("CSeq", "1 OPTIONS"),
                ("Contact", str(contact_of(asked, flow, site.media.trunk.advertised))),
                ("Accept", "application/sdp"),
            ]
        )
        return Request("OPTIONS", uri, headers)

    def _silent(self, trunk: str, asked_at: float, why: str) -> None:
        if trunk not in self._trunks:
            return  # it was taken out, and has calls from before
        if self._health.silent(trunk, asked_at):
            self._services.counters.add(Counter.TRUNK_DOWN)
            log.warning("trunk=%s state=up->down reason=%s", trunk, why)
        if self._health.is_down(trunk) and not self._stopped and trunk not in self._again:
            self._ask_later(trunk)

    def _ask_later(self, trunk: str) -> None:
        pause = self._health.pause(trunk, self._lot())
        self._again[trunk] = asyncio.get_running_loop().call_later(pause, partial(self._due, trunk))

    def _lot(self) -> float:
        """A number from 0 to 1."""
        return int(self._services.tokens(4), 36) / LOTS

    def _due(self, trunk: str) -> None:
        self._again.pop(trunk, None)
        if not self._stopped and self.is_down(trunk):
            self._ask(trunk)


class _Question:
    """One OPTIONS; a `sip.agent.Asker`. Any final response means that somebody is there, a challenge too."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def responded(self, response: Response, flow: Flow) -> None:
        """There is somebody."""
        if response.status >= 200:
            self._is(there=True)

    def unanswered(self, *, transport: bool) -> None:
        """There is nobody."""
        self._is(there=False)

    def challenged(self, response: Response, flow: Flow, credentials: tuple[tuple[str, str], ...]) -> None:
        """Who asks who we are is there."""
        self._is(there=True)

    def _is(self, *, there: bool) -> None:
        if not self.answered.done():
            self.answered.set_result(there)
