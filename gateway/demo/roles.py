"""The phones of the demonstration PBX: which number does what, and over which protection.

Plain data without pjsua2, so that the gateway's process can read it: PJSIP is loaded in the phones' processes only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from gateway.base.profiles import Profile
from gateway.base.values import HostPort

MAX_CALLS: Final = 4
"""Calls at a time in one phone: the PJSIP build that installs from the registry has this cap compiled in."""
CALLBACK_NUMBER: Final = "1001"
"""The number the callback phone dials at the gateway; the dialplan gives it to the demonstration's user."""


class Srtp(StrEnum):
    """What a phone does about encryption."""

    NEVER = "never"
    OPTIONAL = "optional"
    """RTP/AVP with a=crypto (RFC 8643)."""
    ALWAYS = "always"
    """RTP/SAVP only (RFC 4568)."""


class Behaviour(StrEnum):
    """What a phone does with a call."""

    ECHO = "echo"
    TONE = "tone"
    CALLBACK = "callback"


@dataclass(frozen=True, slots=True)
class Role:
    """One phone and the trunk that leads to it."""

    name: str
    number: str
    address: HostPort
    transport: Literal["udp", "tcp", "tls"]
    srtp: Srtp
    behaviour: Behaviour
    security: Profile
    """Profile of the trunk that leads here."""
    what: str
    """What to expect, for the table the demonstration prints."""

    @property
    def target(self) -> str:
        """The trunk's `target`."""
        return f"sip:{self.address}" + ("" if self.transport == "udp" else f";transport={self.transport}")


ROLES: Final = (
    Role(
        "echo",
        "600",
        HostPort("127.0.0.11", 5070),
        "udp",
        Srtp.NEVER,
        Behaviour.ECHO,
        Profile.LEGACY,
        "Echo over plain RTP: allowed by the legacy profile, shown red",
    ),
    Role(
        "tone",
        "601",
        HostPort("127.0.0.12", 5071),
        "tls",
        Srtp.ALWAYS,
        Behaviour.TONE,
        Profile.STRICT,
        "440 Hz tone over SRTP, keys over verified TLS: green",
    ),
    Role(
        "osrtp",
        "602",
        HostPort("127.0.0.13", 5070),
        "tcp",
        Srtp.OPTIONAL,
        Behaviour.ECHO,
        Profile.OSRTP,
        "Echo over SRTP whose key crossed TCP in the clear: shown red",
    ),
    Role(
        "refused",
        "603",
        HostPort("127.0.0.14", 5071),
        "tls",
        Srtp.NEVER,
        Behaviour.ECHO,
        Profile.STRICT,
        "A phone without encryption behind a strict trunk: refused, and the page says why",
    ),
    Role(
        "callback",
        "604",
        HostPort("127.0.0.15", 5070),
        "udp",
        Srtp.NEVER,
        Behaviour.CALLBACK,
        Profile.LEGACY,
        "Answers, hangs up and calls you back with a tone over plain RTP",
    ),
)

BY_NAME: Final = {role.name: role for role in ROLES}
