"""The relay protocol on the wire."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import MediaError
from gateway.base.values import HostPort, Secret
from gateway.media.relay_codec import decode_command, decode_config, decode_event, encode, encode_config
from gateway.media.relay_protocol import (
    MAX_MESSAGE,
    Alive,
    CloseSession,
    Command,
    ConsentLost,
    CountersReport,
    DtlsReceived,
    Event,
    Format,
    GetCounters,
    Heartbeat,
    IceValidated,
    LegHeard,
    LegSilent,
    LegVerified,
    MediaMismatch,
    MediaStarted,
    MediaUnsent,
    OpenSession,
    SendDtls,
    SessionClosed,
    SessionCounters,
    SessionFailed,
    SessionOpened,
    SetDirection,
    SetIce,
    SetKeys,
    SetPayloads,
    SetTrunk,
    SourceLearned,
    SourceRejected,
    WorkerConfig,
    WorkerReady,
)

CANARY = b"canary-key-material-canary-key"
ADDRESS = HostPort("192.0.2.7", 4000)

COMMANDS: list[Command] = [
    OpenSession(7, "ufragufrag", Secret("canary-password"), "127.0.0.1"),
    SetIce(7, "anotherufrag", Secret("canary-password")),
    SetKeys(7, "trunk", "AEAD_AES_256_GCM", Secret(CANARY), Secret(CANARY[::-1])),
    SetTrunk(7, True, ADDRESS, None, True, ("192.0.2.0/24", "2001:db8::/32")),
    SetTrunk(7, False, ADDRESS, HostPort("2001:db8::1", 4005), False, ()),
    SetPayloads(7, {0: 8, 101: 96}, {}),
    SetPayloads(7, {0: 8}, {8: 0}, (Format("browser", 0, 8000, False), Format("trunk", 101, 48000, True))),
    SetDirection(7, True, False),
    SendDtls(7, bytes(range(256))),
    CloseSession(7),
    GetCounters(0),
    Heartbeat(3),
]
EVENTS: list[Event] = [
    WorkerReady(10000),
    Alive(3),
    SessionOpened(7, 20000, 20001),
    SessionFailed(7, "no_port"),
    IceValidated(7, ADDRESS),
    DtlsReceived(7, b"\x16\xfe\xff"),
    ConsentLost(7),
    MediaStarted(7, "browser"),
    LegVerified(7, "trunk", True),
    MediaMismatch(7, "trunk", "media.key_mismatch"),
    LegSilent(7, "trunk"),
    LegHeard(7, "trunk"),
    SourceLearned(7, ADDRESS, HostPort("192.0.2.8", 1)),
    SourceRejected(7, "trunk", ADDRESS, "media.latch_mismatch"),
    MediaUnsent(7, "browser", "srtp_unsendable"),
    SessionClosed(7, SessionCounters(browser_rx=1, unsent=2)),
    CountersReport(7, SessionCounters()),
]


def test_every_message_type_is_in_these_tests() -> None:
    assert {type(m) for m in COMMANDS} == set(get_args(Command))
    assert {type(m) for m in EVENTS} == set(get_args(Event))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: type(c).__name__)
def test_a_command_survives_the_wire(command: Command) -> None:
    assert decode_command(encode(command)) == command


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_an_event_survives_the_wire(event: Event) -> None:
    assert decode_event(encode(event)) == event


def test_keys_and_passwords_are_neither_json_nor_printable() -> None:
    for command in COMMANDS[:2]:
        packet = encode(command)
        header = packet[4 : 4 + int.from_bytes(packet[:4])]
        assert b"canary" not in header
        json.loads(header)
        assert "canary" not in repr(command)


def test_a_command_is_no_event_and_an_event_no_command() -> None:
    with pytest.raises(MediaError):
        decode_event(encode(COMMANDS[0]))
    with pytest.raises(MediaError):
        decode_command(encode(EVENTS[0]))


def test_a_message_above_the_limit_is_not_sent() -> None:
    with pytest.raises(MediaError):
        encode(SendDtls(1, bytes(MAX_MESSAGE)))


def _packet(header: object, octets: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(4) + text + octets


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x00\x00",
        b"\xff\xff\xff\xff{}",
        _packet([]),
        _packet({}),
        _packet({"type": 1}),
        _packet({"type": ["CloseSession"]}),
        _packet({"type": "Exec", "session": 1}),
        _packet({"type": "CloseSession"}),
        _packet({"type": "CloseSession", "session": "1"}),
        _packet({"type": "CloseSession", "session": True}),
        _packet({"type": "CloseSession", "session": 1, "more": 1}),
        _packet({"type": "CloseSession", "session": 1}, b"left over"),
        _packet({"type": "SendDtls", "session": 1, "data": 5}, b"four"),
        _packet({"type": "SendDtls", "session": 1, "data": -1}, b""),
        _packet({"type": "SetPayloads", "session": 1, "to_trunk": [[1]], "to_browser": []}),
        _packet({"type": "SetPayloads", "session": 1, "to_trunk": {"1": 1}, "to_browser": []}),
        _packet({"type": "SetDirection", "session": 1, "to_trunk": 1, "to_browser": False}),
        _packet({"type": "SetKeys", "session": 1, "leg": "both", "suite": "", "tx": 0, "rx": 0}),
        _packet(
            {
                "type": "SetTrunk",
                "session": 1,
                "keyed": True,
                "rtp": ["h"],
                "rtcp": None,
                "rtcp_mux": True,
                "sources": [],
            }
        ),
        _packet(
            {
                "type": "SetTrunk",
                "session": 1,
                "keyed": True,
                "rtp": ["h", 1],
                "rtcp": None,
                "rtcp_mux": True,
                "sources": "x",
            }
        ),
        b"\x00\x00\x13\x88" + b"[" * 5000,
    ],
)
def test_a_malformed_message_is_a_media_error_that_quotes_nothing(packet: bytes) -> None:
    with pytest.raises(MediaError) as caught:
        decode_command(packet)
    assert str(caught.value) == "malformed control message"


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_octets_are_a_message_or_a_media_error(data: bytes) -> None:
    for packet in (data, len(data).to_bytes(4) + data):
        for decode in (decode_command, decode_event):
            with pytest.raises(MediaError):
                decode(packet)


@settings(deadline=None)
@given(st.sampled_from(COMMANDS), st.integers(0, 300), st.integers(0, 255))
def test_a_damaged_message_is_a_message_or_a_media_error(command: Command, at: int, octet: int) -> None:
    packet = bytearray(encode(command))
    packet[at % len(packet)] = octet
    try:
        decode_command(bytes(packet))
    except MediaError:
        return


def test_the_start_configuration_survives_the_command_line() -> None:
    config = WorkerConfig(5, ("127.0.0.1", "::1"), 10000, 20000, 20999, 1.5, 0)
    assert decode_config(encode_config(config)) == config


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"control_fd": 1}'])
def test_a_malformed_start_configuration_is_a_media_error(text: str) -> None:
    with pytest.raises(MediaError):
        decode_config(text)


def test_the_counters_of_the_worker_are_those_of_the_protocol() -> None:
    from gateway.media.worker.counters import Tally

    assert [f.name for f in fields(Tally)] == [f.name for f in fields(SessionCounters)]
    assert Tally(stun_rx=3).freeze() == SessionCounters(stun_rx=3)
