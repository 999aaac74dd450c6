"""An error nobody foresaw ends the call it happened in, with its record, and touches no other call or connection."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from gateway.base.values import CALLER, NO_LEG, HostPort
from gateway.call.admission import Admission
from gateway.call.machine import call as b2bua
from gateway.call.machine import events, security
from gateway.call.machine import final as final_machine
from gateway.call.machine.call import Call
from gateway.call.machine.effects import Timer
from gateway.call.run.edge import attempt
from gateway.media import relay_events as relay
from gateway.media.relay_events import LegOpened
from gateway.sip.events import RequestReceived
from tests.call.machine_scene import BROWSER_FLOW, request
from tests.call.office import Office, invite
from tests.call.test_record_first import SlowAudit
from tests.call.test_runner import established, final, in_dialog, last_invite

pytestmark = pytest.mark.asyncio

UNFORESEEN = [
    ValueError("v"),
    KeyError("k"),
    TypeError("t"),
    AttributeError("a"),
    RecursionError("r"),
    OSError(5, "io"),
]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def broken(error: Exception) -> Any:
    def fail(*_args: object, **_named: object) -> None:
        raise error

    return fail


def one_traceback(caplog: pytest.LogCaptureFixture) -> bool:
    return [bool(r.exc_info) for r in caplog.records if r.levelno >= logging.ERROR].count(True) == 1


async def test_what_is_not_an_error_passes_the_edge() -> None:
    with pytest.raises(KeyboardInterrupt):
        attempt(broken(KeyboardInterrupt()))  # type: ignore[arg-type]
    with pytest.raises(asyncio.CancelledError):
        attempt(broken(asyncio.CancelledError()))  # type: ignore[arg-type]


@pytest.mark.parametrize("error", UNFORESEEN, ids=lambda e: type(e).__name__)
async def test_a_decision_that_fails_ends_its_call_alone(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    await established(office)
    monkeypatch.setitem(b2bua._HANDLERS, LegOpened, broken(error))
    office.call("601", key="in-2", call_id="call-2")
    await office.settle()
    assert office.statuses("in-2") == [500]
    assert final(office)["termination"] == "internal-error"
    assert one_traceback(caplog)
    assert office.manager.live_calls == 1
    office.request(in_dialog(office, "OPTIONS", 2), key="alive")
    assert office.statuses("alive") == [200]


@pytest.mark.parametrize("method", ["BYE", "UPDATE", "OPTIONS"])
async def test_a_request_that_breaks_an_established_call_ends_it_on_both_sides(
    office: Office, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    await established(office)
    monkeypatch.setitem(b2bua._HANDLERS, events.RequestIn, broken(KeyError("unforeseen")))
    office.request(in_dialog(office, method, 2), key="breaks")
    await office.settle()
    assert final(office)["termination"] == "internal-error"
    assert office.methods.count("BYE") == 2


@pytest.mark.parametrize("seam", ["send_ack", "send_request", "respond"])
async def test_an_effect_that_fails_ends_its_call_alone(
    office: Office, monkeypatch: pytest.MonkeyPatch, seam: str
) -> None:
    await established(office)
    office.call("601", key="in-2", call_id="call-2")
    await office.settle()
    real = getattr(office.sip, seam)
    monkeypatch.setattr(office.sip, seam, broken(ValueError("unforeseen")))
    office.reply("INVITE", 200, b"no description" if seam == "respond" else last_invite(office).body)
    await office.settle()
    monkeypatch.setattr(office.sip, seam, real)
    ends = [r["call_uid"] for r in office.audit.records if r["type"] == "call.final"]
    assert len(ends) == 1
    assert office.manager.live_calls >= 1
    office.request(in_dialog_of_first(office), key="alive")
    assert office.statuses("alive") == [200]


def in_dialog_of_first(office: Office) -> Any:
    """OPTIONS inside the call that was established first."""
    keys = [k for k, v in office.manager.index.dialogs.items() if k[0] == "call-1"]
    found = request("OPTIONS", cseq=9, to_tag=keys[0][1])
    found = found.with_header("Call-ID", keys[0][0])
    return found


async def test_a_timer_that_fails_ends_its_call(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    await established(office)
    (found,) = office.manager.index.runners
    monkeypatch.setitem(b2bua._HANDLERS, events.TimerFired, broken(TypeError("unforeseen")))
    found._clocks._ran_out((Timer.GLARE, NO_LEG))
    await office.settle()
    assert final(office)["termination"] == "internal-error"


async def test_a_task_that_fails_ends_its_call(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office.sip, "connect", broken(KeyError("unforeseen")))
    office.call()
    await office.settle()
    assert office.statuses("in-1") == [500]
    assert final(office)["termination"] == "internal-error"
    assert office.manager.live_calls == 0


@pytest.mark.parametrize(
    "event",
    [relay.DtlsReceived(CALLER, b"\x16\xfe\xfd"), relay.IceValidated(CALLER, HostPort("192.0.2.7", 9))],
    ids=lambda e: type(e).__name__,
)
async def test_a_handshake_that_fails_as_nobody_foresaw_ends_its_call_and_not_the_relays_reader(
    office: Office, monkeypatch: pytest.MonkeyPatch, event: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await established(office)
    (found,) = office.manager.index.runners
    monkeypatch.setattr("gateway.webrtc.dtls.DtlsEndpoint.receive", broken(ValueError("unforeseen")))
    monkeypatch.setattr("gateway.webrtc.dtls.DtlsEndpoint.start", broken(ValueError("unforeseen")))
    found.media._relay_event(event)
    await office.settle()
    assert final(office)["termination"] == "internal-error"
    assert one_traceback(caplog)


async def test_a_handshake_timer_that_fails_ends_its_call(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    await established(office)
    (found,) = office.manager.index.runners
    monkeypatch.setattr("gateway.webrtc.dtls.DtlsEndpoint.handle_timer", broken(ValueError("unforeseen")))
    (running,) = found.media._handshakes._running.values()
    found.media._guarded(running.handshake.handle_timer)
    await office.settle()
    assert final(office)["termination"] == "internal-error"


async def test_a_call_that_cannot_even_end_is_ended_without_being_asked(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await established(office)
    monkeypatch.setattr(Call, "handle", broken(KeyError("unforeseen")))
    monkeypatch.setattr(Call, "fail", broken(KeyError("unforeseen too")))
    office.request(in_dialog(office, "OPTIONS", 2), key="breaks")
    await office.settle()
    assert final(office)["termination"] == "internal-error"
    assert office.manager.live_calls == 0
    assert "close" in office.pool.call.commands


async def test_a_call_that_breaks_after_its_end_has_no_second_one(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await established(office)
    office.request(in_dialog(office, "BYE", 2), key="bye")
    await office.settle()
    monkeypatch.setattr(Call, "handle", broken(KeyError("unforeseen")))
    monkeypatch.setattr(Call, "fail", broken(KeyError("unforeseen too")))
    office.reply("BYE", 200)
    await office.settle()
    assert final(office)["termination"] == "hangup-browser"
    assert office.manager.live_calls == 0


@pytest.mark.parametrize("where", [(final_machine, "call_final"), (security, "info")], ids=["builder", "facts"])
async def test_a_call_that_cannot_be_described_has_one_end_all_the_same(
    office: Office, monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str]
) -> None:
    await established(office)
    monkeypatch.setattr(*where, broken(KeyError("unforeseen")))
    office.request(in_dialog(office, "BYE", 2), key="bye")
    await office.settle()
    found = final(office)
    assert (found["termination"], found["grade_worst"]) == ("internal-error", None)
    assert found["call_uid"] == next(r["call_uid"] for r in office.audit.records if r["type"] == "call.start")
    office.reply("BYE", 200)
    await office.settle()
    assert office.manager.live_calls == 0


async def test_a_call_that_breaks_at_every_message_fills_no_log_with_tracebacks(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await established(office)
    (found,) = office.manager.index.runners
    monkeypatch.setattr(Call, "handle", broken(KeyError("unforeseen")))
    for _ in range(20):
        found.feed(events.TimerFired(Timer.GLARE))
    await office.settle()
    assert one_traceback(caplog)


async def test_a_message_that_breaks_the_manager_is_500_and_nothing_else(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await established(office)
    with monkeypatch.context() as patch:
        patch.setattr(Admission, "admit", broken(KeyError("unforeseen")))
        office.manager.on_event(RequestReceived("odd", invite("601", call_id="odd"), BROWSER_FLOW))
        assert office.statuses("odd") == [500]
        assert one_traceback(caplog)
    office.call("601", key="in-2", call_id="call-2")
    await office.settle()
    assert office.manager.live_calls == 2


# --- the end of the gateway


async def test_a_stopping_gateway_takes_no_new_call(office: Office) -> None:
    await established(office)
    await office.manager.stop()
    before = office.audit.types().count("call.start")
    office.call("601", key="late", call_id="late")
    await office.settle()
    assert office.statuses("late") == [503]
    assert office.audit.types().count("call.start") == before
    office.request(request("OPTIONS"), key="options")
    assert office.statuses("options") == [200]


async def test_a_call_that_comes_while_the_others_are_ended_is_not_taken(tmp_path: Path) -> None:
    audit = SlowAudit()
    audit.slow = False
    office = Office(tmp_path, audit)
    await established(office)
    audit.slow = True
    stopping = asyncio.create_task(office.manager.stop())
    await office.settle()
    office.call("601", key="late", call_id="late")
    assert office.statuses("late") == [503]
    audit.slow = False
    audit.write_all()
    await asyncio.wait_for(stopping, 5)


async def test_a_stopping_gateway_waits_for_a_call_that_waits_for_its_first_record(tmp_path: Path) -> None:
    audit = SlowAudit()
    office = Office(tmp_path, audit)
    office.call()
    stopping = asyncio.create_task(office.manager.stop())
    await office.settle()
    assert not stopping.done()
    audit.slow = False
    audit.write_all()
    await asyncio.wait_for(stopping, 5)
    assert final(office)["termination"] == "shutdown"
    assert office.statuses("in-1") == [503]
