"""Transfers among real phones without a gateway: what each of them does by itself, and how the gap is heard.

These hold the rig: when a transfer through the gateway fails, they say whether the phones still do their part.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig.audio import write_tone
from tests.rig.handover import HandOver
from tests.rig.phone import Phone
from tests.rig.ports import free_sip_port

pytestmark = pytest.mark.interop

HOST = "127.0.2.1"
TONES = {"alice": 440.0, "bob": 700.0, "carol": 1000.0}
TALK_SECONDS = 1.5


class Party:
    """A pjsua2 phone that plays its tone to every call and records all it hears, with the silence between."""

    def __init__(self, directory: Path, name: str, **options: Any) -> None:
        self.hertz = TONES[name]
        self.port = free_sip_port(HOST)
        tone = write_tone(directory / f"{name}-tone.wav", self.hertz, rate=16000, seconds=20)
        self.phone = Phone(
            directory, name, host=HOST, port=self.port, user=name, play=tone, timeline=True, **options
        ).start()

    @property
    def uri(self) -> str:
        return f"sip:anybody@{HOST}:{self.port}"

    def heard(self) -> HandOver:
        """Ends the phone and listens to what it recorded."""
        return self.phone.heard(*TONES.values())


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Callable[..., Party]]:
    started: list[Party] = []

    def start(name: str, **options: Any) -> Party:
        made = Party(tmp_path, name, **options)
        started.append(made)
        return made

    yield start
    for made in started:
        made.phone.stop()


def talk() -> None:
    """Let the tones run, as people do."""
    time.sleep(TALK_SECONDS)


def test_a_blind_transfer_hands_the_call_on_and_tells_how_it_went(party: Callable[..., Party]) -> None:
    alice, bob, carol = (party(name) for name in TONES)
    alice.phone.do("call", uri=bob.uri)
    alice.phone.wait("media")
    talk()
    alice.phone.do("xfer", uri=carol.uri)
    bob.phone.wait("refer", uri=carol.uri)
    alice.phone.wait("transfer", status=200, final=True)
    alice.phone.wait("state", text="DISCONNECTED", call=0)
    bob.phone.wait("state", text="CONFIRMED", call=1)
    talk()
    assert bob.heard().order == (alice.hertz, carol.hertz)
    assert carol.heard().order == (bob.hertz,)


def test_a_refused_transfer_leaves_the_call_as_it_was(party: Callable[..., Party]) -> None:
    alice, bob, carol = party("alice"), party("bob"), party("carol", answer=486)
    alice.phone.do("call", uri=bob.uri)
    alice.phone.wait("media")
    alice.phone.do("xfer", uri=carol.uri)
    alice.phone.wait("transfer", status=486, final=True)
    talk()
    heard = bob.heard()
    assert heard.order == (alice.hertz,)
    assert heard.gap_ms < 200


def test_an_attended_transfer_joins_the_two_who_were_called(party: Callable[..., Party]) -> None:
    alice, bob, carol = (party(name) for name in TONES)
    alice.phone.do("call", uri=bob.uri)
    alice.phone.wait("media", call=0)
    talk()
    alice.phone.do("call", uri=carol.uri)
    alice.phone.wait("media", call=1)
    talk()
    alice.phone.do("xfer_replaces", call=0, other=1)
    bob.phone.wait("refer")
    carol.phone.wait("replaced", call=0)
    alice.phone.wait("transfer", status=200, final=True, call=0)
    carol.phone.wait("state", text="DISCONNECTED", call=0)
    talk()
    assert bob.heard().order == (alice.hertz, carol.hertz)
    assert carol.heard().order == (alice.hertz, bob.hertz)
