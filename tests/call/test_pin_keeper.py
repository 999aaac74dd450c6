"""What an administrator sees of pins, and lets off on record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.call.run.pin_keeper import PinKeeper
from gateway.call.run.pins import PinStore
from tests.call.office import Office

NOON = datetime(2030, 1, 2, 12, tzinfo=UTC)


def opened(path: Path) -> PinStore:
    store = PinStore(path)
    store.open()
    return store


@pytest.mark.asyncio
async def test_a_cleared_pin_is_on_record_and_gone_for_good(tmp_path: Path) -> None:
    office = Office(tmp_path)
    store = opened(tmp_path / "pins.json")
    object.__setattr__(office.services, "pins", store)
    object.__setattr__(office.services, "wall", lambda: NOON + timedelta(days=1))
    keeper = PinKeeper(office.services)
    store.learn("pbx", NOON)
    store.learn("user:alice", NOON - timedelta(days=200))
    assert [(row["peer"], row["state"], row["seen_ago"]) for row in keeper.rows()] == [
        ("pbx", "held", 86400.0),
        ("user:alice", "expired", 201 * 86400.0),
    ]
    assert await keeper.clear("nobody") is None
    assert not office.audit.records
    assert await keeper.clear("pbx") is True
    assert [(r["type"], r["trunk"]) for r in office.audit.records] == [("admin.pins_cleared", "pbx")]
    assert await keeper.clear("user:alice") is True
    assert office.audit.records[-1]["user"] == "alice"
    assert list(opened(tmp_path / "pins.json").rows()) == []
