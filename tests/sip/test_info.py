"""INFO that tells a digit: what devices write, and what is refused (RFC 6086)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.dtmf import SIGNALS
from gateway.base.errors import SipError
from gateway.base.values import Secret
from gateway.sip.info import MAX_BODY, InfoError, Pressed, read_info
from gateway.sip.message import Request
from tests import messages
from tests.effort import examples

RELAY, PLAIN = "application/dtmf-relay", "application/dtmf"


def info(body: bytes, kind: str = RELAY, *extra: str) -> Request:
    lines = messages.fields(
        "INFO",
        via="SIP/2.0/WSS client.invalid;branch=z9hG4bKinfo",
        from_="<sip:alice@example.test>;tag=one",
        to="<sip:600@example.test>;tag=other",
        call_id="call-id",
        cseq=7,
        contact="<sip:alice@client.invalid>",
        extra=[*([f"Content-Type: {kind}"] if kind else []), *extra],
    )
    return messages.request("INFO", "sip:600@example.test", lines, body)


def told(body: bytes, kind: str = RELAY) -> tuple[str, int]:
    pressed = read_info(info(body, kind))
    assert pressed is not None
    return pressed.digit.reveal(), pressed.milliseconds


@pytest.mark.parametrize(
    ("body", "digit", "milliseconds"),
    [
        (b"Signal=5\r\nDuration=160", "5", 160),  # JsSIP
        (b"Signal=5\r\nDuration=160\r\n", "5", 160),
        (b"Signal= 1\r\nDuration= 250\r\n", "1", 250),  # Cisco
        (b"Signal=*\nDuration=100\n", "*", 100),
        (b"signal=#\r\nDURATION=100\r\n", "#", 100),
        (b"Duration=100\r\nSignal=0\r\n", "0", 100),
        (b"Signal=a\r\nDuration=100\r\n", "A", 100),
        (b"Signal=D\r\n", "D", 160),
        (b"Signal=10\r\nDuration=100", "*", 100),  # the event code
        (b"Signal=11\r\nDuration=100", "#", 100),
        (b"Signal=15\r\nDuration=100", "D", 100),
        (b"Signal=16\r\nDuration=100", "!", 100),
        (b"Signal=!\r\nDuration=100", "!", 100),
        (b"\r\nSignal=5\r\n\r\nDuration=160\r\nVolume=10\r\n", "5", 160),
        (b"Signal=5\r\nDuration=1", "5", 40),
        (b"Signal=5\r\nDuration=0", "5", 40),
        (b"Signal=5\r\nDuration=8000", "5", 8000),
        (b"Signal=5\r\nDuration=999999", "5", 8000),
    ],
)
def test_a_digit_is_read_as_devices_write_it(body: bytes, digit: str, milliseconds: int) -> None:
    assert told(body) == (digit, milliseconds)


@pytest.mark.parametrize(
    ("body", "digit"),
    [(b"5", "5"), (b"5\r\n", "5"), (b" # ", "#"), (b"*", "*"), (b"11", "#"), (b"b", "B"), (b"Signal=7\r\n", "7")],
)
def test_a_plain_digit_is_read_with_the_usual_length(body: bytes, digit: str) -> None:
    assert told(body, PLAIN) == (digit, 160)


@pytest.mark.parametrize(
    "kind", ["APPLICATION/DTMF-Relay", "application/dtmf-relay;charset=utf-8", "application / dtmf-relay"]
)
def test_the_type_is_known_in_any_spelling(kind: str) -> None:
    assert told(b"Signal=5\r\nDuration=100\r\n", kind) == ("5", 100)


@pytest.mark.parametrize(
    "body",
    [
        b"Duration=100",
        b"Signal=\r\nDuration=100",
        b"Signal=12345",
        b"Signal=17",
        b"Signal=9x",
        b"Signal=E",
        b"Signal=\xd9\xa1",
        b"Signal=\x00",
        b"Signal=5\r\nSignal=6\r\nDuration=100",
        b"Signal=5\r\nDuration=100\r\nDuration=200",
        b"Signal=5\r\nDuration=-1",
        b"Signal=5\r\nDuration=1e3",
        b"Signal=5\r\nDuration=16.5",
        b"Signal=5\r\nDuration=",
        b"Signal=5\r\nDuration=1234567",
        b"Signal",
        b"5",
        b"=5",
        b"\r\n",
        bytes(range(128, 256)),
    ],
)
def test_a_body_that_is_no_digit_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(SipError) as refused:
        read_info(info(body))
    assert refused.value.status == 400


@pytest.mark.parametrize("body", [b"", b"55", b"x", b"Signal=55", b"Duration=5"])
def test_a_plain_body_that_is_no_digit_is_a_bad_request(body: bytes) -> None:
    if not body:
        assert read_info(info(body, PLAIN)) is None
        return
    with pytest.raises(SipError) as refused:
        read_info(info(body, PLAIN))
    assert refused.value.status == 400


def test_a_body_that_goes_on_for_ever_is_too_large() -> None:
    with pytest.raises(SipError) as refused:
        read_info(info(b"Signal=5\r\nDuration=100\r\n" + b"x=y\r\n" * MAX_BODY))
    assert refused.value.status == 413


@pytest.mark.parametrize(
    "kind", ["application/sdp", "text/plain", "application/media_control+xml", "multipart/mixed;boundary=x", "", "dtmf"]
)
def test_another_body_is_no_digit_and_its_sender_learns_what_is(kind: str) -> None:
    with pytest.raises(InfoError) as refused:
        read_info(info(b"Signal=5\r\nDuration=100\r\n", kind))
    assert refused.value.status == 415
    assert refused.value.headers == (("Accept", "application/dtmf-relay, application/dtmf"),)


def test_another_body_that_is_optional_is_passed_over() -> None:
    disposition = "Content-Disposition: signal;handling=optional"
    assert read_info(info(b"<x/>", "application/xml", disposition)) is None


@pytest.mark.parametrize("package", ["trickle-ice", "dtmf", ""])
def test_an_info_package_is_none_of_ours(package: str) -> None:
    """RFC 6086 4.2.2: 469, and the packages that are taken, which are none."""
    with pytest.raises(InfoError) as refused:
        read_info(info(b"Signal=5\r\n", RELAY, f"Info-Package: {package}"))
    assert (refused.value.status, refused.value.headers) == (469, (("Recv-Info", ""),))


def test_info_without_a_body_asks_for_nothing() -> None:
    assert read_info(info(b"", "")) is None
    assert read_info(info(b"", RELAY)) is None


@given(st.sampled_from(SIGNALS), st.integers(40, 8000))
def test_what_we_write_we_read(digit: str, milliseconds: int) -> None:
    pressed = Pressed(Secret(digit), milliseconds)
    assert told(pressed.body) == (digit, milliseconds)


@settings(max_examples=examples(2000), deadline=None)
@given(st.binary(max_size=300), st.sampled_from([RELAY, PLAIN]))
def test_any_octets_are_a_digit_or_a_refusal_that_is_declared(body: bytes, kind: str) -> None:
    with contextlib.suppress(BadBody):
        pressed = _read(body, kind)
        assert pressed is None or (pressed.digit.reveal() in SIGNALS and 40 <= pressed.milliseconds <= 8000)


class BadBody(Exception):
    """A refusal that is declared."""


def _read(body: bytes, kind: str) -> Pressed | None:
    try:
        return read_info(info(body, kind))
    except SipError as error:
        if error.status in (400, 413):
            raise BadBody from error
        raise
