"""What a description is to say: without a word on pace it asks for none."""

from __future__ import annotations

from gateway.call.legs.terms import Terms
from gateway.sdp.codecs import BROWSER_CODECS
from gateway.sdp.direction import Direction


def test_terms_without_a_pace_ask_for_none_and_are_values() -> None:
    terms = Terms(tuple(BROWSER_CODECS), Direction.SENDRECV)
    assert (terms.ptime, terms.maxptime) == (None, None)
    assert terms == Terms(tuple(BROWSER_CODECS), Direction.SENDRECV, None, None)
