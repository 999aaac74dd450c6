"""Hostile input: nothing but `SipError` leaves, and nothing takes long.

The probes are inputs that other parsers answered with exponential or quadratic time, merged identities or stray
exceptions. Time is processor time, so that a busy machine does not fail them.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.base.errors import SipError
from gateway.base.values import Secret
from gateway.sip.auth import DigestServer
from gateway.sip.framing import StreamFramer
from gateway.sip.message import Headers, Request, create_response, parse_message, salvage_error_response
from tests.effort import examples
from tests.sip.samples import jssip_capture, raw, request
from tests.sip.torture import TORTURE

MAX_SECONDS = 0.05
SEEDS = [*jssip_capture(), *(message.data for message in TORTURE.values())]


def check_status(error: SipError, *expected: int) -> None:
    assert error.status in expected


def read_everything(data: bytes) -> None:
    """What a gateway does with a message before it trusts anybody."""
    try:
        message = parse_message(data, stream=False)
    except SipError as error:
        salvage_error_response(data, error)
        return
    # From here on no typed view may raise, except the request URI.
    _ = (message.via, message.vias, message.from_, message.to, message.call_id, message.cseq, message.contacts)
    _ = (message.contact, message.contact_star, message.route, message.record_route, message.max_forwards)
    _ = (message.expires, message.content_type, message.tokens("Require"))
    assert bytes(parse_message(bytes(message), stream=True)) == bytes(message)
    # And what was understood can be said again in a message of our own.
    for value in (message.via, message.from_, message.to, message.call_id, message.cseq, *message.record_route):
        Headers([("X", str(value))])
    for address in (*message.contacts, *message.route):
        Headers([("X", str(address))])
    if isinstance(message, Request):
        read_request(message)


def read_request(message: Request) -> None:
    try:
        _ = message.request_uri
    except SipError as error:
        check_status(error, 400, 416, 513)
    bytes(create_response(message, 200, to_tag="t"))
    server = DigestServer("r", Secret(b"k"), lambda length: "x" * length)
    assert server.verify(message, 1, lambda user: None, 0.0).user is None


def seconds_for(data: bytes) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        read_everything(data)
        best = min(best, time.process_time() - start)
    return best


FOLDS = "X: y" + "\r\n z" * 8000
PROBES = {
    "digest quotes (exponential elsewhere)": raw(extra="Authorization: Digest " + 'a="",' * 35 + "!"),
    "digest parameters": raw(extra="Authorization: Digest " + 'a="",' * 1600),
    "digest backslashes": raw(extra='Authorization: Digest a="' + "\\" * 8000),
    "long tel URI (quadratic elsewhere)": raw("INVITE tel:" + "1" * 8000 + " SIP/2.0"),
    "dashes in a tel URI": raw("INVITE tel:" + "+-" * 4000 + " SIP/2.0"),
    "percent signs": raw("INVITE sip:" + "%41" * 2600 + "@h SIP/2.0"),
    "at signs": raw("INVITE sip:" + "@" * 8000 + " SIP/2.0"),
    "many headers": raw(extra="\r\n".join(["X: y"] * 5000)),
    "200 contacts lines": raw(extra="\r\n".join(["m: <sip:a@b>,<sip:c@d>"] * 190)),
    "contacts": raw(Contact=",".join(["<sip:a@b>;q=1"] * 600)),
    "contacts over lines": raw(extra="\r\n".join(["m: " + ",".join(["<sip:a@b>"] * 800)] * 4)),
    "quotes": raw(Contact='"' * 8000),
    "brackets": raw(Contact="<" * 8000),
    "backslashes": raw(From='"' + "\\" * 7999 + '" <sip:a@b>'),
    "parameters": raw(Contact="<sip:a@b>" + "".join(f";p{n}" for n in range(1500))),
    "semicolons": raw(Contact="<sip:a@b>" + ";" * 8000),
    "commas": raw(Via="," * 8000),
    "commas in a token list": raw(extra="\r\n".join(["Require: " + "a," * 3900] * 4)),
    "spaces": raw(CSeq="1" + " " * 8000 + "INVITE"),
    "digits": raw(CSeq="9" * 8000 + " INVITE"),
    "folds": raw(extra=FOLDS),
    "empty folds": raw(extra="X: y" + "\r\n " * 10000),
    "colons": raw(extra="X" + ":" * 8000),
    "line ends": b"\r\n" * 32000 + raw(),
    "carriage returns": b"\r" * 65000,
    "NULs": raw(extra="X: " + "\\\0" * 4000),
    "UTF-8 garbage": raw(extra="X: " + "\udcff" * 8000),
    "slashes": raw(Via="/" * 8000),
    "long IPv6": raw(Via="SIP/2.0/UDP [" + "0:" * 4000 + "]"),
    "IPv6 received": raw(Via="SIP/2.0/UDP [::1];received=" + ":" * 8000),
    "words in a display name": raw(From="a " * 4000 + "<sip:a@b>"),
    "128 vias": raw(Via=",".join(["SIP/2.0/UDP a;b"] * 128)),
    "128 rich vias": raw(Via=",".join(["SIP/2.0/UDP a;b;c;d;e;f;g;h;i;j;k;l;m;n;o;p"] * 128)),
    "record routes": raw(extra="\r\n".join(["Record-Route: <sip:a;lr>;a;b;c;d;e;f;g;h;i;j"] * 128)),
}


@pytest.mark.parametrize("name", PROBES)
def test_a_hostile_message_is_handled_in_bounded_time(name: str) -> None:
    assert seconds_for(PROBES[name]) < MAX_SECONDS


@pytest.mark.parametrize("char", list('aA0 \t,;:<>"\\%@/=?&[]()*.\x00\x7f\xff'))
def test_time_grows_linearly_with_a_repeated_character(char: str) -> None:
    for name in ("From", "Contact", "Via", "Authorization", "Record-Route", "Call-ID", "Content-Type", "Require"):
        assert seconds_for(raw(without=name, extra=f"{name}: x{char * 8000}")) < MAX_SECONDS


def test_a_parameter_called_self_is_no_keyword_argument() -> None:
    message = request(raw("INVITE sip:a@b;self=1 SIP/2.0", Contact="<sip:a@b>;self=1;cls=2"))
    assert message.request_uri.params.get("self") == "1"


def test_a_semicolon_in_a_quoted_parameter_does_not_split_it() -> None:
    contact = request(raw(Contact='<sip:a@b>;x="p;q=1,r";y')).contact
    assert contact is not None
    assert str(contact.params) == ';x="p;q=1,r";y'


def test_percent_escapes_in_header_parameters_are_not_decoded() -> None:
    via = request(raw(Via='SIP/2.0/UDP h;branch=z9hG4bK%66;+sip.instance="<urn:uuid:1>"')).via
    assert str(via) == 'SIP/2.0/UDP h;branch=z9hG4bK%66;+sip.instance="<urn:uuid:1>"'


def test_names_of_parameters_and_schemes_ignore_case() -> None:
    message = request(raw("INVITE SIP:a@b SIP/2.0", Via="SIP/2.0/UDP h;Branch=z9hG4bKx"))
    assert (message.request_uri.scheme, message.via.branch) == ("sip", "z9hG4bKx")


def test_a_bare_line_feed_cannot_carry_a_header_through_the_gateway() -> None:
    for smuggled in ("X: a\nP-Asserted-Identity: <sip:ceo@h>", "X: a\rP-Asserted-Identity: <sip:ceo@h>"):
        with pytest.raises(SipError):
            parse_message(raw(extra=smuggled), stream=False)


def test_all_challenges_of_a_response_are_seen() -> None:
    data = raw("SIP/2.0 401 x", extra='WWW-Authenticate: Digest realm="a, b"\r\nWWW-Authenticate: Digest realm="c"')
    assert len(parse_message(data, stream=False).headers.values("WWW-Authenticate")) == 2


def mutated(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for place, length, new in edits:
        place %= len(data) + 1
        data = data[:place] + new + data[place + length :]
    return data


PIECES = st.sampled_from(
    [
        b"",
        b"\r\n",
        b"\n",
        b"\0",
        b'"',
        b"<",
        b">",
        b",",
        b";",
        b":",
        b" ",
        b"@",
        b"%",
        b"\\",
        b"=",
        b"[",
        b"]",
        b"*",
        b"\xff",
        b"\r\n ",
        b"\r\nVia: ",
        b"\r\nl: 5",
        b"sip:",
        b"-1",
        b"99999999999",
        b"SIP/2.0",
        b"Digest ",
        b"tag=",
        b"\xc5\xbf",
    ]
)
EDITS = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 12), PIECES | st.binary(max_size=4)), max_size=6)


@settings(max_examples=examples(1500), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SEEDS), EDITS)
def test_a_mutated_message_parses_or_is_refused(seed: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    read_everything(mutated(seed, edits))


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(st.sampled_from(SEEDS), max_size=3), EDITS, st.integers(1, 700))
def test_a_mutated_stream_gives_messages_or_is_lost(
    seeds: list[bytes], edits: list[tuple[int, int, bytes]], step: int
) -> None:
    data = mutated(b"".join(seeds), edits)
    framer = StreamFramer()
    try:
        for start in range(0, len(data), step):
            for message in framer.feed(data[start : start + step], 0.0):
                read_everything(message)
    except SipError as error:
        check_status(error, 400, 413, 513)
