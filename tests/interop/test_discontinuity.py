"""Trunks that change the source of their media as PBXs do, heard in Chromium; and a page that changes its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.interop.conftest import BROWSER_HERTZ, TRUNK_HERTZ, Stage
from tests.interop.test_calls import MAX_GAP, TALK_SECONDS, call_uid, hear
from tests.rig.audio import gaps, heard, peak
from tests.rig.chromium import RATE, SoftphonePage
from tests.rig.counting import counted
from tests.rig.gateway import wait_for
from tests.rig.player import FRAME, Player, Run, new_ssrc
from tests.rig.trunk import FakeTrunk, description

pytestmark = pytest.mark.interop

HOST = "127.0.1.1"
Play = Callable[[Iterator[Run]], Player]

# As an Asterisk's native bridge sent them: the phone's numbers, the music's, the phone's again.
HOLDS = [(24839, 28578, 25378), (20723, 60705, 21255), (29298, 50480, 29604)]

_REPLACE_TRACK = """async () => {
  const context = new AudioContext();
  const tone = context.createOscillator();
  tone.frequency.value = 1000;
  const out = context.createMediaStreamDestination();
  tone.connect(out);
  tone.start();
  const [sender] = window.softphone.session().connection.getSenders();
  await sender.replaceTrack(out.stream.getAudioTracks()[0]);
}"""


@pytest.fixture
def play(stage: Stage) -> Iterator[Play]:
    """A trunk that answers at once and plays what it is given."""
    opened: list[Player | FakeTrunk] = []

    def start(runs: Iterator[Run]) -> Player:
        player = Player(HOST, runs, TRUNK_HERTZ).start()
        answer = description(HOST, port=player.port)
        trunk = FakeTrunk(HOST, stage.ports["600"], lambda request: [(200, answer)]).start()
        opened.extend((player, trunk))
        return player

    yield start
    for each in opened:
        each.stop()


def holds(talk: int, music: int, again: int) -> Iterator[Run]:
    """Two seconds of speech, a second of music, on and on; one SSRC, the music's timestamps begin again."""
    ssrc, clock = new_ssrc(), 900_000
    for _ in range(20):
        yield Run(ssrc, talk, clock, 100)
        yield Run(ssrc, music, 160, 50)
        talk, music, again = again, music + 50, again + 100
        clock += 150 * FRAME


def sources() -> Iterator[Run]:
    """A new SSRC every half second, as every Dial() of a PBX brings one."""
    while True:
        yield Run(new_ssrc(), new_ssrc() & 0xFFFF, new_ssrc(), 25)


def turning_back() -> Iterator[Run]:
    """Attended transfers: the sequence goes on by one, the timestamp from 38720 back to 5440, without a marker."""
    ssrc, sequence = new_ssrc(), 1000
    while True:
        yield Run(ssrc, sequence, 38720 - 99 * FRAME, 100)
        yield Run(ssrc, sequence + 100, 5440, 100)
        sequence += 200


def judge(stage: Stage, page: SoftphonePage, player: Player, least: int) -> None:
    """Listen at both ends over several changes; nothing is missing, and the call's record says so too."""
    before = player.played
    samples = page.listen(TALK_SECONDS + 2)
    assert player.played - before >= least, "too few changes while one listened"
    page.click("hangup")
    page.wait_state("ended")
    hear(samples, RATE, TRUNK_HERTZ)
    uid = call_uid(stage)
    wait_for(lambda: stage.gateway.records("call.final", uid), 5, "no final record")
    (final,) = stage.gateway.records("call.final", uid)
    assert not any(counted(final, name) for name in ("srtp_unsendable", "srtp_ssrc_limit", "unmapped_dropped"))
    is_heard_in_one_piece(player)


def is_heard_in_one_piece(player: Player) -> None:
    """What the trunk got from the browser: one SSRC, and the browser's tone without a gap."""
    assert len({packet[8:12] for packet in player.heard}) == 1
    tone = heard(player.heard_tone(), 8000)
    assert peak(tone, 8000)[0] == pytest.approx(BROWSER_HERTZ, abs=15)
    assert gaps(tone, 8000, MAX_GAP) == []


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param(HOLDS[0], id="forward"),
        pytest.param(HOLDS[1], id="back", marks=pytest.mark.slow),
        pytest.param(HOLDS[2], id="far", marks=pytest.mark.slow),
    ],
)
def test_hold_music_under_the_phones_ssrc_is_heard_and_so_is_the_phone_again(
    stage: Stage, page: SoftphonePage, play: Play, numbers: tuple[int, int, int]
) -> None:
    player = play(holds(*numbers))
    page.call("600")
    judge(stage, page, player, 3)


def test_every_one_of_more_than_ten_sources_is_heard(stage: Stage, page: SoftphonePage, play: Play) -> None:
    player = play(sources())
    page.call("600")
    judge(stage, page, player, 10)


def test_a_timestamp_that_turns_back_silences_nothing(stage: Stage, page: SoftphonePage, play: Play) -> None:
    player = play(turning_back())
    page.call("600")
    judge(stage, page, player, 2)


def test_a_page_that_replaces_its_microphone_stays_one_source_to_the_trunk(
    stage: Stage, page: SoftphonePage, play: Play
) -> None:
    player = play(sources())
    page.call("600")
    page.page.wait_for_timeout(1500)
    page.page.evaluate(_REPLACE_TRACK)
    judge(stage, page, player, 10)


def another_codec() -> Iterator[Run]:
    """GSM in between, which nobody offered."""
    ssrc, sequence = new_ssrc(), 1
    while True:
        yield Run(ssrc, sequence, sequence * FRAME, 25)
        yield Run(ssrc, sequence + 25, (sequence + 25) * FRAME, 25, kind=3)
        sequence += 50


def test_sound_in_a_codec_nobody_agreed_to_is_told_on_the_page_and_in_the_log(
    stage: Stage, page: SoftphonePage, play: Play
) -> None:
    play(another_codec())
    page.call("600")
    page.page.wait_for_function("() => document.querySelector('#reason').textContent.includes('for you is lost')")
    assert page.state == "in-call"
    page.click("hangup")
    page.wait_state("ended")
    stage.gateway.wait_log("leg=browser media is lost: unmapped_dropped")
    uid = call_uid(stage)
    assert stage.gateway.log.count(f"call=c-{uid[:4]}") > 0
    assert stage.gateway.log.count("media is lost") == 1
