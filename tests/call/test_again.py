"""A trunk asks who we are: the request goes once more, as the same ask, with the next number and the credentials."""

from __future__ import annotations

import pytest

from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from tests.call.machine_scene import MachineScene, sdes_answer

CREDENTIALS = (("Proxy-Authorization", 'Digest username="acme"'),)


def challenge(scene: MachineScene, purpose: fx.Purpose, status: int = 407) -> fx.SendRequest:
    """The peer of the last request of this kind asks; gives that request."""
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is purpose][-1]
    refusal = scene.answer_to(sent, status)
    assert isinstance(refusal, events.ResponseIn)
    scene.clear().feed(events.Challenged(sent.ask, sent.request, CREDENTIALS, refusal.response, refusal.flow))
    return sent


def talking() -> MachineScene:
    scene = MachineScene().calling()
    return scene.reply(200, sdes_answer(scene.invite.body)).ack().feed(scene.keyed()).clear()


@pytest.mark.parametrize("status", [401, 407])
def test_an_invite_goes_once_more_with_credentials_and_the_caller_hears_nothing_of_it(status: int) -> None:
    """RFC 3261 22.2: same Call-ID, From tag and body; CSeq one higher."""
    scene = MachineScene().calling()
    first = challenge(scene, fx.Purpose.INVITE, status)
    (again,) = scene.take(fx.SendRequest)
    assert again.request.cseq.number == first.request.cseq.number + 1
    assert again.request.headers.get("Proxy-Authorization") == CREDENTIALS[0][1]
    assert (again.ask, again.request.call_id, again.request.body) == (
        first.ask,
        first.request.call_id,
        first.request.body,
    )
    assert not scene.take(fx.Respond)
    scene.reply(200, sdes_answer(again.request.body))
    assert [e.response.status for e in scene.take(fx.Respond)] == [200]


def test_the_ack_of_its_2xx_carries_the_same_credentials() -> None:
    """RFC 3261 22.1."""
    scene = MachineScene().calling()
    challenge(scene, fx.Purpose.INVITE)
    (again,) = scene.take(fx.SendRequest)
    scene.reply(200, sdes_answer(again.request.body))
    (ack,) = scene.take(fx.SendAck)
    assert ack.request.cseq.number == again.request.cseq.number
    assert ack.request.headers.get("Proxy-Authorization") == CREDENTIALS[0][1]


def test_credentials_that_were_refused_are_not_sent_beside_the_new_ones() -> None:
    scene = MachineScene().calling()
    challenge(scene, fx.Purpose.INVITE)
    challenge(scene, fx.Purpose.INVITE)
    (again,) = scene.take(fx.SendRequest)
    assert again.request.headers.get_all("Proxy-Authorization") == [CREDENTIALS[0][1]]


def test_a_challenge_is_a_sign_of_life() -> None:
    scene = MachineScene().calling()
    challenge(scene, fx.Purpose.INVITE)
    assert fx.Timer.SILENT in [e.name for e in scene.take(fx.ClearTimer)]


def test_a_caller_who_has_given_up_is_not_called_for_again() -> None:
    scene = MachineScene().calling().feed(events.CancelIn())
    challenge(scene, fx.Purpose.INVITE)
    assert not [e for e in scene.take(fx.SendRequest) if e.purpose is fx.Purpose.INVITE]


def test_a_request_inside_the_dialog_gets_the_next_number_of_the_dialog() -> None:
    scene = talking()
    scene.inside(LegKind.BROWSER, "BYE", cseq=40)
    bye = challenge(scene, fx.Purpose.BYE, 401)
    (again,) = scene.take(fx.SendRequest)
    assert again.request.cseq.number == bye.request.cseq.number + 1
    assert again.request.method == "BYE"
    assert scene.state.termination is Termination.HANGUP_BROWSER
    scene.reply(200, purpose=fx.Purpose.BYE)
    assert not scene.state.asks


def test_of_an_ask_that_is_known_no_more_nothing_is_sent() -> None:
    scene = talking()
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest)][-1]
    refusal = scene.answer_to(sent, 401)
    assert isinstance(refusal, events.ResponseIn)
    scene.clear().feed(events.Challenged(999, sent.request, CREDENTIALS, refusal.response, refusal.flow))
    assert not scene.take(fx.SendRequest)
