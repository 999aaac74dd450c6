"""`python -m gateway.media.worker CONFIG`: a relay worker, started by the gateway and nobody else."""

from __future__ import annotations

import gc
import resource
import signal
import socket
import sys

from gateway.base.errors import MediaError
from gateway.media.relay_codec import decode_config
from gateway.media.relay_protocol import WorkerConfig
from gateway.media.worker.loop import RelayLoop


def main(arguments: list[str]) -> int:
    """Run a worker; the exit status is 0 when the gateway ended it."""
    # The worker ends when its control socket closes: a signal to the whole process group must not cut calls short.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _raise_descriptor_limit()
    try:
        (text,) = arguments
        config = decode_config(text)
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
