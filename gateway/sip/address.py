"""Addresses as they stand in From, To, Contact, Route and their kin (RFC 3261 20.10 and 25.1, `name-addr`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.base.errors import SipError
from gateway.sip.grammar import (
    LWS,
    TOKEN_CHARS,
    end_of_angle,
    end_of_quoted,
    find_unquoted,
    printable,
    quote,
    unquote,
    words,
)
from gateway.sip.params import NO_PARAMS, Params
from gateway.sip.uri import SipUri


@dataclass(frozen=True, slots=True)
class NameAddr:
    """A display name, a URI and header parameters; written always with <angle brackets>."""

    display_name: str
    """Without quotes and escapes; "" when there is none."""
    uri: SipUri
    params: Params = NO_PARAMS

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        """Read one address; the URI is what stands in the brackets, whatever stands before them.

        A name that is no name by the grammar (a comma, an `@`, doubled quotes) is left out; who it is tells the URI.
        """
        text = text.strip(LWS)
        start = find_unquoted(text, "<")
        if start < 0:
            return _parse_bare(text)
        end = end_of_angle(text, start)
        uri = SipUri.parse(text[start + 1 : end - 1], any_scheme=True)
        return cls(_display_name(text[:start].strip(LWS)), uri, _params(text[end:].strip(LWS)))

    @classmethod
    def parse_route(cls, text: str) -> NameAddr:
        """Read a Route or Record-Route value; without the brackets it must have, all of it is the URI (RFC 3261 20.30).

        Read as other bare addresses, `lr` would count for the header, and the proxy would be taken for a strict one.
        """
        text = text.strip(LWS)
        return cls.parse(text) if "<" in text else cls("", SipUri.parse(text))

    @property
    def tag(self) -> str | None:
        """The tag parameter of From and To (RFC 3261 19.3)."""
        return self.params.get("tag")

    def with_tag(self, tag: str) -> NameAddr:
        """A copy that carries this tag."""
        return replace(self, params=self.params.with_("tag", tag))

    def __str__(self) -> str:
        name = f"{quote(self.display_name)} " if self.display_name else ""
        return f"{name}<{self.uri}>{self.params}"


def _parse_bare(text: str) -> NameAddr:
    """An address without brackets: parameters belong to the header, ``?`` and ``,`` are not allowed (RFC 3261 20)."""
    bare = text.partition(";")[0]
    uri = bare.rstrip(LWS)
    if "?" in uri or "," in uri:
        raise SipError("Address needs angle brackets")
    return NameAddr("", SipUri.parse(uri, any_scheme=True), _params(text[len(bare) :]))


def _display_name(text: str) -> str:
    if not text:
        return ""
    if text[:1] == '"':
        return printable(unquote(text)) if end_of_quoted(text, 0) == len(text) else ""
    # Beyond the tokens of the grammar, letters that are not ASCII are let through: phones send them unquoted.
    is_name = all(TOKEN_CHARS.issuperset(char for char in word if char.isascii()) for word in words(text))
    return printable(text) if is_name else ""


def _params(text: str) -> Params:
    if not text:
        return NO_PARAMS
    if text[0] != ";":
        raise SipError("Bad address")
    params = Params.parse(text[1:])
    tag = params.get("tag")
    if tag is not None and (not tag or tag[0] == '"'):
        raise SipError("Bad tag")
    return params
