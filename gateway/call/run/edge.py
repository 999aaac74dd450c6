"""The edge between one call and the rest of the gateway: an error nobody foresaw stops here."""

from __future__ import annotations

from collections.abc import Callable


def attempt(step: Callable[[], None]) -> Exception | None:
    """Do a step of one call or one message; give back what went wrong instead of raising it.

    What left here would pass through the transport that brought the message, and the connection of many calls would be
    closed for the defect of one. Whoever calls this ends that call, or answers that message, and logs the error.
    """
    try:
        step()
    except Exception as error:  # noqa: BLE001 - the one place that may: see above
        return error
    return None
