"""What is made of the messages the gateway sees: packets, in turns, with nothing in them that should not leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.base.counters import Counter, Counters
from gateway.base.values import HostPort, Secret
from gateway.base.withholding import KeyGuard
from gateway.hep import capture as module
from gateway.hep.capture import Capture
from gateway.hep.collector import Collector
from gateway.hep.plan import HepPlan
from gateway.sip.flow import Flow
from tests.audit.test_redaction import KEY, OFFER, request
from tests.hep.decoder import HepPacket, decoded
from tests.hep.test_reports import RR, ways

FLOW = Flow(1, "wss", HostPort("192.0.2.1", 443), HostPort("198.51.100.7", 50_000))
AT = 1_900_000_000.5


class CaptureBench:
    """A capture whose turns a test gives."""

    def __init__(self, *, pseudonyms: bool = False) -> None:
        self.counters, self.guard = Counters(), KeyGuard()
        self.collector = Collector(HepPlan(host="c", port=1, capture_id=5, password=Secret("pw")), self.counters)
        self.calls: dict[str, str] = {}
        self.turns: list[Callable[[], None]] = []
        self.named: list[tuple[str, str]] = []
        self.capture = Capture(
            self.collector,
            self.counters,
            correlate=lambda call_id: self.calls.get(call_id, ""),
            called=self._called if pseudonyms else None,
            withheld=lambda text: self.guard.look("hep", text),
            clock=lambda: AT,
            soon=self.turns.append,
            monotonic=lambda: 0.0,
        )

    def _called(self, name: str, month: str) -> str:
        self.named.append((name, month))
        return "p-1"

    def turn(self) -> None:
        self.turns.pop(0)()

    def packets(self) -> list[HepPacket]:
        while self.turns:
            self.turn()
        waiting = vars(self.collector)["_waiting"]
        return [decoded(octets) for octets in waiting]


@pytest.fixture
async def bench() -> CaptureBench:
    return CaptureBench()


def test_a_message_goes_from_who_sent_it_to_who_gets_it() -> None:
    bench = CaptureBench()
    bench.capture.received(FLOW, request(), 7.0)
    bench.capture.sent(FLOW, bytes(request()), 7.0)
    received, sent = bench.packets()
    assert (received.source, received.destination) == (FLOW.remote, FLOW.local)
    assert (sent.source, sent.destination) == (FLOW.local, FLOW.remote)
    assert {(p.at, p.protocol, p.kind, p.capture_id, p.password) for p in (received, sent)} == {(AT, 6, 1, 5, "pw")}


def test_all_messages_of_a_call_have_one_correlation_and_keep_it_when_the_call_is_over() -> None:
    bench = CaptureBench()
    bench.calls = {"id:1@host": "caller@host"}
    bench.capture.received(FLOW, request(), 0.0)
    assert [p.correlation for p in bench.packets()] == ["caller@host"]
    bench.calls.clear()
    bench.capture.sent(FLOW, bytes(request()), 0.0)
    assert [p.correlation for p in bench.packets()] == ["caller@host"] * 2


def test_what_belongs_to_no_call_goes_by_its_own_call_id() -> None:
    bench = CaptureBench()
    bench.capture.received(FLOW, request(), 0.0)
    assert [p.correlation for p in bench.packets()] == ["id:1@host"]
    assert not vars(bench.capture)["_known"]


def test_a_message_costs_nothing_until_its_turn_and_one_is_made_a_turn() -> None:
    bench = CaptureBench()
    for _ in range(3):
        bench.capture.received(FLOW, request(), 0.0)
    assert (bench.collector.waiting, len(bench.turns)) == (0, 1)
    bench.turn()
    assert (bench.collector.waiting, len(bench.turns)) == (1, 1)
    assert len(bench.packets()) == 3


def test_a_flood_is_dropped_and_counted_and_not_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NOTED", 10)
    bench = CaptureBench()
    for _ in range(25):
        bench.capture.received(FLOW, request(), 0.0)
    assert bench.counters[Counter.HEP_DROPPED] == 15
    assert len(bench.packets()) == 10


def test_nothing_is_made_for_a_collector_that_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = CaptureBench()
    monkeypatch.setattr(type(bench.collector), "has_room", property(lambda _: False))
    bench.capture.received(FLOW, request(), 0.0)
    assert (bench.turns, bench.counters[Counter.HEP_DROPPED]) == ([], 1)


def test_what_cannot_be_read_is_counted_and_a_defect_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = CaptureBench()
    bench.capture.sent(FLOW, b"nothing SIP", 0.0)
    assert bench.packets() == []
    monkeypatch.setattr(module, "sip_payload", lambda *_: 1 / 0)
    for _ in range(3):
        bench.capture.received(FLOW, request(), 0.0)
    assert bench.packets() == []
    assert bench.counters[Counter.HEP_DROPPED] == 4
    assert caplog.text.count("hep cannot export a message") == 1


def test_people_are_called_as_the_log_of_that_month_calls_them() -> None:
    bench = CaptureBench(pseudonyms=True)
    bench.capture.received(FLOW, request(), 0.0)
    (packet,) = bench.packets()
    assert "alice" not in packet.text
    assert "sip:p-1@example.test" in packet.text
    assert ("alice", "2030-03") in bench.named


def test_a_key_that_redaction_let_through_is_withheld_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row gw.key_leak of the catalogue, for what leaves by this way."""
    bench = CaptureBench()
    monkeypatch.setattr(module, "sip_payload", lambda message, *_: bytes(message))
    bench.capture.received(FLOW, request(body=OFFER, kind="application/sdp"), 0.0)
    (packet,) = bench.packets()
    assert f"inline:{KEY}" not in packet.text
    assert "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***" in packet.text
    assert bench.guard.take(0.0) == [("hep", 1)]


def test_no_more_calls_are_remembered_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 5)
    bench = CaptureBench()
    bench.calls = {str(number): "one" for number in range(50)}
    for number in range(50):
        bench.capture.correlation(str(number))
    assert len(vars(bench.capture)["_known"]) == 5


def test_a_report_on_media_goes_with_its_call_and_what_reports_nothing_does_not_go() -> None:
    bench = CaptureBench()
    bench.capture.rtcp("a@x", HostPort("192.0.2.1", 4001), HostPort("198.51.100.2", 5001), RR)
    bench.capture.rtcp("a@x", HostPort("192.0.2.1", 4001), HostPort("198.51.100.2", 5001), b"\x80\xcb\0\1" + bytes(4))
    (packet,) = bench.packets()
    assert (packet.kind, packet.protocol, packet.correlation, packet.at) == (5, 17, "a@x", AT)
    assert (packet.source, packet.destination) == (HostPort("192.0.2.1", 4001), HostPort("198.51.100.2", 5001))
    assert json.loads(packet.payload)["type"] == 201


def test_what_the_ways_of_a_leg_were_like_goes_with_the_call() -> None:
    bench = CaptureBench()
    for way in ways():
        bench.capture.ended("a@x", way)
    (packet,) = bench.packets()
    assert (packet.kind, packet.correlation, json.loads(packet.payload)["MOS"]) == (34, "a@x", 4.3)


def test_a_flood_of_reports_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = CaptureBench()
    for _ in range(module.REPORTS.burst + 20):
        bench.capture.rtcp("a@x", HostPort("192.0.2.1", 1), HostPort("192.0.2.2", 2), RR)
    dropped = bench.counters[Counter.HEP_DROPPED]
    assert dropped >= 20
    assert len(bench.packets()) == module.REPORTS.burst + 20 - dropped
    monkeypatch.setattr(type(bench.collector), "has_room", property(lambda _: False))
    bench.capture.ended("a@x", ways()[0])
    assert bench.counters[Counter.HEP_DROPPED] == dropped + 1


def test_over_udp_it_is_udp() -> None:
    bench = CaptureBench()
    bench.capture.received(replace(FLOW, transport="udp"), request(), 0.0)
    assert [p.protocol for p in bench.packets()] == [17]
