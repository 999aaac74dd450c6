"""Offer and answer of a dialog: each row of the table, and the flows made of them (RFC 3264, RFC 6337)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.base.counters import Counter
from gateway.base.errors import SdpError
from gateway.base.table import Unexpected
from gateway.sdp.exchange import MAX_COLLISIONS, Negotiation, Waits
from gateway.sdp.glare import BackOff, Glare
from gateway.sdp.offer_answer import OFFER_ANSWER, ROWS, Act, Event, State
from gateway.sdp.session import Description, Dropped, OurProposal, Session, TheirProposal, Way, Write

Talk = Negotiation[str, str]


def lots(length: int) -> str:
    return "7" * length


def writer(text: str) -> Write:
    """A description of this content: what we write differs from another one in the content and the version only."""
    return lambda version: f"o={version} {text}".encode()


def talk(*, owns_call_id: bool = True) -> Talk:
    return Negotiation(owns_call_id)


def offered(made: Talk, way: Way, text: str = "ours", carrier: str = "") -> OurProposal[str, str]:
    proposal = made.offer(way, text, writer(text), carrier=carrier)
    assert isinstance(proposal, OurProposal)
    return proposal


def theirs(text: str = "theirs") -> Description[str]:
    return Description(text, text.encode(), 7)


def established(text: str = "ours") -> Talk:
    """We called, they answered."""
    made = talk()
    made.agree(offered(made, Way.INVITE, text).accept(theirs()))
    return made


def heard(way: Way, *, offers: bool = True) -> Talk:
    made = established()
    assert made.hear(way, lots, offers=offers, carrier="theirs-1") is None
    if offers:
        assert isinstance(made.consider(theirs("change")), TheirProposal)
    return made


def answered() -> Talk:
    made = heard(Way.REINVITE)
    assert isinstance(made.reply("answer", writer("answer")), Session)
    return made


def open_in_2xx() -> Talk:
    made = heard(Way.REINVITE, offers=False)
    offered(made, Way.IN_2XX)
    return made


def open_as(way: Way) -> Talk:
    made = talk() if way is Way.INVITE else established()
    offered(made, way, "more")
    return made


def backing_off() -> Talk:
    made = open_as(Way.REINVITE)
    assert isinstance(made.collided(lots), BackOff)
    return made


def settled_early(text: str = "early") -> Talk:
    made = talk()
    made.early(offered(made, Way.INVITE, "ours").accept(theirs(text)), reliable=True)
    return made


def answering_early() -> Talk:
    made = settled_early()
    assert made.hear(Way.UPDATE, lots) is None
    made.consider(theirs("changed"))
    return made


def invited() -> Talk:
    made = established()
    assert made.invite_them("request") is None
    return made


def offered_in_2xx() -> Talk:
    made = invited()
    assert made.heard_in_2xx() is None
    made.consider(theirs("offer"))
    return made


def answered_early() -> Talk:
    made = heard(Way.REINVITE)
    assert isinstance(made.reply_early("early", writer("early")), Session)
    assert made.pracked() is None
    return made


def changing_early() -> Talk:
    made = answered_early()
    assert made.hear(Way.UPDATE, lots) is None
    made.consider(theirs("update"))
    return made


REACH: dict[State, Callable[[], Talk]] = {
    State.STABLE: established,
    State.OFFERED_FIRST: lambda: open_as(Way.INVITE),
    State.SETTLED_EARLY: settled_early,
    State.ANSWERING_EARLY: answering_early,
    State.INVITED: invited,
    State.OFFERED: lambda: open_as(Way.REINVITE),
    State.OFFERED_IN_2XX: open_in_2xx,
    State.BACKING_OFF: backing_off,
    State.ASKED: lambda: heard(Way.REINVITE, offers=False),
    State.ANSWERING: lambda: heard(Way.REINVITE),
    State.ANSWERING_2XX: offered_in_2xx,
    State.ANSWERING_UPDATE: lambda: heard(Way.UPDATE),
    State.ANSWERED: answered,
    State.ANSWERED_EARLY: answered_early,
    State.CHANGING_EARLY: changing_early,
}


def answer_to(made: Talk) -> Session[str, str]:
    """The session of an answer to what is open, or to nothing that is."""
    proposal = made.ours_is_open or OurProposal(Way.REINVITE, Description("never sent"))
    return proposal.accept(theirs("answer"))


DO: dict[Event, Callable[[Talk], object]] = {
    Event.OFFER_FIRST: lambda made: made.offer(Way.INVITE, "new", writer("new")),
    Event.INVITE_THEM: lambda made: made.invite_them("request"),
    Event.THEIR_2XX: lambda made: made.heard_in_2xx(),
    Event.OFFER: lambda made: made.offer(Way.REINVITE, "new", writer("new")),
    Event.OFFER_IN_2XX: lambda made: made.offer(Way.IN_2XX, "new", writer("new")),
    Event.REPLY_EARLY: lambda made: made.reply_early("new", writer("new")),
    Event.REPLY: lambda made: made.reply("new", writer("new")),
    Event.REFUSE: lambda made: made.refuse(),
    Event.INVITE: lambda made: made.hear(Way.REINVITE, lots),
    Event.ASK: lambda made: made.hear(Way.REINVITE, lots, offers=False),
    Event.UPDATE: lambda made: made.hear(Way.UPDATE, lots),
    Event.ANSWER_EARLY: lambda made: made.early(answer_to(made)),
    Event.ANSWER_RELIABLY: lambda made: made.early(answer_to(made), reliable=True),
    Event.ANSWER: lambda made: made.agree(answer_to(made)),
    Event.REFUSAL: lambda made: made.refused(),
    Event.COLLISION: lambda made: made.collided(lots),
    Event.ACK: lambda made: made.acknowledged(),
    Event.LOST: lambda made: made.lost(),
    Event.WAIT_OVER: lambda made: made.wait_over(),
    Event.PRACK: lambda made: made.pracked(),
    Event.STAND: lambda made: made.stand(),
}

OUTCOMES: dict[Act, type[object] | tuple[type[object], ...]] = {
    Act.OPEN: (OurProposal, type(None)),
    Act.PREVIEW: Session,
    Act.AGREE: Session,
    Act.DROP: (Dropped, type(None)),
    Act.BACK_OFF: BackOff,
    Act.WAIT: Waits,
    Act.PENDING: Glare,
    Act.TOO_EARLY: Glare,
    Act.KEEP: (Dropped, type(None)),
}


@pytest.mark.parametrize("state", State, ids=lambda s: s.name)
@pytest.mark.parametrize("event", Event, ids=lambda e: e.name)
def test_each_step_is_the_tables_and_what_has_no_row_is_named_and_changes_nothing(state: State, event: Event) -> None:
    made = REACH[state]()
    assert made.state is state
    before, agreed, proposal, origin = made.session, made.agreed, made.proposal, made.origin
    outcome = DO[event](made)
    row = ROWS.get((state, event))
    if row is None:
        assert outcome == Unexpected("offer/answer", state.name, event.name, Counter.OFFER_UNEXPECTED)
        assert (made.state, made.session, made.proposal, made.origin) == (state, before, proposal, origin)
        return
    assert made.state is row[0]
    assert isinstance(outcome, OUTCOMES[row[1]])
    if row[1] not in (Act.AGREE, Act.PREVIEW):
        assert made.session is (agreed if row[1] in (Act.DROP, Act.BACK_OFF) else before)
    if row[1] in (Act.DROP, Act.BACK_OFF):
        assert made.proposal is None
    if row[1] in (Act.PENDING, Act.TOO_EARLY, Act.WAIT):
        assert made.proposal is proposal


def test_each_state_can_be_reached_and_left() -> None:
    reached, fresh = {OFFER_ANSWER.first}, {OFFER_ANSWER.first}
    while fresh:
        fresh = {target for (origin, _), (target, _) in ROWS.items() if origin in fresh} - reached
        reached |= fresh
    assert reached == set(State)
    assert {origin for (origin, _), (target, _) in ROWS.items() if target is not origin} == set(State)


def test_every_change_of_theirs_has_a_row_in_each_state() -> None:
    for event in (Event.INVITE, Event.ASK, Event.UPDATE, Event.OFFER):
        assert all(OFFER_ANSWER.expects(state, event) for state in State), event


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State.OFFERED_FIRST, 491),
        (State.INVITED, 491),
        (State.OFFERED, 491),
        (State.OFFERED_IN_2XX, 491),
        (State.ASKED, 500),
        (State.ANSWERING, 500),
        (State.ANSWERING_2XX, 500),
        (State.ANSWERING_UPDATE, 500),
        (State.CHANGING_EARLY, 500),
    ],
)
@pytest.mark.parametrize("event", [Event.INVITE, Event.ASK, Event.UPDATE])
def test_their_change_is_491_while_our_offer_is_open_and_500_while_it_is_our_turn(
    state: State, status: int, event: Event
) -> None:
    """RFC 3261 14.2, RFC 3311 5.2."""
    glare = DO[event](REACH[state]())
    assert isinstance(glare, Glare)
    assert glare.status == status
    assert glare.counter is Counter.OFFER_GLARE
    assert (glare.retry_after is not None) == (status == 500)
    assert glare.retry_after is None or 0 <= glare.retry_after <= 10


def test_a_change_that_must_wait_for_the_other_side_of_the_call_is_500_with_retry_after() -> None:
    glare = established().put_off(lots)
    assert glare.status == 500
    assert glare.retry_after in range(11)


def test_the_answer_to_our_offer_makes_the_session() -> None:
    made = talk()
    proposal = offered(made, Way.INVITE)
    assert made.session is None
    session = proposal.accept(theirs())
    assert made.session is None
    assert made.agree(session) is session
    assert (made.ours, made.theirs) == ("ours", "theirs")
    assert made.session is session


def test_our_answer_to_their_offer_makes_the_session() -> None:
    made = talk(owns_call_id=False)
    assert made.hear(Way.INVITE, lots, carrier="in") is None
    made.consider(theirs("wish"))
    assert (made.ours, made.theirs) == (None, "wish")
    session = made.reply("answer", writer("answer"))
    assert isinstance(session, Session)
    assert session.ours.body == b"o=1 answer"
    assert made.is_carried_by("in")
    assert made.acknowledged() is None
    assert made.state is State.STABLE
    assert not made.is_carried_by("in")


def test_an_early_answer_is_a_preview_that_another_fork_and_the_2xx_replace_as_a_whole() -> None:
    made = talk()
    proposal = offered(made, Way.INVITE)
    early = made.early(proposal.accept(theirs("phone one")))
    assert made.session is early
    made.early(proposal.accept(theirs("phone two")))
    assert made.theirs == "phone two"
    assert made.agreed is None
    assert made.ours_is_open is proposal
    made.agree(proposal.accept(theirs("phone three")))
    assert made.theirs == "phone three"
    assert made.ours_is_open is None


def test_a_2xx_without_a_description_agrees_to_the_answer_of_the_18x() -> None:
    made = talk()
    early = made.early(offered(made, Way.INVITE).accept(theirs("early")))
    assert made.agree() is early
    assert isinstance(established().agree(), Unexpected)


def test_a_fork_that_answers_late_answers_the_offer_of_our_invite_whatever_was_agreed_since() -> None:
    made = established("first")
    made.agree(offered(made, Way.REINVITE, "second").accept(theirs("second")))
    now = made.session
    assert made.founding is not None
    late = made.founding.accept(theirs("late fork"))
    assert late.ours.content == "first"
    assert made.session is now


def test_a_refused_invite_takes_its_early_answer_with_it_and_the_next_one_has_a_new_version() -> None:
    made = talk()
    made.early(offered(made, Way.INVITE, "with keys").accept(theirs("early")))
    assert isinstance(made.refused(), Dropped)
    assert (made.session, made.state) == (None, State.STABLE)
    retry = offered(made, Way.INVITE, "without keys")
    assert (retry.offer.version, retry.offer.body) == (2, b"o=2 without keys")
    assert made.founding is retry


def test_the_answer_to_an_offer_that_was_dropped_cannot_be_taken() -> None:
    made = established()
    stale = offered(made, Way.REINVITE, "one")
    made.refused()
    offered(made, Way.REINVITE, "two")
    assert isinstance(made.agree(stale.accept(theirs())), Unexpected)
    assert made.state is State.OFFERED


@pytest.mark.parametrize("way", [Way.INVITE, Way.REINVITE])
def test_an_offer_asked_for_leaves_in_the_2xx_and_its_answer_comes_in_the_ack(way: Way) -> None:
    made = established() if way is Way.REINVITE else talk(owns_call_id=False)
    assert made.hear(way, lots, offers=False, carrier="asked") is None
    assert isinstance(made.offer(Way.REINVITE, "other", writer("other")), Waits)
    proposal = offered(made, Way.IN_2XX)
    assert made.is_carried_by("asked")
    made.agree(proposal.accept(theirs("in the ACK")))
    assert made.theirs == "in the ACK"
    assert made.state is State.STABLE


def test_their_offer_in_the_2xx_to_an_invite_without_one_is_answered_and_makes_the_session() -> None:
    made = invited()
    assert made.awaits_their_offer
    assert made.heard_in_2xx() is None
    made.consider(theirs("offer"))
    session = made.reply("ours", writer("ours"))
    assert isinstance(session, Session)
    assert made.agreed is session
    assert made.state is State.STABLE


def test_what_a_reliable_18x_settled_may_be_changed_before_the_2xx_which_stands_on_that() -> None:
    made = settled_early()
    founding, renewed = made.ours_is_open, [made.is_renewed]
    made.carry("our INVITE")
    assert made.hear(Way.UPDATE, lots, carrier="update") is None
    made.consider(theirs("changed"))
    session = made.reply("new", writer("new"))
    assert made.session is session
    assert [*renewed, made.is_renewed] == [False, True]
    assert made.is_carried_by("our INVITE")
    assert made.ours_is_open is founding, "another phone may still answer what our INVITE offered"
    assert made.agree() is session
    assert made.agreed is session
    assert made.state is State.STABLE


def test_an_early_change_that_is_refused_leaves_what_was_settled() -> None:
    made = settled_early()
    before, founding = made.session, made.ours_is_open
    assert made.hear(Way.UPDATE, lots) is None
    made.consider(theirs("changed"))
    made.refuse()
    assert made.session is before
    assert made.ours_is_open is founding
    assert not made.is_renewed


def test_after_an_early_change_another_fork_answers_what_the_invite_offered() -> None:
    made = answering_early()
    made.reply("new", writer("new"))
    assert made.ours_is_open is not None
    other = made.ours_is_open.accept(theirs("fork"))
    assert made.agree(other) is other


def test_an_ack_without_the_answer_drops_the_offer_of_the_2xx() -> None:
    made = open_in_2xx()
    before = made.session
    assert made.acknowledged() is None
    assert made.session is before
    assert made.state is State.STABLE


def test_our_re_offer_waits_for_the_ack_of_their_invite() -> None:
    """RFC 3261 14.1: no new INVITE before the server transaction is confirmed."""
    made = answered()
    assert isinstance(made.offer(Way.REINVITE, "hold", writer("hold")), Waits)
    assert not made.is_due()
    made.acknowledged()
    assert made.is_due()
    offered(made, Way.REINVITE, "hold")
    assert not made.is_due()


def test_their_next_change_may_overtake_their_ack() -> None:
    made = answered()
    assert made.hear(Way.REINVITE, lots, carrier="theirs-2") is None
    assert made.acknowledged() is None
    assert made.state is State.ANSWERING
    assert made.is_carried_by("theirs-2")


def test_an_early_reply_to_a_change_is_a_preview_and_its_refusal_leaves_what_was_agreed() -> None:
    made = heard(Way.REINVITE)
    before = made.session
    early = made.reply_early("early", writer("early"))
    assert early is not before
    assert made.session is early
    assert isinstance(made.refuse(), Dropped)
    assert made.session is before


def test_what_waits_is_due_when_the_open_offer_is_answered_or_dropped() -> None:
    made = open_as(Way.REINVITE)
    made.want()
    assert not made.is_due()
    made.refused()
    assert made.is_due()
    made = heard(Way.UPDATE)
    made.want()
    assert not made.is_due()
    made.reply("answer", writer("answer"))
    assert made.is_due()


@pytest.mark.parametrize(("owner", "least", "most"), [(True, 2.1, 4.0), (False, 0.0, 2.0)])
def test_after_491_the_offer_comes_again_after_a_wait_of_its_side(owner: bool, least: float, most: float) -> None:
    """RFC 3261 14.1."""
    made = talk(owns_call_id=owner)
    made.agree(offered(made, Way.INVITE).accept(theirs()))
    offered(made, Way.REINVITE, "hold")
    wait = made.collided(lots)
    assert isinstance(wait, BackOff)
    assert least <= wait.seconds <= most
    assert wait.counter is Counter.OFFER_GLARE
    assert not made.is_due()
    made.wait_over()
    assert made.is_due()
    assert offered(made, Way.REINVITE, "hold").offer.version == 2


def test_after_glare_too_often_the_offer_is_given_up_and_a_new_wish_begins_anew() -> None:
    made = established()
    for _ in range(MAX_COLLISIONS):
        offered(made, Way.REINVITE, "hold")
        assert isinstance(made.collided(lots), BackOff)
        made.wait_over()
    offered(made, Way.REINVITE, "hold")
    assert isinstance(made.collided(lots), Dropped)
    assert (made.is_due(), made.state, made.ours) == (False, State.STABLE, "ours")
    offered(made, Way.REINVITE, "hold")
    assert isinstance(made.collided(lots), BackOff)


def test_an_answer_ends_the_count_of_collisions() -> None:
    made = established()
    for _ in range(3 * MAX_COLLISIONS):
        offered(made, Way.REINVITE, "hold")
        assert isinstance(made.collided(lots), BackOff)
        made.wait_over()
        made.agree(offered(made, Way.REINVITE, "hold").accept(theirs()))


def test_the_same_description_keeps_its_version_and_a_withdrawn_one_is_used_up() -> None:
    """RFC 3264 8."""
    made = established("as it was")
    assert offered(made, Way.REINVITE, "as it was").offer.version == 1
    made.refused()
    assert offered(made, Way.REINVITE, "hold").offer.version == 2
    made.refused()
    assert made.session is not None
    assert made.session.ours.version == 1
    assert offered(made, Way.REINVITE, "as it was").offer == Description("as it was", b"o=3 as it was", 3)


def test_what_cannot_be_written_changes_nothing() -> None:
    def broken(version: int) -> bytes:
        raise SdpError(f"no media session for {version}")

    made = established()
    before = made.session
    with pytest.raises(SdpError):
        made.offer(Way.REINVITE, "ours", broken)
    assert (made.state, made.session, made.proposal) == (State.STABLE, before, None)
    made = heard(Way.UPDATE)
    with pytest.raises(SdpError):
        made.reply("ours", broken)
    assert made.state is State.ANSWERING_UPDATE
    assert isinstance(made.refuse(), Dropped)


def test_nothing_of_a_description_is_printed() -> None:
    made = talk()
    offered(made, Way.INVITE, "key")
    assert "o=1" not in repr(made)
