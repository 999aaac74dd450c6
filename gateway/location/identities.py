"""Which user each connection proved to be: by digest, once, and never by what From says. PURE."""

from __future__ import annotations

from gateway.sip.flow import Flow


class Identities:
    """The users of the flows of this process; an identity goes with its flow."""

    def __init__(self) -> None:
        self._users: dict[int, str] = {}

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

    def authenticate(self, flow: Flow, user: str) -> bool:
        """Tie a proven user to a flow; False when the flow already belongs to somebody else."""
        return self._users.setdefault(flow.id, user) == user

    def forget(self, flow: Flow) -> str | None:
        """Forget a flow, and give back who it was."""
        return self._users.pop(flow.id, None)
