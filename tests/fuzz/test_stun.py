"""STUN from anywhere: the guard answers nobody whose check was not made with our password (RFC 8445 7.3)."""

from __future__ import annotations

import pytest
from aioice import stun

from gateway.media.worker.stun import is_indication, read_check
from tests.fuzz.mutate import TIMEOUT, run

pytestmark = pytest.mark.timeout(TIMEOUT)

PASSWORD = b"0123456789abcdefghijklmn"
WORDS = (
    b"\x21\x12\xa4\x42",
    b"\x00\x06\x00\x09abcd:efgh\x00\x00\x00",
    b"\x00\x08\x00\x14",
    b"\x80\x28\x00\x04",
    b"\x00\x20\x00\x08\x00\x01",
    b"\x00\x09\x00\x04\x00\x00",
    b"\x00\x24\x00\x04\x6e\x7f\x00\xff",
    b"\x00\x25\x00\x00",
    b"\x00\x06\xff\xff",
    b"\xff\xff\xff\xff",
    b"\x00" * 4,
)


def check(*, sealed: bool, username: str = "abcdefgh:peer") -> bytes:
    attributes = {"USERNAME": username, "PRIORITY": 1, "ICE-CONTROLLING": 7, "USE-CANDIDATE": None}
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, b"t" * 12, attributes)
    if sealed:
        message.add_message_integrity(PASSWORD)
        message.add_fingerprint()
    return bytes(message)


SEALED = check(sealed=True)
SEEDS = [
    SEALED,
    check(sealed=False),
    check(sealed=True, username="é" * 40 + ":x"),
    SEALED[:20],
    b"\x00\x11" + SEALED[2:],
]


def guard(data: bytes) -> None:
    is_indication(data)
    found = read_check(data)
    if found is None or not found.is_authentic(PASSWORD):
        return
    # A peer that knows the password may say what it likes, but an answer must still be one.
    answer = found.answer(PASSWORD, "2001:db8::1", 65535)
    assert stun.parse_message(answer).transaction_id == data[8:20]
    assert found.answer_conflict(PASSWORD)


def test_any_octets_are_a_check_or_nothing() -> None:
    assert read_check(SEALED) is not None
    assert run(guard, SEEDS, WORDS) > 100


def test_a_changed_octet_of_a_sealed_check_is_never_authentic() -> None:
    sealed_part = SEALED[: -8 - 24]
    for at in range(len(sealed_part)):
        changed = SEALED[:at] + bytes([SEALED[at] ^ 0x01]) + SEALED[at + 1 :]
        found = read_check(changed)
        assert found is None or not found.is_authentic(PASSWORD)
