"""A cable between a gateway and a phone that a test can cut: TCP connections carried octet by octet, then torn."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading

CHUNK = 65536
POLL_SECONDS = 0.05


class Cable:
    """Listens at one address and carries what comes to another; it knows nothing of SIP or TLS."""

    def __init__(self, near: tuple[str, int], far: tuple[str, int]) -> None:
        self._far = far
        self.far_port = far[1]
        self._listener = socket.create_server(near)
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self.carried = 0
        """Connections there were."""

    def start(self) -> Cable:
        self._thread.start()
        return self

    def cut(self) -> None:
        """Close every connection at both ends, as a peer does that closes idle ones."""
        with self._lock:
            for one in list(self._pairs):
                self._drop(one)

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(5)
        self.cut()
        self._listener.close()
        self._selector.close()

    def _carry(self) -> None:
        while not self._ended.is_set():
            for key, _ in self._selector.select(POLL_SECONDS):
                with self._lock:
                    self._serve(key.fileobj)

    def _serve(self, ready: object) -> None:
        if ready is self._listener:
            self._accept()
        elif isinstance(ready, socket.socket) and ready in self._pairs:
            self._pass_on(ready)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        far = socket.create_connection(self._far, timeout=5)
        self.carried += 1
        for one, other in ((near, far), (far, near)):
            self._pairs[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, one: socket.socket) -> None:
        data = b""
        with contextlib.suppress(OSError):
            data = one.recv(CHUNK)
            self._pairs[one].sendall(data)
        if not data:
            self._drop(one)

    def _drop(self, one: socket.socket) -> None:
        for end in (one, self._pairs.pop(one, None)):
            if end is not None:
                self._pairs.pop(end, None)
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(end)
                end.close()
