"""The short way and the long way of packets, held against each other: the same comes out and is counted and told."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.base.values import LegId
from gateway.media.relay_commands import DropKeys
from gateway.media.worker import reporter
from tests.effort import examples
from tests.media import packets
from tests.media.lanes import FAMILIES, PAIRS, LaneRig, lane_rig
from tests.media.peers import BROWSER, TRUNK


@pytest.fixture(autouse=True)
def no_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both report at the same moments."""
    monkeypatch.setattr(reporter, "chance", lambda: 0.5)


@dataclass(frozen=True)
class Event:
    """Something that happens on the way."""

    what: str
    leg: LegId
    number: int


KINDS = ["voice"] * 12 + [
    "lost",
    "again",
    "late",
    "jump",
    "source",
    "comfort",
    "unagreed",
    "dtx",
    "opus",
    "extension",
    "padded",
    "digit",
    "mark",
    "lag",
    "forged",
    "stranger",
    "short",
    "rtcp",
    "told",
    "report",
    "wait",
    "pause",
    "busy",
    "hold",
    "unhold",
    "rekey",
    "drop",
    "play",
]
happenings = st.lists(
    st.builds(Event, st.sampled_from(KINDS), st.sampled_from([BROWSER, TRUNK]), st.integers(0, 7)),
    min_size=10,
    max_size=60,
)


def _told(rig: LaneRig) -> list[str]:
    """The kinds of the events, and what they say but for ports, which chance has chosen."""
    return [re.sub(rb"\d{4,}", b"", event).decode("latin-1") for event in rig.events()]


def _quiet(rig: LaneRig, number: LegId) -> float | None:
    """Since when the signalled address of a plain leg has been silent."""
    latch = getattr(rig.leg(number), "latch", None)
    return getattr(latch, "quiet_since", None)


TROUBLES = {
    "late, in time, late again": ["voice"] * 4 + ["lag", "voice", "lost", "voice", "voice", "lag", "voice", "lost"] * 3,
    "late through the worker's fault": [*["voice"] * 4, *["busy", "busy", "busy", "voice", "lost", "voice"] * 3],
    "silence described in the middle of a hold": [*["voice"] * 4, "hold", "voice", "unhold", "comfort", "voice"],
    "back to a key": ["voice", "voice", "rekey", "voice", "voice", "back", "voice", "voice", "voice"],
    "comfort noise in speech": ["voice", "voice", "comfort", "comfort", "dtx", "voice", "voice", "comfort", "voice"],
    "comfort noise nobody agreed to": ["voice", "voice", "unagreed", "unagreed", "voice", "voice", "late", "voice"],
    "keys that end, and others": [*["voice"] * 3, "drop", "voice", "voice", "rekey", *["voice"] * 3],
    "marked": ["voice", "voice", "mark", "voice", "mark"],
}


class Talker:
    """The peer of one leg: what it sends next."""

    def __init__(self) -> None:
        self.sequence, self.timestamp, self.ssrc = 65500, 0xFFFFF000, 0x5EED
        self.last = b""

    def packet(self, what: str, number: int) -> bytes | None:
        """The packet an event makes, in clear; None when it is none of RTP."""
        step = {"lost": 2 + number, "jump": 5000 + number}.get(what, 1)
        if what == "late":
            return self._rtp(self.sequence - number, self.timestamp - 160 * number)
        if what == "source":
            self.ssrc = 0x5EED + number
        self.sequence += step
        self.timestamp += 160 * step
        if what == "dtx":  # the number goes on by one, the time by what was not sent
            self.timestamp += 1600 * number
        kinds = {"comfort": 13, "unagreed": 19, "opus": 111, "digit": 101}
        more = {"extension": {"extension": b"\x10\x20\x30\x40"}, "padded": {"padding": b"\0\0\0\4"}}.get(what, {})
        marker = what == "mark"
        return self._rtp(self.sequence, self.timestamp, kinds.get(what, 8 if number == 5 else 0), marker, **more)

    def _rtp(self, sequence: int, timestamp: int, kind: int = 0, marker: bool = False, **more: bytes) -> bytes:
        payload = b"\x01\x0a\x00\xa0" if kind == 101 else bytes(160)
        return packets.rtp(
            sequence & 0xFFFF,
            timestamp=timestamp & 0xFFFFFFFF,
            payload_type=kind,
            ssrc=self.ssrc,
            payload=payload,
            marker=marker,
            **more,  # type: ignore[arg-type]
        )


class Pair:
    """The same call twice, once without the short way."""

    def __init__(self, short: LaneRig, long: LaneRig) -> None:
        self.rigs = short, long
        long.numbers_as_in(short)
        self.talkers = {BROWSER: Talker(), TRUNK: Talker()}
        self.keys = {BROWSER: 1, TRUNK: 2}

    def happens(self, event: Event) -> None:
        if event.what == "dtx":
            self._each(lambda rig: rig.pass_time(0.2 * event.number))
            self._packet(event)
        elif event.what == "wait":
            self._each(lambda rig: rig.pass_time(0.001 * event.number))
        elif event.what == "lag":
            self._each(lambda rig: rig.pass_time(0.055))
        elif event.what == "pause":
            self._each(lambda rig: rig.pass_time(0.5 * event.number))
        elif event.what in ("hold", "unhold"):
            self._each(lambda rig: rig.routes(event.what == "unhold" or event.leg == BROWSER, event.what == "unhold"))
        elif event.what == "report":
            self._each(lambda rig: rig.report())
        elif event.what == "play":
            self._each(lambda rig: rig.play(event.leg, "5"))
        elif event.what == "drop":
            self._drop(event.leg)
        elif event.what in ("rekey", "back"):
            self._rekey(event.leg, 2 if event.what == "rekey" else -2)
        else:
            self._packet(event)

    def _rekey(self, number: LegId, step: int) -> None:
        if self.rigs[0].suites[number] is not None:
            self.keys[number] += step
            self._each(lambda rig: rig.rekey(number, self.keys[number]))
            self.rigs[1].numbers_as_in(self.rigs[0])

    def _drop(self, number: LegId) -> None:
        if self.rigs[0].suites[number] is not None:
            self._each(lambda rig: rig.obey(DropKeys(number)))

    def _packet(self, event: Event) -> None:
        talker = self.talkers[event.leg]
        if event.what == "short":
            self._each(lambda rig: rig.send(event.leg, b"\x80" + bytes(event.number)))
        elif event.what == "rtcp":
            self._each(lambda rig: rig.send(event.leg, packets.receiver_report()))
        elif event.what == "told":
            told = self.rigs[0].sealed(event.leg, self._told(event, talker))
            self._each(lambda rig: rig.send(event.leg, told))
        elif event.what == "again":
            self._each(lambda rig: rig.send(event.leg, talker.last))
        else:
            clear = talker.packet(event.what, event.number)
            assert clear is not None
            with contextlib.suppress(Exception):  # the sender's own library refuses what it has sent before
                talker.last = self.rigs[0].sealed(event.leg, clear)
                self._send(event, talker.last)

    def _told(self, event: Event, talker: Talker) -> bytes:
        """What a peer says of what it sends, and of what it hears."""
        stream = self.rigs[0].leg(event.leg).stream
        highest = (stream.high + stream.shift) & 0xFFFFFFFF
        heard = packets.block(stream.ssrc, highest, lost=event.number, jitter=event.number)
        return packets.sender_report(talker.ssrc, heard, ntp=event.number << 32)

    def _send(self, event: Event, sealed: bytes) -> None:
        data = sealed[:-1] + bytes([sealed[-1] ^ 1]) if event.what == "forged" else sealed
        strange, busy = event.what == "stranger", event.what == "busy"
        self._each(lambda rig: rig.pass_time(0.1 if busy else 0.02), served=not busy)
        self._each(
            lambda rig: rig.send(event.leg, data, rig.strangers[event.leg] if strange else None), served=not busy
        )
        if busy:
            self._each(lambda rig: rig.turn(), served=False)

    def _each(self, do: object, *, served: bool = True) -> None:
        for rig in self.rigs:
            do(rig)  # type: ignore[operator]
            if served:
                rig.serve()

    def is_the_same(self) -> None:
        short, long = self.rigs
        assert _told(short) == _told(long)
        for number in (BROWSER, TRUNK):
            assert short.heard(number) == long.heard(number)
            assert short.counters(number) == long.counters(number)
            assert short.leg(number).quality == long.leg(number).quality
            assert _quiet(short, number) == _quiet(long, number)
            ours, theirs = (vars(rig.leg(number).stream) for rig in self.rigs)
            assert {k: v for k, v in ours.items() if k != "_used"} == {k: v for k, v in theirs.items() if k != "_used"}


@pytest.mark.parametrize("pair", PAIRS)
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events=happenings, hosts=st.sampled_from(list(FAMILIES.values())))
def test_both_ways_do_the_same_to_the_same_packets(pair: str, events: list[Event], hosts: tuple[str, str]) -> None:
    with (
        lane_rig(*PAIRS[pair], hosts=hosts) as short,
        lane_rig(*PAIRS[pair], shortcuts=False, hosts=hosts) as long,
    ):
        both = Pair(short, long)
        for event in events:
            both.happens(event)
            both.is_the_same()


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("number", [BROWSER, TRUNK])
@pytest.mark.parametrize("what", TROUBLES)
def test_both_ways_do_the_same_in_trouble(pair: str, number: LegId, what: str) -> None:
    with lane_rig(*PAIRS[pair]) as short, lane_rig(*PAIRS[pair], shortcuts=False) as long:
        both = Pair(short, long)
        for name in TROUBLES[what]:
            both.happens(Event(name, number, 1))
            both.is_the_same()
