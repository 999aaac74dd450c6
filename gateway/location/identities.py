"""Which user each connection proved to be, and until when: once for a password, anew for each token. PURE."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.sip.flow import Flow

FOREVER = float("inf")
"""A password that was proved once counts as long as its connection."""


class Identities:
    """The users of the flows of this process; an identity goes with its flow."""

    def __init__(self) -> None:
        self._users: dict[int, str] = {}
        self._until: dict[int, float] = {}
        """When what proved it runs out."""
        self._proofs: dict[int, tuple[Flow, frozenset[str]]] = {}
        """What each was proved by."""

    def __len__(self) -> int:
        """Flows that proved to be somebody."""
        return len(self._users)

    def flows_of(self, user: str) -> list[int]:
        """The numbers of the flows that proved to be this user."""
        return [flow for flow, found in self._users.items() if found == user]

    @property
    def users(self) -> set[str]:
        """Everybody who is signed in."""
        return set(self._users.values())

    def user_of(self, flow: Flow) -> str | None:
        """The user this flow proved to be; None when it has not, or is gone."""
        return self._users.get(flow.id)

    def authenticate(self, flow: Flow, user: str, until: float = FOREVER, proof: str = "") -> bool:
        """Tie a proven user to a flow; False when the flow already belongs to somebody else.

        Args:
            until: when it has to be proved again. The flow stays that user's: nobody else can have it.
            proof: what proved it, in the words of who looked at that.
        """
        before = self.until(flow) if flow.id in self._users else float("-inf")
        if self._users.setdefault(flow.id, user) != user:
            return False
        self._until[flow.id] = max(before, until)  # what was proved for longer stays proved
        self._proofs[flow.id] = flow, self._proofs.get(flow.id, (flow, frozenset()))[1] | {proof}
        return True

    def proofs(self) -> Iterator[tuple[Flow, str, frozenset[str]]]:
        """Every flow, its user, and all that proved it."""
        return ((flow, self._users[flow.id], proofs) for flow, proofs in list(self._proofs.values()))

    def until(self, flow: Flow) -> float:
        """When the proof of a flow runs out."""
        return self._until.get(flow.id, FOREVER)

    def forget(self, flow: Flow) -> str | None:
        """Forget a flow, and give back who it was."""
        self._until.pop(flow.id, None)
        self._proofs.pop(flow.id, None)
        return self._users.pop(flow.id, None)
