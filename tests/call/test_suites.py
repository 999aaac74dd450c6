"""The suites of a policy, both ways of a call and on both its legs: what is not allowed is neither said nor taken."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from gateway.base.crypto_suite import (
    AEAD_AES_128_GCM,
    AEAD_AES_256_GCM,
    AES_256_CM_HMAC_SHA1_80,
    AES_CM_128_HMAC_SHA1_32,
    AES_CM_128_HMAC_SHA1_80,
    EVERY_SUITE,
    SUITES,
    CryptoSuite,
)
from gateway.base.grades import Grade
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.legs.keys import TAGS
from gateway.call.machine import effects as fx
from gateway.call.machine.events import DtlsFailed
from gateway.media.relay_commands import SetKeys
from gateway.policy.model import BUILT_IN, NO_SUITE, ProfileRules
from tests.call.machine_scene import MachineScene, answer, browser_answer, trunk_flow
from tests.call.test_key_lines import codes
from tests.call.test_setup import finished

STRICT, PREFER = BUILT_IN[Profile.STRICT], BUILT_IN[Profile.PREFER]


def line_of(suite: CryptoSuite, tag: int = 1) -> str:
    return f"a=crypto:{tag} {suite.name} inline:{base64.b64encode(bytes(range(suite.master_length))).decode()}"


def listed(*suites: CryptoSuite, rules: ProfileRules = STRICT, **asked: object) -> ProfileRules:
    names = tuple(suite.name for suite in suites) or (NO_SUITE,)
    return replace(rules, suites=names, **asked)  # type: ignore[arg-type]


def offered(scene: MachineScene) -> list[str]:
    return [line.split()[1] for line in scene.invite.body.decode().splitlines() if line.startswith("a=crypto")]


def inbound(rules: ProfileRules, *lines: str) -> MachineScene:
    """A call of a trunk with these keys; the browser takes the first suite of the policy that DTLS knows."""
    scene = MachineScene(rules=rules, outbound=False, offer=answer("RTP/SAVP", *lines), flow=trunk_flow()).calling()
    if finished(scene) is None:
        scene.reply(200, browser_answer(scene.invite.body)).ack()
        suites = next(effect.suites for effect in scene.all if isinstance(effect, fx.StartDtls))
        scene.feed(scene.keyed(next(suite for suite in suites if suite.dtls_name)))
    return scene


def test_the_offer_to_a_trunk_is_the_list_of_the_policy_in_its_order() -> None:
    wanted = (AES_CM_128_HMAC_SHA1_80, AES_256_CM_HMAC_SHA1_80)
    assert offered(MachineScene(rules=listed(*wanted)).calling()) == [suite.name for suite in wanted]
    assert offered(MachineScene().calling()) == [suite.name for suite in SUITES]


@pytest.mark.parametrize("profile", [Profile.STRICT, Profile.PREFER, Profile.OSRTP])
def test_a_policy_that_leaves_no_suite_calls_nobody(profile: Profile) -> None:
    scene = MachineScene(rules=listed(rules=BUILT_IN[profile])).calling()
    assert finished(scene) is Termination.SUITE_DENIED
    assert not scene.take(fx.SendRequest)
    assert scene.responses[-1].status == 403


@pytest.mark.parametrize("suite", [s for s in EVERY_SUITE if s is not AEAD_AES_256_GCM], ids=lambda s: s.name)
def test_an_answer_in_a_suite_that_was_not_offered_ends_the_call(suite: CryptoSuite) -> None:
    scene = MachineScene(rules=listed(AEAD_AES_256_GCM)).calling()
    scene.reply(200, answer("RTP/SAVP", line_of(suite, TAGS[suite])))
    assert finished(scene) is Termination.ENCRYPTION_UNUSABLE
    assert not scene.relayed(SetKeys)


@pytest.mark.parametrize("suite", EVERY_SUITE, ids=lambda s: s.name)
def test_an_offer_is_answered_in_a_suite_of_the_list_or_not_at_all(suite: CryptoSuite) -> None:
    every = [line_of(other, tag) for tag, other in enumerate(reversed(EVERY_SUITE), start=1)]
    rules = listed(suite, require=Grade.PARTIAL)
    taken = (
        inbound(rules, *every)
        if suite.dtls_name
        else inbound(replace(rules, suites=(suite.name, "AEAD_AES_128_GCM")), *every)
    )
    assert f" {suite.name} inline:" in taken.responses[-1].body.decode()
    refused = inbound(rules, *[line for line in every if suite.name not in line])
    assert finished(refused) in (Termination.ENCRYPTION_UNUSABLE, Termination.SUITE_DENIED)
    assert not refused.relayed(SetKeys)


def test_our_order_decides_and_not_the_peers() -> None:
    rules = listed(AES_CM_128_HMAC_SHA1_80, AEAD_AES_256_GCM)
    scene = inbound(rules, line_of(AEAD_AES_256_GCM, 1), line_of(AES_CM_128_HMAC_SHA1_80, 2))
    assert b"a=crypto:2 AES_CM_128_HMAC_SHA1_80" in scene.responses[-1].body


@pytest.mark.parametrize(
    ("asked", "suite", "code"),
    [
        ({"min_key_bits": 256}, AES_CM_128_HMAC_SHA1_80, "suite.small_key"),
        ({"min_tag_bits": 128}, AES_256_CM_HMAC_SHA1_80, "suite.weak_tag"),
        ({"suites": ("AEAD_AES_256_GCM",)}, AEAD_AES_128_GCM, "suite.unknown"),
        ({"suites": tuple(s.name for s in EVERY_SUITE)}, AES_CM_128_HMAC_SHA1_32, "suite.weak_tag"),
        ({"suites": (NO_SUITE,)}, AEAD_AES_256_GCM, "suite.unknown"),
    ],
)
def test_a_refused_offer_says_what_its_suite_lacks(asked: dict[str, object], suite: CryptoSuite, code: str) -> None:
    rules = replace(STRICT, **asked)  # type: ignore[arg-type]
    scene = MachineScene(rules=rules, outbound=False, offer=answer("RTP/SAVP", line_of(suite)), flow=trunk_flow())
    scene.calling()
    assert codes(scene, "leg.violation") == [code]
    assert finished(scene) is Termination.ENCRYPTION_UNUSABLE
    assert scene.responses[-1].status == 488


def test_a_short_tag_that_is_listed_is_used_where_policy_tolerates_it_and_graded() -> None:
    scene = inbound(listed(AES_CM_128_HMAC_SHA1_32, rules=PREFER), line_of(AES_CM_128_HMAC_SHA1_32))
    assert finished(scene) is None
    assert codes(scene, "leg.downgraded") == ["suite.weak_tag"]
    assert scene.record("leg.downgraded")["grade_after"] == "PARTIAL"


def test_a_change_in_mid_call_to_a_suite_below_the_policy_leaves_the_session_as_it_was() -> None:
    scene = inbound(listed(AEAD_AES_256_GCM), line_of(AEAD_AES_256_GCM)).clear()
    scene.inside(LegKind.TRUNK, "INVITE", answer("RTP/SAVP", line_of(AEAD_AES_128_GCM)), cseq=2)
    assert scene.responses[-1].status == 488
    assert finished(scene) is None
    assert [keys.suite for keys in scene.relayed(SetKeys)] == ["AEAD_AES_256_GCM"]


def test_the_handshake_of_a_browser_is_given_the_list_of_the_policy() -> None:
    rules = listed(AES_CM_128_HMAC_SHA1_80, AEAD_AES_128_GCM)
    scene = MachineScene(rules=rules).calling()
    scene.reply(200, answer("RTP/SAVP", line_of(AES_CM_128_HMAC_SHA1_80, 3)))
    (begun,) = [effect for effect in scene.all if isinstance(effect, fx.StartDtls)]
    assert begun.suites == (AES_CM_128_HMAC_SHA1_80, AEAD_AES_128_GCM)


def test_a_list_without_a_suite_that_dtls_knows_refuses_the_browser_before_anybody_rings() -> None:
    scene = MachineScene(rules=listed(AES_256_CM_HMAC_SHA1_80)).calling()
    assert finished(scene) is Termination.SUITE_DENIED
    assert not scene.take(fx.SendRequest)
    called = inbound(listed(AES_256_CM_HMAC_SHA1_80), line_of(AES_256_CM_HMAC_SHA1_80))
    assert finished(called) is Termination.SUITE_DENIED


def test_a_browser_that_shares_no_suite_with_the_policy_has_no_call_and_the_record_says_so() -> None:
    scene = MachineScene(rules=listed(AEAD_AES_256_GCM)).calling()
    scene.reply(200, answer("RTP/SAVP", line_of(AEAD_AES_256_GCM, 1))).ack()
    scene.feed(lambda s: DtlsFailed(s.id(LegKind.BROWSER), Termination.BROWSER_SUITE_UNKNOWN))
    assert codes(scene, "leg.violation", "browser") == ["suite.unknown"]
    assert finished(scene) is Termination.BROWSER_SUITE_UNKNOWN


def test_a_handshake_that_agreed_on_another_suite_is_no_agreement() -> None:
    scene = MachineScene(rules=listed(AEAD_AES_256_GCM)).calling()
    scene.reply(200, answer("RTP/SAVP", line_of(AEAD_AES_256_GCM, 1))).ack()
    scene.feed(scene.keyed(AES_CM_128_HMAC_SHA1_80))
    assert codes(scene, "leg.violation", "browser") == ["suite.unknown"]
    assert finished(scene) is not None


def test_an_emergency_call_takes_a_suite_that_policy_would_not() -> None:
    rules = listed(AEAD_AES_256_GCM, min_key_bits=256)
    offer = answer("RTP/SAVP", line_of(AES_CM_128_HMAC_SHA1_32))
    scene = MachineScene(rules=rules, emergency=True, outbound=False, offer=offer, flow=trunk_flow()).calling()
    assert finished(scene) is None


def test_the_spelling_of_the_peer_is_repeated_in_the_answer() -> None:
    line = line_of(AES_256_CM_HMAC_SHA1_80).replace("AES_256_CM_", "AES_CM_256_")
    scene = inbound(STRICT, line)
    assert b"a=crypto:1 AES_CM_256_HMAC_SHA1_80 inline:" in scene.responses[-1].body
    assert scene.relayed(SetKeys)[0].suite == "AES_256_CM_HMAC_SHA1_80"
