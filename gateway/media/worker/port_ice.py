"""ICE-lite on the port of one leg: its checks are answered there, and who passes one is on a path (RFC 8445).

Unlike a browser's, these paths do not end when checks no longer come: gear that checks paths is seldom gear that asks
for consent (RFC 7675). A peer that is gone is found silent, like any other with a port of its own.
"""

from __future__ import annotations

from gateway.media.worker import stun
from gateway.media.worker.counters import Tally
from gateway.media.worker.credentials import Credentials
from gateway.media.worker.latch import Address
from gateway.media.worker.paths import BrowserPaths

_FOR_EVER = float("inf")


class PortIce:
    """The names and paths of one leg.

    Args:
        tally: where checks are counted.
    """

    def __init__(self, ufrag: str, password: bytes, tally: Tally) -> None:
        self.paths: BrowserPaths[Address] = BrowserPaths(_FOR_EVER)
        self._credentials = Credentials(ufrag, password)
        self._tally = tally

    def restart(self, ufrag: str, password: bytes) -> None:
        """Answer checks under another name too (RFC 8839 4.4); what was nominated stays so meanwhile."""
        self._credentials.restart(ufrag, password)

    def take(self, datagram: bytes, source: Address, now: float) -> bytes | None:
        """Take a datagram that is STUN by its first octet; the answer to it, if it gets one."""
        check = stun.read_check(datagram)
        if check is None:
            self._tally.stun_rejected += not stun.is_indication(datagram)
            return None
        password = self._password(check)
        if password is None:
            self._tally.stun_rejected += 1
            return None
        if check.conflicts:
            return check.answer_conflict(password)
        self._tally.stun_rx += 1
        if check.nominates:
            self._credentials.nominated(check.ufrag)
        self.paths.confirm(source, check.nominates, now)
        return check.answer(password, *source)

    def _password(self, check: stun.Check) -> bytes | None:
        """What the check was made with; None when it was not."""
        if check.ufrag not in self._credentials.names:
            return None
        password = self._credentials.password(check.ufrag)
        return password if check.is_authentic(password) else None
