"""The pins survive a restart and a disk that fails, and nobody is unpinned by a crowd."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.call.run import pin_file, pins
from gateway.call.run.pins import PinStore
from gateway.policy.pins import Pinning

NOON = datetime(2030, 1, 2, 12, tzinfo=UTC)


def opened(path: Path) -> PinStore:
    store = PinStore(path)
    store.open()
    return store


@pytest.mark.asyncio
async def test_what_was_learned_is_known_after_a_restart(tmp_path: Path) -> None:
    store = opened(tmp_path / "log" / "pins.json")
    assert store.learn("pbx", NOON)
    assert store.learn("user:alice", NOON)
    await store.stop()
    again = opened(tmp_path / "log" / "pins.json")
    assert list(again.rows()) == [("pbx", NOON), ("user:alice", NOON)]
    assert again.under(Pinning()).hold("pbx", NOON + timedelta(days=90))
    assert (tmp_path / "log" / "pins.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.asyncio
async def test_a_disk_that_fails_is_tried_again_and_the_pin_holds_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins, "RETRY_SECONDS", 0.0)
    failures = [OSError(28, "No space left on device")] * 2

    def write(path: Path, seen: Mapping[str, datetime]) -> None:
        if failures:
            raise failures.pop()
        pin_file.write(path, seen)

    store = PinStore(tmp_path / "pins.json", write)
    store.learn("pbx", NOON)
    assert store.under(Pinning()).hold("pbx", NOON)
    assert await store.saved()
    assert not failures
    assert pin_file.read(tmp_path / "pins.json") == {"pbx": NOON}


@pytest.mark.asyncio
async def test_what_is_learned_while_a_write_is_under_way_is_written_after_it(tmp_path: Path) -> None:
    store = opened(tmp_path / "pins.json")
    store.learn("pbx", NOON)
    await asyncio.sleep(0)
    store.learn("other", NOON)
    assert await store.saved()
    assert set(pin_file.read(tmp_path / "pins.json")) == {"pbx", "other"}


def test_a_peer_that_is_seen_again_soon_is_not_written_again_and_a_clock_that_went_back_ages_nothing() -> None:
    store = PinStore()
    assert store.learn("pbx", NOON)
    assert not store.learn("pbx", NOON + timedelta(hours=11))
    assert not store.learn("pbx", NOON - timedelta(days=400))
    assert list(store.rows()) == [("pbx", NOON)]
    assert store.learn("pbx", NOON + timedelta(hours=12))


def test_a_crowd_of_users_unpins_nobody_and_takes_no_trunk_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "MAX_PINS", 6)
    store = PinStore()
    assert [store.learn(f"user:{number}", NOON) for number in range(5)] == [True, True, True, False, False]
    assert not store.is_news("user:4")
    assert store.learn("pbx", NOON)
    assert store.knows("user:0")
