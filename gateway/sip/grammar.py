"""Lexical rules of RFC 3261 25.1 in linear time: character sets, splitting outside of quotes, numbers, quoted strings.

No regular expression meets peer input. `str.strip()` and `str.split()` without arguments are avoided as well,
because they take Unicode white space for a separator and SIP does not.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import quote as percent_encode
from urllib.parse import unquote_to_bytes

from gateway.base.errors import SipError

ALPHANUM = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
DIGITS = frozenset("0123456789")
HEX_DIGITS = frozenset("0123456789abcdefABCDEF")
TOKEN_CHARS = ALPHANUM | frozenset("-.!%*_+`'~")
HOST_CHARS = ALPHANUM | frozenset("-._")
"""With the underscore RFC 3261 leaves out and real host names use."""
VISIBLE = frozenset(map(chr, range(0x21, 0x7F)))
PARAM_VALUE_CHARS = VISIBLE - frozenset('",;<>@\\?')
"""More than `token` and `host`, because branches and tags in the field contain `=` and `/`; nothing that delimits."""

LWS = " \t"
MAX_HOST = 255
MAX_IPV6_TEXT = 45
MAX_DIGITS = 12
"""Leading zeros are legal (RFC 4475 3.1.1.1), endless ones are not."""
MAX_PORT = 65535


def is_token(text: str) -> bool:
    """True for one or more token characters (RFC 3261 25.1)."""
    return bool(text) and TOKEN_CHARS.issuperset(text)


def same_word(text: str, word: str) -> bool:
    """True when the text is that lower-case ASCII word in any case; `upper()` alone would take "\u017f" for an S."""
    return text.isascii() and text.lower() == word


def words(text: str) -> list[str]:
    """The parts of a text between linear white space."""
    return [word for word in text.replace("\t", " ").split(" ") if word]


def end_of_quoted(text: str, start: int) -> int:
    """Index behind the quoted string that opens at `start`; refuses one that never closes."""
    position = start + 1
    while position < len(text):
        if text[position] == '"':
            return position + 1
        position += 2 if text[position] == "\\" else 1
    raise SipError("Unbalanced quote")


def end_of_angle(text: str, start: int) -> int:
    """Index behind the `>` that closes the `<` at `start`; refuses one that never closes."""
    end = find_unquoted(text, ">", start)
    if end < 0:
        raise SipError("Unbalanced angle bracket")
    return end + 1


def find_unquoted(text: str, char: str, start: int = 0) -> int:
    """Index of the first `char` outside of quotes, -1 without one; refuses a quote before it that never closes."""
    found = text.find(char, start)
    while found >= 0:
        quote_at = text.find('"', start, found)
        if quote_at < 0:
            return found
        start = end_of_quoted(text, quote_at)
        if found < start:
            found = text.find(char, start)
    return found


def split_top_level(text: str, separator: str) -> list[str]:
    """Split where the separator stands outside of "quotes" and <angle brackets>, in one pass."""
    if '"' not in text and "<" not in text:
        return text.split(separator)
    parts: list[str] = []
    start = position = 0
    while position < len(text):
        char = text[position]
        if char == '"':
            position = end_of_quoted(text, position)
        elif char == "<":
            position = end_of_angle(text, position)
        else:
            if char == separator:
                parts.append(text[start:position])
                start = position + 1
            position += 1
    return [*parts, text[start:]]


def parse_uint(text: str, what: str, maximum: int) -> int:
    """An unsigned number of ASCII digits up to `maximum`; anything else is refused by the name `what`."""
    digits = text.strip(LWS)
    if not digits or len(digits) > MAX_DIGITS or not DIGITS.issuperset(digits) or int(digits) > maximum:
        raise SipError(f"Bad {what}")
    return int(digits)


def unquote(text: str) -> str:
    """The content of a quoted string without quotes and escapes; other text is returned as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    inner = text[1:-1]
    if "\\" not in inner:
        return inner
    kept: list[str] = []
    chars = iter(inner)
    for char in chars:
        kept.append(next(chars, "") if char == "\\" else char)
    return "".join(kept)


def quote(text: str) -> str:
    """A quoted string (RFC 3261 25.1). Control characters are left out: no receiver needs them, some break on them."""
    kept = "".join(char for char in text if char >= " " and char != "\x7f")
    return '"' + kept.replace("\\", "\\\\").replace('"', '\\"') + '"'


def printable(text: str) -> str:
    """Text that can be shown and encoded: octets that were not UTF-8 become U+FFFD."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def decode_escapes(text: str) -> str:
    """Resolve percent escapes (RFC 3261 19.1.2); the result is for comparing and showing, not for the wire."""
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")


def escape_user(text: str) -> str:
    """Make any text fit for the user part of a SIP URI (RFC 3261 19.1.2)."""
    return percent_encode(text, safe="-_.!~*'()&=+$,;?/", errors="replace")


def check_escapes(text: str) -> None:
    """Refuse a `%` that is not followed by two hexadecimal digits."""
    for piece in text.split("%")[1:]:
        if len(piece) < 2 or not HEX_DIGITS.issuperset(piece[:2]):
            raise SipError("Bad percent escape")


def parse_ipv6(text: str) -> str:
    """Check an IPv6 address without brackets and return it as it was written."""
    try:
        if len(text) > MAX_IPV6_TEXT or "%" in text:
            raise SipError("Bad IPv6 address")
        ipaddress.IPv6Address(text)
    except ipaddress.AddressValueError:
        raise SipError("Bad IPv6 address") from None
    return text


def parse_host(text: str) -> str:
    """A host name, IPv4 address or [IPv6 address]; the brackets are taken off."""
    if text[:1] == "[" and text[-1:] == "]":
        return parse_ipv6(text[1:-1])
    if not text or len(text) > MAX_HOST or not HOST_CHARS.issuperset(text):
        raise SipError("Bad host")
    return text


def parse_host_port(text: str) -> tuple[str, int | None]:
    """``host [":" port]`` with optional white space around the colon (RFC 3261 25.1, `sent-by`)."""
    text = text.strip(LWS)
    if text[:1] == "[":
        host, bracket, rest = text.partition("]")
        host, rest = host + bracket, rest.strip(LWS)
        colon, port = rest[:1], rest[1:]
        if colon not in ("", ":"):
            raise SipError("Bad host")
    else:
        host, colon, port = text.partition(":")
    return parse_host(host.strip(LWS)), parse_uint(port, "port", MAX_PORT) if colon else None


def format_host(host: str) -> str:
    """A host as it stands in a URI: IPv6 in brackets (RFC 3261 25.1, `IPv6reference`)."""
    return f"[{host}]" if ":" in host else host


def format_host_port(host: str, port: int | None) -> str:
    """``host[:port]`` for URIs and Via."""
    return format_host(host) if port is None else f"{format_host(host)}:{port}"
