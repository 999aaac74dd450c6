"""What every connection has in common, whoever made it."""

from __future__ import annotations

import contextlib
from typing import Protocol


class Abortable(Protocol):
    """A connection that can be ended at once; asyncio's transports have this shape."""

    def abort(self) -> None: ...


def abort(transport: Abortable) -> None:
    """End a connection at once; one that has ended already stays as it is.

    The TLS transport of Python before 3.11.4 forgets its protocol when it ends and then fails to be aborted.
    """
    with contextlib.suppress(AttributeError):
        transport.abort()
