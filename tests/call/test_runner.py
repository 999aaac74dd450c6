"""What goes wrong around one call ends that call, with its final record, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.base.errors import GatewayError, SdpError, SipError
from gateway.base.values import CALLER, LegId
from gateway.call.machine import call as b2bua
from gateway.call.machine import locate
from gateway.call.machine.effects import Purpose, SendRequest
from gateway.call.machine.state import CallState
from gateway.call.run import sender
from gateway.media import relay_events as relay
from gateway.sip.events import AckReceived, RequestReceived, RequestTimeout, TransportFailed
from gateway.sip.message import Request
from tests.call.machine_scene import BROWSER_FLOW, answer, request, sdes_answer, trunk_flow
from tests.call.office import Office

pytestmark = pytest.mark.asyncio


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def last_invite(office: Office) -> Request:
    return [r for r, _ in office.sip.sent.values() if r.method == "INVITE"][-1]


async def established(office: Office) -> None:
    office.call()
    await office.settle()
    office.reply("INVITE", 200, sdes_answer(last_invite(office).body))
    ack = request("ACK", cseq=1, to_tag="gw")
    office.manager.on_event(AckReceived("in-1", ack, BROWSER_FLOW))
    await office.settle()


def in_dialog(office: Office, method: str, cseq: int) -> Request:
    (key,) = [k for k, v in office.manager.index.dialogs.items() if v[1] == CALLER]
    found = request(method, cseq=cseq, to_tag=key[1])
    found = found.with_header("Call-ID", key[0])
    return found


def final(office: Office) -> dict[str, object]:
    (record,) = [r for r in office.audit.records if r["type"] == "call.final"]
    return dict(record)


@pytest.mark.parametrize("error", [SipError("too many", 503), SipError("cannot be written", 500)])
async def test_an_invite_that_cannot_be_sent_ends_the_call_with_500_and_a_final_record(
    office: Office, error: GatewayError
) -> None:
    office.sip.broken["INVITE"] = error
    office.call()
    await office.settle()
    assert office.statuses("in-1") == [500]
    assert final(office)["termination"] == "internal-error"
    assert office.manager.live_calls == 0
    assert "close" in office.pool.call.commands


async def test_an_ack_that_cannot_be_sent_ends_the_call_on_both_sides(office: Office) -> None:
    office.call()
    await office.settle()
    office.sip.broken["send_ack"] = SipError("cannot be written", 500)
    office.reply("INVITE", 200, sdes_answer(last_invite(office).body))
    await office.settle()
    assert final(office)["termination"] == "internal-error"
    assert "BYE" in office.methods


async def test_a_bye_that_cannot_be_sent_leaves_no_call_behind(office: Office) -> None:
    await established(office)
    office.sip.broken["BYE"] = SipError("too many", 503)
    office.request(in_dialog(office, "BYE", 2), key="bye")
    await office.settle()
    assert office.statuses("bye") == [200]
    assert final(office)["termination"] == "hangup-browser"
    assert office.manager.live_calls == 0


@pytest.mark.parametrize("error", [SipError("surprise", 400), SdpError("surprise")])
async def test_an_error_nobody_declared_ends_its_call_and_leaves_the_others(
    office: Office, monkeypatch: pytest.MonkeyPatch, error: GatewayError
) -> None:
    await established(office)

    def fail(call: CallState, event: relay.LegOpened) -> None:
        raise error

    monkeypatch.setitem(b2bua._HANDLERS, relay.LegOpened, fail)
    office.call("601", key="in-2", call_id="call-2")
    await office.settle()
    assert office.statuses("in-2") == [500]
    assert final(office)["termination"] == "internal-error"
    assert office.manager.live_calls == 1


async def test_an_error_at_the_very_start_still_gives_both_records(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(call: CallState) -> bool:
        raise SdpError("surprise")

    monkeypatch.setattr(locate, "_read_offer", fail)
    office.call()
    await office.settle()
    assert office.audit.types() == ["call.start", "call.final"]
    assert office.statuses("in-1") == [500]


async def test_the_final_record_is_written_even_when_the_relay_fails_to_close(office: Office) -> None:
    await established(office)
    office.pool.call.close_fails = OSError("worker is gone")
    office.request(in_dialog(office, "BYE", 2), key="bye")
    await office.settle()
    assert office.statuses("bye") == [200]
    assert final(office)["termination"] == "hangup-browser"


async def test_the_place_of_a_call_is_given_back_once(office: Office) -> None:
    for number in range(6):  # the office has room for two
        office.call(key=f"in-{number}", call_id=f"call-{number}")
        await office.settle()
        office.reply("INVITE", 486)
        await office.settle()
        assert office.statuses(f"in-{number}") == [486]


async def test_one_call_too_many_is_503_and_takes_no_place(office: Office) -> None:
    for number in range(4):
        office.call(key=f"in-{number}", call_id=f"call-{number}")
    await office.settle()
    assert [office.statuses(f"in-{n}") for n in range(4)] == [[], [], [503], [503]]
    office.reply("INVITE", 486)
    await office.settle()
    office.call(key="in-9", call_id="call-9")
    await office.settle()
    assert office.statuses("in-9") == []


async def test_a_long_call_keeps_no_trace_of_the_requests_inside_it(office: Office) -> None:
    """Pain 32: every per-call list has a bound."""
    await established(office)
    before = len(office.manager.index.received), len(office.services.agent)
    for cseq in range(2, 102):
        office.request(in_dialog(office, "UPDATE", cseq), key=f"refresh-{cseq}")
    await office.settle()
    assert (len(office.manager.index.received), len(office.services.agent)) == before


async def test_only_the_latest_of_our_reinvites_are_remembered(office: Office) -> None:
    await established(office)
    (found,) = office.manager.index.runners
    for _ in range(20):
        found._carry_out(SendRequest(LegId(2), last_invite(office), trunk_flow(), Purpose.REINVITE, 9))
    assert len(office.services.agent) <= sender.MAX_REINVITES_KEPT + 1


async def test_a_finished_call_leaves_nothing_in_the_index(office: Office) -> None:
    await established(office)
    office.request(in_dialog(office, "BYE", 2), key="bye")
    await office.settle()
    office.reply("BYE", 200)
    await office.settle()
    index = office.manager.index
    assert (len(office.services.agent), index.received, index.dialogs, index.runners) == (0, {}, {}, {})


async def test_a_trunk_that_closes_its_connection_while_the_browser_rings_ends_the_call(office: Office) -> None:
    """Else the browser would ring until the ring limit."""
    office.bind()
    call = inbound_invite()
    office.request(call, key="in-7", flow=trunk_flow())
    await office.settle()
    assert office.methods == ["INVITE"]
    office.manager.on_event(TransportFailed("in-7"))
    await office.settle()
    assert final(office)["termination"] == "trunk-unreachable"
    assert office.sip.cancelled == ["sent-1"]


async def test_a_browser_that_vanishes_under_its_invite_is_a_lost_flow_and_not_a_trunk(office: Office) -> None:
    office.bind()
    office.request(inbound_invite(), key="in-7", flow=trunk_flow())
    await office.settle()
    office.manager.on_event(TransportFailed("sent-1"))
    await office.settle()
    assert final(office)["termination"] == "flow-lost"
    assert office.statuses("in-7") == [480]


async def test_a_trunk_that_never_answers_is_504(office: Office) -> None:
    office.call()
    await office.settle()
    office.manager.on_event(RequestTimeout("sent-1"))
    await office.settle()
    assert office.statuses("in-1") == [504]
    assert final(office)["termination"] == "trunk-silent"


async def test_events_of_unknown_transactions_are_nothing(office: Office) -> None:
    for event in (RequestTimeout("x"), TransportFailed("x"), AckReceived("x", request("ACK"), BROWSER_FLOW)):
        office.manager.on_event(event)
    assert office.audit.types() == []


def inbound_invite() -> Request:
    key = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "B" * 40
    found = request("INVITE", answer("RTP/SAVP", key), extra=())
    found = found.with_header("From", "<sip:4711@pbx.example>;tag=pbx")
    return Request("INVITE", "sip:100@127.0.0.1", found.headers, found.body)


async def test_the_manager_is_not_stopped_by_a_request_it_cannot_serve(office: Office) -> None:
    broken = request("INVITE")
    office.manager.on_event(RequestReceived("odd", Request("INVITE", "bogus:1", broken.headers), BROWSER_FLOW))
    assert office.statuses("odd") == [416]


async def test_lost_media_is_in_the_log_with_the_id_of_the_call(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    await established(office)
    (call,) = office.manager.index.runners
    call.feed(relay.MediaUnsent(LegId(2), "srtp_unsendable"))
    (line,) = [r for r in caplog.records if r.levelname == "WARNING" and "media is lost" in r.getMessage()]
    assert line.getMessage() == f"call={call.id} leg=trunk media is lost: srtp_unsendable"
