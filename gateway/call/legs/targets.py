"""Whom a call is for: the plan admission makes, frozen, from which the machine builds its legs."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.policy.model import EffectivePolicy
from gateway.sip.address import NameAddr
from gateway.sip.flow import Flow
from gateway.sip.replaces import Replaces
from gateway.sip.uri import SipUri
from gateway.trunks.model import Trunk


@dataclass(frozen=True, slots=True)
class Relayed:
    """What of a browser's INVITE stays as it is on its way to the registrar, which authenticates it itself.

    The browser's digest covers the request URI, and a registrar may tie its challenge to Call-ID and From tag.
    """

    uri: str
    """The request URI, octet for octet."""
    to: NameAddr
    call_id: str
    from_tag: str
    sequence: int
    """Of CSeq: the INVITE that answers a challenge has the next one."""
    credentials: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Header fields with what the browser answered."""
    realm: str = ""
    """The only realm that may ask the browser for a password; empty: any."""


@dataclass(frozen=True, slots=True)
class TrunkTarget:
    """A number behind a trunk."""

    trunk: Trunk
    policy: EffectivePolicy
    """What the leg must meet."""
    number: str
    """As the trunk gets it."""
    replaces: Replaces | None = None
    """The dialog of the trunk that the new one is to take the place of."""
    relayed: Relayed | None = None
    """The trunk authenticates the browser that calls."""


@dataclass(frozen=True, slots=True)
class UserTarget:
    """A user of ours."""

    user: str
    group: str = ""
    """The group she rings for, when it is her turn in one."""
    seconds: float = 0.0
    """How long she rings before it is somebody else's turn; 0: as long as a call may ring."""
    at: tuple[Flow, SipUri] | None = None
    """The only connection on which she is called, and the Contact registered over it; None: wherever she is."""


@dataclass(frozen=True, slots=True)
class GroupTarget:
    """Several users of ours at once."""

    group: str
    users: tuple[str, ...]


Target = TrunkTarget | UserTarget | GroupTarget
