"""STUN checks: what the guard lets through, and the answers of a lite agent."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from aioice import stun
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.media.worker.stun import MAX_ATTRIBUTES, is_indication, read_check

PASSWORD = b"a-password-of-22-chars"


def _request(attributes: dict[str, Any] | None = None, *, password: bytes | None = PASSWORD) -> stun.Message:
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes = {"USERNAME": "ours:theirs", "PRIORITY": 1, "ICE-CONTROLLING": 5} | (attributes or {})
    if password is not None:
        message.add_message_integrity(password)
    return message


def _with_attribute(kind: int, value: bytes, *, claimed: int | None = None) -> bytes:
    """A request with one more raw attribute in front, sealed again."""
    plain = bytes(_request(password=None))
    raw = struct.pack("!HH", kind, len(value) if claimed is None else claimed) + value + bytes(-len(value) % 4)
    body = raw + plain[20:]
    return plain[:2] + struct.pack("!H", len(body)) + plain[4:20] + body


def test_a_check_is_read() -> None:
    check = read_check(bytes(_request({"USE-CANDIDATE": None})))
    assert check is not None
    assert (check.ufrag, check.nominates, check.conflicts) == ("ours", True, False)
    assert check.is_authentic(PASSWORD)
    assert not check.is_authentic(b"another password")


def test_a_check_is_authentic_only_with_every_octet_of_its_integrity() -> None:
    """Any one bit of the HMAC turned, and the FINGERPRINT made right again: no part of it may go uncompared."""
    plain = _request()
    integrity = plain.attributes["MESSAGE-INTEGRITY"]
    for octet in range(len(integrity)):
        for bit in range(8):
            wrong = bytearray(integrity)
            wrong[octet] ^= 1 << bit
            forged = _request(password=None)
            forged.transaction_id = plain.transaction_id
            forged.attributes["MESSAGE-INTEGRITY"] = bytes(wrong)
            check = read_check(bytes(forged))
            assert check is not None
            assert not check.is_authentic(PASSWORD), (octet, bit)


@pytest.mark.parametrize("password", [PASSWORD[:-1], PASSWORD + b"x", PASSWORD[:-1] + b"t", PASSWORD.upper(), b""])
def test_a_check_made_with_nearly_our_password_is_not_authentic(password: bytes) -> None:
    check = read_check(bytes(_request(password=password)))
    assert check is not None
    assert not check.is_authentic(PASSWORD)


def test_the_answer_tells_the_address_and_is_authenticated() -> None:
    request = _request()
    check = read_check(bytes(request))
    assert check is not None
    answer = stun.parse_message(check.answer(PASSWORD, "192.0.2.1", 4711))
    assert answer.message_class is stun.Class.RESPONSE
    assert answer.transaction_id == request.transaction_id
    assert answer.attributes["XOR-MAPPED-ADDRESS"] == ("192.0.2.1", 4711)
    assert answer.check_message_integrity(PASSWORD)
    assert "FINGERPRINT" in answer.attributes


def test_the_answer_works_over_ipv6() -> None:
    check = read_check(bytes(_request()))
    assert check is not None
    answer = stun.parse_message(check.answer(PASSWORD, "2001:db8::1", 4711))
    assert answer.attributes["XOR-MAPPED-ADDRESS"] == ("2001:db8::1", 4711)


def test_a_peer_that_believes_to_be_controlled_is_told_487() -> None:
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes = {"USERNAME": "ours:theirs", "ICE-CONTROLLED": 5}
    message.add_message_integrity(PASSWORD)
    check = read_check(bytes(message))
    assert check is not None
    assert check.conflicts
    answer = stun.parse_message(check.answer_conflict(PASSWORD))
    assert answer.attributes["ERROR-CODE"][0] == 487
    assert answer.check_message_integrity(PASSWORD)


def test_what_a_browser_adds_does_not_matter() -> None:
    check = read_check(_with_attribute(0xC057, b"\x00\x00\x00\x0a"))
    assert check is None, "not sealed"
    plain = _with_attribute(0xC057, b"\x00\x00\x00\x0a")
    sealed = _seal(plain)
    check = read_check(sealed)
    assert check is not None
    assert check.is_authentic(PASSWORD)


def _seal(plain: bytes) -> bytes:
    """MESSAGE-INTEGRITY and FINGERPRINT over raw octets."""
    body = plain + struct.pack("!HH", 0x0008, 20) + stun.message_integrity(plain, PASSWORD)
    body = body[:2] + struct.pack("!H", len(body) - 20) + body[4:]
    fingerprint = stun.message_fingerprint(body)
    body += struct.pack("!HHI", 0x8028, 4, fingerprint)
    return body[:2] + struct.pack("!H", len(body) - 20) + body[4:]


def test_an_attribute_that_has_to_be_understood_and_is_not_is_refused() -> None:
    assert read_check(_seal(_with_attribute(0x7777, b"1234"))) is None


def test_a_user_name_without_a_colon_is_refused() -> None:
    assert read_check(bytes(_request({"USERNAME": "ours"}))) is None


def test_a_user_name_above_the_limit_is_refused() -> None:
    assert read_check(bytes(_request({"USERNAME": "o:" + "x" * 511}))) is None
    assert read_check(bytes(_request({"USERNAME": "o:" + "x" * 510}))) is not None


def test_a_user_name_that_is_not_utf_8_is_refused() -> None:
    data = bytes(_request())
    assert read_check(data.replace(b"ours", b"\xff\xfe\xfd\xfc")) is None


def test_a_request_without_integrity_is_refused() -> None:
    assert read_check(bytes(_request(password=None))) is None


def test_a_wrong_fingerprint_is_refused() -> None:
    data = bytearray(bytes(_request()))
    data[-1] ^= 1
    assert read_check(bytes(data)) is None


def test_a_fingerprint_that_is_not_last_is_refused() -> None:
    assert read_check(_with_attribute(0x8028, b"1234")) is None


def test_another_magic_cookie_is_refused() -> None:
    plain = bytes(_request(password=None))
    assert read_check(_seal(plain)) is not None
    assert read_check(_seal(plain[:4] + b"\x00\x00\x00\x00" + plain[8:])) is None


@pytest.mark.parametrize("kind", [stun.Class.RESPONSE, stun.Class.ERROR, stun.Class.INDICATION])
def test_only_requests_are_checks(kind: stun.Class) -> None:
    message = stun.Message(stun.Method.BINDING, kind, attributes={"USERNAME": "ours:theirs"})
    message.add_message_integrity(PASSWORD)
    assert read_check(bytes(message)) is None
    assert is_indication(bytes(message)) == (kind is stun.Class.INDICATION)


def test_other_methods_are_no_checks() -> None:
    message = stun.Message(stun.Method.ALLOCATE, stun.Class.REQUEST, attributes={"USERNAME": "ours:theirs"})
    message.add_message_integrity(PASSWORD)
    assert read_check(bytes(message)) is None


@pytest.mark.parametrize("kind", [0x0001, 0x0009, 0x0020, 0x0024, 0x8029, 0x802A])
def test_a_short_attribute_never_leaks_an_error(kind: int) -> None:
    for length in range(4):
        read_check(_seal(_with_attribute(kind, bytes(length))))
    assert read_check(_with_attribute(kind, b"1234", claimed=0xFFFF)) is None


def test_too_many_attributes_are_refused() -> None:
    plain = bytes(_request(password=None))
    body = plain[20:] + struct.pack("!HH", 0xC001, 0) * MAX_ATTRIBUTES
    assert read_check(_seal(plain[:2] + struct.pack("!H", len(body)) + plain[4:20] + body)) is None


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_any_octets_are_a_check_or_nothing(data: bytes) -> None:
    for packet in (data, b"\x00\x01" + len(data).to_bytes(2) + b"\x21\x12\xa4\x42" + bytes(12) + data):
        check = read_check(packet)
        assert check is None or not check.is_authentic(PASSWORD)


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(1, 255))
def test_a_damaged_check_is_never_authentic_for_what_it_did_not_say(at: int, flip: int) -> None:
    good = bytes(_request({"USE-CANDIDATE": None}))
    data = bytearray(good)
    data[at % len(data)] ^= flip
    check = read_check(bytes(data))
    if check is not None and check.is_authentic(PASSWORD):
        # Only the fingerprint, which comes after the integrity, was damaged into something that is ignored.
        assert (check.ufrag, check.nominates, check.conflicts) == ("ours", True, False)
