"""Digits told by INFO: how each is answered, in which way it leaves, and that none leaves twice."""

from __future__ import annotations

import pytest

from gateway.base.codes import Code
from gateway.base.counters import Counter
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import CALLER, LegId, LegKind, Secret
from gateway.call.legs.keypad import MAX_AHEAD, MAX_DUE
from gateway.call.legs.user_agent import ALLOW
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.media.relay_commands import PlayDigit
from gateway.media.relay_events import DigitHeard
from gateway.sip.reply import REASONS
from tests.call.machine_scene import MachineScene, answer, browser_answer, trunk_flow, vector
from tests.call.test_between_browsers import from_peer
from tests.call.test_between_browsers import talking as browsers
from tests.sites import made_trunk

RELAY = ("Content-Type", "application/dtmf-relay")
BROWSER, TRUNK = LegKind.BROWSER, LegKind.TRUNK
EVENTS = (" 101", b"a=rtpmap:101 telephone-event/8000\r\n")
WITH = answer()
WITHOUT = answer().replace(b" 101\r\n", b"\r\n").replace(EVENTS[1], b"")


def without_events(description: bytes) -> bytes:
    """The same of a client that has no telephone-event."""
    lines = description.decode().split("\r\n")
    events = {line[9:].split()[0] for line in lines if line.startswith("a=rtpmap:") and "telephone-event" in line}
    kept = [line for line in lines if not any(line.startswith((f"a=rtpmap:{n} ", f"a=fmtp:{n} ")) for n in events)]
    made = [" ".join(w for w in line.split(" ") if w not in events) if line[:7] == "m=audio" else line for line in kept]
    return "\r\n".join(made).encode()


WITHOUT_EVENTS = without_events(vector("chromium_offer"))
JSSIP = b"Signal=5\r\nDuration=100"


def talking(
    dtmf: str = "rtp", said: bytes = WITH, *, outbound: bool = True, transport: str = "udp", allow: str = ""
) -> MachineScene:
    """A browser and a trunk speak; the trunk is configured so, and says this of its media."""
    trunk = made_trunk(f"sip:pbx.example;transport={transport}", security="legacy", dtmf=dtmf)
    offer = vector("chromium_offer") if outbound else said
    flow = trunk_flow(transport)
    scene = MachineScene(profile=Profile.LEGACY, trunk=trunk, flow=flow, outbound=outbound, offer=offer).calling()
    scene.reply(200, said if outbound else browser_answer(scene.invite.body)).ack()
    scene.feed(scene.keyed())
    if allow:
        scene.browser_leg.takes_info = "INFO" in allow
    return scene.clear()


def info(
    scene: MachineScene, leg: LegKind, body: bytes = JSSIP, *extra: tuple[str, str], cseq: int = 40
) -> tuple[int, dict[str, str]]:
    """An INFO of this peer; what it is answered."""
    before = len(scene.take(fx.Respond))
    scene.inside(leg, "INFO", body, cseq=cseq, extra=extra or (RELAY,))
    effect = scene.take(fx.Respond)[before]
    names = ("Accept", "Recv-Info", "Retry-After")
    found = {name: value for name in names if (value := effect.response.headers.get(name)) is not None}
    return effect.response.status, found


def played(scene: MachineScene) -> list[tuple[LegKind, str, int]]:
    return [(scene.kind(d.leg), d.digit.reveal(), d.milliseconds) for d in scene.relayed(PlayDigit)]


def sent(scene: MachineScene) -> list[fx.SendRequest]:
    """INFO that has left since this was asked last."""
    found = [e for e in scene.take(fx.SendRequest) if e.purpose is Purpose.INFO]
    scene.effects = [e for e in scene.effects if e not in found]
    return found


def told(scene: MachineScene) -> list[tuple[LegKind, bytes]]:
    """What was told by INFO; each is answered."""
    found = []
    while requests := sent(scene):
        for one in requests:
            assert one.request.method == "INFO"
            assert one.request.headers.get("Content-Type") == "application/dtmf-relay"
            found.append((scene.kind(one.leg), one.request.body))
            scene.feed(scene.answer_to(one, 200))
    return found


def heard(scene: MachineScene, leg: LegKind, digit: str, milliseconds: int = 100) -> None:
    scene.feed(DigitHeard(scene.id(leg), Secret(digit), milliseconds))


def lost(scene: MachineScene) -> int:
    return sum(e.name is Counter.DIGITS_LOST for e in scene.take(fx.Count))


# The answer.


@pytest.mark.parametrize("leg", LegKind)
def test_info_is_allowed_and_says_so(leg: LegKind) -> None:
    assert "INFO" in ALLOW
    assert info(talking(), leg) == (200, {})


@pytest.mark.parametrize(
    ("body", "extra", "status", "headers"),
    [
        (b"", (), 200, {}),
        (b"", (RELAY,), 200, {}),
        (b"Signal=E\r\nDuration=100", (RELAY,), 400, {}),
        (b"5", (("Content-Type", "application/dtmf"),), 200, {}),
        (b"<x/>", (("Content-Type", "application/xml"),), 415, {"Accept": "application/dtmf-relay, application/dtmf"}),
        (JSSIP, (("Content-Type", ""),), 415, {"Accept": "application/dtmf-relay, application/dtmf"}),
        (JSSIP, (RELAY, ("Info-Package", "trickle-ice")), 469, {"Recv-Info": ""}),
        (JSSIP + b"\r\nx=" + b"y" * 300, (RELAY,), 413, {}),
    ],
)
@pytest.mark.parametrize("leg", LegKind)
def test_each_info_is_answered_by_what_it_carries(
    leg: LegKind, body: bytes, extra: tuple[tuple[str, str], ...], status: int, headers: dict[str, str]
) -> None:
    scene = talking()
    scene.inside(leg, "INFO", body, cseq=40, extra=extra)
    (effect,) = scene.take(fx.Respond)
    assert effect.response.status == status
    assert effect.response.reason == REASONS[status]
    assert {name: effect.response.headers.get(name) for name in headers} == headers
    assert len(played(scene)) == (status == 200 and bool(body))
    assert scene.state.live


def test_an_info_after_the_end_is_of_no_dialog() -> None:
    scene = talking().inside(TRUNK, "BYE", cseq=40).clear()
    assert info(scene, BROWSER) == (481, {})
    assert played(scene) == []


def test_nobody_is_there_for_a_digit_before_the_other_side_has_answered() -> None:
    scene = MachineScene().calling().reply(180).clear()
    assert info(scene, BROWSER) == (480, {})


def test_a_phone_that_rings_has_no_digits_to_tell() -> None:
    scene = MachineScene(profile=Profile.LEGACY, flow=trunk_flow("udp"), outbound=False, offer=WITH).calling()
    scene.reply(180).clear()
    assert info(scene, BROWSER) == (480, {})
    assert sent(scene) == []


def test_a_digit_in_early_media_is_played() -> None:
    """Announcements that ask for digits before they answer."""
    trunk = made_trunk("sip:pbx.example;transport=udp", security="legacy")
    scene = MachineScene(profile=Profile.LEGACY, trunk=trunk, flow=trunk_flow("udp")).calling()
    scene.reply(183, WITH).clear()
    assert info(scene, BROWSER) == (200, {})
    assert played(scene) == [(TRUNK, "5", 100)]


# Events to the trunk.


@pytest.mark.parametrize("dtmf", ["rtp", "auto"])
@pytest.mark.parametrize("outbound", [True, False])
def test_info_of_a_browser_is_played_to_the_trunk_that_has_agreed_to_events(dtmf: str, outbound: bool) -> None:
    scene = talking(dtmf, outbound=outbound)
    assert info(scene, BROWSER, b"Signal=#\r\nDuration=250") == (200, {})
    assert played(scene) == [(TRUNK, "#", 250)]
    assert sent(scene) == []


def test_info_of_a_trunk_that_has_agreed_to_events_is_played_to_the_browser() -> None:
    scene = talking()
    assert info(scene, TRUNK) == (200, {})
    assert played(scene) == [(BROWSER, "5", 100)]
    assert told(scene) == []


def test_a_trunk_without_events_takes_no_digits_unless_info_is_configured() -> None:
    scene = talking("rtp", WITHOUT)
    assert info(scene, BROWSER) == (488, {})
    assert played(scene) == []
    ours = scene.browser_leg.talk.ours
    assert ours is not None
    assert not any(codec.is_event for codec in ours.codecs), "the page is not told that there were a keypad"


@pytest.mark.parametrize("held", [b"a=sendonly", b"a=inactive"])
def test_a_trunk_that_holds_is_played_nothing(held: bytes) -> None:
    scene = talking()
    scene.inside(TRUNK, "INVITE", WITH.replace(b"a=sendrecv", held), cseq=41).clear()
    assert info(scene, BROWSER) == (488, {})
    assert played(scene) == []


def test_a_flood_of_info_is_refused_with_the_time_to_wait_and_harms_no_call() -> None:
    scene = talking()
    answers = [info(scene, BROWSER, b"Signal=1\r\nDuration=160", cseq=40 + n) for n in range(500)]
    assert [status for status, _ in answers].count(200) == MAX_AHEAD
    assert answers[-1] == (500, {"Retry-After": "1"})
    assert len(played(scene)) == MAX_AHEAD
    scene.now += 1.0
    assert info(scene, BROWSER, cseq=900) == (200, {})
    assert scene.state.live


# INFO to the trunk.


@pytest.mark.parametrize(("dtmf", "said"), [("info", WITH), ("info", WITHOUT), ("auto", WITHOUT)])
@pytest.mark.parametrize("outbound", [True, False])
def test_a_trunk_that_takes_no_events_is_told_by_info(dtmf: str, said: bytes, outbound: bool) -> None:
    scene = talking(dtmf, said, outbound=outbound)
    assert info(scene, BROWSER, b"Signal= * \r\nDuration= 300") == (200, {})
    assert told(scene) == [(TRUNK, b"Signal=*\r\nDuration=300\r\n")]
    heard(scene, BROWSER, "#", 8000)
    assert told(scene) == [(TRUNK, b"Signal=#\r\nDuration=8000\r\n")]
    assert played(scene) == []


@pytest.mark.parametrize("outbound", [True, False])
def test_a_trunk_that_is_told_by_info_has_no_events_in_its_media_and_the_browser_has(outbound: bool) -> None:
    """What comes both ways would be two digits; the browser may press as it likes."""
    scene = talking("info", WITH, outbound=outbound)
    ours = scene.trunk_leg.talk.ours
    assert ours is not None
    assert not any(codec.is_event for codec in ours.codecs)
    way = scene.way(BROWSER, TRUNK)
    assert way.tells_digits
    assert way.events == ()
    assert 8000 in {form.clock_rate for form in way.heard}
    theirs = scene.browser_leg.talk.ours
    assert theirs is not None
    assert any(codec.is_event for codec in theirs.codecs)
    assert scene.way(TRUNK, BROWSER).events != ()


def test_events_that_a_browser_is_offered_for_such_a_trunk_have_numbers_of_their_own() -> None:
    taken = (
        WITHOUT.replace(b"RTP/AVP 0", b"RTP/AVP 126 110 0") + b"a=rtpmap:126 opus/48000/2\r\na=rtpmap:110 PCMU/8000\r\n"
    )
    scene = talking("info", taken, outbound=False)
    ours = scene.browser_leg.talk.ours
    assert ours is not None
    numbers = [codec.payload_type for codec in ours.codecs]
    assert len(numbers) == len(set(numbers))
    assert {codec.clock_rate for codec in ours.codecs if codec.is_event} == {8000, 48000}


def test_digits_are_told_one_after_the_other_and_none_overtakes_another() -> None:
    scene = talking("info")
    for n, digit in enumerate("1234"):
        assert info(scene, BROWSER, f"Signal={digit}\r\nDuration=100".encode(), cseq=40 + n)[0] == 200
    first = sent(scene)
    assert [one.request.body[:8] for one in first] == [b"Signal=1"]
    scene.feed(scene.answer_to(first[0], 200))
    assert [body[7:8] for _, body in told(scene)] == [b"2", b"3", b"4"]


def test_a_digit_that_comes_as_an_event_and_by_info_is_told_once() -> None:
    scene = talking("info")
    heard(scene, BROWSER, "7")
    assert info(scene, BROWSER, b"Signal=7\r\nDuration=100") == (200, {})
    assert len(told(scene)) == 1
    heard(scene, BROWSER, "7")
    assert len(told(scene)) == 1


@pytest.mark.parametrize("status", [405, 415, 488, 500, 501, 603])
def test_a_digit_the_trunk_refuses_is_counted_and_the_next_one_is_told(status: int) -> None:
    scene = talking("info")
    info(scene, BROWSER)
    info(scene, BROWSER, b"Signal=6\r\nDuration=100", cseq=41)
    (first,) = sent(scene)
    scene.feed(scene.answer_to(first, status))
    assert len(told(scene)) == 1
    assert scene.state.live
    assert lost(scene) == 1


@pytest.mark.parametrize("status", [408, 481])
def test_a_trunk_that_does_not_know_the_call_any_more_ends_it(status: int) -> None:
    scene = talking("info")
    info(scene, BROWSER)
    (first,) = sent(scene)
    scene.feed(scene.answer_to(first, status))
    assert scene.state.termination is Termination.PEER_TIMEOUT


def test_when_nobody_answers_the_digits_that_wait_are_given_up_and_the_call_goes_on() -> None:
    scene = talking("info")
    for n in range(3):
        info(scene, BROWSER, cseq=40 + n)
    (first,) = sent(scene)
    scene.feed(events.RequestFailed(first.ask, transport=False))
    assert lost(scene) == 3
    assert scene.state.live
    info(scene, BROWSER, cseq=50)
    assert len(told(scene)) == 1


def test_no_more_digits_wait_for_a_trunk_that_does_not_answer_than_a_person_presses() -> None:
    scene = talking("info")
    for _ in range(3 * MAX_DUE):
        heard(scene, BROWSER, "1")
    assert len(scene.trunk_leg.keypad.due) == MAX_DUE
    assert lost(scene) == 2 * MAX_DUE - 1


@pytest.mark.parametrize(("transport", "noted"), [("udp", True), ("tls", False)])
def test_a_digit_that_anybody_on_the_way_can_read_is_noted(transport: str, noted: bool) -> None:
    scene = talking("info", transport=transport)
    info(scene, BROWSER)
    told(scene)
    assert (Code.SIG_DTMF_CLEARTEXT in scene.state.posture.codes_seen) is noted


# A browser that has no events.


@pytest.mark.parametrize("outbound", [True, False])
def test_a_client_without_events_tells_by_info_and_is_told_by_info_while_the_trunk_has_events(outbound: bool) -> None:
    """The trunk is offered them all the same: they are played and heard by the relay, not by the client."""
    trunk = made_trunk("sip:pbx.example;transport=udp", security="legacy")
    offer = WITHOUT_EVENTS if outbound else WITH
    scene = MachineScene(
        profile=Profile.LEGACY, trunk=trunk, flow=trunk_flow("udp"), outbound=outbound, offer=offer
    ).calling()
    if outbound:
        number = scene.invite.body.decode().split(" telephone-event/8000")[0].split(":")[-1]
        scene.reply(200, WITH.replace(b"101", number.encode())).ack()
    else:
        scene.reply(200, without_events(browser_answer(scene.invite.body))).ack()
    scene.feed(scene.keyed()).clear()
    assert info(scene, BROWSER) == (200, {})
    assert played(scene) == [(TRUNK, "5", 100)]
    assert scene.way(TRUNK, BROWSER).tells_digits
    heard(scene, TRUNK, "8", 200)
    assert told(scene) == [(BROWSER, b"Signal=8\r\nDuration=200\r\n")]


def test_a_client_that_has_neither_events_nor_info_is_told_nothing() -> None:
    scene = MachineScene(profile=Profile.LEGACY, flow=trunk_flow("udp"), outbound=False, offer=WITH).calling()
    scene.reply(200, without_events(browser_answer(scene.invite.body))).ack().feed(scene.keyed()).clear()
    scene.browser_leg.takes_info = False
    heard(scene, TRUNK, "8")
    assert (sent(scene), lost(scene)) == ([], 1)
    assert info(scene, TRUNK) == (488, {})


def test_a_digit_over_a_connection_that_proves_less_is_refused() -> None:
    scene = talking(transport="tls")
    scene.inside(TRUNK, "INFO", JSSIP, cseq=40, extra=(RELAY,), flow=trunk_flow("udp"))
    assert [e.response.status for e in scene.take(fx.Respond)] == [403]
    assert played(scene) == []


# INFO to the browser.


@pytest.mark.parametrize(("dtmf", "said"), [("info", WITH), ("auto", WITHOUT), ("rtp", WITHOUT)])
def test_info_of_a_trunk_without_events_reaches_the_browser_by_info(dtmf: str, said: bytes) -> None:
    scene = talking(dtmf, said)
    assert info(scene, TRUNK, b"Signal=9\r\nDuration=120") == (200, {})
    assert told(scene) == [(BROWSER, b"Signal=9\r\nDuration=120\r\n")]
    assert played(scene) == []


def test_a_browser_that_does_not_allow_info_is_played_the_digit() -> None:
    scene = talking("info", allow="INVITE, BYE")
    assert info(scene, TRUNK) == (200, {})
    assert played(scene) == [(BROWSER, "5", 100)]


@pytest.mark.parametrize(("leg", "other"), [(CALLER, LegId(2)), (LegId(2), CALLER)])
def test_between_browsers_info_stays_info(leg: LegId, other: LegId) -> None:
    scene = browsers().clear()
    from_peer(scene, leg, "INFO", JSSIP, cseq=40, extra=(RELAY,))
    assert scene.take(fx.Respond)[-1].response.status == 200
    assert [(one.leg, one.request.body) for one in sent(scene)] == [(other, b"Signal=5\r\nDuration=100\r\n")]
