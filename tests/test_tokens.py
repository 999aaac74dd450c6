"""The tokens of the gateway: branches, tags and nonces that nobody can guess."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway import randomness


@pytest.mark.parametrize("length", [0, 1, 10, 24, 1000])
def test_a_token_has_the_length_and_the_letters_asked_for(length: int) -> None:
    token = randomness.random_token(length)
    assert len(token) == length
    assert set(token.encode()) <= set(randomness.TOKEN_ALPHABET)
    assert length < 10 or token != randomness.random_token(length)


def test_each_letter_of_a_token_is_as_likely_as_every_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.randomness.secrets.token_bytes", lambda _count: bytes(range(256)))
    assert set(Counter(randomness.random_token(252)).values()) == {7}


def test_octets_that_would_favour_a_letter_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = iter([b"\xfc\xff\xfe\xfd", b"\x00\x01\x02\x03"])
    monkeypatch.setattr("gateway.randomness.secrets.token_bytes", lambda _count: next(draws))
    assert randomness.random_token(2) == "ab"
