"""Asks a registrar and waits for its answer: the one place where the relay of registrations sends anything."""

from __future__ import annotations

import asyncio
from typing import Protocol

from gateway.base.errors import GatewayError, SipError, TransportError
from gateway.call.run.services import Services
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response

ANSWER_SECONDS = 10.0
"""How long a registrar may take; the browser gives up after 32 s and must hear what became of it before (RFC 4320)."""
UNREACHABLE, SILENT = 503, 504


class Roads(Protocol):
    """What finds the way to a trunk, and knows which are down; `call.run.probes.TrunkProbes` has this shape."""

    async def connect(self, trunk: str) -> Flow: ...

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

    async def ask(self, request: Request) -> tuple[Response, Flow]:
        """The final response to a request, and the connection it came over.

        Raises:
            NoAnswerError: 503, it could not be reached, or its identity not be verified; 504, it said nothing in time.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                flow = await self._roads.connect(self.trunk)
                return await self._exchange(request, flow), flow
        except TimeoutError:
            raise NoAnswerError("no answer in time", SILENT) from None
        except TransportError as error:
            raise NoAnswerError(f"{error.why} {error.verification}".strip(), UNREACHABLE) from None
        except SipError as error:
            raise NoAnswerError(error.why, UNREACHABLE) from None

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
