"""A PBX that closes its TLS connection in mid-call: the call goes on, and its end still reaches the phone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.interop.conftest import Stage
from tests.interop.test_calls import call_uid, talk_both_ways
from tests.rig.chromium import SoftphonePage
from tests.rig.cut import Cable
from tests.rig.phone import Phone
from tests.rig.ports import free_sip_port

pytestmark = pytest.mark.interop

HOST = "127.0.1.2"


@pytest.fixture
def cable(stage: Stage) -> Iterator[Cable]:
    """Stands where the strict trunk is said to be; the phone itself listens at another port."""
    made = Cable((HOST, stage.ports["601"]), (HOST, free_sip_port(HOST))).start()
    yield made
    made.stop()


@pytest.fixture
def phone(stage: Stage, cable: Cable, phones: Callable[..., Phone]) -> Phone:
    return phones("601", port=cable.far_port, srtp="mandatory", play=stage.long_tone)


def test_a_bye_reaches_the_phone_over_a_new_connection(
    stage: Stage, page: SoftphonePage, phone: Phone, cable: Cable
) -> None:
    page.call("601")
    cable.cut()
    page.page.wait_for_timeout(1500)  # the gateway asks the calls of a lost connection whether they still live
    assert page.state == "in-call", "a connection is not the call"
    talk_both_ways(page, phone)  # ends with the page hanging up and the phone having heard of it
    assert stage.gateway.final(call_uid(stage))["termination"] == "hangup-browser"


def test_a_hold_after_the_cut_reaches_the_phone_too(
    stage: Stage, page: SoftphonePage, phone: Phone, cable: Cable
) -> None:
    page.call("601")
    cable.cut()
    page.click("hold")
    page.wait_state("held")
    page.click("hold")
    page.wait_state("in-call")
    talk_both_ways(page, phone)
    uid = call_uid(stage)
    assert stage.gateway.final(uid)["termination"] == "hangup-browser"
    assert stage.gateway.records("leg.violation", uid) == []
