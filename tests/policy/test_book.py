"""What a book decides: the first rule that matches, the strictest of all floors, an exception until it expires."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.base.codes import Code
from gateway.base.grades import Grade
from gateway.base.profiles import Profile
from gateway.policy import model
from gateway.policy.book import UNROUTED, PolicyBook
from gateway.policy.facts import Direction
from gateway.policy.match import Match
from gateway.policy.model import NO_SUITE, Fallback, OfferMode, effective_policy
from gateway.policy.rules import Exemption, Floor, Rule
from tests.policy.facts import NOON, facts

BOOK = PolicyBook.of({"pbx": Profile.PREFER, "old": Profile.LEGACY})
GCM_256, GCM_128, CM_80, CM_32 = (
    "AEAD_AES_256_GCM",
    "AEAD_AES_128_GCM",
    "AES_CM_128_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32",
)
FINANCE = Match(groups=frozenset({"finance"}))
FLOOR = Floor(id="finance", match=FINANCE, require=Grade.HOP_BY_HOP, deny=frozenset({Code.GW_PLAIN_ACCESS}))
LOWERED = Exemption(
    id="pbx-2030",
    match=FINANCE,
    owner="it-sec",
    reason="SRTP is due",
    expires=NOON + timedelta(1),
    require=Grade.CLEARTEXT,
)


def book(rules: Iterable[Rule] = (), floors: Iterable[Floor] = (), exceptions: Iterable[Exemption] = ()) -> PolicyBook:
    """The book above with these rules, floors and exceptions."""
    return replace(BOOK, rules=tuple(rules), floors=tuple(floors), exceptions=tuple(exceptions))


@pytest.mark.parametrize(("trunk", "profile"), [("pbx", Profile.PREFER), ("old", Profile.LEGACY)])
@pytest.mark.parametrize("emergency", [False, True])
def test_each_trunk_has_the_policy_of_its_profile(trunk: str, profile: Profile, emergency: bool) -> None:
    found = BOOK.decide(facts(trunk=trunk, emergency=emergency))
    assert found == effective_policy(profile, trunk, emergency=emergency)
    assert found == BOOK.standing(trunk, emergency=emergency)


def test_a_decision_that_was_made_before_costs_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    first = [BOOK.decide(facts()), BOOK.decide(facts(emergency=True))]
    monkeypatch.setattr(model, "_digest", lambda *_: pytest.fail("hashed again"))
    assert BOOK.decide(facts(user="bob")) is first[0]
    assert BOOK.decide(facts(emergency=True)) is first[1]


@pytest.mark.parametrize("name", [UNROUTED, "", "a trunk there is not"])
def test_a_name_that_stands_for_no_trunk_falls_to_the_strictest(name: str) -> None:
    for found in (BOOK.decide(facts(trunk=name)), BOOK.standing(name)):
        assert (found.profile, found.trunk, found.emergency) == (Profile.STRICT, UNROUTED, False)


def test_a_book_cannot_be_written_in() -> None:
    with pytest.raises(TypeError):
        BOOK.trunks["pbx"] = Profile.LEGACY  # type: ignore[index]


def test_the_first_rule_that_matches_chooses_the_profile_and_is_named() -> None:
    rules = [
        Rule("in-only", Match(directions=frozenset({Direction.IN})), "osrtp"),
        Rule("alice", Match(users=frozenset({"alice"})), "legacy"),
        Rule("all", Match(), "strict"),
    ]
    found = book(rules).decide(facts())
    assert (found.profile, found.rule_id) == ("legacy", "alice")
    assert book(rules).decide(facts(user="bob")).rule_id == "all"
    assert book(rules[:2]).decide(facts(user="bob")).rule_id == ""


def test_a_rule_may_refuse_a_call_but_never_one_for_help() -> None:
    refusing = book([Rule("no", Match(), reject=480)])
    assert refusing.decide(facts()).reject == 480
    helped = refusing.decide(facts(emergency=True))
    assert (helped.reject, helped.rule_id, helped.profile) == (0, "", "prefer")


def test_a_floor_raises_what_a_rule_chose_and_offers_nothing_weaker_any_more() -> None:
    found = book([Rule("r", Match(), "legacy")], [FLOOR]).decide(facts(groups=frozenset({"finance"})))
    rules = found.rules
    assert (rules.require, rules.prefer, rules.deny) == (Grade.HOP_BY_HOP, Grade.HOP_BY_HOP, FLOOR.deny)
    assert (rules.offer, rules.fallback, rules.accepts_plain) == (OfferMode.SAVP_ONLY, Fallback.NEVER, False)
    assert rules.sdes_needs_verified_tls
    assert (found.rule_id, found.floors) == ("r", ("finance",))


def test_all_floors_that_match_hold_together_and_the_strictest_counts() -> None:
    floors = [
        Floor(id="a", match=Match(), require=Grade.UNAUTHENTICATED, suites=(GCM_256, GCM_128, CM_80), min_key_bits=256),
        Floor(
            id="b", match=Match(), require=Grade.PARTIAL, suites=(CM_80, GCM_128), min_tag_bits=80, srtcp_required=True
        ),
        Floor(id="c", match=Match(users=frozenset({"bob"})), require=Grade.HOP_BY_HOP),
    ]
    found = book(floors=floors).decide(facts())
    assert (found.rules.require, found.rules.suites) == (Grade.UNAUTHENTICATED, (GCM_128, CM_80))
    assert (found.rules.min_key_bits, found.rules.min_tag_bits, found.rules.srtcp_required) == (256, 80, True)
    assert found.floors == ("a", "b")


def test_suite_lists_without_anything_in_common_leave_none_and_never_any() -> None:
    floors = [Floor(id=name, match=Match(), suites=(name,)) for name in (GCM_256, CM_80)]
    assert book(floors=floors).decide(facts()).rules.suites == (NO_SUITE,)


def test_an_exception_lowers_a_floor_until_it_expires_and_not_what_the_profile_requires() -> None:
    lowered, who = book(floors=[FLOOR], exceptions=[LOWERED]), frozenset({"finance"})
    before = lowered.decide(facts(groups=who))
    assert (before.rules.require, before.exception_id, before.floors) == (Grade.CLEARTEXT, "pbx-2030", ("finance",))
    after = lowered.decide(facts(groups=who, at=LOWERED.expires))
    assert (after.rules.require, after.exception_id) == (Grade.HOP_BY_HOP, "")
    strict = replace(lowered, rules=(Rule("r", Match(), "strict"),)).decide(facts(groups=who))
    assert (strict.rules.require, strict.exception_id) == (Grade.HOP_BY_HOP, "")


def test_an_exception_that_changes_nothing_is_not_used() -> None:
    assert book(exceptions=[LOWERED]).decide(facts(groups=frozenset({"finance"}))).exception_id == ""


def test_an_exception_takes_back_codes_that_floors_deny_where_it_names_them() -> None:
    allowing = replace(LOWERED, require=Grade.END_TO_END, allow=frozenset({Code.GW_PLAIN_ACCESS}))
    found = book(floors=[FLOOR], exceptions=[allowing]).decide(facts(groups=frozenset({"finance"})))
    assert (found.rules.require, found.rules.deny) == (Grade.HOP_BY_HOP, frozenset())


def test_no_floor_blocks_an_emergency_call_and_the_secure_offer_comes_first() -> None:
    found = book([Rule("r", Match(), "legacy")], [FLOOR]).decide(facts(emergency=True, groups=frozenset({"finance"})))
    rules = found.rules
    assert (rules.require, rules.deny, rules.accepts_plain) == (Grade.CLEARTEXT, frozenset(), True)
    assert (rules.offer, rules.fallback, found.floors) == (OfferMode.SAVP_FIRST, Fallback.RETRY, ("finance",))


def test_a_call_that_is_several_things_must_meet_what_each_of_them_needs() -> None:
    members = [facts(), facts(user="carol", groups=frozenset({"finance"}))]
    found = book(floors=[FLOOR]).decide_for(members)
    assert (found.rules.require, found.floors) == (Grade.HOP_BY_HOP, ("finance",))
    assert book([Rule("no", Match(users=frozenset({"carol"})), reject=403)]).decide_for(members).reject == 403


def test_two_books_with_the_same_hash_decide_alike() -> None:
    assert book(floors=[FLOOR]).sha256 == book(floors=[FLOOR]).sha256
    others = [BOOK, book(floors=[replace(FLOOR, id="x")]), book(floors=[replace(FLOOR, deny=frozenset())])]
    others += [book([Rule("r", FINANCE, "strict")]), book(exceptions=[LOWERED])]
    assert len({one.sha256 for one in (book(floors=[FLOOR]), *others)}) == len(others) + 1


def test_a_floor_brings_no_suite_that_a_profile_without_a_list_does_not_have() -> None:
    short = Floor(id="short", match=Match(), suites=(CM_32, CM_80))
    assert book(floors=[short]).decide(facts()).rules.suites == (CM_80,)
    assert book(floors=[replace(short, suites=(CM_32,))]).decide(facts()).rules.suites == (NO_SUITE,)
    assert book(floors=[FLOOR]).decide(facts(groups=frozenset({"finance"}))).rules.suites == ()
