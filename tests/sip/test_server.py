"""Requests received and answered (RFC 3261 8.2, 9.2, 17.2, 18.2; RFC 3581, 4320, 6026)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.base.counters import Counter
from gateway.base.errors import SipError
from gateway.base.values import HostPort
from gateway.sip import budget
from gateway.sip.flow import Flow
from gateway.sip.message import Headers, Request, Response, create_response
from gateway.sip.stack import (
    AckReceived,
    AckTimeout,
    CancelReceived,
    FlowRefused,
    RequestReceived,
    RequestTimeout,
    SipStack,
    TransportFailed,
)
from tests.sip.fake_wire import ALICE, BOB, counting_tokens, request, stream, tls_flow, udp
from tests.sip.stack_bench import StackBench

TCP_VIA = "SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKa1"


def _answered_invite(bench: StackBench, status: int = 200, *, via: str = "") -> tuple[str, Request]:
    invite = request("INVITE", via=via)
    key = bench.take_request(invite)
    bench.respond(key, invite, status)
    bench.sent()
    return key, invite


def _ack(*, branch: str = "z9hG4bKack", to_tag: str = "bob", cseq: int = 1, from_tag: str = "alice") -> Request:
    return request("ACK", branch=branch, to_tag=to_tag, cseq=cseq, from_tag=from_tag)


# --- INVITE


def test_an_invite_gets_100_at_once_and_goes_up() -> None:
    bench = StackBench()
    invite = request("INVITE", extra=["Timestamp: 54"])
    bench.receive(invite)
    assert bench.event(RequestReceived).request is invite
    (trying,) = bench.sent()
    assert isinstance(trying, Response)
    assert (trying.status, trying.to.tag, trying.headers.get("Timestamp")) == (100, None, "54")


def test_a_retransmitted_invite_gets_the_last_provisional_response_and_does_not_go_up() -> None:
    bench = StackBench()
    invite = request("INVITE")
    key = bench.take_request(invite)
    bench.receive(request("INVITE"))
    assert bench.statuses() == [100]
    bench.respond(key, invite, 180)
    bench.receive(request("INVITE"))
    assert bench.statuses() == [180, 180]
    assert bench.events() == []


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_2xx_is_retransmitted_until_64_t1_and_then_the_missing_ack_is_reported(transport: str) -> None:
    bench = StackBench(udp() if transport == "udp" else stream())
    key, _ = _answered_invite(bench)
    assert bench.times(40) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert bench.event(AckTimeout).key == key
    assert bench.idle()


def test_an_ack_ends_the_retransmission_of_the_2xx_and_goes_up_once() -> None:
    bench = StackBench()
    key, _ = _answered_invite(bench)
    assert bench.times(1) == [0.5]
    ack = _ack()
    bench.receive(ack)
    event = bench.event(AckReceived)
    assert (event.key, event.request) == (key, ack)
    bench.receive(_ack(branch="z9hG4bKanother"))
    assert bench.events() == []
    assert bench.times(40) == []
    assert bench.idle()


def test_a_retransmitted_invite_is_absorbed_while_accepted() -> None:
    bench = StackBench()
    _answered_invite(bench)
    bench.receive(request("INVITE"))
    bench.receive(_ack())
    bench.events()
    bench.receive(request("INVITE"))
    assert bench.sent() == []
    assert bench.events() == []


@pytest.mark.parametrize(
    "wrong", [_ack(to_tag="eve"), _ack(cseq=2), _ack(from_tag="eve"), _ack(to_tag="")], ids=lambda m: repr(m.to.tag)
)
def test_an_ack_with_other_tags_or_number_acknowledges_nothing(wrong: Request) -> None:
    bench = StackBench()
    _answered_invite(bench)
    bench.receive(wrong)
    assert bench.events() == []
    assert bench.count(Counter.SIP_REJECTED) == 1
    assert bench.times(0.6) == [0.5]


def test_an_ack_that_reuses_the_branch_of_its_invite_must_still_name_our_tag() -> None:
    bench = StackBench()
    key, invite = _answered_invite(bench)
    bench.receive(_ack(branch=invite.via.branch, to_tag="eve"))
    assert bench.events() == []
    bench.receive(_ack(branch=invite.via.branch))
    assert bench.event(AckReceived).key == key


def test_a_failure_is_retransmitted_until_its_ack_which_does_not_go_up() -> None:
    bench = StackBench()
    _, invite = _answered_invite(bench, 486)
    assert bench.times(4) == [0.5, 1.5, 3.5]
    bench.receive(request("INVITE"))
    assert bench.statuses() == [486]
    bench.receive(_ack(branch=invite.via.branch))
    bench.receive(_ack(branch=invite.via.branch))
    bench.receive(request("INVITE"))
    assert bench.sent() == []
    assert bench.times(4.9) == []
    assert not bench.idle()
    bench.run(0.2)
    assert bench.idle()
    assert bench.events() == []


def test_a_failure_nobody_acknowledges_is_given_up_silently_after_64_t1() -> None:
    bench = StackBench()
    _answered_invite(bench, 486)
    assert bench.times(40)[-1] == 31.5
    assert bench.events() == []
    assert bench.idle()


def test_over_a_stream_a_failure_is_sent_once_and_gone_with_its_ack() -> None:
    bench = StackBench(stream())
    _, invite = _answered_invite(bench, 486)
    assert bench.times(10) == []
    bench.receive(_ack(branch=invite.via.branch))
    assert bench.idle()


def test_only_the_first_final_response_counts() -> None:
    bench = StackBench()
    key, invite = _answered_invite(bench)
    for status in (180, 200, 487):
        bench.respond(key, invite, status)
    assert bench.sent() == []
    bench.receive(_ack())
    bench.events()
    bench.respond(key, invite, 487)
    assert bench.sent() == []


def test_an_invite_the_user_never_answers_does_not_stay_for_ever() -> None:
    bench = StackBench()
    invite = request("INVITE")
    key = bench.take_request(invite)
    bench.run(599)
    bench.respond(key, invite, 180)
    bench.run(599)
    assert bench.events() == []
    bench.run(2)
    assert bench.event(RequestTimeout).key == key
    assert bench.idle()


# --- other requests


def test_a_retransmitted_request_gets_the_same_answer_for_64_t1() -> None:
    bench = StackBench()
    options = request()
    key = bench.take_request(options)
    bench.receive(request())
    assert bench.sent() == []
    bench.respond(key, options, 200)
    bench.run(31.9)
    bench.receive(request())
    assert bench.statuses() == [200, 200]
    bench.run(0.2)
    assert bench.idle()
    assert bench.events() == []


def test_over_a_stream_an_answered_request_is_gone_at_once() -> None:
    bench = StackBench(stream())
    options = request()
    bench.respond(bench.take_request(options), options, 200)
    assert bench.idle()
    assert bench.stack.next_deadline() is None


def test_a_slow_answer_is_announced_by_100_after_timer_e_reached_t2() -> None:
    bench = StackBench()
    options = request()
    key = bench.take_request(options)
    assert [(moment, message.status) for moment, message in bench.run(10) if isinstance(message, Response)] == [
        (3.5, 100)
    ]
    bench.receive(request())
    bench.respond(key, options, 200)
    assert bench.statuses() == [100, 200]


def test_no_provisional_response_but_that_100_and_no_408_goes_to_a_non_invite_request() -> None:
    bench = StackBench()
    options = request()
    key = bench.take_request(options)
    bench.respond(key, options, 180)
    bench.respond(key, options, 100)
    bench.respond(key, options, 408)
    bench.receive(request())
    assert bench.sent() == []
    assert bench.events() == []
    assert [message.status for _, message in bench.run(33) if isinstance(message, Response)] == [100]
    assert bench.idle()


def test_a_request_nobody_answers_is_forgotten_and_a_late_answer_stays_unsent() -> None:
    bench = StackBench()
    options = request()
    key = bench.take_request(options)
    assert len(bench.run(33)) == 1
    assert bench.idle()
    assert bench.events() == []
    bench.respond(key, options, 200)
    assert bench.sent() == []


# --- CANCEL


def test_a_cancel_is_answered_200_and_the_user_answers_the_invite() -> None:
    bench = StackBench()
    invite = request("INVITE")
    key = bench.take_request(invite)
    bench.respond(key, invite, 180)
    bench.respond(key, invite, 182, to_tag="")
    bench.sent()
    bench.receive(request("CANCEL"))
    told = bench.event(CancelReceived)
    assert told.key == key
    assert told.request is not None
    assert told.request.method == "CANCEL"  # it may say why (RFC 3326)
    (ok,) = bench.sent()
    assert isinstance(ok, Response)
    assert (ok.status, str(ok.cseq), ok.to.tag) == (200, "1 CANCEL", "bob")
    bench.respond(key, invite, 487)
    assert bench.statuses() == [487]
    bench.receive(_ack(branch=invite.via.branch))
    bench.run(40)
    assert bench.idle()


@pytest.mark.parametrize("flow", [udp(), stream()], ids=["udp", "tcp"])
def test_a_repeated_cancel_is_answered_again_but_told_once(flow: Flow) -> None:
    bench = StackBench(flow)
    bench.take_request(request("INVITE"))
    bench.receive(request("CANCEL"))
    bench.receive(request("CANCEL"))
    assert bench.statuses() == [200, 200]
    key = bench.event(CancelReceived).key
    bench.respond(key, request("INVITE"), 487)
    assert bench.statuses() == [487]


def test_a_cancel_after_the_answer_changes_nothing() -> None:
    bench = StackBench()
    _answered_invite(bench)
    bench.receive(request("CANCEL"))
    assert bench.statuses() == [200]
    assert bench.events() == []
    assert bench.times(1) == [0.5]


def test_a_cancel_after_a_refusal_and_its_ack_changes_nothing() -> None:
    bench = StackBench()
    _, invite = _answered_invite(bench, 486)
    bench.receive(_ack(branch=invite.via.branch))
    bench.receive(request("CANCEL"))
    bench.receive(request("INVITE"))
    assert bench.statuses() == [200]
    assert bench.events() == []


def test_the_user_may_still_answer_a_cancelled_invite_with_200() -> None:
    bench = StackBench()
    invite = request("INVITE")
    key = bench.take_request(invite)
    bench.receive(request("CANCEL"))
    bench.receive(invite)
    bench.respond(key, invite, 180)
    bench.respond(key, invite, 200)
    assert bench.statuses() == [200, 100, 200]
    bench.events()
    bench.receive(_ack())
    assert bench.event(AckReceived).key == key


def test_a_cancel_of_nothing_gets_481() -> None:
    bench = StackBench()
    bench.take_request(request("INVITE"))
    bench.receive(request("CANCEL", branch="z9hG4bKother"))
    bench.receive(request("CANCEL", branch="z9hG4bKother"))
    assert bench.statuses() == [481, 481]
    assert bench.events() == []


@pytest.mark.parametrize(
    ("mine", "other"),
    [
        (udp(), udp(remote=HostPort("192.0.2.66", 5060))),
        (stream("wss", number=1), stream("wss", number=2)),
        (udp(trunk="pbx"), udp(trunk="carrier")),
    ],
    ids=["udp", "wss", "trunks"],
)
def test_nobody_can_cancel_or_answer_for_another_peers_call(mine: Flow, other: Flow) -> None:
    bench = StackBench(mine)
    key = bench.take_request(request("INVITE"))
    bench.receive(request("CANCEL"), other)
    assert bench.statuses() == [481]
    bench.respond(key, request("INVITE"), 486)
    bench.receive(_ack(branch="z9hG4bKa1"), other)
    assert not bench.idle()
    bench.receive(_ack(branch="z9hG4bKa1"))
    bench.run(5.1)
    assert bench.stack.transaction_count == (0 if other.is_reliable else 1)  # that of the CANCEL


def test_another_connection_of_the_same_trunk_may_cancel() -> None:
    first, second = (Flow(n, "tcp", BOB, HostPort("192.0.2.1", 40000 + n), "pbx") for n in (1, 2))
    bench = StackBench(first)
    key = bench.take_request(request("INVITE"))
    bench.receive(request("CANCEL"), second)
    assert bench.event(CancelReceived).key == key


WEAKER = [replace(stream(number=2), trunk="pbx"), udp(number=3, trunk="pbx"), tls_flow(4, ""), tls_flow(5, "other")]
"""Flows of the same trunk that prove less than `tls_flow(1, "pbx.example")`."""


@pytest.mark.parametrize("weaker", WEAKER, ids=str)
def test_a_cancel_over_a_flow_that_proves_less_is_403_and_cancels_nothing(weaker: Flow) -> None:
    bench = StackBench(tls_flow(1, "pbx.example"))
    key = bench.take_request(request("INVITE"))
    bench.receive(request("CANCEL"), weaker)
    assert bench.statuses() == [403]
    refused = bench.event(FlowRefused)
    assert (refused.key, refused.flow, refused.status) == (key, weaker, 403)
    bench.receive(request("CANCEL", branch="z9hG4bKa1"), tls_flow(6, "pbx.example"))
    assert bench.event(CancelReceived).key == key


@pytest.mark.parametrize("weaker", WEAKER, ids=str)
@pytest.mark.parametrize("status", [200, 486])
def test_an_ack_over_a_flow_that_proves_less_acknowledges_nothing(weaker: Flow, status: int) -> None:
    bench = StackBench(tls_flow(1, "pbx.example"))
    key = bench.take_request(request("INVITE"))
    bench.respond(key, request("INVITE"), status)
    ack = _ack(branch="z9hG4bKa2" if status == 200 else "z9hG4bKa1")
    bench.receive(ack, weaker)
    assert bench.event(FlowRefused).key == key
    assert bench.stack.transaction_count == 1
    bench.receive(ack, tls_flow(6, "pbx.example"))
    if status == 200:
        assert bench.event(AckReceived).key == key
        bench.run(40)
    assert bench.idle()


# --- refusals


def test_the_second_way_of_a_forked_request_is_refused_482() -> None:
    bench = StackBench()
    bench.take_request(request("INVITE"))
    bench.receive(request("INVITE", branch="z9hG4bKb2"))
    assert bench.statuses() == [482]
    assert bench.events() == []
    bench.receive(_ack(branch="z9hG4bKb2"))
    bench.receive(request("INVITE", branch="z9hG4bKb2"))
    assert bench.statuses() == []


def test_a_forked_request_stays_refused_after_the_refusal_of_another_copy_is_over() -> None:
    bench = StackBench()
    bench.take_request(request("INVITE"))
    bench.receive(request("INVITE", branch="z9hG4bKb2"))
    bench.receive(_ack(branch="z9hG4bKb2"))
    bench.run(40)
    assert bench.stack.transaction_count == 1
    bench.receive(request("INVITE", branch="z9hG4bKb3"))
    assert 482 in bench.statuses()
    assert bench.events() == []


def test_equal_branches_of_different_senders_are_different_requests() -> None:
    bench = StackBench(udp(trunk="pbx"))
    bench.take_request(request())
    assert bench.take_request(request(call_id="c2", via="SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bKa1"))
    assert bench.take_request(request("REGISTER", call_id="c3"))


def test_other_numbers_other_calls_and_requests_in_a_dialog_are_not_merged() -> None:
    bench = StackBench()
    bench.take_request(request(branch="z9hG4bK1"))
    for i, other in enumerate((request(cseq=2), request(call_id="call-2"), request(from_tag="x"), request(to_tag="t"))):
        other = other.with_header("Via", f"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKo{i}")
        assert bench.take_request(other)


def test_a_request_is_no_merge_once_the_first_is_over() -> None:
    bench = StackBench(stream())
    options = request()
    bench.respond(bench.take_request(options), options, 200)
    assert bench.take_request(request(branch="z9hG4bKb2"))


def test_a_fork_that_reaches_another_user_is_another_request() -> None:
    bench = StackBench()
    bench.take_request(request("INVITE"))
    assert bench.take_request(request("INVITE", branch="z9hG4bKb2", uri="sip:carol@192.0.2.2"))


@pytest.mark.parametrize("second", [udp(trunk="other"), udp(remote=HostPort("192.0.2.9", 5060))])
def test_what_one_peer_has_asked_is_no_merge_for_another(second: Flow) -> None:
    bench = StackBench(udp(trunk="pbx"))
    bench.take_request(request("INVITE"))
    assert bench.take_request(request("INVITE", branch="z9hG4bKb2"), second)


@pytest.mark.parametrize("status", [302, 404, 480, 486, 503, 603])
@pytest.mark.parametrize("acknowledged", [True, False])
def test_a_refused_call_may_be_tried_again_by_a_serial_fork(status: int, acknowledged: bool) -> None:
    bench = StackBench()
    first = request("INVITE")
    bench.respond(bench.take_request(first), first, status)
    bench.sent()
    if acknowledged:
        bench.receive(_ack())
    assert bench.take_request(request("INVITE", branch="z9hG4bKb2"))
    bench.run(40)


def test_an_answered_call_is_not_rung_again_by_a_copy_that_comes_late() -> None:
    bench = StackBench()
    first = request("INVITE")
    bench.respond(bench.take_request(first), first, 200)
    bench.sent()
    bench.receive(request("INVITE", branch="z9hG4bKb2"))
    assert bench.statuses() == [482]


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "BYE"])
def test_hops_are_not_counted_where_a_request_ends(method: str) -> None:
    bench = StackBench()
    assert bench.take_request(request(method, to_tag="bob", extra=["Max-Forwards: 0"]))


def test_a_cancel_without_hops_left_still_cancels() -> None:
    bench = StackBench()
    bench.take_request(request("INVITE"))
    bench.receive(request("CANCEL", extra=["Max-Forwards: 0"]))
    assert isinstance(bench.event(CancelReceived), CancelReceived)


OLD = "SIP/2.0/UDP 192.0.2.1:5060"


@pytest.mark.parametrize("branch", [";branch=1", ";branch=z9hG4bK", "", ";branch=Z9HG4B", ";maddr=192.0.2.1"])
def test_a_request_of_an_rfc_2543_element_is_served_and_its_retransmission_absorbed(branch: str) -> None:
    bench = StackBench()
    invite = request("INVITE", via=OLD + branch)
    key = bench.take_request(invite)
    bench.receive(invite)
    assert bench.statuses() == [100]
    assert bench.events() == []
    bench.respond(key, invite, 486)
    assert bench.statuses() == [486]
    bench.receive(request("ACK", via=OLD + branch, to_tag="bob"))
    bench.run(6)
    assert bench.idle()


def test_the_2xx_of_an_rfc_2543_element_is_acknowledged_by_its_tags() -> None:
    bench = StackBench()
    invite = request("INVITE", via=OLD)
    bench.respond(bench.take_request(invite), invite, 200)
    bench.receive(request("ACK", via=OLD, to_tag="bob", uri="sip:gateway@192.0.2.2"))
    assert isinstance(bench.event(AckReceived), AckReceived)
    assert bench.take_request(request("BYE", via=OLD, to_tag="bob", cseq=2))


def test_a_cancel_without_a_branch_finds_its_invite() -> None:
    bench = StackBench()
    key = bench.take_request(request("INVITE", via=OLD))
    bench.receive(request("CANCEL", via=OLD))
    assert bench.event(CancelReceived).key == key
    assert bench.statuses() == [200]


@pytest.mark.parametrize(
    "other",
    [
        request("INVITE", via=OLD, cseq=2),
        request("INVITE", via=OLD, call_id="call-2"),
        request("INVITE", via=OLD, from_tag="x"),
        request("INVITE", via=OLD, uri="sip:carol@192.0.2.2"),
        request("INVITE", via="SIP/2.0/UDP 192.0.2.7:5060", call_id="call-3"),
    ],
    ids=["CSeq", "Call-ID", "From tag", "Request-URI", "Via"],
)
def test_without_a_branch_whatever_differs_is_another_request(other: Request) -> None:
    bench = StackBench()
    bench.take_request(request("INVITE", via=OLD))
    assert bench.take_request(other)


def test_without_a_branch_requests_of_two_dialogs_are_told_apart_by_their_tag() -> None:
    bench = StackBench()
    bench.take_request(request("INFO", via=OLD, to_tag="bob"))
    assert bench.take_request(request("INFO", via=OLD, to_tag="carol"))


@pytest.mark.parametrize("via", ["", "nonsense", "SIP/2.0/UDP", 'SIP/2.0/UDP h;branch=z9hG4bKa1;x="\0"'])
def test_a_request_that_escaped_the_parser_without_a_usable_via_is_dropped(via: str) -> None:
    bench = StackBench()
    whole = request()
    broken = whole.with_headers(Headers.received([("Via", via), *whole.headers.without("Via").items()]))
    bench.receive(broken)
    assert bench.sent() == []
    assert bench.events() == []
    assert bench.count(Counter.SIP_MALFORMED) == 1


# --- the way back


@pytest.mark.parametrize(
    ("via", "expected"),
    [
        ("192.0.2.1:5060;branch=z9hG4bK1", "192.0.2.1:5060;branch=z9hG4bK1"),
        ("192.0.2.1:5060;rport;branch=z9hG4bK1", "192.0.2.1:5060;rport=5060;branch=z9hG4bK1;received=192.0.2.1"),
        ("10.0.0.9;rport=99;branch=z9hG4bK1", "10.0.0.9;rport=5060;branch=z9hG4bK1;received=192.0.2.1"),
        ("phone.example;branch=z9hG4bK1", "phone.example;branch=z9hG4bK1;received=192.0.2.1"),
        (
            "192.0.2.1;received=10.6.6.6;branch=z9hG4bK1",
            "192.0.2.1;received=192.0.2.1;branch=z9hG4bK1",
        ),
    ],
)
def test_the_top_via_tells_where_the_request_came_from(via: str, expected: str) -> None:
    bench = StackBench()
    bench.receive(request("INVITE", via=f"SIP/2.0/UDP {via}"))
    (trying,) = bench.sent()
    assert trying.headers.get_all("Via") == [f"SIP/2.0/UDP {expected}"]


def test_other_vias_stay_in_their_order() -> None:
    bench = StackBench()
    first, second = "SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK1", "SIP/2.0/TCP p.example;branch=z9hG4bK2"
    invite = request("INVITE", via=f"{first}, {second}", extra=["v: SIP/2.0/UDP q.example;branch=z9hG4bK3"])
    bench.receive(invite)
    (trying,) = bench.sent()
    assert [via.branch for via in trying.vias] == ["z9hG4bK1", "z9hG4bK2", "z9hG4bK3"]
    assert trying.vias[0].rport == ALICE.port
    assert invite.via.received is None


def test_an_answer_goes_back_on_the_flow_of_the_request_even_if_a_copy_came_from_elsewhere() -> None:
    bench = StackBench()
    first = udp(remote=HostPort("192.0.2.1", 40001))
    bench.receive(request("INVITE"), first)
    bench.receive(request("INVITE"), udp(remote=HostPort("192.0.2.1", 40002)))
    assert {flow for flow, _ in bench.stack.take_transmissions()} == {first}
    assert len(bench.events()) == 1


# --- limits


def test_a_source_beyond_its_share_gets_503_and_others_are_served() -> None:
    bench = StackBench()
    for i in range(budget.MAX_PER_SOURCE):
        bench.take_request(request("INVITE", branch=f"z9hG4bK{i}", call_id=f"c{i}"))
    bench.receive(request("INVITE", branch="z9hG4bKmore", call_id="more"))
    assert bench.statuses() == [503]
    assert bench.events() == []
    assert bench.count(Counter.SIP_TRANSACTIONS_FULL) == 1
    bench.take_request(request("INVITE"), udp(remote=HostPort("192.0.2.9", 5060)))


def test_a_cancel_works_at_the_limit_and_makes_room() -> None:
    bench = StackBench()
    keys = []
    for i in range(budget.MAX_PER_SOURCE):
        invite = request("INVITE", branch=f"z9hG4bK{i}", call_id=f"c{i}")
        keys.append((bench.take_request(invite), invite))
    bench.receive(request("CANCEL", branch="z9hG4bK7", call_id="c7"))
    assert bench.statuses() == [200]
    assert bench.event(CancelReceived).key == keys[7][0]
    assert bench.stack.transaction_count == budget.MAX_PER_SOURCE + 1
    bench.respond(*keys[7], 487)
    bench.sent()
    bench.take_request(request("INVITE", branch="z9hG4bKmore", call_id="more"))


def test_the_limit_of_all_sources_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_WAITING", 3)
    bench = StackBench()
    for i in range(4):
        bench.receive(request(call_id=f"c{i}"), udp(remote=HostPort(f"192.0.2.{i + 1}", 5060)))
    assert bench.statuses() == [503]
    assert len(bench.events()) == 3


ANSWERED = pytest.mark.parametrize("limit", ["MAX_ANSWERED", "MAX_ANSWERED_PER_SOURCE"])


@ANSWERED
def test_answered_calls_count_against_limits_of_their_own(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(budget, "MAX_PER_SOURCE", 1)
    monkeypatch.setattr(budget, limit, 3)
    bench = StackBench()
    for i in range(3):
        invite = request("INVITE", branch=f"z9hG4bK{i}", call_id=f"c{i}")
        bench.respond(bench.take_request(invite), invite, 486)
    bench.sent()
    bench.receive(request("INVITE", call_id="more"))
    assert bench.statuses() == [503]
    bench.run(38)
    bench.events()
    assert bench.idle()
    bench.take_request(request("INVITE", call_id="more"))


@ANSWERED
def test_the_oldest_answered_request_is_forgotten_for_a_new_one(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(budget, limit, 3)
    bench = StackBench()
    for i in range(50):
        options = request(branch=f"z9hG4bK{i}", call_id=f"c{i}")
        bench.respond(bench.take_request(options), options, 200)
    assert bench.stack.transaction_count == 3
    bench.sent()
    bench.receive(request(branch="z9hG4bK49", call_id="c49"))
    assert (bench.statuses(), bench.events()) == ([200], [])  # still absorbed
    bench.take_request(request(branch="z9hG4bK0", call_id="c0"))  # forgotten: answered once more
    bench.run(40)
    assert bench.idle()


# --- budgets are separate


def _flood(bench: StackBench, method: str, count: int, *, to_tag: str = "", uri: str = "sip:bob@192.0.2.2") -> None:
    """Requests that nobody answers."""
    for i in range(count):
        own = f"{method}{to_tag}{i}"
        bench.receive(request(method, branch=f"z9hG4bK{own}", call_id=own, to_tag=to_tag, uri=uri))
    bench.sent()
    bench.events()


@pytest.mark.parametrize("trunk", [None, "pbx"])
@pytest.mark.parametrize("flood", ["OPTIONS", "INVITE", "REGISTER"])
def test_an_end_is_taken_whatever_the_load(monkeypatch: pytest.MonkeyPatch, flood: str, trunk: str | None) -> None:
    for limit in ("MAX_PER_SOURCE", "MAX_PER_TRUNK", "MAX_WAITING", "MAX_ANSWERED", "MAX_ANSWERED_PER_SOURCE"):
        monkeypatch.setattr(budget, limit, 2)
    bench = StackBench(udp(trunk=trunk))
    for to_tag in ("", "us"):
        _flood(bench, flood, 5, to_tag=to_tag)
    for i in range(20):
        bye = request("BYE", branch=f"z9hG4bKbye{i}", call_id=f"b{i}", to_tag="us")
        bench.respond(bench.take_request(bye), bye, 200)
    assert bench.count(Counter.SIP_TRANSACTIONS_FULL) == 6


@pytest.mark.parametrize("flood", ["OPTIONS", "REGISTER", "SUBSCRIBE"])
def test_a_flood_of_other_requests_from_a_trunks_address_refuses_none_of_its_calls(
    monkeypatch: pytest.MonkeyPatch, flood: str
) -> None:
    monkeypatch.setattr(budget, "MAX_PER_TRUNK", 3)
    monkeypatch.setattr(budget, "MAX_ANSWERED_PER_SOURCE", 3)
    bench = StackBench(udp(trunk="pbx"))
    for i in range(9):
        answered = request(flood, branch=f"z9hG4bKa{i}", call_id=f"a{i}")
        bench.respond(bench.take_request(answered), answered, 200)
    _flood(bench, flood, 9)
    for method, to_tag in (("INVITE", ""), ("INVITE", "us"), ("UPDATE", "us"), ("INFO", "us"), ("BYE", "us")):
        bench.take_request(request(method, branch=f"z9hG4bK{method}{to_tag}", call_id=f"x{to_tag}", to_tag=to_tag))


def test_a_flood_of_new_calls_refuses_nothing_inside_dialogs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_PER_SOURCE", 3)
    bench = StackBench()
    _flood(bench, "INVITE", 9)
    for method in ("INVITE", "UPDATE", "BYE"):
        bench.take_request(request(method, branch=f"z9hG4bK{method}", to_tag="us"))


def test_emergency_calls_have_a_budget_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_WAITING", 3)
    bench = StackBench()
    bench.stack = SipStack(counting_tokens("t"), bench.counters, lambda r: "sip:112@" in r.uri)
    _flood(bench, "INVITE", 9)
    for i in range(3):
        bench.take_request(request("INVITE", branch=f"z9hG4bKe{i}", call_id=f"e{i}", uri="sip:112@192.0.2.2"))
    bench.receive(request("INVITE", branch="z9hG4bKe9", call_id="e9", uri="sip:112@192.0.2.2"))
    assert bench.statuses() == [503]


def test_strangers_leave_the_budget_of_trunks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_WAITING", 3)
    bench = StackBench()
    for i in range(9):
        bench.receive(request("INVITE", call_id=f"c{i}"), udp(remote=HostPort(f"192.0.2.{i + 10}", 5060)))
    bench.sent()
    bench.events()
    bench.take_request(request("INVITE"), udp(trunk="pbx"))


def test_a_trunk_has_a_larger_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_PER_SOURCE", 1)
    bench = StackBench(udp(trunk="pbx"))
    for i in range(3):
        bench.take_request(request(branch=f"z9hG4bK{i}", call_id=f"c{i}"))


# --- each state, each way on

INVITE_STATES = pytest.mark.parametrize("cancelled", [False, True], ids=["proceeding", "cancelled"])


def _undecided(bench: StackBench, cancelled: bool) -> tuple[str, Request]:
    invite = request("INVITE")
    key = bench.take_request(invite)
    if cancelled:
        bench.receive(request("CANCEL"))
        bench.events()
        bench.sent()
    return key, invite


def _disturb(bench: StackBench, key: str, invite: Request, *, ack: bool = True) -> None:
    """Whatever may still come from either side once the outcome is fixed."""
    for status in (180, 200, 486):
        bench.respond(key, invite, status)
    bench.receive(request("CANCEL"))
    bench.sent()
    if ack:
        bench.receive(_ack(branch=invite.via.branch))


@INVITE_STATES
def test_an_ack_before_the_answer_means_nothing(cancelled: bool) -> None:
    bench = StackBench()
    key, invite = _undecided(bench, cancelled)
    bench.receive(_ack(branch=invite.via.branch))
    bench.respond(key, invite, 200)
    assert bench.statuses() == [200]


@INVITE_STATES
def test_a_lost_flow_is_told_before_the_answer(cancelled: bool) -> None:
    bench = StackBench(stream())
    key, _ = _undecided(bench, cancelled)
    bench.stack.flow_closed(bench.flow, bench.now)
    assert bench.event(TransportFailed).key == key
    assert bench.idle()


@INVITE_STATES
def test_an_undecided_invite_is_given_up_in_the_end(cancelled: bool) -> None:
    bench = StackBench()
    key, _ = _undecided(bench, cancelled)
    bench.run(601)
    assert bench.event(RequestTimeout).key == key
    assert bench.idle()


@INVITE_STATES
def test_a_failure_stays_the_outcome_whatever_comes_before_and_after_its_ack(cancelled: bool) -> None:
    bench = StackBench()
    key, invite = _undecided(bench, cancelled)
    bench.respond(key, invite, 487)
    _disturb(bench, key, invite, ack=False)
    bench.receive(request("INVITE"))
    assert bench.statuses() == [487]
    bench.receive(_ack(branch=invite.via.branch))
    _disturb(bench, key, invite)
    bench.receive(request("INVITE"))
    assert bench.sent() == []
    assert bench.events() == []
    bench.stack.flow_closed(bench.flow, bench.now)
    assert bench.events() == []
    assert bench.idle()


@INVITE_STATES
def test_an_answer_stays_the_outcome_whatever_comes_before_and_after_its_ack(cancelled: bool) -> None:
    bench = StackBench()
    key, invite = _undecided(bench, cancelled)
    bench.respond(key, invite, 200)
    _disturb(bench, key, invite, ack=False)
    assert bench.times(0.6) == [0.5]
    bench.receive(_ack())
    assert bench.event(AckReceived).key == key
    _disturb(bench, key, invite)
    bench.receive(_ack())
    bench.receive(request("INVITE"))
    assert bench.sent() == []
    assert bench.events() == []
    bench.stack.flow_closed(bench.flow, bench.now)
    assert bench.events() == []
    assert bench.idle()


@pytest.mark.parametrize("waited", [0, 4], ids=["trying", "proceeding"])
def test_a_non_invite_request_takes_one_answer_in_each_state(waited: float) -> None:
    bench = StackBench()
    options = request()
    key = bench.take_request(options)
    bench.run(waited)
    bench.respond(key, options, 180)
    for status in (404, 200, 100, 408, 404):
        bench.respond(key, options, status)
    assert bench.statuses() == [404]
    bench.receive(request())
    assert bench.statuses() == [404]
    bench.stack.flow_closed(bench.flow, bench.now)
    assert bench.events() == []
    assert bench.idle()


@pytest.mark.parametrize("waited", [0, 4], ids=["trying", "proceeding"])
def test_a_lost_flow_is_told_while_a_non_invite_request_waits(waited: float) -> None:
    bench = StackBench()
    key = bench.take_request(request())
    bench.run(waited)
    bench.stack.flow_closed(bench.flow, bench.now)
    assert bench.event(TransportFailed).key == key
    assert bench.idle()


# --- ends


def test_a_closed_flow_ends_its_transactions_and_only_those() -> None:
    bench = StackBench(stream(number=1))
    waiting = bench.take_request(request("INVITE"))
    accepted = bench.take_request(request("INVITE", branch="z9hG4bK2", call_id="c2"))
    bench.respond(accepted, request("INVITE", call_id="c2"), 200)
    refused = bench.take_request(request("INVITE", branch="z9hG4bK3", call_id="c3"))
    bench.respond(refused, request("INVITE", call_id="c3"), 486)
    other = bench.take_request(request("INVITE", call_id="c4"), stream(number=2))
    bench.sent()
    bench.stack.flow_closed(bench.flow, bench.now)
    assert bench.events() == [TransportFailed(waiting), TransportFailed(accepted)]
    assert bench.stack.transaction_count == 1
    bench.stack.flow_closed(stream(number=2), bench.now)
    assert bench.events() == [TransportFailed(other)]
    assert bench.idle()
    assert bench.times(60) == []


@pytest.mark.parametrize("missing", ["To", "From", "Call-ID", "CSeq"])
def test_a_response_without_its_identifiers_is_not_sent(missing: str) -> None:
    bench = StackBench()
    options = request()
    key = bench.take_request(options)
    broken = create_response(options, 200)
    broken = broken.without_header(missing)
    with pytest.raises(SipError):
        bench.stack.respond(key, broken, bench.now)
    assert bench.sent() == []
    bench.respond(key, options, 200)
    assert bench.statuses() == [200]


@pytest.mark.parametrize("missing", ["To", "From", "Call-ID", "CSeq"])
def test_a_response_that_cannot_be_written_leaves_the_transaction_as_it_was(missing: str) -> None:
    bench = StackBench()
    invite = request("INVITE")
    key = bench.take_request(invite)
    broken = create_response(invite, 200, to_tag="first")
    broken = broken.without_header(missing)
    with pytest.raises(SipError):
        bench.stack.respond(key, broken, bench.now)
    mangled = create_response(invite, 200, "O\nK", to_tag="second")
    with pytest.raises(SipError):
        bench.stack.respond(key, mangled, bench.now)
    assert bench.sent() == []
    bench.respond(key, invite, 200)
    bench.receive(_ack())
    assert bench.event(AckReceived).key == key
    bench.run(40)
    assert bench.idle()


def test_a_thousand_transactions_leave_nothing_behind() -> None:
    bench = StackBench(udp(trunk="pbx"))
    for i in range(1000):
        method = ("INVITE", "OPTIONS", "BYE")[i % 3]
        message = request(method, branch=f"z9hG4bK{i}", call_id=f"c{i}")
        key = bench.take_request(message)
        if i % 7:
            bench.respond(key, message, 200 if i % 5 else 486, to_tag=f"t{i}")
        if i % 2:
            bench.receive(request("ACK", branch=f"z9hG4bK{i}" if i % 5 == 0 else "z9hG4bKx", call_id=f"c{i}"))
    bench.run(700)
    assert bench.idle()
    assert bench.stack.transaction_count == 0
    assert bench.stack.next_deadline() is None
