"""SIP messages (RFC 3261 7): one place to import the model, the parser and the answers from."""

from __future__ import annotations

from gateway.sip.cseq import CSeq
from gateway.sip.headers import Headers
from gateway.sip.model import Message, Request, Response
from gateway.sip.parse import parse_message
from gateway.sip.reply import REASONS, create_response, salvage_error_response
from gateway.sip.salvage import salvage_response

__all__ = [
    "REASONS",
    "CSeq",
    "Headers",
    "Message",
    "Request",
    "Response",
    "create_response",
    "parse_message",
    "salvage_error_response",
    "salvage_response",
]
