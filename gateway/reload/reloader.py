"""Loads the configuration anew while the gateway runs: all of it, or nothing.

    asked -> files are read and checked in a thread -> differences -> `policy.loaded` is written -> the new site is used

One reload at a time; who asks meanwhile waits for a turn, and has the files read as they are then. Whatever is wrong,
the configuration there was stays in force, and every mistake is told to who asked and in the log.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.audit import notices
from gateway.audit.log import AuditLog
from gateway.base.counters import Counter, Counters
from gateway.base.errors import ConfigError, ConfigErrors, GatewayError
from gateway.config.load import LoadedConfig, load_config
from gateway.reload.difference import Change, differences, fingerprint, for_record
from gateway.reload.keys import restart_needed
from gateway.reload.parts import Parts
from gateway.renewal.files import Watched
from gateway.renewal.watch import in_thread
from gateway.renewal.watched import watched

READ_SECONDS = 10.0
"""How long the files may take to be read: a disk that hangs must not keep later reloads waiting for ever."""
MAX_WAITING = 8
"""Reloads that wait for their turn; one more is told to come again."""
SETTLE_SECONDS = 1.0
"""How often it is looked whether calls from before a reload have ended, as long as there are any."""
SETTLE_ROUNDS = 10
"""How often at least: a connection that was being opened when the trunks changed is there after that, or never."""

log = logging.getLogger(__name__)

Read = Callable[[], LoadedConfig]
"""Reads the files once more; raises ConfigErrors with every mistake in them."""


def read_again(loaded: LoadedConfig) -> LoadedConfig:
    """The files of a configuration as they are now, with no more looked at than they say.

    Raises:
        ConfigError: they have mistakes, or there is no file.
    """
    if loaded.gateway is None:
        raise ConfigError("this gateway was not started with a file", remedy="restart needed")
    return load_config(loaded.gateway.path)


class ReloadError(GatewayError):
    """Nothing was loaded, and not for a mistake in the configuration."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload came to."""

    changes: tuple[Change, ...]
    """None: the files say what they said before, and only what they name was read anew."""
    warnings: tuple[str, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class _Ready:
    """A configuration that was read, with everything made of it that can fail."""

    loaded: LoadedConfig
    changes: tuple[Change, ...]
    contexts: Mapping[str, ssl.SSLContext]
    """TLS contexts of those sections that name other files than before."""
    sha256: str


class Reloader:
    """Owns the configuration that is in force.

    Args:
        read: reads the files; called in a thread.
        parts: what is made from a site.
    """

    def __init__(self, loaded: LoadedConfig, read: Read, parts: Parts, audit: AuditLog, counters: Counters) -> None:
        self.loaded, self._read, self._parts = loaded, read, parts
        self._audit, self._counters = audit, counters
        self.on_loaded: Callable[[LoadedConfig], None] = _nothing
        """Told of each configuration that is in force from now on, for what belongs to the process."""
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[Reloaded]] = set()
        self._again: asyncio.TimerHandle | None = None
        self._rounds = 0
        self._signalled = False
        self._stopping = False

    async def reload(self, who: str) -> Reloaded:
        """Load the configuration. What was begun goes on when nobody waits for it any more.

        Args:
            who: asks for it, in a word for the log.

        Raises:
            ConfigErrors: with every mistake there is.
            ReloadError: it cannot be done now.
        """
        if self._stopping:
            raise ReloadError("the gateway is stopping")
        if len(self._tasks) > MAX_WAITING:
            raise ReloadError("as many reloads wait for their turn as may")
        task = asyncio.get_running_loop().create_task(self._in_turn(who))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    def signalled(self) -> None:
        """SIGHUP: load it; however many signals come before that begins, it is done once for all of them."""
        if self._signalled or self._stopping:
            return
        self._signalled = True
        task = asyncio.get_running_loop().create_task(self._in_turn("SIGHUP"))
        self._tasks.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[Reloaded]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, GatewayError):
            log.error("reload failed", exc_info=error)

    async def stop(self) -> None:
        """Load nothing more. What waits for its turn is told so; what is half read is given up."""
        self._stopping = True
        if self._again is not None:
            self._again.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- one reload

    async def _in_turn(self, who: str) -> Reloaded:
        async with self._turn:
            if who == "SIGHUP":
                self._signalled = False
            try:
                return await self._load(who)
            except ConfigError as error:
                self._counters.add(Counter.RELOADS_REFUSED)
                for mistake in error.errors if isinstance(error, ConfigErrors) else (error,):
                    log.error("reload by=%s refused: %s", who, str(mistake).replace("\n  remedy:", "; remedy:"))
                log.error("reload by=%s state=kept: nothing was changed", who)
                raise
            except ReloadError as error:
                self._counters.add(Counter.RELOADS_REFUSED)
                log.error("reload by=%s refused: %s; nothing was changed", who, error)
                raise

    async def _load(self, who: str) -> Reloaded:
        try:
            async with asyncio.timeout(READ_SECONDS):
                ready = await in_thread(self._prepared)
        except TimeoutError:
            raise ReloadError("the files cannot be read in time") from None
        for warning in ready.loaded.warnings:
            log.warning("config %s", warning)
        if ready.changes:
            await self._recorded(who, ready)
            self._use(ready)
        else:
            self._parts.certificates.reload()
        self._counters.add(Counter.RELOADS)
        for change in ready.changes:
            log.info("reload by=%s %s", who, change)
        log.info("reload by=%s state=loaded changes=%d sha256=%s", who, len(ready.changes), ready.sha256)
        return Reloaded(ready.changes, ready.loaded.warnings, ready.sha256)

    def _prepared(self) -> _Ready:
        """In a thread: read the files, and make what can fail."""
        loaded = self._read()
        changes = differences(self.loaded, loaded)
        moved = loaded.site.registration != self.loaded.site.registration
        mistakes = [loaded.placed(mistake) for mistake in restart_needed(changes, registrar_moved=moved)]
        if mistakes:
            raise ConfigErrors(mistakes)
        known = {entry.key: entry for entry in _files(self.loaded)}
        new = [entry for entry in _files(loaded) if not entry.is_as(known.get(entry.key))]
        return _Ready(loaded, changes, _contexts(loaded, new), fingerprint(loaded))

    async def _recorded(self, who: str, ready: _Ready) -> None:
        """Have it in the log before it is in force. A log that cannot be written takes no new configuration."""
        if not self._audit.available:
            raise ReloadError("the audit log cannot be written")
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        record = loaded_record(ready.loaded, who, ready.changes)
        self._audit.write(record, lambda done: None if written.done() else written.set_result(done))
        if not await written:
            back = Change("configuration", "as before: the log could not be written in time")
            self._audit.write(loaded_record(self.loaded, who, (back,)))
            raise ReloadError("the audit log cannot be written")

    def _use(self, ready: _Ready) -> None:
        self.loaded = ready.loaded
        self._parts.use(ready.loaded.site)
        for entry in watched(ready.loaded.site, self._parts.web.use, self._parts.endpoint.changes.use_context):
            if (context := ready.contexts.get(entry.key)) is not None:
                entry.use(context)
        self.on_loaded(ready.loaded)
        self._rounds = SETTLE_ROUNDS
        self._settle_later()

    # --- afterwards

    def _settle_later(self) -> None:
        if self._again is None and not self._stopping:
            self._again = asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._settle)

    def _settle(self) -> None:
        self._again, self._rounds = None, self._rounds - 1
        if self._parts.settle() or self._rounds > 0:
            self._settle_later()


def _nothing(_loaded: LoadedConfig) -> None:
    """Until somebody wants to know."""


def _files(loaded: LoadedConfig) -> list[Watched]:
    """The files a configuration names for TLS, for nobody's use yet."""
    return list(watched(loaded.site, lambda _context: None, lambda _name, _context: None))


def _contexts(loaded: LoadedConfig, entries: Sequence[Watched]) -> dict[str, ssl.SSLContext]:
    """What the files make; raises ConfigErrors with all that cannot be used."""
    made, mistakes = dict[str, ssl.SSLContext](), list[ConfigError]()
    for entry in entries:
        try:
            if (context := entry.load(datetime.datetime.now(datetime.UTC))) is not None:
                made[entry.key] = context
        except ConfigError as error:
            mistakes.append(loaded.placed(error))
    if mistakes:
        raise ConfigErrors(mistakes)
    return made


def loaded_record(loaded: LoadedConfig, who: str = "start", changes: Sequence[Change] = ()) -> dict[str, object]:
    """`policy.loaded` of this configuration."""
    policies, sha256 = [loaded.site.policies.standing(name) for name in loaded.site.trunks], fingerprint(loaded)
    return notices.policy_loaded(policies, config_sha256=sha256, by=who, changes=for_record(changes))
