"""The torture messages of RFC 4475 over UDP, TCP and WSS: what the RFC wants of each, and what each gets.

A trunk sends them over UDP and TCP, a signed-in browser over WSS. What is well-formed gets as far as anybody's request
does: a trunk may not register (405), a browser only itself (403), and nobody has the numbers that are called (404).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from tests.attacks.judge import judge
from tests.attacks.table.case import SILENT, Expect, closed
from tests.attacks.target import HOSTS, Target
from tests.attacks.wires import AttackWire
from tests.sip.torture import TORTURE

pytestmark = pytest.mark.attack

TRANSPORTS = ("udp", "tcp", "wss")
VIA_PORT = re.compile(rb"(?i)\r\nv(?:ia)?[ \t]*:[^,;\r]*?:[ \t]*(\d+)")


@dataclass(frozen=True)
class Outcome:
    """What RFC 4475 says of a message, in words, and what it gets."""

    wanted: str
    got: Expect
    on: Mapping[str, Expect] = field(default_factory=dict)

    def of(self, transport: str) -> Expect:
        return self.on.get(transport, self.got)


def accepted(status: int, **on: Expect) -> Outcome:
    return Outcome("well-formed: not 400", Expect(status), on)


def registers(wanted: str = "well-formed: not 400") -> Outcome:
    return Outcome(wanted, Expect(405), {"wss": Expect(403)})


def called(wanted: str = "well-formed: not 400") -> Outcome:
    return Outcome(wanted, Expect(404), {"wss": Expect(403)})


def refused(status: int = 400, wanted: str = "", **on: Expect) -> Outcome:
    return Outcome(wanted or f"{status}", Expect(status), on)


OUTCOMES = {
    # 3.1.1 valid messages
    "wsinv": accepted(481),  # its To has a tag: no dialog of ours
    "intmeth": Outcome("501 or 405: an unknown method", Expect(405)),
    "esc01": accepted(404),  # a number nobody can dial, whoever calls
    "escnull": registers(),
    "esc02": Outcome("an unknown method that looks like an escaped REGISTER", Expect(405)),
    "lwsdisp": accepted(200),
    "longreq": called(),
    "dblreq": Outcome(
        "the REGISTER alone; what follows in the datagram is dropped",
        Expect(405),
        # On a stream what follows is the next request, whose body is longer than it says.
        {"wss": Expect(403), "tcp": closed(400)},
    ),
    "semiuri": accepted(200),
    "transports": accepted(200),
    "mpart01": accepted(405),
    "unreason": Outcome("a response like any other, to nobody here", SILENT),
    "noreason": Outcome("a response like any other, to nobody here", SILENT),
    # 3.1.2 invalid messages
    "badinv01": refused(),
    "clerr": refused(wanted="400 for a datagram; a stream waits for the rest", tcp=SILENT),
    "ncl": refused(tcp=closed(400)),
    "scalar02": refused(),
    "scalarlg": Outcome("dropped", SILENT),
    "quotbal": refused(),
    "ltgtruri": refused(),
    "lwsruri": refused(),
    "lwsstart": refused(),
    "trws": refused(),
    "escruri": refused(),
    "baddate": Outcome("400, or taken as if the Date were not there", Expect(404), {"wss": Expect(403)}),
    "regbadct": refused(),
    "badaspec": refused(),
    "baddn": refused(wanted="400, or as if the name were quoted", tcp=Expect(200)),  # see `whole`
    "badvers": refused(505),
    "mismatch01": refused(),
    "mismatch02": refused(),
    "bigcode": Outcome("dropped", SILENT),
    # 3.2 transaction layer
    "badbranch": Outcome("400, or matched as RFC 2543 has it", Expect(200)),
    # 3.3 application layer
    "insuf": refused(),
    "unkscm": refused(416),
    "novelsc": refused(416),
    "unksm2": registers("To and From of unknown schemes: not 416"),
    "bext01": refused(420),
    "invut": refused(415),
    "regaut01": registers("credentials of an unknown scheme are as good as none"),
    "multi01": refused(),
    "mcl01": refused(tcp=closed(400)),
    "bcast": Outcome("dropped: its second Via makes it somebody else's", SILENT),
    "zeromf": Outcome("answered where the request ends", Expect(200)),
    "cparam01": registers(),
    "cparam02": registers(),
    "regescrt": registers(),
    "sdp01": refused(406),
    # 3.4 backward compatibility
    "inv2543": Outcome(
        "accepted by those who serve RFC 2543", Expect(404), {"wss": Expect(403), "tcp": closed(400)}
    ),  # a stream needs a Content-Length
}


def open_wire(target: Target, transport: str, data: bytes) -> AttackWire:
    """For UDP at the port the message says its sender listens on: without rport its answer goes there."""
    if transport != "udp":
        return target.open(transport)
    found = VIA_PORT.search(data)
    return target.open("udp", source=HOSTS["udp"], port=int(found[1]) if found else 5060)


def whole(data: bytes, transport: str) -> bytes:
    """The message as it can stand in a stream: the archive has one whose head does not end."""
    return data if transport != "tcp" or b"\r\n\r\n" in data else data + b"\r\n"


def judged(target: Target, transport: str, data: bytes, expected: Expect) -> Expect:
    wire = open_wire(target, transport, data)
    try:
        found, _ = judge(wire, whole(data, transport), expected)
    finally:
        wire.close()
    return found


def test_each_message_has_its_outcome() -> None:
    assert list(OUTCOMES) == list(TORTURE)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", OUTCOMES)
def test_a_torture_message_gets_what_rfc_4475_wants(target: Target, name: str, transport: str) -> None:
    expected = OUTCOMES[name].of(transport)
    assert judged(target, transport, TORTURE[name].data, expected) == expected, OUTCOMES[name].wanted


def test_a_stream_that_waits_for_the_rest_of_a_body_is_closed_when_it_takes_too_long(target: Target) -> None:
    wire = open_wire(target, "tcp", b"")
    try:
        wire.send(TORTURE["clerr"].data)
        assert wire.receive(14.0) == b""
    finally:
        wire.close()


def test_nothing_of_the_torture_is_held(target: Target) -> None:
    target.wait_idle()
    target.check_log()
