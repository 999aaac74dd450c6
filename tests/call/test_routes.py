"""Where a number leads: for a user of ours, and for a trunk, which leads nobody over another trunk."""

from __future__ import annotations

import pytest

from gateway.base.errors import SipError
from gateway.call.legs.targets import TrunkTarget, UserTarget
from gateway.call.machine import routes
from gateway.sip.uri import SipUri
from tests.call.peers import SITE
from tests.policy.facts import asker

NUMBER = SipUri.parse("sip:600@example.test")


def trunks(route: routes.Route | None) -> list[str]:
    assert route is not None
    return [target.trunk.name for target in route.targets if isinstance(target, TrunkTarget)]


def test_a_user_of_ours_reaches_the_trunk_of_her_number_and_no_other_number() -> None:
    assert trunks(routes.from_user(SITE, asker("alice"), "600", NUMBER)) == ["pbx"]
    assert trunks(routes.from_user(SITE, asker("alice"), "701", NUMBER)) == ["old"]
    assert routes.from_user(SITE, asker("alice"), "900", NUMBER) is None


def test_an_emergency_number_is_tried_over_every_trunk_that_is_meant_for_it() -> None:
    route = routes.from_user(SITE, asker("alice"), "112", NUMBER)
    assert route is not None
    assert route.emergency
    assert trunks(route) == ["old", "pbx"]


def test_a_trunk_reaches_a_user_of_ours_or_itself_and_never_another_trunk() -> None:
    to_alice = routes.from_trunk(SITE, asker(trunk="pbx"), "100")
    assert to_alice.targets == (UserTarget("alice"),)
    assert to_alice.user == "alice"
    assert trunks(routes.from_trunk(SITE, asker(trunk="pbx"), "701")) == ["pbx"]


def test_what_calls_from_a_trunk_and_is_nobodys_number_leads_nowhere() -> None:
    assert routes.to_user(SITE, asker(trunk="pbx"), "999") is None


def test_what_counts_in_a_context_that_is_not_ours_is_404() -> None:
    uri = "sip:1;phone-context=other.example@example.test"
    with pytest.raises(SipError) as refused:
        routes.dialled(SipUri.parse(uri), "example.test")
    assert refused.value.status == 404


@pytest.mark.parametrize(
    "uri",
    [
        "sip:112@example.test",
        "sip:1-1-2@other.example;user=phone",
        "tel:112;phone-context=+49",
        "sip:112;phone-context=other.example@example.test",
        "sip:112;cpc=ordinary@example.test",
    ],
)
def test_a_number_for_emergencies_is_one_in_every_context(uri: str) -> None:
    number = routes.called(SipUri.parse(uri), SITE)
    route = routes.from_user(SITE, asker("alice"), number, SipUri.parse(uri))
    assert route is not None
    assert (number, route.emergency) == ("112", True)


def test_any_other_number_counts_in_its_context() -> None:
    assert routes.called(SipUri.parse("tel:30123;phone-context=+49"), SITE) == "+4930123"
    with pytest.raises(SipError):
        routes.called(SipUri.parse("sip:1120;phone-context=other.example@example.test"), SITE)
