"""The two sockets of a leg with ports of its own: RTP on an even port, RTCP on the odd one above (RFC 3550 11)."""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass

from gateway.base.errors import MediaError
from gateway.media.relay_events import FailureReason
from gateway.media.worker.ports import PortPool

MAX_BIND_TRIES = 32
"""Ports other programs hold are skipped, but not endlessly."""
RECEIVE_BUFFER = 65_536
"""Octets: about two seconds of one call."""
_RECEIVE_BUFFER_FORCE = 33
"""SO_RCVBUFFORCE of Linux, which Python does not name."""
_MTU_DISCOVER, _WHOLE = 10, 3
"""IP_MTU_DISCOVER and IP_PMTUDISC_PROBE, which Python does not name either: datagrams leave whole, whatever somebody
says of the path by ICMP (audio fits everywhere), and the number that fragments are joined by need not be drawn."""
EXPEDITED_FORWARDING = 0xB8
"""Traffic class of voice (RFC 4594 4.1)."""


@dataclass(frozen=True, slots=True)
class PortPair:
    """An open pair."""

    rtp: socket.socket
    rtcp: socket.socket
    port: int

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


def open_pair(bind: str, pool: PortPool, now: float) -> PortPair:
    """Bind a free pair; raises MediaError with a `FailureReason`."""
    for _ in range(MAX_BIND_TRIES):
        port = pool.acquire(now)
        if port is None:
            break
        try:
            return _bind_pair(bind, port)
        except OSError as error:
            pool.release(port, now)
            if error.errno != errno.EADDRINUSE:
                raise MediaError(_reason(error)) from error
        except ValueError as error:
            pool.release(port, now)
            raise MediaError(FailureReason.BAD_ADDRESS) from error
    raise MediaError(FailureReason.NO_PORT)


def open_udp(host: str, port: int, buffer: int) -> socket.socket:
    """A bound, non-blocking UDP socket for media."""
    version = ipaddress.ip_address(host).version
    own = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        own.setblocking(False)
        _want_buffer(own, buffer)
        if version == 4:
            own.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, EXPEDITED_FORWARDING)
            own.setsockopt(socket.IPPROTO_IP, _MTU_DISCOVER, _WHOLE)
        else:
            own.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            own.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, EXPEDITED_FORWARDING)
        own.bind((host, port))
    except OSError:
        own.close()
        raise
    return own


def _want_buffer(own: socket.socket, octets: int) -> None:
    """What the system grants anybody (net.core.rmem_max), or all of it where we may have more (CAP_NET_ADMIN)."""
    try:
        own.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, octets)
    except PermissionError:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)


def _bind_pair(bind: str, port: int) -> PortPair:
    rtp = open_udp(bind, port, RECEIVE_BUFFER)
    try:
        rtcp = open_udp(bind, port + 1, RECEIVE_BUFFER)
    except OSError:
        rtp.close()
        raise
    return PortPair(rtp, rtcp, port)


def _reason(error: OSError) -> str:
    unusable = (errno.EADDRNOTAVAIL, errno.EACCES, errno.EINVAL, errno.EAFNOSUPPORT)
    return FailureReason.BAD_ADDRESS if error.errno in unusable else FailureReason.NO_PORT
