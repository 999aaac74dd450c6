"""A binding: one place where a user is called, as every process that shares the store understands it.

A browser is reached by the flow it registered on and by nothing else (RFC 5626, RFC 7118 5): the host in its Contact is
made up. PURE: values, and what follows from them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.sip.address import NameAddr
from gateway.sip.flow import Flow
from gateway.sip.grammar import DIGITS

MAX_BINDINGS = 10
"""Contacts of one user. One more replaces the oldest: pages that are gone must not keep a new one out."""
MAX_USER_AGENT = 128
"""Characters kept of what a client calls itself."""
MAX_Q_LENGTH = 5
"""Characters of a preference: `0.875` (RFC 3261 25.1, qvalue)."""


@dataclass(frozen=True, slots=True)
class FlowName:
    """A flow as any process may name it: numbers of flows are counted by each process for itself."""

    node: str
    """The process that has the connection, by a name it made up when it started."""
    id: int


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a user can be reached for some seconds more."""

    node: str
    """The process that has the connection; see `FlowName`."""
    flow: Flow
    contact: NameAddr
    text: str
    """The Contact as it was written: clients look for their +sip.instance as text."""
    call_id: str
    cseq: int
    """Of the REGISTER that wrote it: an older one of the same Call-ID changes nothing (RFC 3261 10.3 step 7)."""
    seconds: float
    """How long it lives, counted from when it was asked for: no two processes have the same clock."""
    user_agent: str = ""
    """What the client calls itself, for who looks after it; nothing depends on it."""

    @property
    def place(self) -> FlowName:
        """The connection it belongs to."""
        return FlowName(self.node, self.flow.id)

    @property
    def contact_uri(self) -> str:
        """The key of a binding among those of its user."""
        return str(self.contact.uri)

    @property
    def instance(self) -> str:
        """The device (RFC 5626 4.1), "" when it does not say."""
        return self.contact.params.get("+sip.instance") or ""

    @property
    def q(self) -> float:
        """How much the user prefers to be called here, 0 to 1; 1 when it is not said, or cannot be read."""
        written = (self.contact.params.get("q") or "").strip()
        whole, _, fraction = written.partition(".")
        if whole not in ("0", "1") or len(written) > MAX_Q_LENGTH or not DIGITS.issuperset(fraction):
            return 1.0
        return min(float(f"{whole}.{fraction or 0}"), 1.0)

    def replaces(self, other: Binding) -> bool:
        """Whether the other one is an older state of this: by its Contact, by its device, or by its client.

        Devices that say who they are may have several registrations at a time, told apart by reg-id (RFC 5626 6). Of
        the others the Call-ID lives as long as the client (RFC 3261 10.2.4), which has one connection.
        """
        if self.contact_uri == other.contact_uri:
            return True
        if self.instance and other.instance:
            return self.instance == other.instance and self._registration == other._registration
        return self.call_id == other.call_id and self.place != other.place

    @property
    def _registration(self) -> str | None:
        return self.contact.params.get("reg-id")


def targets(bindings: Iterable[Binding]) -> tuple[Binding, ...]:
    """Where a call rings, all at once: what the user prefers first, then what was bound last.

    Two registrations of one device are two ways to it, and only one of them may be tried at a time (RFC 5626 7).
    """
    ordered = sorted(reversed(tuple(bindings)), key=lambda binding: -binding.q)
    devices: dict[str, Binding] = {}
    for number, binding in enumerate(ordered):
        devices.setdefault(binding.instance or str(number), binding)
    return tuple(devices.values())[:MAX_BINDINGS]
