"""The names a session answers to, as arithmetic."""

from __future__ import annotations

from gateway.media.worker.credentials import Credentials


def test_the_name_in_use_and_one_more_are_kept_whatever_comes() -> None:
    names = Credentials("a", b"1")
    assert names.restart("b", b"2") == []
    assert names.restart("c", b"3") == ["b"]
    assert names.nominated("a") == []
    assert names.names == ("a", "c")
    assert names.nominated("c") == ["a"]
    assert [(name, names.password(name)) for name in names.names] == [("c", b"3")]
    assert names.nominated("c") == []


def test_who_starts_over_answers_to_the_new_name_alone() -> None:
    names = Credentials("a", b"1")
    names.restart("b", b"2")
    assert names.start_over("c", b"3") == ["a", "b"]
    assert names.names == ("c",)
