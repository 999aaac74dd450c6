"""The user agent of a leg: what every message of it says, whichever profile it has."""

from __future__ import annotations

import pytest

from gateway.base.errors import SipError
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.legs.targets import Relayed
from gateway.call.legs.user_agent import ALLOW, HOP_HEADER, MAX_FIRST_CSEQ, reason, warning
from gateway.call.machine import effects as fx
from gateway.sip.cseq import MAX_CSEQ
from tests.call.machine_scene import MachineScene, request, sdes_answer


def talking() -> MachineScene:
    scene = MachineScene().calling()
    return scene.reply(200, sdes_answer(scene.invite.body)).ack()


def test_an_invite_of_ours_says_what_is_allowed_and_carries_a_mark() -> None:
    sent = MachineScene().calling().invite
    assert sent.headers.get("Allow") == ALLOW
    assert sent.headers.get(HOP_HEADER)
    assert sent.contact is not None


def test_a_success_says_where_we_are_and_a_refusal_does_not() -> None:
    leg = talking().trunk_leg
    asked = request("INVITE", to_tag=leg.local_tag)
    assert leg.respond(asked, 200).headers.get("Contact")
    assert leg.respond(asked, 488).headers.get("Contact") is None
    assert leg.respond(asked, 488).to.tag == leg.local_tag


def test_there_is_no_request_in_a_dialog_there_is_not() -> None:
    with pytest.raises(SipError):
        MachineScene().calling().trunk_leg.in_dialog("BYE")


def test_each_request_in_a_dialog_has_the_next_number() -> None:
    leg = talking().trunk_leg
    one, two = leg.in_dialog("OPTIONS"), leg.in_dialog("OPTIONS")
    assert two.cseq.number == one.cseq.number + 1


@pytest.mark.parametrize("taken", [1, 500, MAX_CSEQ - 1, MAX_CSEQ])
def test_an_invite_that_keeps_its_callers_number_leaves_numbers_for_the_goodbye(taken: int) -> None:
    scene = MachineScene().begin().connect()
    leg = scene.trunk_leg
    leg.relayed = Relayed("sip:600@example.test", leg.remote_address, leg.call_id, leg.local_tag, taken)
    scene.open_media()
    assert scene.invite.cseq.number == min(taken, MAX_FIRST_CSEQ)
    scene.reply(200, sdes_answer(scene.invite.body)).ack().inside(LegKind.BROWSER, "BYE", cseq=9)
    (bye,) = [e.request for e in scene.take(fx.SendRequest) if e.request.method == "BYE"]
    assert bye.cseq.number == scene.invite.cseq.number + 1


@pytest.mark.parametrize("why", [Termination.HANGUP_TRUNK, Termination.CANCELLED])
def test_an_ordinary_end_gives_no_reason(why: Termination) -> None:
    assert reason(why) == ()


def test_a_reason_says_the_status_and_the_words() -> None:
    ((name, value),) = reason(Termination.MEDIA_NOT_KEYED)
    assert name == "Reason"
    assert f"cause={Termination.MEDIA_NOT_KEYED.status}" in value


def test_a_warning_names_no_host() -> None:
    warned = [value for termination in Termination for _, value in warning(termination)]
    assert warned
    assert all(value.split()[1] == "gw" for value in warned)
