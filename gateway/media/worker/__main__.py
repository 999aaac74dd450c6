"""`python -m gateway.media.worker CONFIG`: a relay worker, started by the gateway and nobody else."""

from __future__ import annotations

import ctypes
import gc
import resource
import signal
import socket
import sys

from gateway.base.errors import MediaError
from gateway.media.relay_codec import decode_config, dialect
from gateway.media.relay_protocol import WorkerConfig
from gateway.media.worker.loop import RelayLoop

_NO_NEW_PRIVILEGES = 38
"""PR_SET_NO_NEW_PRIVS."""


def main(arguments: list[str]) -> int:
    """Run a worker; the exit status is 0 when the gateway ended it."""
    # The worker ends when its control socket closes: a signal to the whole process group must not cut calls short.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _raise_descriptor_limit()
    _renounce()
    try:
        (text,) = arguments
        config = decode_config(text)
        if config.dialect != dialect():
            raise MediaError("another version of the relay protocol than the gateway's: restart the gateway")
        with socket.socket(fileno=config.control_fd) as control:
            return _serve(config, control)
    except (ValueError, MediaError, OSError) as error:
        sys.stderr.write(f"relay worker: {error}\n")
        return 1


def _serve(config: WorkerConfig, control: socket.socket) -> int:
    try:
        loop = RelayLoop(config, control)
    except OSError as error:
        places = ", ".join(config.browser_bind)
        sys.stderr.write(f"relay worker: cannot bind UDP port {config.browser_port} on {places}: {error.strerror}\n")
        return 1
    # What exists now stays: the collector need not look at it again.
    gc.freeze()
    loop.run()
    return 0


def _raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _renounce() -> None:
    """Leave no keys behind in a core file, and gain no rights by whatever is executed (prctl(2))."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
