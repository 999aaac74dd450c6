"""Asks a registrar and waits for its answer: the one place where the relay of registrations sends anything."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Protocol

from gateway.base.errors import GatewayError, SipError, TransportError
from gateway.call.run.services import Services
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response
from gateway.trunks import failover
from gateway.trunks.failover import Tried
from gateway.trunks.target import Spot

ANSWER_SECONDS = 10.0
"""How long a registrar may take; the browser gives up after 32 s and must hear what became of it before (RFC 4320)."""
TRY_SECONDS = 3.0
"""How long one place of a registrar may take that has others."""
UNREACHABLE, SILENT = 503, 504


class Roads(Protocol):
    """What finds the way to a trunk, and knows which are down; `call.run.probes.TrunkProbes` has this shape."""

    async def connect(self, trunk: str, tried: Collection[Spot] = ()) -> Flow: ...

    def heard(self, trunk: str) -> None: ...


class NoAnswerError(GatewayError):
    """The registrar gave none; `status` says it to a browser."""

    def __init__(self, why: str, status: int) -> None:
        super().__init__(why)
        self.status = status


class RegistrarLink:
    """The requests to one registrar."""

    def __init__(self, services: Services, roads: Roads, trunk: str) -> None:
        self._services, self._roads, self.trunk = services, roads, trunk

    async def ask(self, request: Request, over: Flow | None = None) -> tuple[Response, Flow]:
        """The final response to a request, and the connection it came over.

        A place of the registrar that says nothing, or 503, gives way to the next one (RFC 3263 4.3).

        Args:
            over: the connection of the challenge that is answered: another server may not know its nonce.

        Raises:
            NoAnswerError: 503, it could not be reached, or its identity not be verified; 504, it said nothing in time.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._ask(request, over)
        except TimeoutError:
            raise NoAnswerError("no answer in time", SILENT) from None
        except TransportError as error:
            raise NoAnswerError(f"{error.why} {error.verification}".strip(), UNREACHABLE) from None
        except SipError as error:
            raise NoAnswerError(error.why, UNREACHABLE) from None

    async def _ask(self, request: Request, over: Flow | None) -> tuple[Response, Flow]:
        sip, tried = self._services.sip, Tried()
        while True:
            kept = over if over is not None and not tried and sip.is_open(over) else None
            flow = kept or await self._roads.connect(self.trunk, tried)
            more = sip.reached(flow, tried).more
            tried = failover.after(tried, flow)
            more = more and failover.may_go_on(tried)
            try:
                async with asyncio.timeout(TRY_SECONDS if more else None):
                    response = await self._exchange(request, flow)
            except TimeoutError:
                sip.unheard(flow)
                continue
            except NoAnswerError:
                if more:
                    continue
                raise
            if not (more and failover.is_of_the_place(response.status)):
                return response, flow

    async def _exchange(self, request: Request, flow: Flow) -> Response:
        waiting = _Waiting()
        key = self._services.agent.ask(request, flow, waiting)
        try:
            response = await waiting.answer
        finally:
            self._services.agent.forget(key)
        if response is None:
            raise NoAnswerError("the connection broke, or nothing came", UNREACHABLE)
        self._roads.heard(self.trunk)
        return response


class _Waiting:
    """One request that is out; a `sip.agent.Asker` without a login: a challenge is for the browser to answer."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Response | None] = asyncio.get_running_loop().create_future()
        """None: no response will come."""

    def responded(self, response: Response, flow: Flow) -> None:
        """The registrar has decided, or is still at it."""
        if response.status >= 200 and not self.answer.done():
            self.answer.set_result(response)

    def unanswered(self, *, transport: bool) -> None:
        """It never will."""
        if not self.answer.done():
            self.answer.set_result(None)

    def challenged(self, response: Response, flow: Flow, credentials: tuple[tuple[str, str], ...]) -> None:
        """We have no password to give."""
        self.responded(response, flow)
