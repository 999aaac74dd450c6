"""What a handshake with a trunk proves (RFC 5922, RFC 5924), pins and files included."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.base.errors import ConfigError
from gateway.base.signalling import TlsInfo
from gateway.base.values import Secret
from gateway.trunks.model import ExpectedPeer, ListenerTls, TrunkTls
from gateway.trunks.tls import (
    SIP_DOMAIN_USAGE,
    allows_sip,
    client_context,
    inspect_peer,
    server_context,
)
from tests.certificates import DAY, Credential, dns, make_authority, make_certificate, make_short_certificate, pin, sip
from tests.sites import made_trunk

DOMAIN = "example.com"
AUTHORITY = make_authority()
EXPECTED = ExpectedPeer((DOMAIN,))


@pytest.mark.parametrize(
    ("usages", "allowed"),
    [
        (None, True),
        ([ExtendedKeyUsageOID.SERVER_AUTH], True),
        ([SIP_DOMAIN_USAGE], True),
        ([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], True),
        ([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH], True),
        ([ExtendedKeyUsageOID.CLIENT_AUTH], False),
        ([ExtendedKeyUsageOID.CODE_SIGNING], False),
    ],
)
def test_an_extended_key_usage_must_allow_sip(usages: list[x509.ObjectIdentifier] | None, allowed: bool) -> None:
    assert allows_sip(make_certificate("x", usages=usages).certificate) is allowed


def test_the_configured_names_replace_the_host_of_the_target() -> None:
    assert made_trunk("sip:sbc7.carrier.example;transport=tls").tls_names == ("sbc7.carrier.example",)
    named = made_trunk("sip:192.0.2.1;transport=tls", tls={"names": ["carrier.example"]})
    assert named.tls_names == ("carrier.example",)


# --- handshakes in memory ----------------------------------------------------------------------------------------


class Handshake:
    """A TLS client and a TLS server joined by memory, run until both are done or one raises."""

    def __init__(self, client: ssl.SSLContext, server: ssl.SSLContext) -> None:
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(down, up, server_hostname="pbx.example.com")
        self.server = server.wrap_bio(up, down, server_side=True)

    def run(self) -> Handshake:
        for _ in range(6):
            for end in (self.client, self.server):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue
        return self


def listener(directory: Path, credential: Credential, client_ca: Credential | None = None) -> ssl.SSLContext:
    certificate, key = credential.write(directory, "listener")
    authority = client_ca.write(directory, "client-ca")[0] if client_ca else None
    return server_context(ListenerTls(certificate, key, client_ca=authority))


def trunk(directory: Path, *, authority: Credential = AUTHORITY, own: Credential | None = None) -> TrunkTls:
    ca, _ = authority.write(directory, "ca")
    certificate, key = own.write(directory, "own") if own else (None, None)
    return TrunkTls(ca, certificate=certificate, key=key)


def connect(directory: Path, peer: Credential) -> TlsInfo:
    handshake = Handshake(client_context(trunk(directory)), listener(directory, peer)).run()
    return inspect_peer(handshake.client, EXPECTED)


def test_a_trusted_chain_for_the_right_name_is_verified(tmp_path: Path) -> None:
    peer = make_certificate("pbx", alternative_names=sip(DOMAIN), issuer=AUTHORITY)
    info = connect(tmp_path, peer)
    assert (info.verified, info.verified_name, info.reason) == (True, DOMAIN, "")
    assert info.version == "TLSv1.3"
    assert info.cipher
    assert info.peer_subject == "CN=pbx"
    key = peer.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key)
    assert info.spki_sha256 == digest.finalize().hex()


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        (make_certificate(alternative_names=dns("other.example"), issuer=AUTHORITY), "another name"),
        (make_certificate(alternative_names=dns("*.example.com"), issuer=AUTHORITY), "another name"),
        (
            make_certificate(
                alternative_names=dns(DOMAIN),
                issuer=AUTHORITY,
                usages=[ExtendedKeyUsageOID.SERVER_AUTH],
            ),
            "",
        ),
    ],
    ids=["wrong name", "wildcard", "server usage"],
)
def test_a_trusted_chain_is_not_enough(tmp_path: Path, peer: Credential, reason: str) -> None:
    info = connect(tmp_path, peer)
    assert info.verified is (reason == "")
    assert reason in info.reason


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        (make_certificate(alternative_names=dns(DOMAIN), issuer=AUTHORITY, expired=True), "expired"),
        (make_certificate("self", alternative_names=dns(DOMAIN)), "self-signed"),
        (make_certificate(alternative_names=dns(DOMAIN), issuer=make_authority("Other")), "unable to get local issuer"),
        (
            make_certificate(alternative_names=dns(DOMAIN), issuer=AUTHORITY, usages=[ExtendedKeyUsageOID.CLIENT_AUTH]),
            "purpose",
        ),
    ],
    ids=["expired", "self-signed", "unknown authority", "client certificate"],
)
def test_a_chain_that_does_not_verify_ends_the_handshake_with_its_reason(
    tmp_path: Path, peer: Credential, reason: str
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        connect(tmp_path, peer)
    assert reason in caught.value.verify_message


def test_a_client_certificate_is_verified_by_chain_and_name(tmp_path: Path) -> None:
    own = make_certificate("me", alternative_names=dns(DOMAIN), issuer=AUTHORITY)
    server = listener(tmp_path, make_certificate(alternative_names=dns(DOMAIN), issuer=AUTHORITY), AUTHORITY)
    handshake = Handshake(client_context(trunk(tmp_path, own=own)), server).run()
    assert inspect_peer(handshake.server, EXPECTED).verified
    assert not inspect_peer(handshake.server, ExpectedPeer(("other.example",))).verified


def test_without_a_client_certificate_nothing_is_verified(tmp_path: Path) -> None:
    server = listener(tmp_path, make_certificate(alternative_names=dns(DOMAIN), issuer=AUTHORITY), AUTHORITY)
    handshake = Handshake(client_context(trunk(tmp_path)), server).run()
    info = inspect_peer(handshake.server, EXPECTED)
    assert not info.verified
    assert info.reason == "the peer sent no certificate"


def test_a_client_certificate_of_another_authority_ends_the_handshake(tmp_path: Path) -> None:
    own = make_certificate("me", alternative_names=dns(DOMAIN), issuer=make_authority("Other"))
    server = listener(tmp_path, make_certificate(alternative_names=dns(DOMAIN), issuer=AUTHORITY), AUTHORITY)
    with pytest.raises(ssl.SSLCertVerificationError):
        Handshake(client_context(trunk(tmp_path, own=own)), server).run()


def test_without_client_ca_no_client_certificate_is_asked_for(tmp_path: Path) -> None:
    own = make_certificate("me", alternative_names=dns(DOMAIN), issuer=AUTHORITY)
    server = listener(tmp_path, make_certificate(alternative_names=dns(DOMAIN), issuer=AUTHORITY))
    handshake = Handshake(client_context(trunk(tmp_path, own=own)), server).run()
    assert not inspect_peer(handshake.server, EXPECTED).verified


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize("old_side", ["client", "server"])
def test_nothing_older_than_tls_1_2_is_spoken(tmp_path: Path, old_side: str) -> None:
    server = listener(tmp_path, make_certificate(alternative_names=dns(DOMAIN), issuer=AUTHORITY))
    client = client_context(trunk(tmp_path))
    assert server.minimum_version is client.minimum_version is ssl.TLSVersion.TLSv1_2
    old = client if old_side == "client" else server
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        Handshake(client, server).run()


class Shaken:
    """The outcome of a handshake whose library checked less than ours does."""

    server_side = False

    def __init__(self, peer: Credential, context: ssl.SSLContext) -> None:
        self.context, self._peer = context, peer

    def getpeercert(self, binary_form: bool) -> bytes:
        assert binary_form
        return self._peer.certificate.public_bytes(Encoding.DER)

    def version(self) -> str:
        return "TLSv1.3"

    def cipher(self) -> tuple[str, str, int]:
        return ("TLS_AES_256_GCM_SHA384", "TLSv1.3", 256)


def inspect_shaken(peer: Credential, mode: ssl.VerifyMode) -> TlsInfo:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = mode
    return inspect_peer(Shaken(peer, context), EXPECTED)  # type: ignore[arg-type]


def test_a_chain_nobody_verified_proves_nothing() -> None:
    peer = make_certificate(alternative_names=dns(DOMAIN))
    info = inspect_shaken(peer, ssl.CERT_NONE)
    assert not info.verified
    assert info.reason == "the certificate chain was not verified"
    assert info.verified_name == ""


def test_a_certificate_for_another_usage_proves_nothing() -> None:
    peer = make_certificate(alternative_names=dns(DOMAIN), usages=[ExtendedKeyUsageOID.CODE_SIGNING])
    assert inspect_shaken(peer, ssl.CERT_REQUIRED).reason == "the extended key usage does not allow SIP"


def test_a_certificate_that_cannot_be_read_proves_nothing() -> None:
    class Garbled(Shaken):
        def getpeercert(self, binary_form: bool) -> bytes:
            return b"\x30\x03\x02\x01\x00"

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    info = inspect_peer(Garbled(make_certificate("x"), context), EXPECTED)  # type: ignore[arg-type]
    assert not info.verified
    assert info.reason == "the certificate is malformed"


def test_a_session_is_never_resumed_past_the_client_certificate(tmp_path: Path) -> None:
    server = listener(tmp_path, make_certificate(alternative_names=dns(DOMAIN), issuer=AUTHORITY), AUTHORITY)
    assert server.num_tickets == 0
    assert server.options & ssl.OP_NO_TICKET


# --- pins --------------------------------------------------------------------------------------------------------


def certificate_pin(peer: Credential) -> str:
    return hashlib.sha256(peer.certificate.public_bytes(Encoding.DER)).hexdigest()


SELF_SIGNED = make_certificate("asterisk")
SHORT = make_short_certificate()
FROM_AUTHORITY = make_certificate(alternative_names=dns(DOMAIN), issuer=AUTHORITY)


def connect_pinned(directory: Path, peer: Credential, tls: TrunkTls) -> TlsInfo:
    """What a trunk that pins proves as a server."""
    expected = made_trunk(f"sip:{DOMAIN};transport=tls")
    expected = replace(expected, tls=tls)
    handshake = Handshake(client_context(tls), listener(directory, peer)).run()
    return inspect_peer(handshake.client, expected.peer)


@pytest.mark.parametrize("digest", [pin, certificate_pin], ids=["public key", "certificate"])
def test_a_pinned_certificate_may_be_self_signed_and_for_any_name(
    tmp_path: Path, digest: Callable[[Credential], str]
) -> None:
    info = connect_pinned(tmp_path, SELF_SIGNED, TrunkTls(pins=frozenset({"00" * 32, digest(SELF_SIGNED)})))
    assert (info.verified, info.pinned, info.verified_name, info.reason) == (True, True, DOMAIN, "")
    assert info.certificate_sha256 == certificate_pin(SELF_SIGNED)


def test_another_key_is_not_the_pinned_one_whoever_vouches_for_it(tmp_path: Path) -> None:
    ca, _ = AUTHORITY.write(tmp_path, "ca")
    info = connect_pinned(tmp_path, FROM_AUTHORITY, TrunkTls(ca, (DOMAIN,), pins=frozenset({pin(SELF_SIGNED)})))
    assert (info.verified, info.pinned, info.reason) == (False, False, "the certificate is not a pinned one")
    assert info.verified_name == ""


def test_a_renewed_certificate_with_the_same_key_meets_the_pin_of_the_key_alone(tmp_path: Path) -> None:
    renewed = make_certificate("asterisk", key=SELF_SIGNED.key)
    assert connect_pinned(tmp_path, renewed, TrunkTls(pins=frozenset({pin(SELF_SIGNED)}))).verified
    assert not connect_pinned(tmp_path, renewed, TrunkTls(pins=frozenset({certificate_pin(SELF_SIGNED)}))).verified


def test_what_is_written_beside_a_pin_is_checked_too(tmp_path: Path) -> None:
    pins = frozenset({pin(SELF_SIGNED), pin(FROM_AUTHORITY)})
    ca, _ = AUTHORITY.write(tmp_path, "ca")
    named = connect_pinned(tmp_path, SELF_SIGNED, TrunkTls(names=(DOMAIN,), pins=pins))
    assert named.reason == "the certificate is for another name"
    with pytest.raises(ssl.SSLCertVerificationError):
        connect_pinned(tmp_path, SELF_SIGNED, TrunkTls(ca, pins=pins))
    assert connect_pinned(tmp_path, FROM_AUTHORITY, TrunkTls(ca, (DOMAIN,), pins=pins)).verified


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        (make_certificate("x", expired=True), "certificate has expired"),
        (make_certificate("x", begins=DAY), "certificate is not yet valid"),
        (make_certificate("x", usages=[ExtendedKeyUsageOID.CLIENT_AUTH]), "the extended key usage does not allow SIP"),
    ],
    ids=["expired", "not yet", "usage"],
)
def test_a_pin_excuses_neither_dates_nor_usage(tmp_path: Path, peer: Credential, reason: str) -> None:
    info = connect_pinned(tmp_path, peer, TrunkTls(pins=frozenset({pin(peer)})))
    assert (info.verified, info.reason) == (False, reason)


def test_a_pin_does_not_lend_strength_to_a_short_key() -> None:
    class Weak(Shaken):
        def getpeercert(self, binary_form: bool) -> bytes:
            return SHORT.public_bytes(Encoding.DER)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    pins = frozenset({hashlib.sha256(SHORT.public_bytes(Encoding.DER)).hexdigest()})
    info = inspect_peer(Weak(SELF_SIGNED, context), ExpectedPeer((DOMAIN,), pins=pins, is_named=False))  # type: ignore[arg-type]
    assert (info.verified, info.reason) == (False, "the key is too short")


def test_a_trunk_that_connects_to_us_is_held_to_its_pins(tmp_path: Path) -> None:
    own = make_certificate("asterisk")
    server = listener(tmp_path, FROM_AUTHORITY, own)  # itself is what client_ca holds
    handshake = Handshake(client_context(trunk(tmp_path, own=own)), server).run()
    right, wrong = frozenset({pin(own)}), frozenset({pin(SELF_SIGNED)})
    assert inspect_peer(handshake.server, ExpectedPeer((DOMAIN,), pins=right, is_named=False)).verified_name == DOMAIN
    assert not inspect_peer(handshake.server, ExpectedPeer((DOMAIN,), pins=wrong, is_named=False)).verified
    assert not inspect_peer(handshake.server, EXPECTED).verified


def test_a_wildcard_certificate_is_taken_where_the_trunk_allows_it(tmp_path: Path) -> None:
    peer = make_certificate(alternative_names=dns("*.example.com"), issuer=AUTHORITY)
    handshake = Handshake(client_context(trunk(tmp_path)), listener(tmp_path, peer)).run()
    name = "pbx.example.com"
    assert inspect_peer(handshake.client, ExpectedPeer((name,), wildcards=True)).verified_name == name
    assert not inspect_peer(handshake.client, ExpectedPeer((name,))).verified


def test_what_the_peer_shows_says_when_it_ends(tmp_path: Path) -> None:
    info = connect(tmp_path, FROM_AUTHORITY)
    assert info.expires == FROM_AUTHORITY.certificate.not_valid_after_utc.timestamp()


# --- files -------------------------------------------------------------------------------------------------------


def test_a_missing_authority_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.pem"):
        client_context(TrunkTls(tmp_path / "nowhere.pem"))


def test_an_authority_file_without_a_certificate_is_a_configuration_error(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate here\n")
    with pytest.raises(ConfigError):
        client_context(TrunkTls(empty))


def test_an_encrypted_key_opens_with_its_password_and_never_asks_the_terminal(tmp_path: Path) -> None:
    certificate, key = make_certificate("x").write(tmp_path, "locked", password="opensesame")
    server_context(ListenerTls(certificate, key, Secret("opensesame")))
    for password in (None, Secret("wrong")):
        with pytest.raises(ConfigError) as caught:
            server_context(ListenerTls(certificate, key, password))
        assert "wrong" not in str(caught.value)
