"""Moments as people write them on a command line and in tables of expectations."""

from __future__ import annotations

from datetime import datetime

from gateway.base.errors import ConfigError
from gateway.config.policy_scalars import zone


def moment(text: str, place: str) -> datetime:
    """The moment in a text, by the clock of a place where the text names no offset.

    Raises:
        ConfigError: it names none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no time", remedy="write 2030-01-02 10:00, or 2030-01-02T10:00Z") from None
    here = zone(place)
    return found.replace(tzinfo=here) if found.tzinfo is None else found.astimezone(here)
