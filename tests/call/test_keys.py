"""The keys of a trunk leg: which are made, which are kept, and which are known again."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest

from gateway.base.crypto_suite import EVERY_SUITE, SUITES
from gateway.base.errors import SdpError
from gateway.base.keying import Keying
from gateway.base.values import HostPort, Secret
from gateway.call.legs import keys
from gateway.call.legs.keys import MAX_KEYS_REMEMBERED, NO_KEYS
from gateway.sdp.description import SessionDescription
from gateway.sdp.keying import CryptoAttribute
from gateway.sdp.media import read_audio
from tests.call.machine_scene import answer

LINE = read_audio(SessionDescription.parse(answer()))
HERE, THERE = HostPort("192.0.2.1", 4000), HostPort("192.0.2.1", 4002)


def source() -> keys.KeySource:
    numbers = count(1)
    return lambda length: bytes([next(numbers)]) * length


def crypto(number: int, suite: int = 0, tag: int = 1) -> CryptoAttribute:
    """A line of the peer."""
    return CryptoAttribute(tag, SUITES[suite].name, Secret(bytes([number]) * SUITES[suite].master_length))


def test_each_suite_is_offered_with_a_key_of_its_own_the_best_first() -> None:
    made = keys.fresh(SUITES, source())
    assert [line.suite for line in made] == [suite.name for suite in SUITES]
    assert [line.tag for line in made] == [1, 2, 4, 3]
    assert [line.tag for line in keys.fresh(SUITES[2:], source())] == [4, 3], "a tag means the same in every call"
    assert keys.TAGS.keys() == set(EVERY_SUITE)
    assert len({line.key.reveal() for line in made}) == len(SUITES)


def test_without_randomness_there_is_no_key() -> None:
    with pytest.raises(SdpError):
        keys.fresh(SUITES, None)
    with pytest.raises(SdpError):
        keys.accept(crypto(9), LINE, None, None)


def test_an_accepted_line_is_answered_by_its_tag_and_suite_with_a_key_of_ours() -> None:
    agreed = keys.accept(crypto(9, tag=7), LINE, None, source())
    assert agreed.keying is Keying.SDES
    assert agreed.remote == crypto(9, tag=7)
    assert agreed.local is not None
    assert (agreed.local.tag, agreed.local.suite) == (7, SUITES[0].name)
    assert not agreed.local.same_master_key(crypto(9))


def test_our_key_is_kept_while_its_suite_stays() -> None:
    made = source()
    first = keys.accept(crypto(9), LINE, None, made)
    again, other = (keys.accept(line, LINE, first.local, made) for line in (crypto(8), crypto(8, suite=1)))
    ours = [agreed.local.key.reveal() for agreed in (first, again, other) if agreed.local is not None]
    assert (ours[1] == ours[0], ours[2] == ours[0], len(ours)) == (True, False, 3)


def test_keys_are_new_when_neither_side_uses_one_of_before() -> None:
    made = source()
    first = keys.accept(crypto(9), LINE, None, made)
    ours = keys.accept(crypto(9), LINE, None, made)
    theirs = keys.accept(crypto(8), LINE, first.local, made)
    both = keys.accept(crypto(8), LINE, None, made)
    assert [keys.are_new(now, first) for now in (first, ours, theirs, both)] == [False, False, False, True]


def test_a_renewed_line_has_the_tag_and_suite_it_had() -> None:
    line = crypto(9, tag=7)
    again = keys.renewed(line, source())
    assert (again.tag, again.suite) == (line.tag, line.suite)
    assert not again.same_master_key(line)


def test_a_line_without_keys_makes_no_key_and_says_what_was_wrong_with_those_it_had() -> None:
    agreed = keys.accept(None, LINE, None, None)
    assert (agreed.keying, agreed.local, agreed.remote) == (Keying.NONE, None, None)
    assert tuple(agreed.noted) == tuple(LINE.crypto_problems)


def test_a_key_of_ours_that_comes_back_is_known() -> None:
    seen = NO_KEYS.with_ours((crypto(1), crypto(2)))
    assert seen.echoes(replace(crypto(2), tag=5))
    assert not seen.echoes(crypto(3))


def test_a_key_of_the_peer_is_its_own_at_one_address_only() -> None:
    seen = NO_KEYS.with_theirs(crypto(1), HERE)
    assert not seen.used_elsewhere(crypto(1), HERE)
    assert seen.used_elsewhere(crypto(1), THERE)
    assert not seen.used_elsewhere(crypto(1), None)
    assert not seen.used_elsewhere(crypto(2), THERE)


def test_what_is_remembered_has_an_end_and_the_oldest_is_forgotten() -> None:
    seen = NO_KEYS
    for number in range(MAX_KEYS_REMEMBERED + 1):
        seen = seen.with_ours((crypto(number),)).with_theirs(crypto(100 + number), HERE)
    assert (len(seen.ours), len(seen.theirs)) == (MAX_KEYS_REMEMBERED, MAX_KEYS_REMEMBERED)
    assert not seen.echoes(crypto(0))
    assert seen.echoes(crypto(MAX_KEYS_REMEMBERED))


def test_the_text_of_what_was_seen_shows_no_key() -> None:
    seen = NO_KEYS.with_ours((crypto(65),)).with_theirs(crypto(66), HERE)
    assert "AAAA" not in repr(seen)
    assert "BBBB" not in repr(seen)
