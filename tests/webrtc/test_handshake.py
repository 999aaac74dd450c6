"""The handshake of a leg on the event loop: what comes early waits, one timer runs, one outcome is told."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import Callable

import pytest
from OpenSSL import SSL

from gateway.base.crypto_suite import SUITES
from gateway.base.keying import DtlsRole
from gateway.sdp.keying import Fingerprint
from gateway.webrtc.dtls import DtlsEndpoint, DtlsFailure, DtlsIdentity, DtlsState
from gateway.webrtc.handshake import MAX_EARLY_DATAGRAMS, Handshake
from tests.webrtc.test_dtls import lenient

pytestmark = pytest.mark.asyncio

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
OURS, BROWSER, STRANGER = (DtlsIdentity.generate(NOW) for _ in range(3))


def _run(step: Callable[[], None]) -> None:
    step()


class TwoEnds:
    """A handshake of ours, and the browser's end of it in the other's hands."""

    def __init__(self, role: DtlsRole = "server", identity: DtlsIdentity = BROWSER) -> None:
        self.sent: list[bytes] = []
        self.outcomes: list[DtlsEndpoint] = []
        self.ours = Handshake(OURS, self.sent.append, self.outcomes.append, _run)
        self.role: DtlsRole = role
        other: DtlsRole = "client" if role == "server" else "server"
        self.browser = DtlsEndpoint(identity, other, (OURS.fingerprint,))
        self.browser.start(0.0)

    def start(self, fingerprint: Fingerprint = BROWSER.fingerprint) -> None:
        self.ours.start(self.role, (fingerprint,), SUITES)

    def run(self) -> None:
        """Carry datagrams to and fro until nobody has any."""
        for _ in range(20):
            for datagram in self.browser.take_datagrams():
                self.ours.receive(datagram)
            taken, self.sent[:] = list(self.sent), []
            for datagram in taken:
                self.browser.receive(datagram, 0.0)


@pytest.mark.parametrize("role", ["server", "client"])
async def test_both_ends_have_the_same_keys_and_it_is_told_once(role: DtlsRole) -> None:
    ends = TwoEnds(role)
    ends.ours.validated()
    ends.start()
    ends.run()
    ends.ours.receive(b"\x16 late")
    ends.ours.validated()
    (outcome,) = ends.outcomes
    assert outcome.state is DtlsState.CONNECTED
    assert ends.ours.keys is not None
    assert ends.browser.keys is not None
    assert ends.ours.keys.tx == ends.browser.keys.rx
    ends.ours.close()


async def test_what_the_browser_sends_before_its_fingerprint_is_known_is_not_lost() -> None:
    ends = TwoEnds()
    ends.ours.validated()
    for datagram in ends.browser.take_datagrams():
        ends.ours.receive(datagram)
    assert ends.sent == []
    ends.start()
    ends.run()
    assert [outcome.state for outcome in ends.outcomes] == [DtlsState.CONNECTED]
    ends.ours.close()


async def test_no_more_than_a_few_datagrams_wait() -> None:
    ends = TwoEnds()
    for n in range(5 * MAX_EARLY_DATAGRAMS):
        ends.ours.receive(b"\x16" + bytes([n]))
    assert len(ends.ours._early) == MAX_EARLY_DATAGRAMS
    ends.ours.close()


async def test_a_client_waits_until_ice_has_found_the_browser() -> None:
    ends = TwoEnds("client")
    ends.start()
    assert ends.sent == []
    ends.ours.validated()
    assert ends.sent
    ends.ours.close()


async def test_another_certificate_than_the_signalled_one_fails_and_leaves_no_keys() -> None:
    ends = TwoEnds(identity=STRANGER)
    ends.ours.validated()
    ends.start()
    ends.run()
    (outcome,) = ends.outcomes
    assert (outcome.state, outcome.failure) == (DtlsState.FAILED, DtlsFailure.FINGERPRINT_MISMATCH)
    assert ends.ours.keys is None
    ends.ours.close()


async def test_the_timer_repeats_what_was_not_answered_and_runs_no_more_after_the_end() -> None:
    ends = TwoEnds("client")
    ends.ours.validated()
    ends.start()
    again = asyncio.Event()
    ends.ours._send = lambda _: again.set()
    await asyncio.wait_for(again.wait(), 5.0)
    ends.ours.close()
    ends.ours.close()
    assert ends.ours._timer is None
    assert ends.ours.keys is None
    assert ends.outcomes == []


async def test_an_error_behind_the_timer_ends_with_whom_it_concerns(monkeypatch: pytest.MonkeyPatch) -> None:
    caught: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def guarded(step: Callable[[], None]) -> None:
        try:
            step()
        except ValueError as error:
            caught.set_result(error)

    sent: list[bytes] = []
    ours = Handshake(OURS, sent.append, lambda _: None, guarded)
    ours.validated()
    ours.start("client", (BROWSER.fingerprint,), SUITES)

    def broken(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(DtlsEndpoint, "handle_timer", broken)
    assert isinstance(await asyncio.wait_for(caught, 5.0), ValueError)
    ours.close()


async def test_another_handshake_is_refused_and_told_once() -> None:
    """As the row dtls.reneg of the catalogue: the peer renegotiates twice."""
    told: list[str] = []
    peer = lenient()
    ends = TwoEnds(identity=peer)
    ends.ours.move_to(ends.sent.append, ends.outcomes.append, _run, lambda: told.append("again"))
    ends.ours.validated()
    ends.start(peer.fingerprint)
    ends.run()
    connection = ends.browser._connection
    assert connection is not None
    for _ in range(2):
        connection.renegotiate()
        with contextlib.suppress(SSL.Error):
            connection.do_handshake()
        with contextlib.suppress(SSL.WantReadError):
            ends.ours.receive(connection.bio_read(4096))
    assert told == ["again"]
    assert [outcome.state for outcome in ends.outcomes] == [DtlsState.CONNECTED]
    ends.ours.close()
