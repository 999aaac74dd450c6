"""How the one who sent a REFER is told how it goes (RFC 3515 2.4.4 to 2.4.7, RFC 6665, RFC 5057)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import SipError
from gateway.sip.address import NameAddr
from gateway.sip.dialog import Dialog
from gateway.sip.message import Request
from gateway.sip.subscription import (
    ENDS_USAGE,
    EXPIRES,
    MAX_SUBSCRIPTIONS,
    TABLE,
    Event,
    Notice,
    State,
    Subscriptions,
)
from tests.effort import examples
from tests.sip.samples import raw, request

NOW = 1000.0
FIRST, SECOND = 93809823, 93809824
"""CSeq numbers of the two REFERs of RFC 3515 4.2."""


def subscribe(event: str = f"refer;id={FIRST}", expires: str | None = "60") -> Request:
    lines = f"Event: {event}" + ("" if expires is None else f"\r\nExpires: {expires}")
    return request(raw("SUBSCRIBE sip:b@example.com SIP/2.0", extra=lines, CSeq="8 SUBSCRIBE", To="<sip:b@x>;tag=1"))


def opened() -> Subscriptions:
    """One subscription whose first NOTIFY was answered."""
    subscriptions = Subscriptions()
    subscriptions.open(FIRST, NOW)
    assert subscriptions.answered(FIRST, 200, NOW) is None
    return subscriptions


def said(notice: Notice | None) -> tuple[str, bytes]:
    """Subscription-State and body of a NOTIFY there must be."""
    assert notice is not None
    assert notice.headers[0] == ("Event", f"refer;id={notice.number}")
    assert notice.headers[2] == ("Content-Type", "message/sipfrag;version=2.0")
    name, state = notice.headers[1]
    assert name == "Subscription-State"
    assert notice.last is state.startswith("terminated")
    return state, notice.body


def test_the_first_notify_goes_out_at_once_and_says_trying() -> None:
    assert said(Subscriptions().open(FIRST, NOW)) == (f"active;expires={EXPIRES}", b"SIP/2.0 100 Trying\r\n")


def test_what_the_call_comes_to_is_the_last_word() -> None:
    subscriptions = opened()
    assert said(subscriptions.progress(FIRST, 180, NOW + 10.5)) == ("active;expires=229", b"SIP/2.0 180 Ringing\r\n")
    assert subscriptions.answered(FIRST, 200, NOW) is None
    assert said(subscriptions.progress(FIRST, 200, NOW)) == ("terminated;reason=noresource", b"SIP/2.0 200 OK\r\n")
    assert len(subscriptions) == 1
    assert subscriptions.answered(FIRST, 200, NOW) is None
    assert len(subscriptions) == 0


def test_a_refusal_is_told_like_a_success() -> None:
    assert said(opened().progress(FIRST, 488, NOW)) == (
        "terminated;reason=noresource",
        b"SIP/2.0 488 Not Acceptable Here\r\n",
    )


def test_one_notify_is_out_at_a_time_and_the_next_tells_the_newest() -> None:
    subscriptions = Subscriptions()
    subscriptions.open(FIRST, NOW)
    assert subscriptions.progress(FIRST, 180, NOW) is None
    assert subscriptions.progress(FIRST, 183, NOW) is None
    assert said(subscriptions.answered(FIRST, 200, NOW))[1] == b"SIP/2.0 183 Session Progress\r\n"
    assert subscriptions.answered(FIRST, 200, NOW) is None


def test_the_last_word_waits_for_the_answer_to_the_word_before() -> None:
    subscriptions = Subscriptions()
    subscriptions.open(FIRST, NOW)
    assert subscriptions.progress(FIRST, 180, NOW) is None
    assert subscriptions.progress(FIRST, 486, NOW) is None
    assert said(subscriptions.answered(FIRST, 200, NOW)) == (
        "terminated;reason=noresource",
        b"SIP/2.0 486 Busy Here\r\n",
    )


def test_after_the_last_word_nothing_is_news() -> None:
    subscriptions = opened()
    subscriptions.progress(FIRST, 603, NOW)
    assert subscriptions.progress(FIRST, 200, NOW) is None
    assert subscriptions.progress(FIRST, 180, NOW) is None
    assert subscriptions.answered(FIRST, 200, NOW) is None
    assert subscriptions.progress(FIRST, 200, NOW) is None


def test_a_last_word_that_waits_is_not_changed_by_what_comes_later() -> None:
    subscriptions = Subscriptions()
    subscriptions.open(FIRST, NOW)
    subscriptions.progress(FIRST, 486, NOW)
    assert subscriptions.progress(FIRST, 180, NOW) is None
    assert subscriptions.progress(FIRST, 200, NOW) is None
    assert subscriptions.due(NOW + EXPIRES) == []
    assert said(subscriptions.answered(FIRST, 200, NOW)) == (
        "terminated;reason=noresource",
        b"SIP/2.0 486 Busy Here\r\n",
    )


def test_the_same_status_again_is_no_news() -> None:
    subscriptions = opened()
    assert subscriptions.progress(FIRST, 100, NOW) is None
    assert subscriptions.progress(FIRST, 180, NOW) is not None
    assert subscriptions.answered(FIRST, 200, NOW) is None
    assert subscriptions.progress(FIRST, 180, NOW) is None


@pytest.mark.parametrize("status", sorted(ENDS_USAGE))
def test_a_subscriber_that_knows_of_none_or_does_not_answer_is_told_no_more(status: int) -> None:
    subscriptions = Subscriptions()
    subscriptions.open(FIRST, NOW)
    subscriptions.progress(FIRST, 180, NOW)
    assert subscriptions.answered(FIRST, status, NOW) is None
    assert len(subscriptions) == 0
    assert subscriptions.progress(FIRST, 200, NOW) is None
    assert subscriptions.next_deadline is None


@pytest.mark.parametrize("status", [200, 202, 400, 401, 403, 491, 500, 503, 603])
def test_any_other_answer_costs_that_news_only(status: int) -> None:
    subscriptions = Subscriptions()
    subscriptions.open(FIRST, NOW)
    assert subscriptions.answered(FIRST, status, NOW) is None
    assert said(subscriptions.progress(FIRST, 200, NOW))[1] == b"SIP/2.0 200 OK\r\n"


def test_several_refers_of_a_dialog_are_told_apart_by_their_numbers() -> None:
    subscriptions = opened()
    assert said(subscriptions.open(SECOND, NOW))[1] == b"SIP/2.0 100 Trying\r\n"
    assert said(subscriptions.progress(FIRST, 404, NOW))[1] == b"SIP/2.0 404 Not Found\r\n"
    subscriptions.answered(FIRST, 200, NOW)
    assert subscriptions.answered(SECOND, 200, NOW) is None
    assert said(subscriptions.progress(SECOND, 200, NOW))[1] == b"SIP/2.0 200 OK\r\n"


def test_a_leg_has_only_so_many() -> None:
    subscriptions = Subscriptions()
    for number in range(MAX_SUBSCRIPTIONS):
        subscriptions.open(number, NOW)
    with pytest.raises(SipError) as caught:
        subscriptions.open(99, NOW)
    assert caught.value.status == 491
    assert [n for n in range(100) if subscriptions.answered(n, 481, NOW)] == []
    subscriptions.open(99, NOW)


def test_whether_there_is_room_is_known_before_the_refer_is_answered() -> None:
    subscriptions = Subscriptions()
    room = []
    for number in range(MAX_SUBSCRIPTIONS):
        room.append(not subscriptions.is_full)
        subscriptions.open(number, NOW)
    assert all(room)
    assert subscriptions.is_full


@pytest.mark.parametrize(("asked", "granted"), [("60", 60), ("3600", EXPIRES), (None, EXPIRES), ("1", 1)])
def test_a_refresh_is_granted_no_longer_than_we_like_and_answered_with_the_state(
    asked: str | None, granted: int
) -> None:
    subscriptions = opened()
    subscriptions.progress(FIRST, 180, NOW)
    subscriptions.answered(FIRST, 200, NOW)
    seconds, notice = subscriptions.asked(subscribe(expires=asked), NOW + 100)
    assert seconds == granted
    assert said(notice) == (f"active;expires={granted}", b"SIP/2.0 180 Ringing\r\n")
    assert subscriptions.next_deadline == NOW + 100 + granted


def test_who_unsubscribes_hears_a_last_word_and_no_more() -> None:
    subscriptions = opened()
    seconds, notice = subscriptions.asked(subscribe(expires="0"), NOW)
    assert seconds == 0
    assert said(notice) == ("terminated;reason=timeout", b"SIP/2.0 100 Trying\r\n")
    assert subscriptions.progress(FIRST, 200, NOW) is None


def test_a_subscription_nobody_refreshes_runs_out() -> None:
    subscriptions = opened()
    before = subscriptions.next_deadline
    assert subscriptions.due(NOW + EXPIRES - 1) == []
    (notice,) = subscriptions.due(NOW + EXPIRES)
    assert said(notice)[0] == "terminated;reason=timeout"
    assert (before, subscriptions.next_deadline) == (NOW + EXPIRES, None)
    assert subscriptions.due(NOW + 2 * EXPIRES) == []
    subscriptions.answered(FIRST, 200, NOW)
    assert len(subscriptions) == 0


def test_one_that_runs_out_while_a_notify_is_out_says_so_behind_it() -> None:
    subscriptions = Subscriptions()
    subscriptions.open(FIRST, NOW)
    assert subscriptions.due(NOW + EXPIRES) == []
    assert said(subscriptions.answered(FIRST, 200, NOW))[0] == "terminated;reason=timeout"


@pytest.mark.parametrize(
    ("event", "expires", "status"),
    [
        ("presence", "60", 489),
        ("", "60", 489),
        (f"refer;id={SECOND}", "60", 481),
        ("refer;id=x", "60", 400),
        ("refer;id=99999999999999999999", "60", 400),
        ("refer;id=", "60", 400),
        ('refer;id="', "60", 400),
        ("refer", "soon", 400),
        ("refer", "-1", 400),
    ],
)
def test_a_subscribe_for_something_else_is_refused(event: str, expires: str, status: int) -> None:
    with pytest.raises(SipError) as caught:
        opened().asked(subscribe(event, expires), NOW)
    assert caught.value.status == status


def test_a_subscribe_without_an_event_is_refused() -> None:
    plain = request(raw("SUBSCRIBE sip:b@example.com SIP/2.0", CSeq="8 SUBSCRIBE"))
    with pytest.raises(SipError) as caught:
        opened().asked(plain, NOW)
    assert caught.value.status == 489


def test_a_subscribe_without_a_number_means_the_first() -> None:
    subscriptions = opened()
    subscriptions.open(SECOND, NOW)
    _, notice = subscriptions.asked(subscribe("Refer"), NOW)
    assert notice is not None
    assert notice.number == FIRST


def test_what_is_ending_cannot_be_refreshed() -> None:
    subscriptions = opened()
    subscriptions.progress(FIRST, 200, NOW)
    with pytest.raises(SipError) as caught:
        subscriptions.asked(subscribe(), NOW)
    assert caught.value.status == 481


def test_a_notice_becomes_a_request_of_the_dialog() -> None:
    invite = request(raw(To="<sip:bob@example.com>"))
    dialog = Dialog.uas(invite, "our")
    notify = Subscriptions().open(FIRST, NOW).write(dialog.new_request("NOTIFY", NameAddr.parse("<sip:gw@192.0.2.9>")))
    wire = bytes(notify)
    assert wire.startswith(b"NOTIFY sip:alice@192.0.2.1 SIP/2.0\r\n")
    assert b"Event: refer;id=93809823\r\n" in wire
    assert wire.endswith(b"Content-Length: 20\r\n\r\nSIP/2.0 100 Trying\r\n")


def test_every_state_but_the_last_leads_to_the_end() -> None:
    reached = {State.ENDED}
    for _ in State:
        reached |= {state for (state, _event), (after, _) in TABLE.items() if after in reached}
    assert reached == set(State)
    assert not any(state is State.ENDED for state, _ in TABLE)


def test_no_second_notify_goes_out_beside_one_that_is_out() -> None:
    quiet = State.SETTLED
    for (state, event), (_, tells) in TABLE.items():
        assert not tells or state is quiet or event is Event.ANSWERED


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["open", "progress", "answered", "asked", "due"]),
        st.integers(1, 3),
        st.sampled_from([100, 180, 183, 200, 202, 408, 481, 486, 500, 0]),
        st.integers(0, 300),
    ),
    max_size=40,
)


class Wire:
    """Counts the NOTIFYs that are out, and holds each subscription to one word at a time and one last word."""

    def __init__(self) -> None:
        self.opened: set[int] = set()
        self.out: set[int] = set()
        self.over: set[int] = set()

    def take(self, notice: Notice | None) -> None:
        if notice is not None:
            assert notice.number not in self.out | self.over
            self.out.add(notice.number)
            if notice.last:
                self.over.add(notice.number)


def act(subscriptions: Subscriptions, wire: Wire, what: str, number: int, status: int, now: float) -> None:
    if what == "open" and number not in wire.opened:  # a number is used once in a dialog
        wire.opened.add(number)
        wire.take(subscriptions.open(number, now))
    elif what == "progress" and status:
        wire.take(subscriptions.progress(number, status, now))
    elif what == "answered" and status >= 200 and number in wire.out:
        wire.out.remove(number)
        wire.take(subscriptions.answered(number, status, now))
    elif what == "asked":
        wire.take(subscriptions.asked(subscribe(f"refer;id={number}", str(status)), now)[1])
    elif what == "due":
        for notice in subscriptions.due(now):
            wire.take(notice)


def refusal(subscriptions: Subscriptions, wire: Wire, what: str, number: int, status: int, now: float) -> int:
    """The status an act was refused with, 0 when it was not."""
    try:
        act(subscriptions, wire, what, number, status, now)
    except SipError as error:
        return error.status
    return 0


@settings(max_examples=examples(500), deadline=None)
@given(ACTIONS)
def test_whatever_comes_in_whatever_order_one_word_is_out_and_one_is_the_last(
    actions: list[tuple[str, int, int, int]],
) -> None:
    subscriptions, wire, now = Subscriptions(), Wire(), NOW
    for what, number, status, later in actions:
        now += later
        assert refusal(subscriptions, wire, what, number, status, now) in (0, 481)
        assert len(subscriptions) <= 3
        if what == "due":
            assert (subscriptions.next_deadline or now + 1) > now
