"""DTLS-SRTP handshakes without I/O (RFC 5763, RFC 5764, RFC 6347): datagrams and time in, datagrams and SRTP keys out.

With `dtls_context` the place that knows pyOpenSSL. Feed an endpoint only from addresses that passed an authenticated
ICE check: a plain ClientHello from anywhere else could end the handshake (the class of CVE-2023-49786), which is why no
cookie exchange is made here and a ClientHello split over datagrams (post-quantum key shares) needs no special case.
"""

from __future__ import annotations

import datetime
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from gateway.base.crypto_suite import BY_DTLS_NAME, SUITES, CryptoSuite
from gateway.base.keying import DtlsRole
from gateway.base.short import Short
from gateway.base.values import Secret
from gateway.sdp.keying import Fingerprint
from gateway.webrtc.dtls_context import Peer, PrivateKey, make_connection, make_context
from gateway.webrtc.dtls_record import RECORD_HEADER, is_protected_handshake, pack_records, split_records
from gateway.webrtc.fingerprints import matches_fingerprint, preferred_fingerprints

EXPORTER_LABEL = b"EXTRACTOR-dtls_srtp"
"""RFC 5764 4.2."""

MAX_RECEIVED = 4096
"""Octets of one datagram we read; no path carries more."""
MAX_QUEUED = 64
"""Datagrams waiting for `take_datagrams`; a whole handshake is fewer than ten."""
HANDSHAKE_LIMIT = 10.0
"""Seconds from start to keys; then the caller has long given up."""
RESEND_DELAYS = (0.1, 0.2, 0.4)
"""Seconds between early copies of the last flight. OpenSSL's first timer is a fixed 1 s, and the peer's own
retransmission does not make it resend; a copy that was not needed falls to the peer's replay window."""
RELEASE_AFTER = 10.0
"""Seconds a finished handshake keeps its OpenSSL state (84 kB) to answer retransmissions; the keys stay."""
TIMER_FLOOR = 0.01
"""Seconds a timer is at least ahead, so that a clock that stands still cannot spin."""
READ_SIZE = 16_384
MAX_CONTEXTS = 64
"""Lists of suites with a context of their own, the latest: a policy book has a handful."""
OLD = ("unsupported protocol", "alert protocol version", "wrong ssl version", "wrong version number")
"""OpenSSL's words for a peer that speaks no version we do, and those of such a peer."""
MAX_READS = MAX_RECEIVED // RECORD_HEADER + 1
"""Records one datagram can hold, so the loop over them ends."""


class DtlsState(Enum):
    NEW = "new"
    HANDSHAKE = "handshake"
    CONNECTED = "connected"
    FAILED = "failed"
    CLOSED = "closed"


class DtlsFailure(StrEnum):
    """Why no keys came out."""

    FINGERPRINT_MISMATCH = "fingerprint-mismatch"
    NO_SRTP_PROFILE = "no-srtp-profile"
    OLD_VERSION = "old-version"
    HANDSHAKE = "handshake"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """The outcome of a handshake: master key followed by master salt for each direction, as we see it."""

    suite: CryptoSuite
    tx: Secret[bytes]
    rx: Secret[bytes]


class DtlsIdentity:
    """Certificate and key, with an SSL context for each list of suites a policy has: one per call is half a handshake.

    Args:
        suites: what is used where nothing else is asked for.
    """

    def __init__(self, certificate: x509.Certificate, key: PrivateKey, suites: Sequence[CryptoSuite] = SUITES) -> None:
        self.certificate = certificate
        self._key, self._suites = key, tuple(suites)
        self._contexts: OrderedDict[bytes, SSL.Context] = OrderedDict()

    def context(self, suites: Sequence[CryptoSuite] | None = None) -> SSL.Context | None:
        """The context that offers and takes these suites alone, in this order; None when DTLS knows none of them.

        A list that is empty is not that of nobody in particular: nothing can be agreed on under it.
        """
        wanted = self._suites if suites is None else suites
        profiles = ":".join(suite.dtls_name for suite in wanted if suite.dtls_name).encode()
        if not profiles:
            return None
        if profiles not in self._contexts:
            self._contexts[profiles] = make_context(self.certificate, self._key, profiles)
        self._contexts.move_to_end(profiles)
        if len(self._contexts) > MAX_CONTEXTS:
            self._contexts.popitem(last=False)
        return self._contexts[profiles]

    @classmethod
    def generate(cls, now: datetime.datetime, suites: Sequence[CryptoSuite] = SUITES) -> DtlsIdentity:
        """A self-signed P-256 certificate (RFC 8827 6.5), valid from a day ago for a year."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=365))
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key, suites)

    @property
    def fingerprint(self) -> Fingerprint:
        """What `a=fingerprint` announces (RFC 8122 5)."""
        return Fingerprint("sha-256", self.certificate.fingerprint(hashes.SHA256()))


class DtlsEndpoint:
    """One DTLS association with a browser (RFC 5763): `start`, `receive` and `handle_timer` drive it.

    After each call take the datagrams to send, look at `state` and arm one timer for `next_deadline`.

    Args:
        suites: what may be agreed on, in our order of preference; None: what the identity says. With none of them
            known to DTLS there are no keys (`NO_SRTP_PROFILE`).
    """

    def __init__(
        self,
        identity: DtlsIdentity,
        role: DtlsRole,
        fingerprints: Sequence[Fingerprint],
        suites: Sequence[CryptoSuite] | None = None,
    ) -> None:
        self.role = role
        self.state = DtlsState.NEW
        self.failure: DtlsFailure | None = None
        self.keys: SrtpKeys | None = None
        self.version = ""
        self.reason = ""
        """What OpenSSL said when the handshake failed, for the log."""
        self._accepted = preferred_fingerprints(fingerprints)
        self._peer = Peer(self._accepted)
        context = identity.context(suites)
        self._connection = make_connection(context, role, self._peer) if context is not None else None
        self._outgoing: Short[bytes] = Short(MAX_QUEUED)
        self._flight: list[bytes] = []
        self._resends: Iterator[float] = iter(())
        self._resend_at: float | None = None
        self._openssl_at: float | None = None
        self._limit_at: float | None = None
        self._release_at: float | None = None
        self._farewell: list[bytes] = []

    @property
    def fingerprint_algorithm(self) -> str:
        """Hash the peer is identified by: the strongest known one it signalled; "" when none is known."""
        return self._accepted[0].algorithm if self._accepted else ""

    @property
    def asked_again(self) -> bool:
        """The peer wanted another handshake after this one, and was refused (RFC 8827 6.5)."""
        return self._peer.asked_again

    def start(self, now: float) -> None:
        """Begin: the client sends its ClientHello, the server begins to wait. Call it once ICE has a valid pair."""
        if self.state is not DtlsState.NEW:
            return
        self.state, self._limit_at = DtlsState.HANDSHAKE, now + HANDSHAKE_LIMIT
        if self._connection is None:
            self._fail(DtlsFailure.NO_SRTP_PROFILE, "policy allows no SRTP protection profile that DTLS knows")
            self._release()
        elif self._accepted:
            self._pump(now)
        else:
            self._fail(DtlsFailure.FINGERPRINT_MISMATCH, "no fingerprint with a known hash was signalled")
            self._release()

    def receive(self, datagram: bytes, now: float) -> None:
        """Take one datagram of the ICE-validated peer; whatever cannot be a DTLS record is ignored."""
        self.start(now)
        if len(datagram) > MAX_RECEIVED:
            return
        if self._connection is None:
            self._late(datagram)
            return
        if records := b"".join(split_records(datagram)):
            self._connection.bio_write(records)
            self._pump(now)

    def _late(self, datagram: bytes) -> None:
        """All repetitions have long been answered: what is a handshake under the keys of this one wants another."""
        if self.state is DtlsState.CONNECTED and is_protected_handshake(datagram):
            self._peer.asked_again = True

    def take_datagrams(self) -> list[bytes]:
        """What is to be sent now, in order."""
        taken = list(self._outgoing)
        self._outgoing.clear()
        return taken

    def next_deadline(self) -> float | None:
        """When `handle_timer` wants to be called, or None."""
        return min((t for t in self._timers() if t is not None), default=None)

    def _timers(self) -> tuple[float | None, ...]:
        return self._resend_at, self._openssl_at, self._limit_at, self._release_at

    def handle_timer(self, now: float) -> None:
        """Do what is due: resend a flight, give up, or let go of a finished handshake's state."""
        if _due(self._limit_at, now):
            self._fail(DtlsFailure.TIMEOUT, "no keys within the time limit")
            self._release()
        if _due(self._release_at, now):
            self._keep_farewell()
        if _due(self._resend_at, now):
            self._resend(now)
        if _due(self._openssl_at, now):
            self._handle_openssl_timer(now)

    def close(self, now: float) -> None:
        """End the association; a connected peer is told by close_notify (RFC 5246 7.2.1)."""
        if self.state is DtlsState.CONNECTED:
            self._keep_farewell()
            self._outgoing.extend(self._farewell)
        if self.state is not DtlsState.FAILED:
            self.state = DtlsState.CLOSED
        self._release()

    def _pump(self, now: float) -> None:
        """Let OpenSSL read what has come and send what it wrote."""
        if self._connection is None:
            return
        finished = False
        try:
            finished = self._advance(self._connection)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.state = DtlsState.CLOSED
        except SSL.Error as error:
            self._give_up(error)
        self._flush(now, flight=finished or self.state is DtlsState.HANDSHAKE)
        self._rearm(now, finished)

    def _advance(self, connection: SSL.Connection) -> bool:
        """True when this call finished the handshake; else raises what OpenSSL waits for."""
        if self.state is DtlsState.HANDSHAKE:
            connection.do_handshake()
            self._finish(connection)
            return True
        for _ in range(MAX_READS):
            connection.recv(READ_SIZE)  # application data has no meaning here; alerts and retransmissions do
        return False

    def _finish(self, connection: SSL.Connection) -> None:
        """Check the peer once more, now that the handshake proved its key, and export the SRTP keys."""
        certificate = connection.get_peer_certificate(as_cryptography=True)
        suite = BY_DTLS_NAME.get(connection.get_selected_srtp_profile().decode("ascii", "replace"))
        if certificate is None or not matches_fingerprint(certificate, self._accepted):
            self._fail(DtlsFailure.FINGERPRINT_MISMATCH, "the certificate is not the signalled one")
        elif suite is None:
            self._fail(DtlsFailure.NO_SRTP_PROFILE, "no common SRTP protection profile")
        else:
            self.version = connection.get_protocol_version_name()
            self.keys = _export_keys(connection, suite, self.role)
            self.state = DtlsState.CONNECTED

    def _give_up(self, error: SSL.Error) -> None:
        reason = _reason(error)
        if self.state is DtlsState.CONNECTED:
            self.state, self.reason = DtlsState.CLOSED, reason
        elif "certificate verify failed" in reason:
            self._fail(DtlsFailure.FINGERPRINT_MISMATCH, "the certificate is not the signalled one")
        elif any(words in reason for words in OLD):
            self._fail(DtlsFailure.OLD_VERSION, reason)
        else:
            self._fail(DtlsFailure.HANDSHAKE, reason)

    def _fail(self, failure: DtlsFailure, reason: str) -> None:
        self.state, self.failure, self.reason = DtlsState.FAILED, failure, reason

    def _flush(self, now: float, *, flight: bool) -> None:
        datagrams = pack_records(_drain(self._connection)) if self._connection else []
        self._outgoing.extend(datagrams)
        if datagrams and flight:
            self._flight, self._resends = datagrams, iter(RESEND_DELAYS)
            self._schedule_resend(now)

    def _schedule_resend(self, now: float) -> None:
        delay = next(self._resends, None)
        self._resend_at = None if delay is None else now + delay

    def _resend(self, now: float) -> None:
        """Byte for byte: if the first copy arrived, the peer's replay window drops this one (RFC 6347 4.1.2.6)."""
        self._outgoing.extend(self._flight)
        self._schedule_resend(now)

    def _handle_openssl_timer(self, now: float) -> None:
        if self._connection is None:
            return
        try:
            self._connection.DTLSv1_handle_timeout()
        except SSL.Error as error:
            self._give_up(error)
        self._flush(now, flight=self.state is DtlsState.HANDSHAKE)
        self._rearm(now, finished=False)

    def _rearm(self, now: float, finished: bool) -> None:
        if self.state in (DtlsState.FAILED, DtlsState.CLOSED) or self._connection is None:
            self._release()
            return
        timeout = self._connection.DTLSv1_get_timeout()
        self._openssl_at = None if timeout is None else now + max(timeout, TIMER_FLOOR)
        if finished:
            self._limit_at, self._release_at = None, now + RELEASE_AFTER
            if self.role == "client":  # the server's Finished answers our last flight
                self._resend_at = None

    def _keep_farewell(self) -> None:
        """Write close_notify now, to be sent by `close`, and let the OpenSSL state go."""
        if self._connection is not None:
            try:
                self._connection.shutdown()
            except SSL.Error as error:
                self.reason = _reason(error)
            self._farewell = pack_records(_drain(self._connection))
        self._release()

    def _release(self) -> None:
        self._connection = None
        self._resend_at = self._openssl_at = self._limit_at = self._release_at = None
        self._flight = []


def _due(deadline: float | None, now: float) -> bool:
    return deadline is not None and now >= deadline


def _drain(connection: SSL.Connection) -> bytes:
    """Everything OpenSSL wrote; bounded by what one flight or alert is."""
    written = b""
    while True:
        try:
            written += connection.bio_read(READ_SIZE)
        except SSL.WantReadError:
            return written


def _export_keys(connection: SSL.Connection, suite: CryptoSuite, role: str) -> SrtpKeys:
    """Client key, server key, client salt, server salt, in this order (RFC 5764 4.2)."""
    key, both = suite.key_length, 2 * suite.key_length
    material = connection.export_keying_material(EXPORTER_LABEL, 2 * suite.master_length)
    salt = both + suite.salt_length
    client: Secret[bytes] = Secret(material[:key] + material[both:salt])
    server: Secret[bytes] = Secret(material[key:both] + material[salt:])
    return SrtpKeys(suite, server, client) if role == "server" else SrtpKeys(suite, client, server)


def _reason(error: SSL.Error) -> str:
    """OpenSSL's own words for an error: the last entry of its queue."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return str(queue[-1][-1]) if queue else type(error).__name__
