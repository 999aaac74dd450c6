"""The peers' own end of SRTP and DTLS: pylibsrtp and pyOpenSSL, nothing of the gateway's."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from pylibsrtp import Error, Policy, Session

RECORD_HEADER = 13
MTU = 1200
DTLS_1_2 = 0xFEFD
EXPORTER = b"EXTRACTOR-dtls_srtp"


@dataclass(frozen=True)
class Profile:
    """An SRTP protection profile by its names in SDES, DTLS and the library."""

    sdes: str
    dtls: str
    library: int
    key: int
    salt: int

    @property
    def master(self) -> int:
        return self.key + self.salt


CM_80 = Profile("AES_CM_128_HMAC_SHA1_80", "SRTP_AES128_CM_SHA1_80", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14)
CM_32 = Profile("AES_CM_128_HMAC_SHA1_32", "SRTP_AES128_CM_SHA1_32", Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 16, 14)
GCM_128 = Profile("AEAD_AES_128_GCM", "SRTP_AEAD_AES_128_GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12)
GCM_256 = Profile("AEAD_AES_256_GCM", "SRTP_AEAD_AES_256_GCM", Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32, 12)
PROFILES = (CM_80, CM_32, GCM_128, GCM_256)


class Srtp:
    """One peer's SRTP: seals what it sends, opens what it gets."""

    def __init__(self, profile: Profile, send_key: bytes, receive_key: bytes) -> None:
        self.profile, self.send_key, self.receive_key = profile, send_key, receive_key
        self._sender = _session(profile, send_key, Policy.SSRC_ANY_OUTBOUND)
        self._receiver = _session(profile, receive_key, Policy.SSRC_ANY_INBOUND)

    def seal(self, packet: bytes) -> bytes:
        return bytes(self._sender.protect(packet))

    def seal_rtcp(self, packet: bytes) -> bytes:
        return bytes(self._sender.protect_rtcp(packet))

    def open(self, packet: bytes) -> bytes | None:
        return _open(self._receiver, packet)


def decrypt(profile: Profile, key: bytes, packets: list[bytes]) -> list[bytes]:
    """Those of the packets that authenticate under the key, in clear: what an eavesdropper with the key has."""
    session = _session(profile, key, Policy.SSRC_ANY_INBOUND)
    return [clear for clear in (_open(session, packet) for packet in packets) if clear is not None]


def _session(profile: Profile, key: bytes, kind: int) -> Session:
    return Session(Policy(key=key, ssrc_type=kind, srtp_profile=profile.library))


def _open(session: Session, packet: bytes) -> bytes | None:
    rtcp = 64 <= packet[1] & 127 <= 95
    try:
        return bytes(session.unprotect_rtcp(packet) if rtcp else session.unprotect(packet))
    except Error:
        return None


class Certificate:
    """A self-signed certificate as browsers make them."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "WebRTC")])
        now = datetime.datetime.now(datetime.UTC)
        self.certificate = (
            x509.CertificateBuilder(name, name, self.key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .sign(self.key, hashes.SHA256())
        )

    @property
    def fingerprint(self) -> str:
        """The value of a=fingerprint."""
        return "sha-256 " + self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()


class DtlsPeer:
    """A browser's DTLS endpoint over a memory BIO."""

    def __init__(self, certificate: Certificate, *, client: bool, profiles: tuple[Profile, ...] = (CM_80,)) -> None:
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_min_proto_version(DTLS_1_2)
        context.set_options(SSL.OP_NO_QUERY_MTU)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.set_tlsext_use_srtp(":".join(p.dtls for p in profiles).encode())
        context.use_certificate(certificate.certificate)
        context.use_privatekey(certificate.key)
        self.client = client
        self.srtp: Srtp | None = None
        self.secrets: list[bytes] = []
        """Key material exported by this handshake."""
        self.failed = ""
        self._connection = SSL.Connection(context, None)
        self._connection.set_ciphertext_mtu(MTU)
        (self._connection.set_connect_state if client else self._connection.set_accept_state)()

    def receive(self, datagram: bytes) -> list[bytes]:
        """Take a datagram (or none, to begin); returns what is to be sent."""
        if datagram:
            self._connection.bio_write(datagram)
        return self._advance()

    def tick(self) -> list[bytes]:
        """Repeat a lost flight when it is time."""
        if self.srtp is not None or self.failed:
            return []
        self._connection.DTLSv1_handle_timeout()
        return self._advance()

    def peer_fingerprint(self) -> str:
        found = self._connection.get_peer_certificate(as_cryptography=True)
        return "sha-256 " + found.fingerprint(hashes.SHA256()).hex(":").upper() if found else ""

    def _advance(self) -> list[bytes]:
        try:
            if self.srtp is None:
                self._connection.do_handshake()
                self._export()
            else:
                self._connection.recv(4096)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.failed = self.failed or "closed by the peer"
        except SSL.Error as error:
            self.failed = str(error) or "failed"
        return self._written()

    def _export(self) -> None:
        name = self._connection.get_selected_srtp_profile().decode()
        profile = next(p for p in PROFILES if p.dtls == name)
        material = self._connection.export_keying_material(EXPORTER, 2 * profile.master)
        key, salt = profile.key, profile.salt
        client = material[:key] + material[2 * key : 2 * key + salt]
        server = material[key : 2 * key] + material[2 * key + salt :]
        self.secrets = [material[:key], material[key : 2 * key]]
        self.srtp = Srtp(profile, client, server) if self.client else Srtp(profile, server, client)

    def _written(self) -> list[bytes]:
        datagrams: list[bytes] = []
        for record in _records(self._drain()):
            if datagrams and len(datagrams[-1]) + len(record) <= MTU:
                datagrams[-1] += record
            else:
                datagrams.append(record)
        return datagrams

    def _drain(self) -> bytes:
        written = b""
        while True:
            try:
                written += self._connection.bio_read(65536)
            except SSL.WantReadError:
                return written


def _records(data: bytes) -> list[bytes]:
    found = []
    while data:
        end = RECORD_HEADER + int.from_bytes(data[11:13], "big")
        found.append(data[:end])
        data = data[end:]
    return found
