"""What of a SIP message may be kept in a trace or exported: its text, without anything that opens a door. PURE.

Everything is withheld unless it is known to be harmless: header fields and attributes by name, bodies by their type. So
a key, a password, a token or a digit somebody types stays out of the trace in whatever place it comes next year.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from gateway.audit.clean import cleaned_text
from gateway.base.errors import SipError
from gateway.sip.body import MAX_PARTS, MULTIPART, Part, split_parts
from gateway.sip.grammar import LWS, printable, split_top_level
from gateway.sip.headers import canonical
from gateway.sip.message import Message, Request

MAX_LINE = 400
"""Characters kept of one line: enough for a Via, a Contact or an ICE candidate."""
MAX_VALUE = 1024
"""Characters of a value that are looked at for parameters: more than a line shows."""
MAX_LINES = 200
"""Lines kept of one message: a browser's offer of audio has eighty."""
MAX_TEXT = 20_000
"""Characters kept of one message, a browser's offer three times over: in ASCII, at most twelve octets each, they go
into one line of an answer (`lines.MAX_ANSWER_LINE`) whatever they are."""
WITHHELD = "***"
"""Stands for what is not shown."""

SHOWN_HEADERS = frozenset(
    "accept accept-encoding accept-language allow allow-events call-id call-security contact content-disposition "
    "content-encoding content-length content-type cseq date diversion event expires from history-info join "
    "max-forwards mime-version min-expires min-se organization p-asserted-identity p-called-party-id p-early-media "
    "p-preferred-identity path priority privacy proxy-require rack reason record-route refer-sub refer-to referred-by "
    "remote-party-id replaces require retry-after route rseq server service-route session-expires subject "
    "subscription-state supported target-dialog timestamp to unsupported user-agent via warning".split(" ")
)
"""Header fields whose value is shown, by their long names; of any other one only its name and length are."""
CREDENTIALS = frozenset(("authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate"))
"""Header fields of which just the parameters in `SHOWN_PARAMETERS` are shown (RFC 7616 3.3, 3.4)."""
SHOWN_PARAMETERS = frozenset(("realm", "username", "algorithm", "qop", "stale", "nc"))
WITHOUT_URIS = frozenset(("call-id", "replaces", "cseq", "date", "content-type", "user-agent", "server"))
"""Of the shown ones, those in which a colon before an @ is no password."""
SECRET_WORDS = (
    *("token", "passw", "pwd", "secret", "prid", "auth", "credential", "signature", "apikey", "api-key"),
    "postd",
)
"""A parameter whose name has one of these in it is not shown: push tokens (RFC 8599), what people make up, and digits
that are to be dialled once somebody has answered (RFC 2806 2.2)."""
SHOWN_ATTRIBUTES = frozenset(
    "rtpmap fmtp ptime maxptime sendrecv sendonly recvonly inactive setup fingerprint mid group rtcp rtcp-mux "
    "rtcp-mux-only rtcp-rsize rtcp-fb rtcp-xr candidate remote-candidates ice-ufrag ice-lite ice-options "
    "end-of-candidates ssrc ssrc-group msid msid-semantic extmap extmap-allow-mixed silencesupp connection label "
    "content charset tool curr des conf bundle-only x-nat direction zrtp-hash".split(" ")
)
"""Attributes of a description that are shown whole (RFC 8866 6). `crypto` has a rule of its own."""
SHOWN_LINES = frozenset("vosctbm")
"""Lines of a description that are shown whole; `k=` is a key (RFC 4566 5.12), and the others are prose."""

_CRYPTO = re.compile(r"crypto:[ \t]*([0-9]{1,9})[ \t]+([A-Za-z0-9_-]{1,64})[ \t]")
_PIECES = re.compile(r'("(?:[^"\\]|\\.)*"|[;?&,<>\s=])')


def redacted(message: Message) -> str:
    """A message as a trace keeps it: lines of printable text, everything secret in it replaced by `***`."""
    lines = head_lines(message)
    if message.body:
        lines += ["", *body_lines(message)]
    kept = _within(lines[:MAX_LINES], MAX_TEXT)
    more = len(lines) - len(kept)
    return "\n".join([*kept, *([f"[{more} more lines]"] if more else [])])


def head_lines(message: Message) -> list[str]:
    """The start line and the header fields, a line each, with nothing secret in them."""
    found = [_start_line(message), *(f"{name}: {_value(name, value)}" for name, value in message.headers.items())]
    return [_clean(line) for line in found]


def body_lines(message: Message) -> list[str]:
    """What is shown of the body, likewise: its descriptions, and of everything else how much of what it is."""
    return [_clean(line) for line in _body(Part(message.headers, message.body))] if message.body else []


def _within(lines: Iterable[str], room: int) -> list[str]:
    """The lines that go into so many characters, their ends counted."""
    kept = []
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return kept


def summary(message: Message) -> str:
    """A message in a few words: `INVITE`, `180 Ringing`, `200 OK`."""
    words = message.method if isinstance(message, Request) else f"{message.status} {message.reason}".rstrip()
    return _clean(words)[:40]


def _start_line(message: Message) -> str:
    if isinstance(message, Request):
        return f"{message.method} {_uris(message.uri)} SIP/2.0"
    return f"SIP/2.0 {message.status} {message.reason}"


def _clean(line: str) -> str:
    """Without control characters, which a terminal would obey, and of bounded length."""
    text = printable(line)
    if len(text) > MAX_LINE:
        text = f"{text[:MAX_LINE]} [{len(text) - MAX_LINE} more]"
    if text.isprintable():
        return text
    return "".join(cleaned_text(character) if not character.isprintable() else character for character in text)


def _value(name: str, value: str) -> str:
    key = canonical(name)
    if key in CREDENTIALS:
        return _credentials(value)
    if key not in SHOWN_HEADERS:
        return f"{WITHHELD} ({len(value)} characters)"
    return _parameters(value) if key in WITHOUT_URIS else _uris(value)


def _credentials(value: str) -> str:
    """The scheme, and those parameters that say whose they are."""
    scheme, _, rest = value.strip(LWS).replace("\t", " ").partition(" ")
    if scheme.lower() != "digest":
        return f"{WITHHELD} ({len(value)} characters)"
    try:
        pairs = [part.partition("=") for part in split_top_level(rest, ",")]
    except SipError:
        return f"{scheme} {WITHHELD}"
    known = [f"{n.strip(LWS)}={v.strip(LWS)}" for n, _, v in pairs if n.strip(LWS).lower() in SHOWN_PARAMETERS]
    return f"{scheme} {', '.join([*known, WITHHELD])}"


def _uris(value: str) -> str:
    """A header value with URIs: no password, none of the headers a URI may carry, no parameter that is a secret."""
    shown, mark, rest = _without_passwords(value).partition("?")
    while mark:
        _, end, rest = rest.partition(">")
        head, mark, rest = rest.partition("?")
        shown += f"?{WITHHELD}{end}{head}"
    return _parameters(shown)


def _without_passwords(value: str) -> str:
    """What stands before an @: `sip:user:password` (RFC 3261 19.1.1) loses its end, and all of it when it has an @."""
    *users, rest = value.split("@")
    shown: list[str] = []
    is_open = False
    for text in users:
        begin = max(text.rfind(mark) for mark in '<>" \t') + 1
        parts = text[begin:].split(":", 2)
        if is_open and not begin:
            text = WITHHELD
        elif is_open := len(parts) == 3:
            text = f"{text[:begin]}{parts[0]}:{parts[1]}:{WITHHELD}"
        shown.append(text)
    return "@".join([*shown, rest])


def _parameters(value: str) -> str:
    """Parameters whose name speaks of a secret keep their name only; behind an open quote nothing is known."""
    shown: list[str] = []
    name, hides = "", False
    for piece in _PIECES.split(value[:MAX_VALUE]):
        if piece == "=":
            hides = any(word in name.lower() for word in SECRET_WORDS)
        elif hides and piece:
            is_open = piece.startswith('"') and not (len(piece) > 1 and piece.endswith('"'))
            piece, hides = WITHHELD, False
            if is_open:
                return "".join([*shown, piece])
        name = piece or name
        shown.append(piece)
    return "".join(shown)


def _body(whole: Part) -> Iterator[str]:
    """A description line by line; of what else a message carries only how much of what it is."""
    kind = _type(whole)
    if kind.startswith(MULTIPART):
        yield from _parts(whole)
    elif _is_session(whole):
        yield from _description(whole.data)
    else:
        yield f"[{len(whole.data)} octets of {kind or 'no type'} withheld]"


def _type(whole: Part) -> str:
    """The media type, "" where none can be read."""
    try:
        return whole.type.word
    except SipError:
        return ""


def _is_session(whole: Part) -> bool:
    """Whether it is a description in plain text; what cannot be read is none."""
    try:
        return whole.is_session and not whole.headers.get("Content-Encoding")
    except SipError:
        return False


def _parts(whole: Part) -> Iterator[str]:
    try:
        parts = [part for part, _ in zip(split_parts(whole), range(MAX_PARTS), strict=False)]
    except SipError:
        yield f"[{len(whole.data)} octets of several parts withheld]"
        return
    for part in parts:
        kind = _type(part)
        if kind.startswith(MULTIPART):
            yield f"[{len(part.data)} octets of {kind} withheld]"
        else:
            yield f"[part {kind or 'without a type'}]"
            yield from _body(part)


def _description(data: bytes) -> Iterable[str]:
    text = data[: MAX_LINES * MAX_LINE].decode("utf-8", "replace")
    return [_description_line(line.strip(" \t\0")) for line in re.split(r"[\r\n]+", text) if line.strip(" \t\0")]


def _description_line(line: str) -> str:
    kind, equals, value = line.partition("=")
    if not equals or len(kind) != 1:
        return f"[{len(line)} characters withheld]"
    if kind in SHOWN_LINES and "inline:" not in value.lower():
        return line
    return f"a={_attribute(value.strip(LWS))}" if kind == "a" else f"{kind}={WITHHELD}"


def _attribute(value: str) -> str:
    name, colon, rest = value.partition(":")
    name = name.strip(LWS)
    if name.lower() in SHOWN_ATTRIBUTES and "inline:" not in rest.lower():
        return f"{name}{colon}{rest}"
    known = _CRYPTO.match(value)
    if known is not None:
        return f"crypto:{known[1]} {known[2]} inline:{WITHHELD}"
    return f"{name if re.fullmatch('[A-Za-z0-9_-]{1,32}', name) else WITHHELD}{colon}{WITHHELD if colon else ''}"
