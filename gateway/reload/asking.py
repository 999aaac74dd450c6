"""What an administrator is told of a reload, as the rows of an answer over the admin socket.

{"event": "mistake", "file": ..., "line": ..., "key": ..., "message": ..., "remedy": ...}  each, then `refused`
{"event": "warning", "text": ...}
{"event": "change", "text": "trunks.pbx.security: legacy -> strict"}
{"event": "loaded", "changes": 1, "sha256": ...}
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from gateway.admin.lines import AskError, Problem
from gateway.admin.views import Row
from gateway.base.errors import ConfigError, ConfigErrors
from gateway.reload.reloader import Reloader, ReloadError

MAX_ROWS = 1000
"""Changes that are told one by one; of a whole new configuration nobody reads more."""


async def reload_rows(reloader: Reloader) -> AsyncGenerator[Row]:
    """Reload, and tell what came of it.

    Raises:
        AskError: nothing was loaded.
    """
    try:
        done = await reloader.reload("admin")
    except ConfigError as error:
        for mistake in error.errors if isinstance(error, ConfigErrors) else (error,):
            yield _row(mistake)
        raise AskError(Problem.REFUSED, "nothing was changed: the configuration there was stays in force") from None
    except ReloadError as error:
        raise AskError(Problem.UNAVAILABLE, f"nothing was changed: {error}") from None
    for warning in done.warnings:
        yield {"event": "warning", "text": warning}
    for change in done.changes[:MAX_ROWS]:
        yield {"event": "change", "text": str(change)}
    yield {"event": "loaded", "changes": len(done.changes), "sha256": done.sha256}


def _row(mistake: ConfigError) -> Row:
    return {
        "event": "mistake",
        "file": mistake.file,
        "line": mistake.line,
        "key": mistake.key,
        "message": mistake.message,
        "remedy": mistake.remedy,
    }
