"""What requests insist on and what calls see of them: parts of bodies, session timers, Accept, hops, numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.termination import Termination
from gateway.base.values import HostPort
from gateway.call import demands
from gateway.call.demands import RefusedError, understood
from gateway.sip.events import AckReceived, ResponseReceived
from gateway.sip.flow import Flow
from gateway.sip.message import Headers, Request, Response, create_response
from tests.call.machine_scene import answer
from tests.call.office import Office, invite

TRUNK = Flow(9, "udp", HostPort("127.0.0.1", 5060), HostPort("127.0.0.3", 5060), "old")
PLAIN = answer()
BOUNDARY = "frontier-9"
TIMER = ("Session-Expires: 1800", "Supported: timer")


def wrapped(description: bytes = PLAIN, *, handling: str = "optional", close: bool = True) -> bytes:
    """A description behind a signalling part, as carriers send it."""
    lines = [
        f"--{BOUNDARY}",
        "Content-Type: application/qsig;version=iso",
        f"Content-Disposition: signal;handling={handling}",
        "",
        "\x01\x02",
        f"--{BOUNDARY}",
        "Content-Type: application/sdp",
        "",
        description.decode(),
        f"--{BOUNDARY}--" if close else "",
    ]
    return "\r\n".join(lines).encode()


MULTIPART = ("Content-Type", f'multipart/mixed;boundary="{BOUNDARY}"')


def asks(method: str = "INVITE", *lines: str, body: bytes = b"", to_tag: str = "", uri: str = "sip:100@gw") -> Request:
    """A request of a trunk with these further header lines."""
    headers: list[tuple[str, str]] = []
    headers.append(("Via", "SIP/2.0/UDP 127.0.0.3:5060;branch=z9hG4bK-x"))
    headers.append(("From", "<sip:+4930777;cpc=ordinary@carrier.example;user=phone>;tag=far"))
    headers.append(("To", "<sip:100@gw>" + (f";tag={to_tag}" if to_tag else "")))
    headers.append(("Call-ID", "inbound-1"))
    headers.append(("CSeq", f"1 {method}"))
    headers.append(("Contact", "<sip:pbx@127.0.0.3:5060>"))
    for line in lines:
        name, _, value = line.partition(":")
        headers.append((name, value.strip()))
    return Request(method, uri, Headers(headers), body)


def refusal(request: Request) -> tuple[int, dict[str, str]]:
    with pytest.raises(RefusedError) as caught:
        understood(request)
    return caught.value.status, dict(caught.value.headers)


# --- bodies


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("to_tag", ["", "inside"])
def test_a_call_sees_the_description_of_a_multipart_offer_and_nothing_else(method: str, to_tag: str) -> None:
    request = asks(method, ": ".join(MULTIPART), body=wrapped(), to_tag=to_tag)
    assert understood(request).body == PLAIN


def test_a_part_that_is_required_and_unknown_is_refused_with_what_is_accepted() -> None:
    status, headers = refusal(asks("INVITE", ": ".join(MULTIPART), body=wrapped(handling="required")))
    assert (status, headers["Accept"]) == (415, demands.ACCEPT)


def test_a_body_that_is_no_offer_is_not_looked_at() -> None:
    request = asks("OPTIONS", "Content-Type: text/plain", body=b"hello")
    assert understood(request) is request


def test_a_description_without_a_type_is_taken_and_anything_else_is_not() -> None:
    assert understood(asks(body=PLAIN)).body == PLAIN
    assert refusal(asks(body=b"hello"))[0] == 415


@pytest.mark.parametrize("status", [183, 200])
@pytest.mark.asyncio
async def test_a_trunks_multipart_answer_is_read_and_never_reaches_the_browser(tmp_path: Path, status: int) -> None:
    office = Office(tmp_path)
    office.call("700")
    await office.settle()
    key, (sent, flow) = [(k, v) for k, v in office.sip.sent.items() if v[0].method == "INVITE"][-1]
    contact = (("Contact", "<sip:callee@127.0.0.3:5060>"), MULTIPART)
    response = create_response(sent, status, to_tag="callee", headers=contact, body=wrapped())
    office.manager.on_event(ResponseReceived(key, response, flow))
    await office.settle()
    last = office.sip.answers[-1][1]
    assert last.status == status
    assert last.body.startswith(b"v=0")
    assert BOUNDARY.encode() not in bytes(last)
    assert b"qsig" not in bytes(last)


@pytest.mark.asyncio
async def test_early_signalling_without_a_description_is_ringing(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.call("700")
    await office.settle()
    key, (sent, flow) = [(k, v) for k, v in office.sip.sent.items() if v[0].method == "INVITE"][-1]
    isup = (("Content-Type", "application/isup;version=x"),)
    office.manager.on_event(
        ResponseReceived(key, create_response(sent, 183, to_tag="c", headers=isup, body=b"x"), flow)
    )
    assert office.statuses("in-1")[-1] == 180
    office.reply("INVITE", 200, PLAIN)
    await office.settle()
    assert office.statuses("in-1")[-1] == 200


@pytest.mark.asyncio
async def test_a_trunks_multipart_offer_rings_the_user(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.bind()
    office.request(asks("INVITE", ": ".join(MULTIPART), body=wrapped()), key="in-2", flow=TRUNK)
    await office.settle()
    sent = [r for r, _ in office.sip.sent.values() if r.method == "INVITE"]
    assert len(sent) == 1
    assert b"qsig" not in bytes(sent[0])
    assert "sip:+4930777@" in (sent[0].headers.get("From") or "")


@pytest.mark.asyncio
async def test_the_answer_in_a_multipart_ack_is_read(tmp_path: Path) -> None:
    request = asks("ACK", ": ".join(MULTIPART), body=wrapped(), to_tag="inside")
    assert demands.without_other_parts(request).body == PLAIN
    office = Office(tmp_path)
    office.manager.on_event(AckReceived("nobody", request, TRUNK))


# --- session timers


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_required_session_timer_is_understood(method: str) -> None:
    assert understood(asks(method, "Require: timer", *TIMER))
    assert refusal(asks(method, "Require: timer, 100rel"))[0] == 420


@pytest.mark.parametrize("seconds", ["0", "1", "89", "00089;refresher=uac"])
def test_an_interval_that_is_too_small_is_422_with_the_smallest(seconds: str) -> None:
    assert refusal(asks("INVITE", f"Session-Expires: {seconds}", "Supported: timer")) == (422, {"Min-SE": "90"})


@pytest.mark.parametrize(
    "lines",
    [
        ("Session-Expires: 60",),
        ("Session-Expires: soon", "Require: timer"),
        ("Session-Expires: -1", "Supported: timer"),
    ],
)
def test_an_interval_nobody_stands_by_or_can_read_is_passed_over(lines: tuple[str, ...]) -> None:
    assert understood(asks("INVITE", *lines))


async def answered(tmp_path: Path, *lines: str) -> dict[str, str]:
    """The header fields of our 200 to an OPTIONS-free trunk call, answered by alice."""
    office = Office(tmp_path)
    office.bind()
    office.request(asks("INVITE", *lines, "Content-Type: application/sdp", body=PLAIN), key="in-2", flow=TRUNK)
    await office.settle()
    (runner,) = office.manager.index.runners
    caller = runner.state.caller
    assert caller.invite is not None
    return dict(caller.respond(caller.invite, 200).headers.items())


@pytest.mark.parametrize(
    "lines", [TIMER, ("Require: timer", "x: 1800;refresher=uac"), ("Session-Expires:1800", "k:timer")]
)
@pytest.mark.asyncio
async def test_the_asker_refreshes_the_session(tmp_path: Path, lines: tuple[str, ...]) -> None:
    headers = await answered(tmp_path, *lines)
    assert headers["Session-Expires"] == "1800;refresher=uac"
    assert (headers["Require"], headers["Supported"]) == ("timer", "timer")


@pytest.mark.parametrize(
    ("lines", "interval", "required"),
    [
        (("Require: timer", "Session-Expires: 1800;refresher=uas"), "1800", True),
        (("Supported: timer", "Session-Expires: 600;Refresher=UAS"), "600", True),
        (("Supported: timer",), "1800", True),  # it knows timers: ours
        (("Session-Expires: 600",), "600", False),  # a proxy asks, and the caller knows nothing of it
    ],
)
@pytest.mark.asyncio
async def test_we_refresh_where_the_asker_wants_us_to_or_cannot(
    tmp_path: Path, lines: tuple[str, ...], interval: str, required: bool
) -> None:
    headers = await answered(tmp_path, *lines)
    assert headers["Session-Expires"] == f"{interval};refresher=uas"
    assert ("Require" in headers) is required


@pytest.mark.parametrize("lines", [(), ("Session-Expires: 60",), ("Session-Expires: 1800;refresher=uac",)])
@pytest.mark.asyncio
async def test_no_timer_is_named_that_nobody_stands_by(tmp_path: Path, lines: tuple[str, ...]) -> None:
    headers = await answered(tmp_path, *lines)
    assert "Session-Expires" not in headers
    assert "Require" not in headers


# --- Accept and hops


@pytest.mark.parametrize("accept", ["text/nobodyKnowsThis", "application/isup, text/plain;q=0.5"])
def test_a_call_whose_answer_may_not_be_a_description_is_406(accept: str) -> None:
    assert refusal(asks("INVITE", f"Accept: {accept}", body=PLAIN))[0] == 406


@pytest.mark.parametrize(
    "accept", ["", "application/sdp;level=1", "application/*", "*/*", "text/plain, Application/SDP", ";;", 'x"', "sdp"]
)
def test_an_accept_that_allows_descriptions_or_says_nothing_clear_changes_nothing(accept: str) -> None:
    assert understood(asks("INVITE", f"Accept: {accept}", body=PLAIN)).body == PLAIN


def test_hops_count_only_where_a_call_goes_on() -> None:
    assert refusal(asks("INVITE", "Max-Forwards: 0"))[0] == 483
    assert understood(asks("OPTIONS", "Max-Forwards: 0"))
    assert understood(asks("INVITE", "Max-Forwards: 0", to_tag="inside"))


@pytest.mark.asyncio
async def test_options_without_hops_left_is_answered_where_it_ends(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.request(asks("OPTIONS", "Max-Forwards: 0"), key="in-3", flow=TRUNK)
    assert office.statuses("in-3") == [200]


# --- who is called


@pytest.mark.parametrize(
    "uri",
    [
        "sip:100;npdi;rn=+4930999@gw;user=phone",
        "sip:100;tgrp=t1;trunk-context=+1@gw",
        "sip:100;isub=77@gw",
        "sip:1-0.0;ext=3@gw",
        "sip:100;phone-context=example.test@gw",
        "tel:100;isub=1411?2;phone-context=EXAMPLE.test",
    ],
)
@pytest.mark.asyncio
async def test_the_number_is_what_stands_before_the_semicolon(tmp_path: Path, uri: str) -> None:
    office = Office(tmp_path)
    office.bind()
    office.request(asks("INVITE", "Content-Type: application/sdp", body=PLAIN, uri=uri), key="in-2", flow=TRUNK)
    await office.settle()
    assert "INVITE" in office.methods


@pytest.mark.parametrize(
    "uri", ["sip:100;phone-context=+49@gw", "sip:100;phone-context=other.example@gw", "sip:100%3Bx@gw"]
)
@pytest.mark.asyncio
async def test_a_number_of_another_context_is_another_number(tmp_path: Path, uri: str) -> None:
    office = Office(tmp_path)
    office.bind()
    office.request(asks("INVITE", "Content-Type: application/sdp", body=PLAIN, uri=uri), key="in-2", flow=TRUNK)
    await office.settle()
    assert office.statuses("in-2")[-1] == 404


@pytest.mark.asyncio
async def test_an_ordinary_call_goes_on_as_before(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.request(invite("700"))
    await office.settle()
    assert "INVITE" in office.methods


# --- answers nobody can read


def unreadable(sent: Request, status: int) -> Response:
    """A response to this request as the stack tells of one that could not be parsed."""
    contact = (("Contact", "<sip:callee@127.0.0.3:5060>"),)
    response = create_response(sent, status, to_tag="callee", headers=contact)
    return replace(response, unreadable="Unbalanced quote")


@pytest.mark.asyncio
@pytest.mark.parametrize("early", [b"", PLAIN])
async def test_an_answer_nobody_can_read_is_acknowledged_and_ended(
    tmp_path: Path, early: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    office = Office(tmp_path)
    office.call("700")
    await office.settle()
    key, (sent, flow) = [(k, v) for k, v in office.sip.sent.items() if v[0].method == "INVITE"][-1]
    if early:
        office.reply("INVITE", 183, early)
    office.manager.on_event(ResponseReceived(key, unreadable(sent, 200), flow))
    await office.settle()
    assert [ack.method for ack in office.sip.acks] == ["ACK"]
    assert office.methods[-1] == "BYE"
    assert office.statuses("in-1")[-1] == 502
    assert "unreadable reason=Unbalanced quote" in caplog.text
    (runner,) = office.manager.index.runners
    assert runner.state.termination is Termination.ANSWER_UNREADABLE


@pytest.mark.asyncio
@pytest.mark.parametrize(("status", "told"), [(180, 180), (486, 486), (603, 603)])
async def test_any_other_response_nobody_can_read_counts_by_its_status(tmp_path: Path, status: int, told: int) -> None:
    office = Office(tmp_path)
    office.call("700")
    await office.settle()
    key, (sent, flow) = [(k, v) for k, v in office.sip.sent.items() if v[0].method == "INVITE"][-1]
    office.manager.on_event(ResponseReceived(key, unreadable(sent, status), flow))
    await office.settle()
    assert office.statuses("in-1")[-1] == told
    assert "BYE" not in office.methods
