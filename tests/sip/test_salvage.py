"""Responses that cannot be parsed: what is kept of them, and what becomes of their transactions."""

from __future__ import annotations

import pytest

from gateway.base.errors import SipError
from gateway.sip.events import ResponseReceived
from gateway.sip.message import Response, parse_message, salvage_response
from gateway.sip.salvage import with_request
from tests.sip.fake_wire import request, udp
from tests.sip.stack_bench import StackBench

ERROR = SipError("Unbalanced quote")
BRANCH = "z9hG4bKt00000000000000001"


def answer(status: str = "SIP/2.0 200 OK", *extra: str, **changes: str) -> bytes:
    """A response to our request; keyword arguments replace header values, "_" for "-"."""
    fields = {
        "Via": f"SIP/2.0/UDP 192.0.2.2:5060;branch={BRANCH};rport=5060",
        "From": "<sip:alice@example.org>;tag=alice",
        "To": "<sip:bob@example.org>;tag=far7",
        "Call-ID": "call-1",
        "CSeq": "1 INVITE",
        "Contact": "<sip:bob@192.0.2.1:5066>",
    } | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [status, *(f"{name}: {value}" for name, value in fields.items()), *extra, "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


UNREADABLE = [
    answer(To='"Mr. X <sip:bob@example.org>;tag=far7'),
    answer(To="<sip:bob@@example.org>;tag=far7"),
    answer(From='"x <sip:alice@example.org>;tag=alice'),
    answer(From="nobody"),
    answer(Call_ID="a b"),
    answer(Via=f"SIP/2.0/UDP 192.0.2.2:5060;branch={BRANCH};received=<>"),
    answer("SIP/2.0 200 OK", "To: <sip:eve@example.org>;tag=other"),
    answer("SIP/2.0 200 OK", "no header at all"),
    answer("SIP/2.0 200 OK", "Content-Length: 99"),
    answer("SIP/2.0 200 OK", "Content-Length: none"),
    answer("SIP/2.0 200 OK", "Record-Route: <sip:a@b"),
    answer("SIP/2.0 200 OK", "X: a\nY: b\0"),
    answer("SIP/2.0  200 OK"),
    answer("SIP/2.0 200 OK", *["X: y"] * 500),
    answer().replace(b"\r\n", b"\n"),
]


@pytest.mark.parametrize("data", UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_ends_its_transaction_is_found_in_a_response_nobody_can_parse(data: bytes) -> None:
    with pytest.raises(SipError) as caught:
        parse_message(data, stream=False)
    found = salvage_response(data, caught.value)
    assert found is not None
    assert (found.status, found.via.branch, str(found.cseq), found.to.tag) == (200, BRANCH, "1 INVITE", "far7")
    assert found.body == b""
    assert found.unreadable == caught.value.why


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 400,
        answer("INVITE sip:a@b SIP/2.0"),
        answer("SIP/2.0 099 x"),
        answer("SIP/2.0 700 x"),
        answer("SIP/2.0 OK OK"),
        answer("HTTP/1.1 200 OK"),
        answer(Via="SIP/2.0/UDP 192.0.2.2:5060"),
        answer(Via=f"SIP/2.0/UDP 192.0.2.2:5060;branch={BRANCH}, SIP/2.0/UDP a;branch=z9hG4bKb"),
        answer("SIP/2.0 200 OK", f"Via: SIP/2.0/UDP a;branch={BRANCH}"),
        answer(CSeq="INVITE"),
        answer(CSeq="1 IN VITE"),
    ],
)
def test_what_tells_no_transaction_is_nothing(data: bytes) -> None:
    assert salvage_response(data, ERROR) is None


@pytest.mark.parametrize("tag", ['"x"', "a b", "", "x" * 300, "a\x01"])
def test_a_tag_that_cannot_be_sent_back_is_none(tag: str) -> None:
    found = salvage_response(answer(To=f"<sip:bob@@x>;tag={tag}"), ERROR)
    assert found is not None
    assert found.to.tag is None


def test_the_identity_of_a_salvaged_response_is_that_of_its_request() -> None:
    asked = request("INVITE")
    found = salvage_response(answer(To="<sip:evil@@x>;tag=far7", From="x", Call_ID="a b"), ERROR)
    assert found is not None
    whole = with_request(found, asked)
    assert str(whole.to) == "<sip:bob@example.org>;tag=far7"
    assert (str(whole.from_), whole.call_id) == ("<sip:alice@example.org>;tag=alice", "call-1")
    assert whole.contact is not None
    assert str(whole.contact.uri) == "sip:bob@192.0.2.1:5066"


def test_a_way_back_that_cannot_be_read_is_left_out() -> None:
    found = salvage_response(answer("SIP/2.0 200 OK", "Record-Route: <sip:a@b", Contact="<sip:x"), ERROR)
    assert found is not None
    whole = with_request(found, request("INVITE"))
    assert (whole.contacts, whole.record_route) == ((), ())


# --- in the stack


def one_via(bench: StackBench, status: int) -> Response:
    asked = request("INVITE")
    asked = asked.without_header("Via")
    bench.stack.send_request(asked, bench.flow, bench.now)
    via = bench.requests()[-1].via
    data = answer(f"SIP/2.0 {status} x", Via=f"SIP/2.0/UDP {via.sent_by};branch={via.branch}", To='"x <sip:b>;tag=far7')
    found = salvage_response(data, ERROR)
    assert found is not None
    return found


@pytest.mark.parametrize("status", [302, 404, 486, 503, 603])
def test_an_unreadable_refusal_is_acknowledged_and_ends_the_transaction(status: int) -> None:
    bench = StackBench()
    bench.receive(one_via(bench, status))
    (ack,) = bench.requests()
    assert (ack.method, ack.to.tag) == ("ACK", "far7")
    event = bench.event(ResponseReceived)
    assert (event.response.status, event.response.unreadable) == (status, "Unbalanced quote")
    bench.run(40)
    assert bench.idle()


@pytest.mark.parametrize("status", [180, 200])
def test_an_unreadable_answer_is_told_to_the_user_as_such(status: int) -> None:
    bench = StackBench()
    bench.receive(one_via(bench, status))
    event = bench.event(ResponseReceived)
    assert (event.response.status, event.response.to.tag, event.response.body) == (status, "far7", b"")
    assert (event.response.call_id, str(event.response.to.uri)) == ("call-1", "sip:bob@example.org")
    assert event.response.unreadable


def test_an_unreadable_response_from_elsewhere_ends_nothing() -> None:
    bench = StackBench()
    found = one_via(bench, 486)
    bench.receive(found, udp(remote=bench.flow.local))
    assert bench.events() == []
    assert bench.requests() == []
