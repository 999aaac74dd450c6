"""The relay protocol on the wire."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import MediaError
from gateway.base.values import HostPort, LegId, Secret
from gateway.media.relay_codec import decode_command, decode_config, decode_event, encode, encode_config
from gateway.media.relay_commands import (
    Adopt,
    CloseCall,
    CloseLeg,
    Command,
    Component,
    DropKeys,
    EventFormat,
    ExtensionMap,
    GetCounters,
    Heartbeat,
    IceNames,
    IcePort,
    OpenLeg,
    OwnPort,
    PayloadMap,
    PlayDigit,
    RelayPlan,
    Route,
    SendDtls,
    SetIce,
    SetKeys,
    SetPeer,
    Unroute,
)
from gateway.media.relay_counters import PacketCounters
from gateway.media.relay_events import (
    Alive,
    CallClosed,
    CommandRefused,
    ConsentLost,
    CountersReport,
    DigitHeard,
    DtlsReceived,
    Event,
    IceValidated,
    KeysWorn,
    LegAdopted,
    LegClosed,
    LegFailed,
    LegHeard,
    LegOpened,
    LegSilent,
    LegVerified,
    MediaMismatch,
    MediaStarted,
    MediaUnsent,
    RtcpTold,
    SourceLearned,
    SourceRejected,
    WorkerReady,
)
from gateway.media.relay_protocol import MAX_MESSAGE, WorkerConfig
from gateway.media.relay_quality import LegQuality, Reception

CANARY = b"canary-key-material-canary-key"
ADDRESS = HostPort("192.0.2.7", 4000)

CALL, LEG, OTHER = 77, LegId(7), LegId(8)
DIGITS = (EventFormat(101), EventFormat(110, 48000))
FULL = RelayPlan((PayloadMap(0, 8), PayloadMap(9, 96, 48000)), False, DIGITS, DIGITS[1:], True, (ExtensionMap(1, 14),))

COMMANDS: list[Command] = [
    OpenLeg(LEG, IcePort("ufragufrag", Secret("canary-password"))),
    Adopt(LEG, CALL, OTHER),
    SetIce(LEG, "anotherufrag", Secret("canary-password")),
    SetKeys(LEG, "AEAD_AES_256_GCM", Secret(CANARY), Secret(CANARY[::-1])),
    DropKeys(LEG),
    OpenLeg(LEG, OwnPort("127.0.0.1", "203.0.113.1")),
    OpenLeg(LEG, OwnPort("127.0.0.1", ice=IceNames("ufragufrag", Secret("canary-password")))),
    SetKeys(LEG, "AEAD_AES_128_GCM", Secret(CANARY), Secret(CANARY[::-1]), component=Component.RTCP),
    SetPeer(LEG, True, ADDRESS, None, True, (), dtls=True, ice=True),
    SetPeer(LEG, True, ADDRESS, None, True, ("192.0.2.0/24", "2001:db8::/32")),
    SetPeer(LEG, False, ADDRESS, HostPort("2001:db8::1", 4005), False, ()),
    Route(LEG, OTHER, RelayPlan()),
    Route(OTHER, LEG, FULL),
    Unroute(LEG),
    PlayDigit(LEG, Secret("canary-digit"), 160),
    SendDtls(LEG, bytes(range(256))),
    DropKeys(LEG),
    CloseLeg(LEG),
    CloseCall(),
    GetCounters(),
    Heartbeat(3),
]
EVENTS: list[Event] = [
    WorkerReady(10000),
    Alive(3),
    LegOpened(LEG, (HostPort("203.0.113.1", 20000),), HostPort("203.0.113.1", 20001)),
    LegOpened(LEG, (ADDRESS, HostPort("203.0.113.2", 10000)), None),
    LegAdopted(LEG),
    LegFailed(LEG, "no_port"),
    CommandRefused(LEG, "bad_keys"),
    IceValidated(LEG, ADDRESS),
    DtlsReceived(LEG, b"\x16\xfe\xff"),
    ConsentLost(LEG),
    MediaStarted(LEG),
    LegVerified(LEG, True),
    MediaMismatch(LEG, "media.key_mismatch"),
    KeysWorn(LEG, spent=True),
    LegSilent(LEG),
    LegHeard(LEG),
    SourceLearned(LEG, ADDRESS, HostPort("192.0.2.8", 1)),
    SourceRejected(LEG, ADDRESS, "media.latch_mismatch"),
    MediaUnsent(LEG, "srtp_unsendable"),
    DigitHeard(LEG, Secret("canary-digit"), 8000),
    RtcpTold(LEG, HostPort("2001:db8::1", 4001), False, True, b"\x80\xc9"),
    LegClosed(LEG, PacketCounters(rtp_rx=1, unsent=2), LegQuality(Reception(2, 1, 0.004, 0.2, 1, 1, 1))),
    CallClosed(
        {LEG: PacketCounters(rtp_rx=1), OTHER: PacketCounters()},
        {LEG: LegQuality(sent=Reception(jitter=0.001), rtt=0.05), OTHER: LegQuality()},
    ),
    CountersReport({}),
]


def test_every_message_type_is_in_these_tests() -> None:
    assert {type(m) for m in COMMANDS} == set(get_args(Command))
    assert {type(m) for m in EVENTS} == set(get_args(Event))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: type(c).__name__)
def test_a_command_survives_the_wire(command: Command) -> None:
    assert decode_command(encode(CALL, command)) == (CALL, command)


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_an_event_survives_the_wire(event: Event) -> None:
    assert decode_event(encode(CALL, event)) == (CALL, event)


def test_keys_passwords_and_digits_are_neither_json_nor_printable() -> None:
    for message in (*COMMANDS, *EVENTS):
        packet = encode(CALL, message)
        header = packet[4 : 4 + int.from_bytes(packet[:4])]
        assert b"canary" not in header
        json.loads(header)
        assert "canary" not in repr(message)


def test_a_command_is_no_event_and_an_event_no_command() -> None:
    with pytest.raises(MediaError):
        decode_event(encode(CALL, COMMANDS[0]))
    with pytest.raises(MediaError):
        decode_command(encode(CALL, EVENTS[0]))


def test_a_message_above_the_limit_is_not_sent() -> None:
    with pytest.raises(MediaError):
        encode(CALL, SendDtls(LEG, bytes(MAX_MESSAGE)))


def _packet(header: object, octets: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(4) + text + octets


BAD_PLANS: tuple[object, ...] = (
    {"type": "RelayPlan", "payloads": [], "is_open": 1},
    {"type": "RelayPlan", "payloads": [[0, 8]], "is_open": True},
    {"type": "RelayPlan", "payloads": {"0": 8}, "is_open": True},
    {"type": "MixPlan"},
    [],
)
BAD_PEERS: tuple[dict[str, object], ...] = (
    {"rtp": ["h"], "sources": []},
    {"rtp": ["h", 1], "sources": "x"},
    {"rtp": None, "sources": []},
)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x00\x00",
        b"\xff\xff\xff\xff{}",
        _packet([]),
        _packet({}),
        _packet({"type": 1, "call": 1}),
        _packet({"type": ["CloseCall"], "call": 1}),
        _packet({"type": "Exec", "call": 1}),
        _packet({"type": "CloseCall"}),
        _packet({"type": "CloseCall", "call": "1"}),
        _packet({"type": "CloseCall", "call": True}),
        _packet({"type": "CloseCall", "call": 1, "more": 1}),
        _packet({"type": "CloseCall", "call": 1}, b"left over"),
        _packet({"type": "CloseLeg", "call": 1}),
        _packet({"type": "CloseLeg", "call": 1, "leg": "1"}),
        _packet({"type": "SendDtls", "call": 1, "leg": 1, "data": 5}, b"four"),
        _packet({"type": "SendDtls", "call": 1, "leg": 1, "data": -1}, b""),
        _packet({"type": "OpenLeg", "call": 1, "leg": 1, "place": None}),
        _packet({"type": "OpenLeg", "call": 1, "leg": 1, "place": {"type": "Heartbeat", "number": 1}}),
        _packet({"type": "OpenLeg", "call": 1, "leg": 1, "place": {"bind": "h", "advertise": ""}}),
        _packet({"type": "OpenLeg", "call": 1, "leg": 1, "place": {"type": "OwnPort", "bind": 1, "advertise": ""}}),
        *(_packet({"type": "Route", "call": 1, "source": 1, "sink": 2, "plan": plan}) for plan in BAD_PLANS),
        *(
            _packet({"type": "SetPeer", "call": 1, "leg": 1, "keyed": True, "rtcp": None, "mux": True, **rest})
            for rest in BAD_PEERS
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
    packet = bytearray(encode(CALL, command))
    packet[at % len(packet)] = octet
    try:
        decode_command(bytes(packet))
    except MediaError:
        return


@pytest.mark.parametrize("number", [1 << 63, -(1 << 63), 10**400])
def test_a_number_no_arithmetic_is_meant_for_is_malformed(number: int) -> None:
    with pytest.raises(MediaError):
        decode_command(encode(CALL, PlayDigit(LEG, Secret("1"), number)))
    with pytest.raises(MediaError):
        decode_config(encode_config(WorkerConfig(5, ("::1",), 10000, 20000, 20999, (), number, 0)))


def test_the_start_configuration_survives_the_command_line() -> None:
    config = WorkerConfig(5, ("127.0.0.1", "::1"), 10000, 20000, 20999, ("203.0.113.1",), 1.5, 0)
    assert decode_config(encode_config(config)) == config


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"control_fd": 1}'])
def test_a_malformed_start_configuration_is_a_media_error(text: str) -> None:
    with pytest.raises(MediaError):
        decode_config(text)


def test_the_counters_of_the_worker_are_those_of_the_protocol() -> None:
    from gateway.media.worker.counters import Tally

    assert [f.name for f in fields(Tally)] == [f.name for f in fields(PacketCounters)]
    assert Tally(stun_rx=3).freeze() == PacketCounters(stun_rx=3)
