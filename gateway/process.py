"""What a gateway needs of a process of its own: file descriptors, signals, when to look for garbage, a log, an end."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import resource
import signal
from collections.abc import Callable

from gateway.app import Gateway
from gateway.base.counters import Counter
from gateway.base.errors import ConfigError, MediaError
from gateway.base.withholding import KeyGuard, guard
from gateway.config.load import LoadedConfig
from gateway.reload.reloader import Read
from gateway.site import Site

log = logging.getLogger(__name__)

GARBAGE_AFTER = 20_000
"""Objects made and kept before the youngest are searched for garbage; a call makes a few thousand."""
SPARE_DESCRIPTORS = 256
"""What is open besides connections: listeners, relay workers, the audit log, the interpreter's own."""
RETURN_SECONDS = 30.0
"""How often free memory is given back to the system: a few handshakes' worth may lie about in between."""
MANY_CALLS = 50
"""Calls that are over, 90 kB each, before they are looked for: a search takes a tenth of a second beside a thousand
calls that live."""
FEW_ROUNDS = 10
"""Times `RETURN_SECONDS` after which fewer are looked for, too."""
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def descriptors_wanted(site: Site) -> int:
    """File descriptors in use when every share of connections is full: then none of them is beyond reach."""
    shares = site.shares
    of_trunks = 2 * shares.trunk * len(site.trunks)  # those they open, and those we open to them
    return shares.page + shares.page_per_source + shares.strangers + shares.signed_in + of_trunks + SPARE_DESCRIPTORS


def raise_file_limit(wanted: int) -> None:
    """As many file descriptors as the system allows without asking for more rights; a warning when they are too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed < wanted:
        log.warning("file descriptors=%d: limits.connections may want %d; raise LimitNOFILE", allowed, wanted)


def settle_memory() -> None:
    """Leave what was made at the start out of every later search for garbage, and search less often.

    A search walks everything there is while calls wait; calls themselves leave little behind that needs one.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER, 20, 50)


def return_memory() -> None:
    """Give back to the system what is free within the heap.

    A handshake that is over leaves 84 kB behind, in pieces between what calls keep; the C library holds them for the
    next one for ever, unless it is asked (malloc_trim(3), which is glibc's). A few milliseconds with a thousand calls.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Housekeeping:
    """Looks after the memory of the process from time to time: what calls leave behind, and what is free of it.

    A call that is over is a circle of some hundred objects that know each other, which only a search for garbage finds.
    Left to the interpreter that search comes after thousands of calls, because calls live longer than anything it
    expects to be garbage; so it is made when enough of them have ended.

    Args:
        ended: how many calls have ended so far.
    """

    def __init__(self, ended: Callable[[], int]) -> None:
        self._ended = ended
        self._collected = ended()
        self._rounds = 0

    def round(self) -> None:
        """Do what is due."""
        left_behind = self._ended() - self._collected
        self._rounds += 1
        if left_behind >= MANY_CALLS or (left_behind and self._rounds >= FEW_ROUNDS):
            self._collected, self._rounds = self._ended(), 0
            gc.collect()
        return_memory()

    async def forever(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(RETURN_SECONDS)
            self.round()


async def serve(
    loaded: LoadedConfig,
    *,
    read: Read | None = None,
    ready: Callable[[], None] | None = None,
    guarding: KeyGuard | None = None,
) -> None:
    """Run a gateway until SIGTERM or SIGINT; SIGHUP loads the configuration anew.

    Args:
        read: reads the same files once more (see `Gateway`).
        ready: called when it takes calls.
        guarding: looks through the log; what it withholds is recorded.

    Raises:
        GatewayError: it could not start; the message says what to do.
    """
    for warning in loaded.warnings:
        log.warning("config %s", warning)
    gateway = Gateway(loaded, read=read)
    gateway.reloader.on_loaded = adjust
    if guarding is not None:
        gateway.guarding = guarding
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, gateway.reloader.signalled)
    raise_file_limit(descriptors_wanted(loaded.site))
    await gateway.start()
    settle_memory()
    keeping = loop.create_task(Housekeeping(lambda: gateway.counters[Counter.CALLS_ENDED]).forever())
    try:
        log.info("gateway state=ready page=%s", gateway.web_address)
        if ready is not None:
            ready()
        await stopped.wait()
    finally:
        keeping.cancel()
        log.info("gateway state=stopping calls=%d", gateway.manager.live_calls)
        await gateway.stop("signal")


def adjust(loaded: LoadedConfig) -> None:
    """Another configuration is in force: what of it belongs to the process follows."""
    logging.getLogger().setLevel(loaded.config.log_level)
    raise_file_limit(descriptors_wanted(loaded.site))


def main(loaded: LoadedConfig, read: Read | None = None) -> None:
    """What `sip-gateway run` calls.

    Args:
        read: reads the same files once more (see `Gateway`).

    Raises:
        ConfigError: the gateway cannot start with this configuration on this machine.
    """
    logging.basicConfig(level=loaded.config.log_level, format=LOG_FORMAT)
    guard(guarding := KeyGuard())
    try:
        asyncio.run(serve(loaded, read=read, guarding=guarding))
    except MediaError as error:
        remedy = "free media.browser.ports or give others"
        raise loaded.placed(ConfigError(str(error), key="media", remedy=remedy)) from error
    except ConfigError as error:
        raise loaded.placed(error) from error
    except OSError as error:
        raise ConfigError(f"cannot start: {error.strerror or error}", remedy="see listen and media") from error
