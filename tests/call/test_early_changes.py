"""A trunk that calls changes what our 18x has answered before our 2xx, by UPDATE or PRACK (RFC 3311, RFC 3262 5)."""

from __future__ import annotations

import pytest

from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine.effects import Purpose
from gateway.call.machine.state import Phase
from gateway.media.relay_commands import SetPeer
from gateway.sip.message import Response
from tests.call.machine_scene import MachineScene, answer
from tests.call.test_reliable import SUPPORTED, asked, ours, prack, told
from tests.rig.sipp import T38

MOVED = answer(port=4444)
BOTH = (
    answer().replace(b"RTP/AVP 0 101", b"RTP/AVP 0 8 101").replace(b"a=rtpmap:0", b"a=rtpmap:8 PCMA/8000\r\na=rtpmap:0")
)
ONLY_PCMA = answer(port=4444).replace(b"RTP/AVP 0 101", b"RTP/AVP 8 101").replace(b"0 PCMU", b"8 PCMA")
FAX = T38.replace("[local_ip]", "127.0.0.2").replace("\n", "\r\n").encode()
HOW = pytest.mark.parametrize("how", ["UPDATE", "PRACK"])


def early(offer: bytes | None = None, answered: bytes | None = None) -> MachineScene:
    """The caller has been told of early media, and has not acknowledged it yet."""
    return asked(SUPPORTED, offer=offer).reply(183, answered or answer())


def changes(scene: MachineScene, how: str, body: bytes, *, cseq: int = 50) -> Response:
    """The caller offers, in the PRACK or after it; gives what it is answered."""
    response = ours(scene)[-1]
    prack(scene, response, body if how == "PRACK" else b"", cseq=cseq)
    if how == "UPDATE":
        scene.inside(LegKind.TRUNK, "UPDATE", body, cseq=cseq + 1)
    key = f"trunk-{cseq + (how == 'UPDATE')}"
    return next(e.response for e in reversed(scene.all) if isinstance(e, fx.Respond) and e.key == key)


@HOW
def test_it_is_answered_and_the_2xx_says_nothing_more_of_it(how: str) -> None:
    scene = early()
    changed = changes(scene.clear(), how, MOVED)
    assert changed.status == 200
    assert changed.body.startswith(b"v=0")
    caller = scene.state.caller
    assert [c.rtp.port for c in scene.told(SetPeer) if c.leg == caller.id][-1:] == [4444]
    scene.reply(200, answer())
    assert told(scene)[-1] == 200
    assert ours(scene)[-1].body == b""
    scene.ack()
    assert scene.state.phase is Phase.ESTABLISHED
    assert caller.remote is not None
    assert caller.remote.rtp is not None
    assert caller.remote.rtp.port == 4444
    assert not [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.REINVITE]


def test_a_2xx_that_waited_for_the_prack_leaves_after_its_answer() -> None:
    scene = early().reply(200, answer())
    assert told(scene) == [183]
    assert changes(scene, "PRACK", MOVED).status == 200
    assert told(scene) == [183, 200]
    assert ours(scene)[-1].body == b""
    order = [e.response.cseq.method for e in scene.all if isinstance(e, fx.Respond)]
    assert order[-2:] == ["PRACK", "INVITE"]


def test_an_update_before_the_18x_is_acknowledged_comes_too_early() -> None:
    """RFC 3311 5.2: 500 with Retry-After from 0 to 10."""
    scene = early()
    scene.inside(LegKind.TRUNK, "UPDATE", MOVED, cseq=51)
    refused = next(e.response for e in reversed(scene.all) if isinstance(e, fx.Respond) and e.key == "trunk-51")
    assert refused.status == 500
    assert int(refused.headers.get("Retry-After") or 99) in range(11)


def test_an_offer_in_the_prack_of_mere_ringing_comes_too_early() -> None:
    scene = asked(("Require", "100rel")).reply(180)
    assert prack(scene, ours(scene)[0], MOVED) == 500
    assert prack(scene, ours(scene)[0]) == 481, "the 18x counts as acknowledged"


def test_an_update_after_ringing_was_acknowledged_and_media_was_not_comes_too_early() -> None:
    scene = asked(("Require", "100rel")).reply(180)
    prack(scene, ours(scene)[0])
    scene.reply(183, answer()).inside(LegKind.TRUNK, "UPDATE", MOVED, cseq=51)
    refused = next(e.response for e in reversed(scene.all) if isinstance(e, fx.Respond) and e.key == "trunk-51")
    assert refused.status == 500


@HOW
@pytest.mark.parametrize("body", [FAX, b"v=0\r\njunk"], ids=["fax", "junk"])
def test_what_cannot_be_had_is_refused_and_the_18x_still_stands(how: str, body: bytes) -> None:
    scene = early()
    before = scene.state.caller.talk.session
    assert changes(scene, how, body).status == 488
    assert scene.state.caller.talk.session is before
    scene.reply(200, answer())
    assert ours(scene)[-1].body == ours(scene)[0].body, "that same exact answer (RFC 3261 13.2.1)"


@HOW
def test_what_the_other_side_would_have_to_be_asked_for_is_504(how: str) -> None:
    """It speaks PCMU or PCMA as it likes, and cannot be asked to leave one out before it has answered."""
    scene = early(BOTH, BOTH)
    assert changes(scene, how, ONLY_PCMA).status == 504
    scene.reply(200, BOTH)
    assert ours(scene)[-1].body == ours(scene)[0].body


@HOW
def test_a_second_change_is_answered_like_the_first(how: str) -> None:
    scene = early()
    assert changes(scene, how, MOVED).status == 200
    scene.inside(LegKind.TRUNK, "UPDATE", answer(port=4446), cseq=60)
    assert scene.state.caller.remote is not None
    assert scene.state.caller.remote.rtp is not None
    assert scene.state.caller.remote.rtp.port == 4446
    scene.reply(200, answer())
    assert ours(scene)[-1].body == b""


@HOW
def test_further_ringing_says_nothing_of_media_after_a_change(how: str) -> None:
    scene = early()
    changes(scene, how, MOVED)
    scene.reply(183, answer(port=4010))
    assert (ours(scene)[-1].status, ours(scene)[-1].body) == (183, b"")


@HOW
def test_a_hold_is_answered_at_once_and_the_callee_asked_when_the_call_stands(how: str) -> None:
    scene = early()
    held = changes(scene, how, answer(port=4444, direction="inactive"))
    assert (held.status, b"a=inactive" in held.body) == (200, True)
    reinvites = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.REINVITE]
    assert reinvites == []
    scene.reply(200, answer()).ack()
    (asked_then,) = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.REINVITE]
    assert b"a=inactive" in asked_then.request.body or b"a=sendonly" in asked_then.request.body


@HOW
def test_what_the_callee_says_at_last_is_offered_when_the_call_stands(how: str) -> None:
    """The 200 had no place for it."""
    scene = early()
    changes(scene, how, MOVED)
    scene.reply(200, answer(direction="inactive")).clear().ack()
    (offered,) = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.REINVITE]
    assert offered.leg == scene.state.caller.id
    assert b"a=inactive" in offered.request.body or b"a=sendonly" in offered.request.body


def test_a_second_invite_before_the_answer_to_the_first_comes_too_early() -> None:
    """RFC 3261 14.2."""
    scene = early()
    prack(scene, ours(scene)[0])
    scene.inside(LegKind.TRUNK, "INVITE", MOVED, cseq=52)
    refused = next(e.response for e in reversed(scene.all) if isinstance(e, fx.Respond) and e.key == "trunk-52")
    assert refused.status == 500
