"""Addresses as they stand in From, To, Contact, Route and their kin (RFC 3261 20.10 and 25.1, `name-addr`)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gateway.base.errors import SipError
from gateway.sip.grammar import (
    LWS,
    TOKEN_CHARS,
    end_of_angle,
    end_of_quoted,
    printable,
    quote,
    unquote,
    words,
)
from gateway.sip.params import Params
from gateway.sip.uri import SipUri


@dataclass(frozen=True, slots=True)
class NameAddr:
    """A display name, a URI and header parameters; written always with <angle brackets>."""

    display_name: str
    """Without quotes and escapes; "" when there is none."""
    uri: SipUri
    params: Params = field(default_factory=Params)

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        """Read one address; the URI is what stands in the brackets behind the name, whatever the name looks like."""
        text = text.strip(LWS)
        name_end = end_of_quoted(text, 0) if text[:1] == '"' else text.find("<")
        if name_end < 0:
            return _parse_bare(text)
        start = text.find("<", name_end)
        if start < 0 or text[name_end:start].strip(LWS):
            raise SipError("Bad address")
        end = end_of_angle(text, start)
        uri = SipUri.parse(text[start + 1 : end - 1], any_scheme=True)
        return cls(_display_name(text[:name_end].strip(LWS)), uri, _params(text[end:].strip(LWS)))

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
    if text[:1] == '"':
        return printable(unquote(text))
    for word in words(text):
        # Beyond the tokens of the grammar, letters that are not ASCII are let through: phones send them unquoted.
        if not TOKEN_CHARS.issuperset(char for char in word if char.isascii()):
            raise SipError("Bad display name")
    return printable(text)


def _params(text: str) -> Params:
    if not text:
        return Params()
    if text[0] != ";":
        raise SipError("Bad address")
    params = Params.parse(text[1:])
    tag = params.get("tag")
    if tag is not None and (not tag or tag[0] == '"'):
        raise SipError("Bad tag")
    return params
