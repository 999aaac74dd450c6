"""Descriptions of real devices that lie beside the project, where they do: each is answered as its table says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.call.machine import effects as fx
from tests.call.machine_scene import MachineScene, answer, browser_answer, trunk_flow
from tests.call.test_setup import finished
from tests.outside import outside, outside_or_skip


@dataclass(frozen=True)
class Outcome:
    """What becomes of a call: the m-line that lives, or why there is none, and what the log says of it."""

    line: int = 0
    ended: Termination | None = None
    codes: tuple[str, ...] = ()


TAKEN = Outcome()
UNUSABLE = Termination.ENCRYPTION_UNUSABLE
IGNORED = Outcome(ended=Termination.ENCRYPTION_IGNORED, codes=("media.crypto_ignored",))
EXPECTED: dict[str, Outcome] = {
    "12-session-level-crypto": IGNORED,
    "13b-kdr0-only": Outcome(ended=UNUSABLE, codes=("key.parameter_unknown",)),
    "11-fqdn-connection": Outcome(ended=Termination.ADDRESS_INCOMPATIBLE),
    "21-answer-all-cryptos": IGNORED,
    "22-answer-tag-1": IGNORED,
    "28-answer-fqdn": Outcome(ended=Termination.ADDRESS_INCOMPATIBLE),
    "29-answer-ip6-label-mismatch": Outcome(ended=Termination.BAD_SDP),
    "31-video-first-audio-bundle-only": Outcome(line=1),
    "31c-video-first-audio-port9": Outcome(line=1),
    "35-ice-chars-dash": Outcome(ended=Termination.BROWSER_OFFER_INSECURE, codes=("brw.no_ice",)),
    "39-crypto-beside-fingerprint": Outcome(
        ended=Termination.BROWSER_OFFER_INSECURE, codes=("brw.sdes_or_avp", "media.mixed_keying")
    ),
    "93b-sha1-32-only": Outcome(ended=UNUSABLE, codes=("suite.weak_tag",)),
    "94-answer-aes256cm": Outcome(ended=UNUSABLE, codes=("media.keying_unknown",)),
    "95-answer-avp-with-crypto-to-savp": IGNORED,
    "98-answer-extra-mline": IGNORED,
}
"""All others are taken, and their first line is the call's."""
SAMPLES = sorted(found.glob("*.sdp")) if (found := outside("field")) else [Path("none")]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_a_description_of_a_real_device_is_answered_as_the_table_says(sample: Path) -> None:
    outside_or_skip("field")
    expected = EXPECTED.get(sample.stem, TAKEN)
    scene = play(sample.read_bytes(), is_answer="answer" in sample.stem)
    assert finished(scene) is expected.ended
    response = scene.responses[-1]
    assert (response.status == 200) is (expected.ended is None)
    if response.status == 200 and "answer" not in sample.stem:
        ports = [line.split()[1] for line in response.body.decode().splitlines() if line.startswith("m=")]
        assert [place for place, port in enumerate(ports) if port != "0"] == [expected.line]
    for code in expected.codes:
        assert code in said(scene)


def said(scene: MachineScene) -> str:
    """Every policy code in the log."""
    return str([[e.record.get("codes"), e.record.get("noted")] for e in scene.all if isinstance(e, fx.WriteAudit)])


def play(body: bytes, *, is_answer: bool) -> MachineScene:
    """The call such a description belongs to, over a trunk whose policy lets plain media be offered or answered."""
    lines = [line for line in body.splitlines() if line.startswith(b"m=audio")]
    keyed = b"RTP/SAVP" in b" ".join(lines) or (is_answer and b"crypto" in body)
    profile, flow = (Profile.STRICT, trunk_flow()) if keyed else (Profile.LEGACY, trunk_flow("udp"))
    if is_answer:
        return MachineScene(profile=profile, flow=flow).calling().reply(200, body)
    if b"a=fingerprint" in body:
        scene = MachineScene(profile=Profile.LEGACY, flow=trunk_flow("udp"), offer=body).calling()
        return scene if finished(scene) else scene.reply(200, answer())
    scene = MachineScene(profile=profile, flow=flow, offer=body, outbound=False).calling()
    return scene if finished(scene) else scene.reply(200, browser_answer(scene.invite.body))
