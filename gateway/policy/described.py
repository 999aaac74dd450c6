"""Rules, floors and exceptions as JSON has them: what a book is hashed over, and what two books are compared by."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.base.grades import Grade
from gateway.policy.match import Match
from gateway.policy.rules import Exemption, Floor, Rule


def described(entry: Rule | Floor | Exemption) -> dict[str, object]:
    """One entry, with its keys as they are written in a policy file; what says nothing is left out."""
    match entry:
        case Rule():
            own: dict[str, object] = {"profile": entry.profile, "reject": entry.reject}
        case Floor():
            own = _floor(entry)
        case Exemption():
            own = {
                "require": entry.require.name,
                "allow": sorted(entry.allow),
                "owner": entry.owner,
                "reason": entry.reason,
                "expires": entry.expires.isoformat(),
            }
    return {"id": entry.id, "match": dict(_keys(entry.match)), **{key: value for key, value in own.items() if value}}


def _floor(floor: Floor) -> dict[str, object]:
    return {
        "require": _grade(floor.require),
        "prefer": _grade(floor.prefer),
        "deny": sorted(floor.deny),
        "suites": list(floor.suites),
        "min_key_bits": floor.min_key_bits,
        "min_tag_bits": floor.min_tag_bits,
        "srtcp": floor.srtcp_required,
    }


def _grade(grade: Grade) -> str:
    return grade.name if Grade.CLEARTEXT < grade < Grade.END_TO_END else ""


def _keys(match: Match) -> Iterator[tuple[str, object]]:
    sets = {
        "direction": match.directions,
        "trunk": match.trunks,
        "user": match.users,
        "user_group": match.groups,
        "transport": match.transports,
        "method": match.methods,
    }
    yield from ((key, sorted(map(str, names))) for key, names in sets.items() if names is not None)
    for key, patterns in (("caller", match.callers), ("dialled", match.dialled)):
        if patterns is not None:
            yield key, [pattern.text for pattern in patterns]
    if match.networks is not None:
        yield "source", [str(network) for network in match.networks]
    if match.times is not None:
        yield "time", [f"{window.text} {window.place}" for window in match.times]
    if match.without is not None:
        yield "not", dict(_keys(match.without))
