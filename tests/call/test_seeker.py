"""What a call asks of the world: each question has its answer as an event, whatever comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.base.termination import Termination
from gateway.call.run.seeker import record_peer
from tests.call.machine_scene import trunk_flow
from tests.call.office import Office

pytestmark = pytest.mark.asyncio


async def test_a_trunk_that_cannot_be_reached_is_an_answer_too(tmp_path: Path) -> None:
    office = Office(tmp_path)
    del office.sip.flows["pbx"]
    office.call()
    await office.settle()
    assert office.audit.records[-1]["termination"] == Termination.TRUNK_UNREACHABLE.slug


async def test_the_peer_of_a_connection_is_recorded_once_however_many_calls_use_it(tmp_path: Path) -> None:
    office = Office(tmp_path)
    for _ in range(3):
        record_peer(office.services, office.manager.index, "pbx", trunk_flow())
    assert office.audit.types() == ["tls.peer"]


async def test_a_connection_without_tls_has_no_peer_to_record(tmp_path: Path) -> None:
    office = Office(tmp_path)
    record_peer(office.services, office.manager.index, "old", trunk_flow("udp"))
    assert office.audit.types() == []
