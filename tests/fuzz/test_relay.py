"""The relay protocol: a worker or gateway that lost its mind makes the other side refuse, never fail."""

from __future__ import annotations

import pytest

from gateway.base.errors import MediaError
from gateway.media.relay_codec import decode_command, decode_config, decode_event, encode
from tests.fuzz.mutate import TIMEOUT, run
from tests.media.test_relay_codec import COMMANDS, EVENTS

pytestmark = pytest.mark.timeout(TIMEOUT)

SEEDS = [encode(7, message) for message in (*COMMANDS, *EVENTS)]
WORDS = (
    *(
        b"null",
        b"true",
        b"-1",
        b"1e999",
        b"NaN",
        b"1" * 400,
        b"[]",
        b"{}",
        b'""',
        b'"\\ud800"',
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
    ),
    *(b'"type": "', b'"call": ', b"[" * 2000, b'{"a":' * 2000, b"\xff"),
)


def decode(packet: bytes) -> None:
    for decoder in (decode_command, decode_event):
        try:
            call, message = decoder(packet)
        except MediaError:
            continue
        assert decoder(encode(call, message)) == (call, message)
    try:
        decode_config(packet.decode("utf-8", "replace"))
    except MediaError:
        return


def test_any_octets_are_a_relay_message_or_a_media_error() -> None:
    assert run(decode, SEEDS, WORDS) > 100
