"""Says who a token is for, or why it proves nothing. What was found of a token is not kept: a key may be taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from dataclasses import dataclass, field

from gateway.base.values import Secret
from gateway.tokens.issuer import Issuer
from gateway.tokens.rings import KeyRings
from gateway.tokens.token import Fault, Header, Proof, read_header, verify

MAX_WAITING = 256
"""Tokens that wait for keys at a time; the others come again later."""
MAX_LIFE_SECONDS = 24 * 3600.0
"""How long a token counts at most, whatever it says."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """Whom a token is for."""

    user: str
    seconds: float
    """How long it proves that, from now."""
    issuer: str = ""
    """Who says so."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A token that proves nothing, or nothing now."""

    fault: Fault
    claimed: str = field(default="")

    @property
    def may_come_again(self) -> bool:
        """It is not the token's fault."""
        return self.fault is Fault.KEYS


@dataclass(frozen=True, slots=True)
class Waiting:
    """Keys are being read that may be the ones of this token: it is to be looked at again then."""

    task: asyncio.Task[None] = field(repr=False)


class TokenDoor:
    """The issuers the gateway trusts, and their keys.

    Args:
        wall: seconds since 1970, as tokens count.
    """

    def __init__(self, issuers: tuple[Issuer, ...], rings: KeyRings, wall: Callable[[], float]) -> None:
        self._rings, self._wall = rings, wall
        self._waiting = 0
        self.use(issuers)

    def use(self, issuers: tuple[Issuer, ...]) -> None:
        """Trust these from now on; their keys must be at hand."""
        self.issuers = issuers
        self._by_name = {issuer.name: issuer for issuer in issuers}

    @property
    def is_open(self) -> bool:
        """Whether anybody may sign in by token."""
        return bool(self.issuers)

    def look(self, token: Secret[str], users: Container[str]) -> Admitted | Refused | Waiting:
        """Who a token is for.

        Args:
            users: the users of the users file.
        """
        header = read_header(token)
        if isinstance(header, Fault):
            return Refused(header)
        issuer = self._by_name.get(header.issuer)
        if issuer is None:
            return Refused(Fault.ISSUER)
        key = self._rings.find(issuer.name, header.kid, header.algorithm)
        if key is None:
            return self._unknown(issuer)
        proof = verify(token, key, issuer)
        return Refused(proof) if isinstance(proof, Fault) else self._admit(proof, issuer, users)

    def _admit(self, proof: Proof, issuer: Issuer, users: Container[str]) -> Admitted | Refused:
        if not issuer.anyone and proof.user not in users:
            return Refused(Fault.USER, proof.user)
        left = proof.expires + issuer.leeway - self._wall()
        if left <= 0:
            return Refused(Fault.EXPIRED, proof.user)
        return Admitted(proof.user, min(left, MAX_LIFE_SECONDS), issuer.name)

    def _unknown(self, issuer: Issuer) -> Waiting | Refused:
        """A key nobody knows: it may be new. Where no keys are at hand at all, that is not the token's fault."""
        task = self._rings.news(issuer.name) if self._waiting < MAX_WAITING else None
        if task is None:
            return Refused(Fault.KEY if self._rings.has_keys(issuer.name) else Fault.KEYS)
        self._waiting += 1
        task.add_done_callback(self._done)
        return Waiting(task)

    def _done(self, _task: asyncio.Task[None]) -> None:
        self._waiting -= 1


__all__ = ["Admitted", "Header", "Refused", "TokenDoor", "Waiting"]
