"""What the SIP stack tells its user (RFC 3261 17, the arrows towards the TU)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.sip.flow import Flow
from gateway.sip.message import Message, Request, Response


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """A new request; the user answers it with `SipStack.respond`. For INVITE, 100 Trying has been sent."""

    key: str
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class AckReceived:
    """The first ACK for the 2xx sent in INVITE server transaction `key`."""

    key: str
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class CancelReceived:
    """The INVITE was cancelled; the stack answered the CANCEL, the user answers the INVITE with 487."""

    key: str
    request: Request | None = None
    """The CANCEL, which may say why (RFC 3326)."""


@dataclass(frozen=True, slots=True)
class ResponseReceived:
    """A response to our request; a 2xx to INVITE comes again for each retransmission and each fork."""

    key: str
    response: Response
    flow: Flow


@dataclass(frozen=True, slots=True)
class RequestTimeout:
    """Nothing more is to be expected of transaction `key`: timer B, C or F, or 64*T1 after a CANCEL."""

    key: str


@dataclass(frozen=True, slots=True)
class TransportFailed:
    """The flow closed before the transaction came to its end."""

    key: str


@dataclass(frozen=True, slots=True)
class AckTimeout:
    """The 2xx was retransmitted for 64*T1 without an ACK (RFC 3261 13.3.1.4): the user sends BYE."""

    key: str


@dataclass(frozen=True, slots=True)
class FlowRefused:
    """A message of transaction `key` came over a flow that may not speak for it: it was refused or dropped."""

    key: str
    message: Message
    flow: Flow
    why: str
    status: int = 0
    """What was answered; 0 for an ACK or a response, which have no answer."""


StackEvent = (
    RequestReceived
    | AckReceived
    | CancelReceived
    | ResponseReceived
    | RequestTimeout
    | TransportFailed
    | AckTimeout
    | FlowRefused
)
