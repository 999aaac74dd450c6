"""SIP, SIPS and tel URIs (RFC 3261 19.1, RFC 3966)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.errors import SipError
from gateway.sip.grammar import (
    ALPHANUM,
    VISIBLE,
    check_escapes,
    decode_escapes,
    escape_user,
    format_host_port,
    parse_host_port,
)
from gateway.sip.params import NO_PARAMS, Params

__all__ = ["Params", "SipUri"]

URI_CHARS = VISIBLE - frozenset('<>"\\')
SCHEME_CHARS = ALPHANUM | frozenset("+-.")

DEFAULT_PORT = 5060
"""Port of a URI or Via that names none (RFC 3261 19.1.2)."""
DEFAULT_TLS_PORT = 5061
"""The same over TLS."""


@dataclass(frozen=True, slots=True)
class SipUri:
    """A URI whose user, password and parameters stay escaped as sent, so that `str` reproduces it."""

    scheme: str
    """Lower-case: ``sip``, ``sips``, ``tel``, or another one inside a `NameAddr`."""
    user: str | None
    password: str | None
    host: str
    """Without brackets; "" for `tel:` and unknown schemes."""
    port: int | None
    params: Params = NO_PARAMS
    headers: str = ""
    """The text behind ``?``, uninterpreted."""
    opaque: str = ""
    """All behind the colon when the scheme is none of sip, sips, tel."""

    @classmethod
    def of(cls, user: str, host: str, port: int | None = None, *, transport: str = "") -> SipUri:
        """A ``sip:`` URI of our own; whatever the user is called, it is escaped."""
        params = Params((("transport", transport),)) if transport else NO_PARAMS
        return cls("sip", escape_user(user), None, host, port, params)

    @classmethod
    def parse(cls, text: str, *, any_scheme: bool = False) -> SipUri:
        """Read a URI; an unknown scheme is 416 unless `any_scheme` (RFC 3261 8.2.2.1, RFC 4475 3.3.4)."""
        scheme, colon, rest = text.partition(":")
        if not colon or not rest or not scheme[:1].isalpha() or not SCHEME_CHARS.issuperset(scheme):
            raise SipError("Bad URI")
        scheme = scheme.lower()
        if scheme in ("sip", "sips"):
            return _parse_sip(scheme, rest)
        if not URI_CHARS.issuperset(rest):
            raise SipError("Bad character in URI")
        if scheme == "tel":
            return _parse_tel(rest)
        if any_scheme:
            return cls(scheme, None, None, "", None, opaque=rest)
        raise SipError("Unsupported URI Scheme", 416)

    @property
    def user_decoded(self) -> str:
        """The user with its percent escapes resolved, "" when there is none."""
        return decode_escapes(self.user) if self.user else ""

    @property
    def subscriber(self) -> str:
        """What is dialled: the user up to its first ``;``, escapes resolved (RFC 3261 19.1.6, RFC 3966 3).

        An escaped semicolon belongs to the name and separates nothing.
        """
        return decode_escapes((self.user or "").partition(";")[0])

    @property
    def phone_context(self) -> str | None:
        """The context in which a local number counts (RFC 3966 5.1.5), wherever the sender put it; None without one."""
        user = (self.user or "").partition(";")[2] if self.scheme != "tel" else ""
        found = Params.parse_tel(user).get("phone-context") if user else None
        found = self.params.get("phone-context") if found is None else found
        return None if found is None else decode_escapes(found)

    @property
    def transport(self) -> str | None:
        """The transport parameter in lower case."""
        value = self.params.get("transport")
        return value.lower() if value else None

    @property
    def host_port(self) -> str:
        """``host[:port]`` as it stands in the URI."""
        return format_host_port(self.host, self.port)

    def __str__(self) -> str:
        if self.scheme == "tel":
            return f"tel:{self.user or ''}{self.params}"
        if self.scheme not in ("sip", "sips"):
            return f"{self.scheme}:{self.opaque}"
        password = "" if self.password is None else f":{self.password}"
        user = "" if self.user is None else f"{self.user}{password}@"
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{user}{self.host_port}{self.params}{headers}"


def _parse_sip(scheme: str, rest: str) -> SipUri:
    check_escapes(rest)
    userinfo, at, place = rest.rpartition("@")
    if not URI_CHARS.issuperset(userinfo):
        raise SipError("Bad character in URI")
    if "@" in userinfo:
        # No part of a SIP URI may hold a bare "@": with two of them, two parsers see two different hosts.
        raise SipError("Bad URI")
    user, colon, password = userinfo.partition(":")
    if at and not user:
        raise SipError("Empty user in URI")
    place, question, headers = place.partition("?")
    if (question and not headers) or not URI_CHARS.issuperset(headers):
        raise SipError("Bad URI")
    place, semicolon, params = place.partition(";")
    host, port = parse_host_port(place)
    return SipUri(
        scheme,
        user if at else None,
        password if colon else None,
        host,
        port,
        Params.parse_uri(params) if semicolon else NO_PARAMS,
        headers,
    )


def _parse_tel(rest: str) -> SipUri:
    number, semicolon, params = rest.partition(";")
    if not number or "@" in number or "?" in number:
        raise SipError("Bad telephone number")
    return SipUri("tel", number, None, "", None, Params.parse_tel(params) if semicolon else NO_PARAMS)
