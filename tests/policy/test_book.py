from __future__ import annotations

import pytest

from gateway.base.profiles import Profile
from gateway.policy import model
from gateway.policy.book import UNROUTED, PolicyBook
from gateway.policy.model import effective_policy

BOOK = PolicyBook.of({"pbx": Profile.PREFER, "old": Profile.LEGACY})


@pytest.mark.parametrize(("trunk", "profile"), [("pbx", Profile.PREFER), ("old", Profile.LEGACY)])
@pytest.mark.parametrize("emergency", [False, True])
def test_each_trunk_has_the_policy_of_its_profile(trunk: str, profile: Profile, emergency: bool) -> None:
    assert BOOK.decide(trunk, emergency=emergency) == effective_policy(profile, trunk, emergency=emergency)


def test_a_decision_looks_the_policy_up_and_makes_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_digest", lambda *_: pytest.fail("hashed again"))
    assert BOOK.decide("pbx") is BOOK.decide("pbx")
    assert BOOK.decide("pbx", emergency=True) is BOOK.decide("pbx", emergency=True)


@pytest.mark.parametrize("name", [UNROUTED, "", "a trunk there is not"])
def test_a_name_that_stands_for_no_trunk_falls_to_the_strictest(name: str) -> None:
    found = BOOK.decide(name)
    assert (found.profile, found.trunk, found.emergency) == (Profile.STRICT, UNROUTED, False)


def test_a_book_cannot_be_written_in() -> None:
    with pytest.raises(TypeError):
        BOOK.ordinary["pbx"] = BOOK.ordinary["old"]  # type: ignore[index]
