"""The Replaces header field: an INVITE that takes the place of another dialog (RFC 3891).

It names a dialog by its Call-ID and its two tags, as the side sees it that receives the header: `to-tag` is the tag of
that side, `from-tag` the tag of its peer (RFC 3891 3). Whether the sender may have that dialog is not ours to say
here: whoever asks compares the owners first, and a dialog of somebody else does not exist for a stranger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import quote as percent_encode

from gateway.base.errors import SipError
from gateway.sip.dialog import DialogKey
from gateway.sip.grammar import LWS, PARAM_VALUE_CHARS, VISIBLE, is_token
from gateway.sip.message import Request

OPTION = "replaces"
"""Option tag of those who understand the header field (RFC 3891 6.2)."""
MAX_REPLACES = 1024
"""Octets of a value: a Call-ID of 255, two tags as long, and room for what else somebody writes."""
MAX_PARAMS = 16
"""Parameters of a value; three have a meaning."""
CALL_ID_CHARS = VISIBLE - frozenset(";,")
"""A semicolon ends the Call-ID here, and a comma would make two values of a field that is no list."""
NO_TAG = "0"
"""Stands for a tag that an RFC 2543 peer never gave, and for one that is a zero (RFC 3891 3)."""
ACCEPTED = 200
"""In `ANSWERS`: the new INVITE is taken up as any other, and the old dialog ends when it is answered."""


@dataclass(frozen=True, slots=True)
class Replaces:
    """One value of the header field."""

    call_id: str
    to_tag: str
    """The tag of the side that receives the header."""
    from_tag: str
    """The tag of the peer of that side."""
    early_only: bool = False
    """The dialog shall be replaced while it rings, and not when somebody has answered."""

    @classmethod
    def parse(cls, text: str) -> Replaces:
        """Read a value as it stands in the header field, percent escapes resolved.

        Raises:
            SipError: 400, no Call-ID, a tag missing or twice, anything that is no parameter, too long.
        """
        if len(text) > MAX_REPLACES:
            raise SipError("Replaces too long")
        call_id, *parts = (part.strip(LWS) for part in text.split(";"))
        if not call_id or not CALL_ID_CHARS.issuperset(call_id) or len(parts) > MAX_PARAMS:
            raise SipError("Bad Replaces")
        params = [_param(part) for part in parts]
        early_only = any(name == "early-only" for name, _ in params)
        return cls(call_id, _tag(params, "to-tag"), _tag(params, "from-tag"), early_only)

    @classmethod
    def naming(cls, key: DialogKey, *, early_only: bool = False) -> Replaces:
        """The value by which the peer of one of our dialogs finds it: what is remote to us is its own.

        Raises:
            SipError: 500, the Call-ID or a tag of that dialog cannot be written into the field.
        """
        call_id, local, remote = key
        named = cls(call_id, remote or NO_TAG, local or NO_TAG, early_only)
        if not call_id or not CALL_ID_CHARS.issuperset(call_id) or not named._is_writable():
            raise SipError("Dialog cannot be named", 500)
        return named

    @property
    def keys(self) -> tuple[DialogKey, ...]:
        """The dialogs of the receiver this value can mean, most likely first (RFC 3891 3)."""
        exact = (self.call_id, self.to_tag, self.from_tag)
        return (exact, (self.call_id, self.to_tag, "")) if self.from_tag == NO_TAG else (exact,)

    @property
    def keys_either_way(self) -> tuple[DialogKey, ...]:
        """`keys`, and behind them the dialog with its tags the other way round.

        For a Refer-To only, whose sender is one end of the dialog: JsSIP's `refer` writes the tags as the INVITE of the
        call had them, which names no dialog when the call had come in to it. In an INVITE the tags count as they stand.
        """
        return (*self.keys, (self.call_id, self.from_tag, self.to_tag))

    @property
    def embedded(self) -> str:
        """The value as a header of a URI, for Refer-To: ``?Replaces=`` and this (RFC 3261 19.1.1)."""
        return percent_encode(str(self), safe="")

    def _is_writable(self) -> bool:
        return all(PARAM_VALUE_CHARS.issuperset(tag) for tag in (self.to_tag, self.from_tag))

    def __str__(self) -> str:
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}" + (";early-only" * self.early_only)


class Named(Enum):
    """What the receiver of a Replaces knows of the dialog it names."""

    UNKNOWN = auto()
    """No dialog, one that is not of an INVITE, or more than one."""
    OTHERS = auto()
    """A dialog the sender has no right to; looked at before all else, so that a stranger learns nothing."""
    ENDED = auto()
    """Ended a moment ago and not forgotten yet."""
    EARLY_OF_PEER = auto()
    """Not answered yet, and the peer's INVITE made it: only who called may hand on a call that rings."""
    EARLY_OF_OURS = auto()
    """Not answered yet, and our INVITE made it: our call rings there, and is picked up here."""
    CONFIRMED = auto()


ANSWERS: Mapping[tuple[Named, bool], int] = {
    (Named.UNKNOWN, False): 481,
    (Named.UNKNOWN, True): 481,
    (Named.OTHERS, False): 481,
    (Named.OTHERS, True): 481,
    (Named.ENDED, False): 603,
    (Named.ENDED, True): 603,
    (Named.EARLY_OF_PEER, False): 481,
    (Named.EARLY_OF_PEER, True): 481,
    (Named.EARLY_OF_OURS, False): ACCEPTED,
    (Named.EARLY_OF_OURS, True): ACCEPTED,
    (Named.CONFIRMED, False): ACCEPTED,
    (Named.CONFIRMED, True): 486,
}
"""What an INVITE with Replaces is answered with, by the dialog and its early-only flag (RFC 3891 3).

603 for one that has ended keeps phones from ringing for a call nobody waits for; 481 for a stranger's is what a dialog
that never was gets.
"""


def read_replaces(request: Request) -> Replaces | None:
    """The Replaces of a request, None without one.

    Raises:
        SipError: 400, more than one, in another request than INVITE, beside Join (RFC 3911), or malformed.
    """
    values = request.headers.get_all("Replaces")
    if not values:
        return None
    if len(values) > 1:
        raise SipError("More than one Replaces")
    if request.method != "INVITE":
        raise SipError("Replaces outside of INVITE")
    if "Join" in request.headers:
        raise SipError("Replaces and Join contradict")
    return Replaces.parse(values[0])


def answer_to(named: Named, replaces: Replaces) -> int:
    """`ACCEPTED`, or the status the INVITE is refused with."""
    return ANSWERS[named, replaces.early_only]


def _param(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    name, value = name.strip(LWS).lower(), value.strip(LWS)
    if not is_token(name) or not PARAM_VALUE_CHARS.issuperset(value):
        raise SipError("Bad parameter in Replaces")
    return name, value


def _tag(params: list[tuple[str, str]], name: str) -> str:
    """The one value of a tag; RFC 3891 6.1 wants each of them exactly once."""
    values = [value for known, value in params if known == name]
    if len(values) != 1 or not values[0]:
        raise SipError(f"Replaces needs one {name}")
    return values[0]
