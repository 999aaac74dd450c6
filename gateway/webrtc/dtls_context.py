"""OpenSSL set up for DTLS-SRTP (RFC 8827 6.5), and what is remembered of the far end of a connection."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL, crypto

from gateway.sdp.keying import Fingerprint
from gateway.webrtc.dtls_record import MAX_DATAGRAM
from gateway.webrtc.fingerprints import matches_fingerprint

DTLS_1_2 = 0xFEFD
OP_NO_QUERY_MTU = 0x1000
"""OpenSSL's SSL_OP_NO_QUERY_MTU, which pyOpenSSL does not name: our MTU stands, the BIO is not asked."""
CIPHERS = (
    b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
    b"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305"
)
"""Forward secret and authenticated only (RFC 8827 6.5); RSA because older SBCs carry RSA certificates."""
WROTE_ALERT = 0x4008
"""OpenSSL's SSL_CB_WRITE_ALERT, which pyOpenSSL does not name."""
NO_RENEGOTIATION = 100
"""The alert that refuses another handshake (RFC 5246 7.2.2)."""

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def _verify(connection: SSL.Connection, certificate: crypto.X509, _error: int, depth: int, _preverified: int) -> bool:
    """Replaces the chain check: in DTLS-SRTP the identity is the signalled fingerprint (RFC 5763 5)."""
    return depth > 0 or matches_fingerprint(certificate.to_cryptography(), connection.get_app_data().accepted)


@dataclass(slots=True)
class Peer:
    """What a connection knows of its far end."""

    accepted: tuple[Fingerprint, ...]
    asked_again: bool = False
    """It wanted another handshake, which was refused."""


def _heard(connection: SSL.Connection, where: int, what: int) -> None:
    """OpenSSL refuses another handshake by itself, and tells of it in this way only."""
    if where == WROTE_ALERT and what & 0xFF == NO_RENEGOTIATION:
        connection.get_app_data().asked_again = True


def make_context(certificate: x509.Certificate, key: PrivateKey, profiles: bytes) -> SSL.Context:
    """A context that takes these SRTP profiles alone (RFC 5764 4.1.1), in this order."""
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_min_proto_version(DTLS_1_2)
    # OpenSSL 4.1 would begin to negotiate DTLS 1.3 here by itself; untested until then.
    context.set_max_proto_version(DTLS_1_2)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE | OP_NO_QUERY_MTU)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verify)
    context.set_info_callback(_heard)
    context.set_cipher_list(CIPHERS)
    context.set_tlsext_use_srtp(profiles)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    return context


def make_connection(context: SSL.Context, role: str, peer: Peer) -> SSL.Connection:
    """A connection without a socket, to the peer that was announced."""
    connection = SSL.Connection(context, None)
    connection.set_app_data(peer)
    connection.set_ciphertext_mtu(MAX_DATAGRAM)
    if role == "server":
        connection.set_accept_state()
    else:
        connection.set_connect_state()
    return connection
