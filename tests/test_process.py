"""What a gateway asks of its process: file descriptors for every share, and garbage looked for when no call waits."""

from __future__ import annotations

import gc
import logging
import resource
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import process
from tests.sites import made_site

PLAIN = {"target": "sip:192.0.2.1:5060", "security": "legacy"}


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The limits of this process, as the system would keep them."""
    kept = {"soft": 1024, "hard": 4096}

    def raised(_what: int, wanted: tuple[int, int]) -> None:
        kept["soft"], kept["hard"] = wanted

    monkeypatch.setattr(resource, "getrlimit", lambda _what: (kept["soft"], kept["hard"]))
    monkeypatch.setattr(resource, "setrlimit", raised)
    return kept


@pytest.fixture
def garbage() -> Iterator[None]:
    """The collector as it was before."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_every_share_of_connections_counts_and_each_trunk_twice() -> None:
    one = process.descriptors_wanted(made_site(trunks={"a": PLAIN}))
    two = process.descriptors_wanted(made_site(trunks={"a": PLAIN, "b": PLAIN}))
    assert (two - one, one - (two - one)) == (512, 5536)  # as docs/operations.md tells administrators


def test_the_soft_limit_becomes_the_hard_one(limits: dict[str, int], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        process.raise_file_limit(4096)
    assert limits == {"soft": 4096, "hard": 4096}
    assert caplog.text == ""


def test_a_hard_limit_below_what_is_wanted_is_told(limits: dict[str, int], caplog: pytest.LogCaptureFixture) -> None:
    process.raise_file_limit(4097)
    assert "file descriptors=4096: limits.connections may want 4097; raise LimitNOFILE" in caplog.text


def test_a_limit_that_may_not_be_raised_stops_nothing(
    limits: dict[str, int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(_what: int, _wanted: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refused)
    process.raise_file_limit(2000)
    assert "file descriptors=1024" in caplog.text
    assert limits["soft"] == 1024


@pytest.mark.usefixtures("garbage")
def test_what_the_start_made_is_left_out_of_every_later_search_for_garbage() -> None:
    process.settle_memory()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold()[0] == process.GARBAGE_AFTER


def _private_octets() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def test_memory_that_is_free_in_pieces_is_given_back_to_the_system() -> None:
    pieces: list[bytearray | None] = [bytearray(8000) for _ in range(8000)]
    kept = pieces[::50]
    pieces.clear()  # 63 MB are free between those that are kept
    before = _private_octets()
    process.return_memory()
    assert before - _private_octets() > 40_000_000
    assert len(kept) == 160


class Circle:
    """What only a search for garbage finds."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.parametrize("ended", [process.MANY_CALLS, 1], ids=["many", "few, after a time"])
def test_what_calls_leave_behind_is_looked_for_when_many_have_ended_or_some_time_has_passed(
    ended: int, garbage: None
) -> None:
    calls = 0
    keeping = process.Housekeeping(lambda: calls)
    process.settle_memory()
    left = weakref.ref(Circle())
    for _ in range(process.FEW_ROUNDS + 1):
        keeping.round()
    assert left() is not None, "nothing has ended: nothing is looked for"
    calls = ended
    keeping.round()
    assert left() is None
    calls += 1
    left = weakref.ref(Circle())
    keeping.round()
    assert left() is not None, "one call is not worth a search"
