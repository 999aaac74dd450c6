"""`StrictRegistrar` on a socket, over UDP or TCP: it challenges calls, and takes those that prove who they are."""

from __future__ import annotations

from collections.abc import Callable

from gateway.sip.message import Request, Response, parse_message
from tests.rig.registrar import StrictRegistrar
from tests.rig.trunk import FakeTrunk, description


class RegistrarTrunk(FakeTrunk):
    """A trunk that is a registrar; whoever proves the password gets an answer to every call."""

    def __init__(self, strict: StrictRegistrar, host: str, port: int, *, transport: str = "udp") -> None:
        super().__init__(host, port, lambda _request: [(200, description(host))], transport=transport)
        self.strict = strict
        self._verdicts: dict[str, Response] = {}
        """By branch: a request that comes again hears what it heard before (RFC 3261 17.2)."""

    def _message(self, data: bytes, send: Callable[[bytes], None], *, stream: bool) -> None:
        message = parse_message(data, stream=stream) if data.strip() else None
        if isinstance(message, Request) and message.method in ("REGISTER", "INVITE") and message.to.tag is None:
            verdict = self._verdict(message)
            if message.method == "REGISTER" or verdict.status != 200:
                send(bytes(verdict))
                return
        super()._message(data, send, stream=stream)

    def _verdict(self, request: Request) -> Response:
        branch = request.vias[0].branch
        if branch not in self._verdicts:
            self._verdicts[branch] = self.strict.answer(request)
        return self._verdicts[branch]
