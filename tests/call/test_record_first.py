"""A record comes before the action it describes: effects wait for the log, those of this call and no others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from gateway.base.crypto_suite import AEAD_AES_128_GCM
from gateway.base.values import CALLER, HostPort, LegId
from gateway.call.machine.events import DtlsConnected
from gateway.call.run import runner
from gateway.media.relay_events import SourceLearned
from gateway.sip.events import AckReceived
from tests.call.machine_scene import BROWSER_FLOW, request, sdes_answer
from tests.call.office import Audit, Office
from tests.call.test_runner import final, in_dialog, last_invite

pytestmark = pytest.mark.asyncio


class SlowAudit(Audit):
    """A log that writes nothing until `write_all`; then everything is written, or policy lets it go on without."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Callable[[bool], None]] = []
        self.slow = True

    def write(self, record: Mapping[str, object], then: Callable[[bool], None] | None = None) -> None:
        self.records.append(record)
        if then is not None and self.slow:
            self.waiting.append(then)
        elif then is not None:
            then(True)

    def write_all(self, *, written: bool = True) -> None:
        waiting, self.waiting = self.waiting, []
        for then in waiting:
            then(written)


@pytest.fixture
def audit() -> SlowAudit:
    return SlowAudit()


@pytest.fixture
def office(tmp_path: Path, audit: SlowAudit) -> Office:
    return Office(tmp_path, audit)


async def established(office: Office, audit: SlowAudit) -> None:
    audit.slow = False
    audit.write_all()
    office.call()
    await office.settle()
    office.reply("INVITE", 200, sdes_answer(last_invite(office).body))
    office.manager.on_event(AckReceived("in-1", request("ACK", cseq=1, to_tag="gw"), BROWSER_FLOW))
    next(iter(office.manager.index.runners)).feed(DtlsConnected(CALLER, AEAD_AES_128_GCM, "DTLSv1.2", "sha-256"))
    await office.settle()
    audit.slow = True


async def test_nothing_of_a_call_happens_before_its_start_is_recorded(office: Office, audit: SlowAudit) -> None:
    office.call()
    await office.settle()
    assert audit.types() == ["call.start"]
    assert (office.methods, office.pool.opened) == ([], 0)
    audit.write_all()
    await office.settle()
    assert office.methods == ["INVITE"]


async def test_a_start_that_policy_lets_go_on_without_is_no_hindrance(office: Office, audit: SlowAudit) -> None:
    office.call()
    audit.write_all(written=False)
    await office.settle()
    assert office.methods == ["INVITE"]


async def test_a_start_that_could_not_be_recorded_is_refused_where_policy_wants_that(
    office: Office, audit: SlowAudit
) -> None:
    office.call()
    audit.accepting_calls = False
    audit.write_all(written=False)
    audit.slow = False
    audit.write_all()
    await office.settle()
    assert office.statuses("in-1") == [503]
    assert final(office)["termination"] == "audit-unavailable"


async def test_a_retry_without_encryption_waits_for_its_record(office: Office, audit: SlowAudit) -> None:
    audit.slow = False
    office.call("800")
    await office.settle()
    audit.slow = True
    office.reply("INVITE", 488)
    await office.settle()
    assert audit.types()[-1] == "leg.downgraded"
    assert office.methods == ["INVITE"]
    audit.write_all()
    await office.settle()
    assert office.methods == ["INVITE", "INVITE"]


async def test_an_answer_waits_for_the_record_of_its_leg(office: Office, audit: SlowAudit) -> None:
    audit.slow = False
    office.call()
    await office.settle()
    audit.slow = True
    office.reply("INVITE", 200, sdes_answer(last_invite(office).body))
    await office.settle()
    assert "leg.secured" in audit.types()
    assert 200 not in office.statuses("in-1")
    assert "SetKeys" not in office.pool.call.commands
    audit.write_all()
    await office.settle()
    assert 200 in office.statuses("in-1")
    assert "SetKeys" in office.pool.call.commands


async def test_a_refused_answer_is_recorded_before_the_peer_is_told(office: Office, audit: SlowAudit) -> None:
    audit.slow = False
    office.call()
    await office.settle()
    audit.slow = True
    office.reply("INVITE", 200, sdes_answer(last_invite(office).body).replace(b"a=crypto", b"a=x-crypto"))
    await office.settle()
    assert "leg.violation" in audit.types()
    assert (office.statuses("in-1"), "BYE" in office.methods) == ([], False)
    while audit.waiting:
        audit.write_all()
        await office.settle()
    assert office.statuses("in-1") == [488]
    assert "BYE" in office.methods


async def test_the_end_is_recorded_before_the_other_side_hears_of_it(office: Office, audit: SlowAudit) -> None:
    await established(office, audit)
    office.request(in_dialog(office, "BYE", 2), key="bye")
    await office.settle()
    assert office.statuses("bye") == [200], "who hung up need not wait"
    assert audit.types()[-1] == "call.final"
    assert "BYE" not in office.methods
    audit.write_all()
    await office.settle()
    assert "BYE" in office.methods


async def test_another_call_goes_on_while_one_waits_for_its_record(office: Office, audit: SlowAudit) -> None:
    await established(office, audit)
    office.call("601", key="in-2", call_id="call-2")
    await office.settle()
    assert audit.waiting
    office.request(in_dialog(office, "UPDATE", 2), key="refresh")
    await office.settle()
    assert office.statuses("refresh") == [200]


async def test_what_comes_in_while_a_record_is_waited_for_is_not_lost_and_keeps_its_order(
    office: Office, audit: SlowAudit
) -> None:
    await established(office, audit)
    office.request(in_dialog(office, "BYE", 2), key="bye")
    office.request(in_dialog(office, "OPTIONS", 3), key="later")
    await office.settle()
    audit.write_all()
    await office.settle()
    assert [key for key, _ in office.sip.answers if key in ("bye", "later")] == ["bye", "later"]


async def test_what_waits_for_a_record_has_a_limit(office: Office, audit: SlowAudit) -> None:
    office.call()
    await office.settle()
    (found,) = office.manager.index.runners
    for number in range(10 * runner.MAX_QUEUED_EVENTS):
        found.feed(SourceLearned(LegId(2), HostPort("192.0.2.9", 1 + number), HostPort("192.0.2.9", 1)))
    assert len(found._events) == runner.MAX_QUEUED_EVENTS


async def test_the_shutdown_waits_for_the_final_records(office: Office, audit: SlowAudit) -> None:
    await established(office, audit)
    stopping = asyncio.create_task(office.manager.stop())
    await office.settle()
    assert not stopping.done()
    audit.write_all()
    await asyncio.wait_for(stopping, 5)
    assert final(office)["termination"] == "shutdown"
    assert office.methods.count("BYE") >= 1
