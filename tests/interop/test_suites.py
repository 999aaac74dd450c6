"""Suites that RFC 6188 adds, with pjsua2: both ways of a call, with sound, by the suite both say they use."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.interop.conftest import Stage
from tests.interop.test_calls import call_uid, talk_both_ways
from tests.rig.chromium import SoftphonePage
from tests.rig.phone import Phone

pytestmark = [pytest.mark.interop, pytest.mark.slow]

AES_256 = "AES_256_CM_HMAC_SHA1_80"


def suite_of(stage: Stage, uid: str, kind: str = "leg.secured") -> object:
    """What the log says that the trunk's leg is protected by."""
    (record,) = [record for record in stage.gateway.records(kind, uid) if record["leg"] == "trunk"]
    return record["vector_after"]["suite"]


@pytest.mark.parametrize("own", ["", AES_256, "AES_CM_128_HMAC_SHA1_80"], ids=["pjsua2's own list", "256", "128"])
def test_a_phone_is_called_under_the_suite_it_likes_best_of_those_offered(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone], own: str
) -> None:
    phone = phones("601", srtp="mandatory", suite=own)
    page.call("601")
    page.wait_colour("green")
    talk_both_ways(page, phone)
    assert suite_of(stage, call_uid(stage)) == (own or AES_256)


def test_a_phone_that_calls_with_its_own_list_is_answered_in_the_best_of_it(
    stage: Stage, page: SoftphonePage, phones: Callable[..., Phone]
) -> None:
    phone = phones("602", srtp="mandatory", suite="")
    phone.do("call", uri=f"sip:100@127.0.0.1:{stage.setup.sip_port};transport=tcp")
    page.wait_state("incoming")
    page.click("answer")
    page.wait_state("in-call")
    page.wait_connected()
    talk_both_ways(page, phone)
    assert suite_of(stage, call_uid(stage), "leg.downgraded") == AES_256
