"""What must hold whatever packets and commands come in whatever order: six peers, two strangers, a bad network.

No clear word on a keyed leg, no packet before keys, no replay through, nothing of a stranger and nothing to one,
nothing of somebody a leg does not hear; and to every receiver one stream: an SSRC per key, each number once, none
missing but what the network lost, time that goes on with the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pylibsrtp import Error

from gateway.base.values import LegId
from tests.effort import examples
from tests.media import packets
from tests.media.crowd import (
    ALICE,
    BOB,
    CLEAR,
    FRAME,
    GUEST,
    KEYED,
    NOT_AGREED,
    PLAIN,
    RATE,
    SIX,
    TICK,
    Member,
    Received,
    RelayCrowd,
    arrived,
)

EVERYBODY = [ALICE, BOB, PLAIN, KEYED, SIX, GUEST]
MAY_CHANGE = (PLAIN, SIX)
"""Trunks whose protection changes in mid-call."""
MAX_OFF = 1.3
"""Seconds a timestamp may be away from the clock: what a source may lag behind, and what runs may be ahead."""
LAST_WORDS = 8
WRAPS, LOW = 65_520, 200


@dataclass(frozen=True)
class Happening:
    """Something on the way, while everybody goes on talking."""

    what: str
    leg: LegId
    number: int
    waits: bool = False
    """The worker looks at its sockets only after the next one."""


def lost(crowd: RelayCrowd, member: Member, number: int) -> bytes | None:
    if member.is_fresh:
        return member.sealed(member.packet())
    member.sealed(member.packet())
    member.missed += 1
    return None


def kept_back(crowd: RelayCrowd, member: Member, number: int) -> bytes | None:
    """It comes later than what was said after it."""
    sealed = member.sealed(member.packet())
    if member.is_fresh or sealed is None:
        return sealed
    member.missed += 1
    member.under_way.append(sealed)
    return None


def arrives_late(crowd: RelayCrowd, member: Member, number: int) -> bytes | None:
    for datagram in member.under_way:
        crowd.deliver(member.number, datagram)
    member.under_way.clear()
    return member.sealed(member.packet())


def again(crowd: RelayCrowd, member: Member, number: int) -> bytes | None:
    """Two at most: three old ones in a row, and nothing newer, are a plain source that begins again."""
    first = 1 + number // 3 * 4
    for datagram in list(member.sent)[-first:][:2]:
        crowd.deliver(member.number, datagram)
    return member.sealed(member.packet())


def another_source(crowd: RelayCrowd, member: Member, number: int) -> bytes | None:
    if number < 3:
        member.former_source()
    else:
        member.another_source(WRAPS if number % 2 else LOW * number)
    return member.sealed(member.packet())


def jump(crowd: RelayCrowd, member: Member, number: int) -> bytes | None:
    step = (2, 4, 200, 2_000, 3_500, 10_000)[number % 6]
    member.missed += step if step < 5 else 0  # more than time allows are no losses, and no gap
    return member.sealed(member.packet(step=step))


def leap(crowd: RelayCrowd, member: Member, number: int) -> bytes | None:
    """The timestamp alone turns back or runs ahead."""
    member.timestamp = member.timestamp + (-1, -FRAME, 10 * FRAME, -100 * FRAME, 1 << 31)[number % 5] & 0xFFFFFFFF
    return member.sealed(member.packet())


def forged(crowd: RelayCrowd, member: Member, number: int) -> bytes | None:
    """On a plain leg anybody in its place can say anything; on a keyed one nothing that was bent opens."""
    sealed = member.sealed(member.packet())
    if sealed is None or member.suite is None:
        return sealed
    at = (0, 1, 2, 5, 9, 12, 30, len(sealed) - 1)[number % 8]
    member.missed += 1
    return sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]


def naked(crowd: RelayCrowd, member: Member, number: int) -> bytes | None:
    """In clear where keys were agreed."""
    clear = member.packet()
    member.missed += member.suite is not None
    return clear


def under_the_former_key(crowd: RelayCrowd, member: Member, number: int) -> bytes | None:
    member.missed += 1
    return member.sealed(member.packet(), by_former=True)


def with_extension(crowd: RelayCrowd, member: Member, number: int) -> bytes | None:
    return member.sealed(member.packet(extension=b"\x10\x20\x30\x40"))


def of_an_unknown_kind(crowd: RelayCrowd, member: Member, number: int) -> bytes | None:
    member.missed += 1
    return member.sealed(member.packet(kind=NOT_AGREED))


def of_another_size(crowd: RelayCrowd, member: Member, number: int) -> bytes | None:
    """Neither a fragment nor what no datagram of ours could carry is media."""
    whole = member.sealed(member.packet()) or b""
    member.missed += 1
    return whole[:number] if number % 2 else whole + bytes(2_000)


def strange(crowd: RelayCrowd, member: Member, number: int) -> bytes | None:
    """Somebody else sends: something like the next packet, and what was seen on the wire."""
    other = crowd.neighbour if number % 2 else crowd.stranger
    numbers = member.sequence + 1, member.timestamp + FRAME & 0xFFFFFFFF
    near = packets.rtp(numbers[0], timestamp=numbers[1], ssrc=member.ssrc, payload=b"\xff" + CLEAR)
    for datagram in (near, *list(member.sent)[-2:], packets.sender_report(member.ssrc)):
        crowd.deliver(member.number, datagram, other)
    return member.sealed(member.packet())


def report(crowd: RelayCrowd, member: Member, number: int) -> bytes | None:
    """RTCP of the peer, sound or bent, or in clear where it must not be."""
    clear = packets.sender_report(member.ssrc)
    if member.suite is not None and member.sealer is not None and number:
        sealed = bytes(member.sealer.protect_rtcp(clear))
        clear = sealed if number % 2 else sealed[:-1] + bytes([sealed[-1] ^ 1])
    crowd.deliver(member.number, clear)
    return member.sealed(member.packet())


def pause(crowd: RelayCrowd, member: Member, number: int) -> bytes | None:
    """Nobody says anything; some let their clock run meanwhile."""
    crowd.pass_time(0.4 * number)
    if number % 2:
        member.timestamp = member.timestamp + round(0.4 * number * RATE) & 0xFFFFFFFF
    return member.sealed(member.packet())


Said = Callable[[RelayCrowd, Member, int], bytes | None]
PACKETS: dict[str, Said] = {
    made.__name__: made
    for made in (
        lost, kept_back, arrives_late, again, another_source, jump, leap, forged, naked, under_the_former_key,
        with_extension, of_an_unknown_kind, of_another_size, strange, report, pause,
    )
}  # fmt: skip
"""What the peer of the leg sends instead of its next packet, or beside it."""


def rekey(crowd: RelayCrowd, leg: LegId, number: int) -> None:
    if crowd.members[leg].suite is not None:
        crowd.rekey(leg)


def secure(crowd: RelayCrowd, leg: LegId, number: int) -> None:
    """What was on its way, or seen, before the change is forgotten: sealed, it would be noise on a plain leg."""
    member = crowd.members[leg]
    if leg in MAY_CHANGE:
        member.sent.clear()
        member.under_way.clear()
        crowd.secure(leg, number % 2 == 0)


def hold(crowd: RelayCrowd, leg: LegId, number: int) -> None:
    if leg in crowd.sources:
        crowd.route(leg, crowd.sources[leg][0], is_open=number % 3 == 0)


def reroute(crowd: RelayCrowd, leg: LegId, number: int) -> None:
    if number == 0:
        crowd.unroute(leg)
    else:
        crowd.route(leg, EVERYBODY[number % 6])


def describe(crowd: RelayCrowd, leg: LegId, number: int) -> None:
    if leg not in (ALICE, BOB):
        crowd.describe(leg)


def adopt(crowd: RelayCrowd, leg: LegId, number: int) -> None:
    crowd.adopt()


COMMANDS = {made.__name__: made for made in (rekey, secure, hold, reroute, describe, adopt)}
KINDS = ["voice"] * 6 + list(PACKETS) + list(COMMANDS)
LEGS = [ALICE, PLAIN, KEYED, BOB, SIX, GUEST, PLAIN, KEYED, ALICE]
happenings = st.lists(
    st.builds(
        Happening,
        st.sampled_from(KINDS),
        st.sampled_from(LEGS),
        st.integers(0, 7),
        st.sampled_from((False, False, True)),
    ),
    min_size=20,
    max_size=60,
)


class Judge:
    """Listens at every socket, and knows what may be heard there."""

    def __init__(self, crowd: RelayCrowd) -> None:
        self.crowd = crowd
        self._heard: set[tuple[LegId, LegId, int]] = set()

    def tick(self, happening: Happening) -> None:
        crowd = self.crowd
        if happening.what in ("pause", "secure"):
            self.look()
        if happening.what in COMMANDS:
            COMMANDS[happening.what](crowd, happening.leg, happening.number)
        crowd.now += TICK
        for member in crowd.members.values():
            own = happening.leg == member.number
            say = PACKETS.get(happening.what) if own else None
            self._says(member, say(crowd, member, happening.number) if say else member.sealed(member.packet()))
        if not happening.waits:
            self.look()

    def look(self) -> None:
        """The worker deals with what has arrived, and everybody hears what came of it."""
        self.crowd.serve()
        self._listen()

    def _says(self, member: Member, datagram: bytes | None) -> None:
        if datagram is None:
            return
        self.crowd.deliver(member.number, datagram)
        member.sent.append(datagram)
        member.is_fresh = False

    def _listen(self) -> None:
        assert arrived(self.crowd.stranger) == arrived(self.crowd.neighbour) == []
        for member in self.crowd.members.values():
            for datagram in arrived(member.own):
                self._judge(member, datagram, is_rtcp=64 <= datagram[1] & 0x7F <= 95)
            for datagram in arrived(member.rtcp) if member.rtcp is not None else ():
                assert 64 <= datagram[1] & 0x7F <= 95, "media on the port of RTCP"
                self._judge(member, datagram, is_rtcp=True)

    def _judge(self, member: Member, datagram: bytes, *, is_rtcp: bool) -> None:
        clear = datagram
        if member.suite is not None:
            assert member.opener is not None, "something left before there were keys"
            assert CLEAR[:16] not in datagram, "clear words on a keyed leg"
            try:
                clear = member.opener.unprotect_rtcp(datagram) if is_rtcp else member.opener.unprotect(datagram)
            except Error as error:
                raise AssertionError("what left does not open under the keys of the leg") from error
        if not is_rtcp:
            self._media(member, clear)

    def _media(self, member: Member, clear: bytes) -> None:
        assert clear[0] == 0x80, "no extension, no padding"
        source, word = LegId(clear[12]), int.from_bytes(clear[13:17])
        assert clear[17 : 17 + len(CLEAR)] == CLEAR
        assert self.crowd.sources.get(member.number) == (source, True), "heard somebody else, or in spite of a hold"
        said = self.crowd.members[source]
        assert said.can_speak
        if said.suite is not None:
            assert (member.number, source, word) not in self._heard, "a replay came through"
        self._heard.add((member.number, source, word))
        numbers = int.from_bytes(clear[2:4]), int.from_bytes(clear[4:8]), int.from_bytes(clear[8:12])
        member.heard.append(
            Received(source, word, *numbers, member.key if member.suite is not None else 0, self.crowd.now)
        )

    def last_words(self) -> None:
        """After all that, whoever can speak is heard by those who are to hear it."""
        crowd = self.crowd
        self.look()
        before = {number: len(member.heard) for number, member in crowd.members.items()}
        for number in EVERYBODY:
            if number in crowd.sources:
                crowd.route(number, crowd.sources[number][0])
        crowd.pass_time(1.0)  # latecomers of before are none any more
        for _ in range(LAST_WORDS):
            self.tick(Happening("voice", ALICE, 0))
        for sink, (source, _) in crowd.sources.items():
            if crowd.members[source].can_speak and crowd.members[sink].can_speak:
                heard = len(crowd.members[sink].heard) - before[sink]
                assert heard >= LAST_WORDS - 1, f"{sink} does not hear {source} any more"

    def streams(self) -> None:
        """What each peer got is one stream after the other, each in one piece."""
        used: list[int] = []
        for member in self.crowd.members.values():
            sources = {packet.source for packet in member.heard}
            missed = sum(self.crowd.members[source].missed for source in sources)
            for (ssrc, _), heard in groupby(member.heard, lambda packet: (packet.ssrc, packet.key)):
                used.append(ssrc)
                _is_in_one_piece(list(heard), missed)
        assert len(used) == len(set(used)), "an SSRC came back, serves two peers, or two keys"


def _is_in_one_piece(heard: list[Received], missed: int) -> None:
    numbers = [heard[0].sequence]
    for packet in heard[1:]:
        numbers.append(numbers[-1] + (packet.sequence - numbers[-1] + 0x8000 & 0xFFFF) - 0x8000)
    assert len(numbers) == len(set(numbers)), "a number left twice"
    assert max(numbers) - min(numbers) + 1 - len(numbers) <= missed, "numbers are missing that nobody lost"
    first, latest = heard[0], numbers[0]
    for number, packet in zip(numbers, heard, strict=True):
        passed = (packet.timestamp - first.timestamp + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        if number >= latest:
            latest = number
            assert abs(passed / RATE - (packet.at - first.at)) <= MAX_OFF, "the clock of the stream ran away"
    in_order = [packet for _, packet in sorted(zip(numbers, heard, strict=True), key=lambda pair: pair[0])]
    steps = [b.timestamp - a.timestamp & 0xFFFFFFFF for a, b in pairwise(in_order)]
    assert all(step < 0x80000000 for step in steps), "time turned back"


@pytest.mark.parametrize("shortcuts", [True, False], ids=["short way", "long way"])
@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(unkeyed=st.sampled_from((None, BOB, KEYED, GUEST)), events=happenings)
def test_whatever_happens_to_packets_and_legs_nothing_leaks_and_every_stream_is_in_one_piece(
    shortcuts: bool, unkeyed: LegId | None, events: list[Happening]
) -> None:
    crowd = RelayCrowd(unkeyed, shortcuts=shortcuts)
    try:
        judge = Judge(crowd)
        for happening in events:
            judge.tick(happening)
        judge.last_words()
        judge.streams()
    finally:
        crowd.close()
