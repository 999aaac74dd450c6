"""The trunks there are, by name, for whoever looks one up: loading others changes what is found, in one step. PURE.

A trunk that was taken out of the configuration, or changed, may still have calls that began under what it was. Such a
former trunk is found by its name while no other has that name, and nothing new begins with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from gateway.trunks.model import Trunk


class TrunkTable(Mapping[str, Trunk]):
    """Those of the configuration, and former ones that have calls."""

    def __init__(self, trunks: Mapping[str, Trunk]) -> None:
        self._found = self.configured = dict(trunks)
        self.former: tuple[Trunk, ...] = ()
        """What trunks were that have calls from before they were changed or taken out."""

    def use(self, trunks: Mapping[str, Trunk], former: Collection[Trunk] = ()) -> frozenset[str]:
        """Find these from now on. Gives the names whose places are others than before, or are none any more."""
        before, self.configured, self.former = self.configured, dict(trunks), tuple(former)
        self._found = {**{trunk.name: trunk for trunk in former}, **trunks}
        return frozenset(name for name, trunk in before.items() if not is_reached_as(trunk, trunks.get(name)))

    def __getitem__(self, name: str) -> Trunk:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def is_reached_as(one: Trunk, other: Trunk | None) -> bool:
    """Whether both are found at the same places, and prove themselves there in the same way."""
    return other is not None and (one.choices, one.tls) == (other.choices, other.tls)
