"""The floor the relay is held against: the same wake-ups and system calls, and nothing else.

`python -m bench.floor PORTS`: each pair of sockets forwards to the address its partner heard from last.
"""

from __future__ import annotations

import json
import select
import socket
import sys


def main() -> None:
    pairs = [(_bound(host_a), _bound(host_b)) for host_a, host_b in json.loads(sys.argv[1])]
    poll = select.epoll()
    partner: dict[int, tuple[socket.socket, socket.socket]] = {}
    heard: dict[int, tuple[str, int]] = {}
    for one, other in pairs:
        for here, there in ((one, other), (other, one)):
            poll.register(here.fileno(), select.EPOLLIN)
            partner[here.fileno()] = (here, there)
    print(json.dumps([[a.getsockname()[1], b.getsockname()[1]] for a, b in pairs]), flush=True)
    while True:
        for number, _ in poll.poll():
            here, there = partner[number]
            data, heard[number] = here.recvfrom(2048)
            if there.fileno() in heard:
                there.sendto(data, heard[there.fileno()])


def _bound(host: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind((host, 0))
    return made


if __name__ == "__main__":
    main()
