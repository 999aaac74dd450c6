"""Who was called before: read leniently, written anew, and told to nobody who must not know."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call.legs.earlier import (
    MAX_ENTRIES,
    Addressing,
    diversions,
    history,
    write_diversions,
    write_history,
)
from gateway.call.legs.party import Reading
from gateway.routing.e164 import Home, NumberFormat
from gateway.sip.address import NameAddr
from gateway.sip.message import Headers, Request

HOME = Home("49")
READING = Reading("example.test", HOME.international)
STRANGER = Addressing("gw.example", trusted=False, write=lambda number: HOME.written(number, NumberFormat.NATIONAL))
FRIEND = Addressing("gw.example", trusted=True)


def said(header: str, *values: str) -> Request:
    return Request("INVITE", "sip:100@gw", Headers.received([(header, value) for value in values]))


def diverted(*values: str, to: Addressing = STRANGER, private: bool = False) -> list[str]:
    entries = diversions(said("Diversion", *values), READING, private=private)
    return [value for _, value in write_diversions(entries, to)]


def recorded(*values: str, to: Addressing = STRANGER, private: bool = False) -> list[str]:
    entries = history(said("History-Info", *values), READING, private=private)
    return [value for _, value in write_history(entries, to)]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (
            "<tel:+49300>;reason=unconditional;counter=1;privacy=off",
            "<sip:0300@gw.example>;reason=unconditional;counter=1",
        ),
        ('"Bob" <sip:03099@10.0.0.1:5070;user=phone>;reason=User-Busy', "<sip:03099@gw.example>;reason=user-busy"),
        ("<sip:03099@x>;reason=because;counter=x", "<sip:03099@gw.example>;reason=unknown"),
        ("<sip:03099@x>;counter=999;screen=yes;limit=3", "<sip:03099@gw.example>;reason=unknown;counter=100"),
        ("<sip:bob@x>;reason=deflection", "<sip:bob@gw.example>;reason=deflection"),
        ("<sip:+33123@x>", "<sip:0033123@gw.example>;reason=unknown"),
    ],
)
def test_a_diversion_is_written_anew(value: str, written: str) -> None:
    assert diverted(value) == [written]


@pytest.mark.parametrize("value", ["garbage", "<sip:x%20y@z>", '"open <sip:1@x>', "<http://x/>", ""])
def test_a_diversion_that_names_no_number_is_left_out(value: str) -> None:
    assert diverted(value) == []


@pytest.mark.parametrize("privacy", ["full", "uri", "name", '"full"', "FULL"])
def test_a_private_diversion_is_told_to_a_trusted_trunk_alone(privacy: str) -> None:
    value = f"<sip:03099@x>;reason=no-answer;privacy={privacy}"
    assert diverted(value) == []
    assert diverted(value, to=FRIEND) == ["<sip:+493099@gw.example>;reason=no-answer;privacy=full"]
    assert diverted("<sip:03099@x>", private=True) == []


def test_the_order_stays_and_few_are_kept() -> None:
    many = [f"<sip:0{n}@x>, <sip:0{n}1@x>" for n in range(10, 30)]
    found = diverted(*many)
    assert found[:2] == ["<sip:010@gw.example>;reason=unknown", "<sip:0101@gw.example>;reason=unknown"]
    assert len(found) == MAX_ENTRIES


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("<sip:03099@10.0.0.1>;index=1", "<sip:03099@gw.example>;index=1"),
        ('"Bob" <sip:03099@x;user=phone>;index=1.1;rc=1;foo=bar', "<sip:03099@gw.example>;index=1.1;rc=1"),
        (
            "<sip:03099@x?Reason=SIP%3Bcause%3D302%3Btext%3D%22secret%20host%22>;index=1.2;mp=1",
            "<sip:03099@gw.example?Reason=SIP%3Bcause%3D302>;index=1.2;mp=1",
        ),
        ("<sip:03099@x?Route=evil&Reason=nonsense>;index=1", "<sip:03099@gw.example>;index=1"),
        ("<sip:x%20y@z>;index=1", "<sip:anonymous@anonymous.invalid>;index=1"),
    ],
)
def test_a_history_is_written_anew(value: str, written: str) -> None:
    assert recorded(value) == [written]


@pytest.mark.parametrize("index", ["", ";index=", ";index=a", ";index", f";index={'1.' * 20}", ';index="1"'])
def test_an_entry_without_a_place_is_left_out(index: str) -> None:
    assert recorded(f"<sip:03099@x>{index}") == (
        [] if index != ";index=1;index" else ["<sip:03099@gw.example>;index=1"]
    )


def test_a_private_entry_is_anonymous_so_that_places_stay_countable() -> None:
    values = ("<sip:03099@x?Privacy=history>;index=1", "<sip:03088@x>;index=1.1")
    assert recorded(*values) == ["<sip:anonymous@anonymous.invalid>;index=1", "<sip:03088@gw.example>;index=1.1"]
    assert recorded(*values, to=FRIEND) == [
        "<sip:+493099@gw.example?Privacy=history>;index=1",
        "<sip:+493088@gw.example>;index=1.1",
    ]
    assert recorded("<sip:03099@x>;index=1", private=True) == ["<sip:anonymous@anonymous.invalid>;index=1"]


@given(st.text(max_size=60), st.sampled_from([STRANGER, FRIEND]))
def test_whatever_is_sent_what_is_written_can_be_read_and_names_no_host_of_theirs(text: str, to: Addressing) -> None:
    line = "".join(char for char in text if char.isprintable())
    for value in (line, f"<sip:{line}@evil.example>;index=1;reason={line}", f"<sip:1@x?Reason={line}>;index=1"):
        for written in (*diverted(value, to=to), *recorded(value, to=to)):
            found = NameAddr.parse(written)
            assert found.uri.host in ("gw.example", "anonymous.invalid")
            assert "\n" not in written
