"""Small values shared by all layers: addresses, and wrappers whose content cannot be printed."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, NewType, TypeVar

T = TypeVar("T", str, bytes)

TokenSource = Callable[[int], str]
"""Gives a random lower-case alphanumeric token of that many characters; injected: pure code has no randomness."""

LegId = NewType("LegId", int)
"""Number of a leg within its call, counted from 1: the caller's."""
CALLER = LegId(1)
"""The leg whose INVITE made the call."""
NO_LEG = LegId(0)
"""Stands for the call itself, where a leg could be named."""


class LegKind(StrEnum):
    """What is at the far end of a leg; the words of records and headers."""

    BROWSER = "browser"
    TRUNK = "trunk"


class Secret(Generic[T]):
    """A password, key or token that no `str`, `repr`, format or log call can show. `reveal` is the only way out."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value: T = value

    def reveal(self) -> T:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not pickled")


@dataclass(frozen=True, slots=True, order=True)
class HostPort:
    """An IP address and a port: one end of a UDP or TCP association."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True for 127.0.0.0/8 and ::1; False for names."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def mask_number(text: str) -> str:
    """A user part fit for logs: digits beyond the first four and last two become `*` (names stay whole).

    >>> mask_number("+4930123456")
    '+493*****56'
    """
    digits = sum(c.isdigit() for c in text)
    if digits < 7:
        return text
    return text[:4] + "*" * (len(text) - 6) + text[-2:]
