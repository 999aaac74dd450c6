"""The paths to a browser: validation, nomination and consent."""

from __future__ import annotations

from gateway.media.worker.counters import RateLimit
from gateway.media.worker.paths import MAX_PATHS, BrowserPaths


def _paths() -> BrowserPaths[str]:
    return BrowserPaths(30.0)


def _where(paths: BrowserPaths[str]) -> tuple[str | None, str | None]:
    """Where media and DTLS go."""
    return paths.nominated, paths.for_dtls


def test_media_waits_for_nomination_and_dtls_does_not() -> None:
    paths = _paths()
    paths.confirm("a", False, 0.0)
    paths.confirm("b", False, 0.1)
    assert _where(paths) == (None, "a")
    paths.confirm("b", True, 0.2)
    assert _where(paths) == ("b", "b")


def test_the_latest_nomination_wins() -> None:
    paths = _paths()
    paths.confirm("a", True, 0.0)
    paths.confirm("b", True, 1.0)
    paths.confirm("a", False, 2.0)
    assert paths.nominated == "b"


def test_without_a_check_there_is_no_consent_to_lose() -> None:
    paths = _paths()
    assert paths.expire(1e6) == []
    assert not paths.lost


def test_consent_is_lost_thirty_seconds_after_the_last_check_rfc_7675() -> None:
    paths = _paths()
    paths.confirm("a", True, 0.0)
    paths.confirm("a", False, 20.0)
    assert paths.expire(49.9) == []
    assert _where(paths) == ("a", "a")
    assert paths.expire(50.0) == ["a"]
    assert paths.lost
    assert _where(paths) == (None, None)


def test_consent_is_kept_per_path() -> None:
    paths = _paths()
    paths.confirm("a", True, 0.0)
    paths.confirm("b", False, 20.0)
    assert paths.expire(30.0) == ["a"]
    assert not paths.lost
    assert paths.nominated is None


def test_the_number_of_paths_is_bounded_and_the_nominated_one_stays() -> None:
    paths = _paths()
    paths.confirm("nominated", True, 0.0)
    evicted = [paths.confirm(f"p{n}", False, 1.0 + n) for n in range(MAX_PATHS + 2)]
    assert evicted == [None] * (MAX_PATHS - 1) + ["p0", "p1", "p2"]
    assert paths.nominated == "nominated"
    assert len(paths.clear()) == MAX_PATHS


def test_a_path_given_to_another_session_is_no_longer_sent_to() -> None:
    paths = _paths()
    paths.confirm("a", True, 5.0)
    assert paths.checked_since("a", 5.0)
    assert not paths.checked_since("a", 5.1)
    assert not paths.checked_since("b", 0.0)
    paths.drop("a")
    paths.drop("b")
    assert paths.nominated is None
    assert not paths.checked_since("a", 0.0)


def test_a_rate_limit_counts_by_the_second() -> None:
    limit = RateLimit(2)
    assert [limit.allows(10.0) for _ in range(3)] == [True, True, False]
    assert not limit.allows(10.99)
    assert limit.allows(11.0)


def test_a_restart_after_consent_was_lost_begins_without_any_path() -> None:
    paths = _paths()
    paths.confirm("a", True, 0.0)
    paths.expire(30.0)
    assert (paths.lost, paths.revive()) == (True, [])
    assert (paths.lost, paths.known, paths.for_dtls) == (False, False, None)
    assert paths.expire(90.0) == []
    assert not paths.lost, "nobody has consented again, so nothing can be lost again"
    paths.confirm("b", True, 91.0)
    assert paths.nominated == "b"
