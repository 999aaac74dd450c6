"""What a gateway needs of a process of its own: file descriptors, signals, when to look for garbage, a log, an end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
from collections.abc import Callable

from gateway.app import Gateway
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
    try:
        log.info("gateway state=ready page=%s", gateway.web_address)
        if ready is not None:
            ready()
        await stopped.wait()
    finally:
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
