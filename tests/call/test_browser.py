"""The browser side of a call: ICE, DTLS and mux or nothing, one certificate for its life."""

from __future__ import annotations

import pytest

from gateway.base.codes import Code
from gateway.base.keying import Setup
from gateway.base.values import HostPort
from gateway.call.legs.browser import BrowserLeg, InsecureBrowserError
from gateway.media.relay_commands import IcePort
from tests.call.machine_scene import MachineScene, vector

OFFER = vector("chromium_offer")


def leg() -> BrowserLeg:
    found = MachineScene().state.caller
    assert isinstance(found, BrowserLeg)
    return found


INSECURE = [
    (OFFER.replace(b"a=rtcp-mux\r\n", b""), Code.BRW_NO_MUX),
    (OFFER.replace(b"a=ice-ufrag", b"a=x-ufrag"), Code.BRW_NO_ICE),
    (OFFER.replace(b"UDP/TLS/RTP/SAVPF", b"RTP/AVP"), Code.BRW_SDES_OR_AVP),
    (OFFER.replace(b"a=fingerprint", b"a=x-fingerprint"), Code.BRW_SDES_OR_AVP),
    (OFFER.replace(b"t=0 0\r\n", b"t=0 0\r\na=ice-lite\r\n"), Code.BRW_LITE),
]


@pytest.mark.parametrize(("offer", "code"), INSECURE)
def test_what_no_browser_sends_is_refused_with_the_code_that_says_why(offer: bytes, code: Code) -> None:
    with pytest.raises(InsecureBrowserError) as refused:
        leg().inspect_offer(offer)
    assert code in refused.value.codes


@pytest.mark.parametrize(
    ("theirs", "ours"), [("actpass", Setup.PASSIVE), ("active", Setup.PASSIVE), ("passive", Setup.ACTIVE)]
)
def test_we_are_the_dtls_server_wherever_the_browser_lets_us(theirs: str, ours: Setup) -> None:
    assert leg().inspect_offer(OFFER.replace(b"setup:actpass", f"setup:{theirs}".encode())).role is ours


def test_looking_at_an_offer_takes_nothing_of_it() -> None:
    found = leg()
    found.inspect_offer(OFFER)
    assert found.agreed is None
    assert found.remote is None


def test_the_place_of_a_leg_is_under_its_own_credentials_and_hides_them() -> None:
    one = leg()
    place = one.place
    assert isinstance(place, IcePort)
    assert place.ufrag == one.ice.ufrag
    assert one.ice.pwd not in repr(place)


def test_a_place_that_was_opened_is_where_the_browser_sends() -> None:
    found = leg()
    found.opened((HostPort("192.0.2.1", 10000),), None)
    assert found.is_open
    assert found.candidates == (HostPort("192.0.2.1", 10000),)


def test_another_certificate_in_mid_call_is_another_peer() -> None:
    scene = MachineScene().begin()
    with pytest.raises(InsecureBrowserError) as refused:
        scene.browser_leg.inspect_offer(OFFER.replace(b"sha-256 C6:25", b"sha-256 00:00"))
    assert Code.DTLS_FP_MISMATCH in refused.value.codes
