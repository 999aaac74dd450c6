"""Requests sent and responses matched (RFC 3261 8.1, 9.1, 17.1, 18.1; RFC 3581, 6026)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.base.counters import Counter
from gateway.base.errors import SipError
from gateway.base.values import HostPort
from gateway.sip import client
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response, create_response
from gateway.sip.stack import FlowRefused, RequestTimeout, ResponseReceived, TransportFailed
from tests.sip.fake_wire import ALICE, BOB, request, stream, tls_flow, udp
from tests.sip.stack_bench import StackBench


def _ours(method: str = "INVITE", **options: str) -> Request:
    """A request as a user builds it: without Via."""
    message = request(method)
    message = message.without_header("Via")
    for name, value in options.items():
        message = message.with_added([(name, value)])
    return message


def _start(bench: StackBench, method: str = "INVITE") -> tuple[str, Request]:
    """Send a request; gives the key and what went out."""
    key = bench.stack.send_request(_ours(method), bench.flow, bench.now)
    (sent,) = bench.requests()
    return key, sent


def _answer(bench: StackBench, sent: Request, status: int, to_tag: str = "bob") -> Response:
    response = create_response(sent, status, to_tag="" if status == 100 else to_tag)
    bench.receive(response)
    return response


# --- sending


@pytest.mark.parametrize(
    ("flow", "sent_by"),
    [
        (udp(), "SIP/2.0/UDP 192.0.2.2:5060;branch={};rport"),
        (stream("tcp"), "SIP/2.0/TCP 192.0.2.2:5060;branch={}"),
        (stream("tls"), "SIP/2.0/TLS 192.0.2.2:5060;branch={}"),
        (stream("ws"), "SIP/2.0/WS 192.0.2.2:5060;branch={}"),
        (stream("wss"), "SIP/2.0/WSS 192.0.2.2:5060;branch={}"),
        (udp(HostPort("::1", 5070), HostPort("::1", 5060)), "SIP/2.0/UDP [::1]:5070;branch={};rport"),
    ],
)
def test_a_request_gets_our_via_for_its_flow(flow: Flow, sent_by: str) -> None:
    bench = StackBench(flow)
    ours = _ours()
    key = bench.stack.send_request(ours, flow, bench.now)
    ((went_to, _),) = taken = bench.stack.take_transmissions()
    assert went_to is flow
    assert taken[0][1].count(b"Via:") == 1
    assert "Via" not in ours.headers
    branch = key.rpartition(" ")[2]
    assert branch.startswith("z9hG4bK")
    assert f"Via: {sent_by.format(branch)}\r\n".encode() in taken[0][1]


def test_each_request_has_a_branch_of_its_own() -> None:
    bench = StackBench()
    ours = _ours()
    keys = {bench.stack.send_request(ours, bench.flow, bench.now) for _ in range(3)}
    bench.stack.send_ack(_ours("ACK"), bench.flow, bench.now)
    assert len(keys) == 3
    assert len({sent.via.branch for sent in bench.requests()}) == 4


def test_max_forwards_is_added_only_when_it_is_missing() -> None:
    bench = StackBench()
    ours = _ours()
    ours = ours.with_header("Max-Forwards", "12")
    bench.stack.send_request(ours, bench.flow, bench.now)
    ours = ours.without_header("Max-Forwards")
    bench.stack.send_request(ours, bench.flow, bench.now)
    assert [sent.max_forwards for sent in bench.requests()] == [12, 70]


def test_an_invite_is_retransmitted_by_timer_a_until_timer_b_gives_up() -> None:
    bench = StackBench()
    key, _ = _start(bench)
    assert bench.times(40) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert bench.event(RequestTimeout).key == key
    assert bench.idle()


def test_over_a_stream_nothing_is_retransmitted_but_timer_b_still_runs() -> None:
    bench = StackBench(stream())
    key, _ = _start(bench)
    assert bench.times(40) == []
    assert bench.event(RequestTimeout).key == key


def test_a_phone_may_ring_longer_than_timer_b() -> None:
    bench = StackBench()
    _, sent = _start(bench)
    _answer(bench, sent, 180)
    bench.events()
    assert bench.times(180) == []
    assert bench.events() == []
    _answer(bench, sent, 200)
    assert bench.event(ResponseReceived).response.status == 200


def test_a_provisional_response_prolongs_the_wait_which_silence_ends() -> None:
    bench = StackBench()
    key, sent = _start(bench)
    for _ in range(3):
        _answer(bench, sent, 180)
        bench.run(590)
    assert len(bench.events()) == 3
    bench.run(11)
    assert bench.event(RequestTimeout).key == key
    assert bench.idle()


def test_a_non_invite_request_is_retransmitted_by_timer_e_until_timer_f_gives_up() -> None:
    bench = StackBench()
    key, _ = _start(bench, "OPTIONS")
    assert bench.times(40) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert bench.event(RequestTimeout).key == key
    assert bench.idle()


def test_a_provisional_response_slows_a_non_invite_request_down_to_t2() -> None:
    bench = StackBench()
    key, sent = _start(bench, "OPTIONS")
    _answer(bench, sent, 100)
    _answer(bench, sent, 100)
    assert len(bench.events()) == 2
    assert bench.times(40) == [0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]
    assert bench.event(RequestTimeout).key == key


# --- responses


@pytest.mark.parametrize("status", [200, 404])
def test_a_final_response_ends_a_non_invite_request_and_its_copies_are_absorbed(status: int) -> None:
    bench = StackBench()
    key, sent = _start(bench, "OPTIONS")
    response = _answer(bench, sent, status)
    assert bench.event(ResponseReceived) == ResponseReceived(key, response, bench.flow)
    _answer(bench, sent, status)
    _answer(bench, sent, 100)
    assert bench.events() == []
    assert bench.times(4.9) == []
    assert not bench.idle()
    bench.run(0.2)
    assert bench.idle()


def test_a_failure_is_acknowledged_hop_by_hop_each_time_and_told_once() -> None:
    bench = StackBench()
    ours = _ours(Route="<sip:p.example;lr>", Authorization="Digest x", Require="100rel")
    key = bench.stack.send_request(ours, bench.flow, bench.now)
    (sent,) = bench.requests()
    _answer(bench, sent, 486)
    assert bench.event(ResponseReceived).key == key
    _answer(bench, sent, 486)
    assert bench.events() == []
    first, second = bench.requests()
    assert bytes(first) == bytes(second)
    assert (first.method, first.uri, str(first.cseq)) == ("ACK", sent.uri, "1 ACK")
    assert first.headers.get_all("Via") == sent.headers.get_all("Via")
    assert (first.to.tag, first.from_.tag, first.call_id) == ("bob", "alice", sent.call_id)
    assert first.headers.get_all("Route") == ["<sip:p.example;lr>"]
    assert "Authorization" not in first.headers
    assert "Require" not in first.headers
    bench.run(31)
    _answer(bench, sent, 486)
    assert len(bench.requests()) == 1
    bench.run(1.1)
    assert bench.idle()


def test_over_a_stream_a_failure_ends_the_invite_at_once() -> None:
    bench = StackBench(stream())
    _, sent = _start(bench)
    _answer(bench, sent, 486)
    assert [ack.method for ack in bench.requests()] == ["ACK"]
    assert bench.idle()


def test_each_2xx_goes_up_for_64_t1_whichever_fork_it_is_from() -> None:
    bench = StackBench()
    _, sent = _start(bench)
    for tag in ("fork1", "fork2", "fork1"):
        _answer(bench, sent, 200, tag)
    _answer(bench, sent, 180)
    _answer(bench, sent, 486)
    assert [e.response.to.tag for e in bench.events() if isinstance(e, ResponseReceived)] == ["fork1", "fork2", "fork1"]
    assert bench.sent() == []
    bench.run(31.9)
    _answer(bench, sent, 200, "fork2")
    assert len(bench.events()) == 1
    bench.run(0.2)
    assert bench.idle()
    _answer(bench, sent, 200, "fork2")
    assert bench.events() == []
    assert bench.count(Counter.SIP_UNMATCHED_RESPONSE) == 1


def _with_via(response: Response, *vias: str) -> Response:
    response = response.without_header("Via")
    for via in vias:
        response = response.with_added([("Via", via)])
    return response


def test_a_response_that_belongs_to_nothing_is_counted_and_dropped() -> None:
    bench = StackBench()
    _, sent = _start(bench)
    good = create_response(sent, 200, to_tag="bob")
    via = str(sent.via)
    wrong = [
        (_with_via(create_response(sent, 200), via.replace("z9hG4bK", "z9hG4bKx")), bench.flow),
        (_with_via(create_response(sent, 200), via, "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKq"), bench.flow),
        (_with_via(create_response(sent, 200), via.replace("192.0.2.2", "192.0.2.3")), bench.flow),
        (create_response(_ours("OPTIONS"), 200), bench.flow),
        (_with_via(create_response(_ours("BYE"), 200), via), bench.flow),
        (good, udp(remote=HostPort("192.0.2.66", 5060))),
        (good, udp(remote=HostPort("192.0.2.1", 5061))),
        (good, stream()),
    ]
    for response, flow in wrong:
        bench.receive(response, flow)
    assert bench.events() == []
    assert bench.count(Counter.SIP_UNMATCHED_RESPONSE) == len(wrong)
    bench.receive(good)
    assert bench.event(ResponseReceived).response is good


def test_over_streams_a_response_comes_by_its_connection_or_one_where_the_same_peer_is_verified() -> None:
    mine, second = tls_flow(1, "pbx.example", initiated=True), tls_flow(2, "pbx.example")
    for number, other in enumerate(
        (
            tls_flow(3, "carrier.example"),
            tls_flow(4, ""),
            tls_flow(5, "pbx.example", version="TLSv1.2"),
            tls_flow(6, "pbx.example", trunk="carrier"),
            replace(stream(number=7), trunk="pbx"),
            udp(number=8, trunk="pbx"),
        )
    ):
        bench = StackBench(mine)
        key, sent = _start(bench)
        bench.receive(create_response(sent, 180, to_tag="bob"), other)
        refused = bench.event(FlowRefused)
        assert (refused.key, refused.flow, refused.status) == (key, other, 0), number
        assert refused.why
        assert bench.count(Counter.SIP_UNMATCHED_RESPONSE) == 1
        bench.receive(create_response(sent, 180, to_tag="bob"), second)
        assert bench.event(ResponseReceived).flow is second


def test_an_unverified_connection_answers_only_what_was_sent_on_it() -> None:
    """Who proved no name then cannot prove to be the same peer now."""
    for mine, other in (
        (tls_flow(1, ""), tls_flow(2, "")),
        (replace(stream(number=1), trunk="pbx"), replace(stream(number=2), trunk="pbx")),
    ):
        bench = StackBench(mine)
        _, sent = _start(bench)
        bench.receive(create_response(sent, 200, to_tag="bob"), other)
        assert bench.event(FlowRefused).why == "another connection"
        bench.receive(create_response(sent, 200, to_tag="bob"), mine)
        assert bench.event(ResponseReceived).flow is mine


def test_connections_of_browsers_are_never_taken_for_one_another() -> None:
    bench = StackBench(stream("wss", number=1))
    _, sent = _start(bench)
    bench.receive(create_response(sent, 200, to_tag="bob"), stream("wss", number=2))
    assert bench.event(FlowRefused).why == "another connection"


# --- CANCEL


def test_a_cancel_waits_for_the_first_provisional_response() -> None:
    bench = StackBench()
    key, sent = _start(bench)
    bench.stack.cancel(key, bench.now, (("Reason", "SIP;cause=200"),))
    bench.stack.cancel(key, bench.now)
    assert [message.method for message in bench.requests()] == []
    assert bench.times(1) == [0.5]
    _answer(bench, sent, 100)
    (cancel,) = bench.requests()
    assert cancel.headers.get("Reason") == "SIP;cause=200"
    assert (cancel.method, cancel.uri, str(cancel.cseq)) == ("CANCEL", sent.uri, "1 CANCEL")
    assert cancel.headers.get_all("Via") == sent.headers.get_all("Via")
    assert (cancel.headers.get("To"), cancel.headers.get("From")) == (sent.headers.get("To"), sent.headers.get("From"))


def test_a_cancelled_invite_ends_with_the_487_and_the_cancel_itself_is_not_told() -> None:
    bench = StackBench()
    key, sent = _start(bench)
    _answer(bench, sent, 180)
    bench.events()
    bench.stack.cancel(key, bench.now)
    bench.stack.cancel(key, bench.now)
    (cancel,) = bench.requests()
    bench.receive(create_response(cancel, 200, to_tag="bob"))
    assert bench.events() == []
    _answer(bench, sent, 487)
    assert bench.event(ResponseReceived).response.status == 487
    assert [ack.method for ack in bench.requests()] == ["ACK"]
    bench.run(33)
    assert bench.idle()


def test_a_2xx_that_crosses_the_cancel_goes_up() -> None:
    bench = StackBench()
    key, sent = _start(bench)
    _answer(bench, sent, 100)
    bench.stack.cancel(key, bench.now)
    bench.events()
    _answer(bench, sent, 180)
    _answer(bench, sent, 200)
    assert [e.response.status for e in bench.events() if isinstance(e, ResponseReceived)] == [180, 200]


@pytest.mark.parametrize("status", [200, 486])
def test_a_final_response_overtakes_a_cancel_that_waits(status: int) -> None:
    bench = StackBench()
    key, sent = _start(bench)
    bench.stack.cancel(key, bench.now)
    _answer(bench, sent, status)
    assert bench.event(ResponseReceived).response.status == status
    bench.stack.cancel(key, bench.now)
    _answer(bench, sent, 180)
    assert bench.events() == []
    assert [message.method for message in bench.requests()] == ([] if status == 200 else ["ACK"])
    assert bench.times(31) == []


def test_a_cancelled_invite_that_stays_without_final_response_is_given_up_after_64_t1() -> None:
    bench = StackBench()
    key, sent = _start(bench)
    _answer(bench, sent, 180)
    bench.events()
    bench.stack.cancel(key, bench.now)
    bench.sent()
    assert {message.method for _, message in bench.run(31) if isinstance(message, Request)} == {"CANCEL"}
    _answer(bench, sent, 183)
    bench.events()
    bench.run(1.1)
    assert bench.event(RequestTimeout).key == key
    assert bench.idle()


def test_an_invite_cancelled_but_never_answered_times_out_by_timer_b() -> None:
    bench = StackBench()
    key, _ = _start(bench)
    bench.stack.cancel(key, bench.now)
    assert bench.times(33) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert bench.event(RequestTimeout).key == key
    assert bench.idle()


def test_only_an_invite_that_lives_can_be_cancelled() -> None:
    bench = StackBench()
    key, sent = _start(bench, "OPTIONS")
    _answer(bench, sent, 100)
    bench.stack.cancel(key, bench.now)
    bench.stack.cancel("client INVITE unknown", bench.now)
    assert bench.sent() == []


# --- each state, each way on

BEFORE_FINAL = pytest.mark.parametrize(
    "steps",
    [(), ("cancel",), (100,), (100, 180), (100, "cancel"), ("cancel", 100)],
    ids=["calling", "cancel-pending", "proceeding", "ringing", "cancelling", "cancelled"],
)


def _reach(bench: StackBench, steps: tuple[int | str, ...]) -> tuple[str, Request]:
    key, sent = _start(bench)
    for step in steps:
        if isinstance(step, int):
            _answer(bench, sent, step)
        else:
            bench.stack.cancel(key, bench.now)
    bench.events()
    bench.sent()
    return key, sent


def _told(bench: StackBench) -> list[int]:
    return [event.response.status for event in bench.events() if isinstance(event, ResponseReceived)]


@BEFORE_FINAL
def test_an_answer_is_accepted_in_each_state(steps: tuple[int | str, ...]) -> None:
    bench = StackBench()
    key, sent = _reach(bench, steps)
    _answer(bench, sent, 183)
    _answer(bench, sent, 200)
    bench.sent()
    _answer(bench, sent, 180)
    _answer(bench, sent, 486)
    bench.stack.cancel(key, bench.now)
    _answer(bench, sent, 200)
    assert _told(bench) == [183, 200, 200]
    assert bench.requests() == []
    bench.stack.flow_closed(bench.flow, bench.now)
    assert bench.events() == []
    assert bench.idle()


@BEFORE_FINAL
def test_a_failure_is_acknowledged_in_each_state(steps: tuple[int | str, ...]) -> None:
    bench = StackBench()
    key, sent = _reach(bench, steps)
    _answer(bench, sent, 486)
    _answer(bench, sent, 180)
    _answer(bench, sent, 200)
    bench.stack.cancel(key, bench.now)
    _answer(bench, sent, 486)
    assert _told(bench) == [486]
    assert [message.method for message in bench.requests()] == ["ACK", "ACK"]
    bench.stack.flow_closed(bench.flow, bench.now)
    assert bench.events() == []
    assert bench.idle()


@BEFORE_FINAL
def test_a_lost_flow_is_told_in_each_state(steps: tuple[int | str, ...]) -> None:
    bench = StackBench()
    key, _ = _reach(bench, steps)
    bench.stack.flow_closed(bench.flow, bench.now)
    assert bench.event(TransportFailed).key == key
    assert bench.idle()


@pytest.mark.parametrize("provisional", [False, True])
@pytest.mark.parametrize("status", [200, 404])
def test_a_final_response_is_told_once_in_each_state_of_a_non_invite_request(provisional: bool, status: int) -> None:
    bench = StackBench()
    _, sent = _start(bench, "OPTIONS")
    if provisional:
        _answer(bench, sent, 100)
        bench.events()
    for _ in range(3):
        for repeated in (status, 100, 200, 404):
            _answer(bench, sent, repeated)
    assert _told(bench) == [status]
    assert bench.count(Counter.SIP_UNMATCHED_RESPONSE) == 0
    bench.stack.flow_closed(bench.flow, bench.now)
    assert bench.events() == []
    assert bench.idle()


@pytest.mark.parametrize("provisional", [False, True])
def test_a_lost_flow_is_told_in_each_state_of_a_non_invite_request(provisional: bool) -> None:
    bench = StackBench()
    key, sent = _start(bench, "OPTIONS")
    if provisional:
        _answer(bench, sent, 100)
        bench.events()
    bench.stack.flow_closed(bench.flow, bench.now)
    assert bench.event(TransportFailed).key == key
    assert bench.idle()


# --- ends


def test_a_closed_flow_fails_what_is_under_way_and_nothing_else() -> None:
    bench = StackBench(stream())
    invite, _ = _start(bench)
    ringing, sent = _start(bench)
    _answer(bench, sent, 180)
    _, accepted = _start(bench)
    _answer(bench, accepted, 200)
    options, _ = _start(bench, "OPTIONS")
    bench.events()
    bench.stack.flow_closed(stream(number=9), bench.now)
    assert bench.events() == []
    bench.stack.flow_closed(bench.flow, bench.now)
    assert bench.events() == [TransportFailed(invite), TransportFailed(ringing), TransportFailed(options)]
    assert bench.idle()


def test_requests_in_flight_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_CLIENT_TRANSACTIONS", 2)
    bench = StackBench(stream())
    _, sent = _start(bench, "OPTIONS")
    _start(bench, "OPTIONS")
    with pytest.raises(SipError) as caught:
        _start(bench, "OPTIONS")
    assert caught.value.status == 503
    _answer(bench, sent, 200)
    _start(bench, "OPTIONS")


@pytest.mark.parametrize("missing", ["To", "From", "Call-ID", "CSeq"])
def test_a_request_without_its_identifiers_starts_nothing(missing: str) -> None:
    bench = StackBench()
    ours = _ours()
    ours = ours.without_header(missing)
    with pytest.raises(SipError):
        bench.stack.send_request(ours, bench.flow, bench.now)
    assert bench.idle()


def test_a_request_that_cannot_be_written_starts_nothing() -> None:
    bench = StackBench()
    ours = replace(_ours(), uri="sip:a b")
    with pytest.raises(SipError):
        bench.stack.send_request(ours, bench.flow, bench.now)
    assert bench.idle()
    assert bench.sent() == []


def test_a_late_timer_sends_one_retransmission_not_a_burst() -> None:
    bench = StackBench()
    _start(bench, "OPTIONS")
    bench.now += 20
    bench.stack.handle_timers(bench.now)
    assert len(bench.sent()) == 1


def test_a_thousand_requests_leave_nothing_behind() -> None:
    bench = StackBench(udp(BOB, ALICE))
    for i in range(1000):
        key, sent = _start(bench, ("INVITE", "OPTIONS")[i % 2])
        for status in ((), (100,), (180, 200), (180, 486), (200,))[i % 5]:
            _answer(bench, sent, status)
        if i % 3 == 0:
            bench.stack.cancel(key, bench.now)
        bench.sent()
    bench.run(700)
    assert bench.idle()
    assert bench.stack.transaction_count == 0
    assert bench.stack.next_deadline() is None
