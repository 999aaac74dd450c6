"""What the gateway did with a message: answered, dropped in silence, or closed; and how soon."""

from __future__ import annotations

import secrets
import time

from gateway.base.errors import SipError
from gateway.sip.message import Response, parse_message
from tests.attacks.table.case import SILENT, Expect
from tests.attacks.target import WAIT, request
from tests.attacks.wires import AttackWire
from tests.rig.gateway import REALM

_heard: set[bytes] = set()
"""Final answers of this process's tests, each of a transaction of its own."""


def judge(wire: AttackWire, data: bytes, expected: Expect) -> tuple[Expect, float]:
    """Send a message and look for what is expected of it: that decides what has to be waited for."""
    begun = time.perf_counter()
    wire.send(data)
    if expected.closes:
        return _until_closed(wire), time.perf_counter() - begun
    if not expected.status:
        return _until_probed(wire), time.perf_counter() - begun
    answer = final_answer(wire)
    seconds = time.perf_counter() - begun
    if not answer:
        return Expect(closes=answer == b""), seconds
    _heard.add(answer)
    acknowledge(wire, answer, request_uri(data))
    assert _until_probed(wire) == SILENT, "the connection is not as it was"
    return Expect(status_of(answer)), seconds


def _until_closed(wire: AttackWire) -> Expect:
    status = 0
    while answer := wire.receive(WAIT):
        status = status_of(answer)
    return Expect(status, closes=answer == b"")


def _until_probed(wire: AttackWire) -> Expect:
    """Messages of one peer are taken in order: when the answer to a later one is here, no earlier one was answered.

    What was heard may come again, octet for octet: over UDP a final answer is repeated until the ACK is in (RFC 3261
    17.2.1), also to the next test that stands at the same port.
    """
    call_id = f"probe{secrets.token_hex(8)}"
    wire.send(request(wire, "OPTIONS", f"sip:gw@{REALM}", call_id=call_id))
    while (answer := final_answer(wire)) and answer in _heard:
        pass
    if not answer:
        return Expect(closes=answer == b"")
    return SILENT if call_id.encode() in answer else Expect(status_of(answer))


def final_answer(wire: AttackWire) -> bytes | None:
    """The next final response, unparsed: it may repeat what was malformed. What it asks meanwhile is let be."""
    while (answer := wire.receive(WAIT)) and (not answer.startswith(b"SIP/2.0 ") or status_of(answer) < 200):
        pass
    return answer


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"SIP/2.0 "), answer
    return int(answer[8:11])


def request_uri(data: bytes) -> str:
    """What stands between the first two blanks: without a branch the ACK must name it too (RFC 3261 17.2.3)."""
    return data.lstrip(b"\r\n").split(b" ", 2)[1].decode("utf-8", "surrogateescape")


def acknowledge(wire: AttackWire, answer: bytes, uri: str = f"sip:x@{REALM}") -> None:
    """End an INVITE transaction, so that its answer is not sent again (RFC 3261 17.1.1.3)."""
    try:
        response = parse_message(answer, stream=False)
    except SipError:
        return
    if not isinstance(response, Response) or response.cseq.method != "INVITE":
        return
    lines = [f"ACK {uri} SIP/2.0"]
    lines += [f"{name}: {response.headers.get(name)}" for name in ("Via", "From", "To", "Call-ID")]
    lines += [f"CSeq: {response.cseq.number} ACK", "Content-Length: 0", "", ""]
    wire.send("\r\n".join(lines).encode("utf-8", "surrogateescape"))
