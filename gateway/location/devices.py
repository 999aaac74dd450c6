"""Which device is at the far end of a connection: what a REGISTER over it said, and nothing else. PURE.

A device that comes back over another connection registers anew, and is known by its `+sip.instance` (RFC 5626 4.1). A
user agent that gives none is known by its Contact, which libraries make up once and keep as long as they run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.location.binding import MAX_BINDINGS, Binding
from gateway.sip.flow import Flow
from gateway.sip.uri import SipUri


@dataclass(frozen=True, slots=True)
class Device:
    """A user agent of a user."""

    user: str
    contact: tuple[str, str]
    """User part and host of its Contact: user parts differ by case, hosts do not."""
    instance: str = ""
    """Its `+sip.instance`, "" when it gives none."""
    registration: str = ""
    """Which of its registrations (`reg-id`): one device may have several connections at a time (RFC 5626 4.2)."""

    @classmethod
    def of(cls, user: str, binding: Binding) -> Device:
        """What registered."""
        params = binding.contact.params
        return cls(user, contact_name(binding.contact.uri), binding.instance, params.get("reg-id") or "")

    def is_same(self, other: Device) -> bool:
        """Whether both are one device of one user. Who gave an instance once is known by that alone."""
        if self.user != other.user:
            return False
        if self.instance or other.instance:
            return self.instance == other.instance
        return self.contact == other.contact

    def takes_the_place_of(self, other: Device) -> bool:
        """Whether this registration is the other one over another connection, and not a second one beside it."""
        return self.is_same(other) and self.registration == other.registration


def contact_name(uri: SipUri) -> tuple[str, str]:
    """What of a Contact stays the same while a user agent runs; its parameters do not."""
    return uri.user_decoded or "", uri.host.lower()


class Devices:
    """The devices behind the connections of this process, as long as those last."""

    def __init__(self) -> None:
        self._by_flow: dict[int, tuple[Flow, tuple[Device, ...]]] = {}
        self._flows_of: dict[str, dict[int, Flow]] = {}
        """The connections of a user, in the order in which she came to them."""

    def __len__(self) -> int:
        """Connections over which somebody registered."""
        return len(self._by_flow)

    def bound(self, flow: Flow, user: str, bindings: Iterable[Binding]) -> tuple[Device, ...]:
        """A REGISTER over this connection was accepted; gives those of its devices that were not known there."""
        known = self.of(flow)
        new = tuple(d for d in (Device.of(user, binding) for binding in bindings) if d not in known)
        if new:
            self._by_flow[flow.id] = (flow, (*known, *new)[-MAX_BINDINGS:])
            self._flows_of.setdefault(user, {})[flow.id] = flow
        return new

    def of(self, flow: Flow) -> tuple[Device, ...]:
        """Who registered over this connection."""
        return self._by_flow.get(flow.id, (flow, ()))[1]

    def forget(self, flow: Flow) -> None:
        """The connection is gone."""
        for user in {device.user for device in self.of(flow)}:
            flows = self._flows_of[user]
            del flows[flow.id]
            if not flows:
                del self._flows_of[user]
        self._by_flow.pop(flow.id, None)

    def elsewhere(self, device: Device) -> Flow | None:
        """The connection over which the same device registered last, of those there are."""
        flows = reversed(self._flows_of.get(device.user, {}).values())
        return next((flow for flow in flows if any(device.is_same(one) for one in self.of(flow))), None)


def device_of(devices: Sequence[Device], user: str, target: SipUri | None) -> Device | None:
    """Which of the devices of a connection a dialog is with: the one its Contact names, else the last.

    Args:
        target: the Contact of the dialog; where nobody registered, that alone tells who is there.
    """
    name = contact_name(target) if target is not None else None
    named = [device for device in devices if device.contact == name]
    if named or devices:
        return (named or list(devices))[-1]
    return Device(user, name) if name is not None else None
