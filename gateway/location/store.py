"""Where bindings are kept: an interface that a database between several gateways can fill, and a memory that does.

A store is asked under a time limit (`asking`), one change of a user after the other (`turns`), and may fail. It is told
how long a binding lives, not until when: it counts that by a clock of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from gateway.location.binding import Binding


class LocationStore(Protocol):
    """The bindings of all users. Whatever it raises means that it cannot say."""

    async def lookup(self, user: str) -> tuple[Binding, ...]:
        """What of a user lives, with the seconds it has left, in the order in which it came."""

    async def change(self, user: str, bound: Sequence[Binding], unbound: Sequence[str]) -> None:
        """Bind and unbind, as a whole or not at all; what is bound again stays where it stood.

        Args:
            bound: to be kept for as long as each says, under the URI of its Contact.
            unbound: URIs of Contacts; those that are not bound are no mistake.
        """


class MemoryStore:
    """Bindings of one process.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._users: dict[str, dict[str, tuple[Binding, float]]] = {}
        """By user, then by the URI of the Contact: until when it lives."""

    def __len__(self) -> int:
        """Users with a binding, of whom some may have run out and not been looked at since."""
        return len(self._users)

    async def lookup(self, user: str) -> tuple[Binding, ...]:
        """See `LocationStore.lookup`."""
        return self.peek(user)

    async def change(self, user: str, bound: Sequence[Binding], unbound: Sequence[str]) -> None:
        """See `LocationStore.change`."""
        self.put(user, bound, unbound)

    def peek(self, user: str) -> tuple[Binding, ...]:
        """What `lookup` finds, for who cannot wait."""
        now = self._clock()
        living = {uri: entry for uri, entry in self._users.get(user, {}).items() if entry[1] > now}
        self._keep(user, living)
        return tuple(replace(binding, seconds=until - now) for binding, until in living.values())

    def put(self, user: str, bound: Sequence[Binding], unbound: Sequence[str]) -> None:
        """What `change` does, for who cannot wait."""
        now = self._clock()
        entries = self._users.get(user, {})
        for uri in unbound:
            entries.pop(uri, None)
        for binding in bound:
            entries[binding.contact_uri] = (binding, now + binding.seconds)
        self._keep(user, entries)

    def _keep(self, user: str, entries: dict[str, tuple[Binding, float]]) -> None:
        if entries:
            self._users[user] = entries
        else:
            self._users.pop(user, None)
