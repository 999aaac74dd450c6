"""An office with a real SIP stack under its manager: octets in, octets out, and every parsing of a value counted."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from gateway.base.counters import Counters
from gateway.call.admission import is_emergency_call
from gateway.sip.address import NameAddr
from gateway.sip.cseq import CSeq
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response, parse_message
from gateway.sip.stack import SipStack
from gateway.sip.uri import SipUri
from gateway.sip.via import Via
from tests.call.office import Office, Sip

PARSERS = (Via, NameAddr, SipUri, CSeq)


class WiredSip(Sip):
    """What `net.endpoint.SipEndpoint` does with its stack, without a socket."""

    def __init__(self, is_emergency: Callable[[Request], bool]) -> None:
        super().__init__()
        self.now = 100.0
        tokens = (f"{number:020d}" for number in range(1, 10**6))
        self.stack = SipStack(lambda length: next(tokens)[-length:], Counters(), is_emergency)

    def send_request(self, request: Request, flow: Flow) -> str:
        key = self.stack.send_request(request, flow, self.now)
        self.sent[key] = (request, flow)
        return key

    def send_ack(self, request: Request, flow: Flow) -> None:
        self.acks.append(request)
        self.stack.send_ack(request, flow, self.now)

    def respond(self, key: str, response: Response) -> None:
        self.answers.append((key, response))
        self.stack.respond(key, response, self.now)

    def cancel(self, key: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().cancel(key, headers)
        self.stack.cancel(key, self.now, headers)


class WiredOffice(Office):
    """A manager between two wires."""

    def __init__(self, directory: Path) -> None:
        self.wire = WiredSip(lambda request: is_emergency_call(request, self.services.sites))
        super().__init__(directory, sip=self.wire)

    async def receive(self, data: bytes, flow: Flow) -> list[bytes]:
        """Take octets of a stream in, let every task run, and return what was sent."""
        self.wire.stack.receive(flow, parse_message(data, stream=True), self.wire.now)
        for event in self.wire.stack.take_events():
            self.manager.on_event(event)
        await self.settle()
        return [sent for _, sent in self.wire.stack.take_transmissions()]


@contextmanager
def counted_parsing() -> Iterator[Tally[tuple[str, str]]]:
    """How often each text is parsed as a Via, an address, a URI or a CSeq meanwhile; clear it between messages.

    What a value was read as before, it is read as again inside: values are kept by their reader, which changes here.
    """
    tally: Tally[tuple[str, str]] = Tally()

    def counting(kind: type) -> classmethod[object, [str], object]:
        original = kind.__dict__["parse"].__func__

        def parse(cls: type, text: str, **named: bool) -> object:
            tally[kind.__name__, text] += 1
            return original(cls, text, **named)

        return classmethod(parse)

    patches = [patch.object(kind, "parse", counting(kind)) for kind in PARSERS]
    for each in patches:
        each.start()
    try:
        yield tally
    finally:
        for each in patches:
            each.stop()
