"""DTLS-SRTP endpoints against each other over a wire that loses, repeats and reorders (RFC 5763, 5764, 6347)."""

from __future__ import annotations

import contextlib
import datetime
import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Literal

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL

from gateway.base.crypto_suite import (
    AEAD_AES_128_GCM,
    AEAD_AES_256_GCM,
    AES_256_CM_HMAC_SHA1_80,
    AES_CM_128_HMAC_SHA1_32,
    AES_CM_128_HMAC_SHA1_80,
    BY_DTLS_NAME,
    SUITES,
    CryptoSuite,
)
from gateway.base.keying import DtlsRole
from gateway.sdp.keying import Fingerprint
from gateway.webrtc import dtls
from gateway.webrtc.dtls import (
    HANDSHAKE_LIMIT,
    MAX_QUEUED,
    RELEASE_AFTER,
    DtlsEndpoint,
    DtlsFailure,
    DtlsIdentity,
    DtlsState,
)
from gateway.webrtc.dtls_context import DTLS_1_2, OP_NO_QUERY_MTU
from gateway.webrtc.dtls_record import MAX_DATAGRAM, split_records
from gateway.webrtc.fingerprints import preferred_fingerprints
from tests.certificates import make_certificate

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
OURS = DtlsIdentity.generate(NOW)
BROWSER = DtlsIdentity.generate(NOW)
STRANGER = DtlsIdentity.generate(NOW)
ONE_WAY = 0.02
ROLES: tuple[Literal["server", "client"], ...] = ("server", "client")
HANDSHAKE, ALERT = 22, 21
DTLS_1_0 = 0xFEFF

Rule = Callable[[bytes, random.Random], list[tuple[float, bytes]]]


def intact(datagram: bytes, _dice: random.Random) -> list[tuple[float, bytes]]:
    return [(ONE_WAY, datagram)]


def lossy(datagram: bytes, dice: random.Random) -> list[tuple[float, bytes]]:
    """A fifth is lost, a quarter comes twice, and nothing keeps its order."""
    if dice.random() < 0.2:
        return []
    copies = 2 if dice.random() < 0.25 else 1
    return [(ONE_WAY * dice.uniform(0.5, 3), datagram) for _ in range(copies)]


class DtlsWire:
    """Two endpoints, virtual time, and a rule for what happens to each datagram."""

    def __init__(self, server: DtlsEndpoint, client: DtlsEndpoint, rule: Rule = intact, seed: int = 1) -> None:
        self.ends = (server, client)
        self.rule, self.dice, self.now = rule, random.Random(seed), 0.0
        self.flying: list[tuple[float, int, bytes]] = []
        self.sent: list[tuple[float, int, bytes]] = []

    def run(self, until: float = 30.0) -> None:
        for end in self.ends:
            end.start(self.now)
        while (event := self._next()) is not None and event <= until:
            self.now = event
            self._deliver()
            for end in self.ends:
                if (deadline := end.next_deadline()) is not None and deadline <= self.now:
                    end.handle_timer(self.now)
        self.now = until

    def _next(self) -> float | None:
        self._collect()
        times = [t for t, _, _ in self.flying] + [d for e in self.ends if (d := e.next_deadline()) is not None]
        return min(times, default=None)

    def _collect(self) -> None:
        for index, end in enumerate(self.ends):
            for datagram in end.take_datagrams():
                self.sent.append((self.now, index, datagram))
                self.flying += [(self.now + t, 1 - index, d) for t, d in self.rule(datagram, self.dice)]

    def _deliver(self) -> None:
        due = sorted(f for f in self.flying if f[0] <= self.now)
        self.flying = [f for f in self.flying if f[0] > self.now]
        for _, index, datagram in due:
            self.ends[index].receive(datagram, self.now)


def make_pair(
    *,
    server: DtlsIdentity = OURS,
    client: DtlsIdentity = BROWSER,
    server_expects: Sequence[Fingerprint] | None = None,
    client_expects: Sequence[Fingerprint] | None = None,
) -> tuple[DtlsEndpoint, DtlsEndpoint]:
    return (
        DtlsEndpoint(server, "server", (client.fingerprint,) if server_expects is None else tuple(server_expects)),
        DtlsEndpoint(client, "client", (server.fingerprint,) if client_expects is None else tuple(client_expects)),
    )


def connect(server: DtlsEndpoint, client: DtlsEndpoint, rule: Rule = intact, seed: int = 1) -> DtlsWire:
    wire = DtlsWire(server, client, rule, seed)
    wire.run(until=5.0)
    return wire


def assert_keyed_alike(one: DtlsEndpoint, other: DtlsEndpoint) -> None:
    assert one.state is other.state is DtlsState.CONNECTED
    assert one.keys is not None
    assert other.keys is not None
    assert one.keys.suite == other.keys.suite
    assert one.keys.tx.reveal() == other.keys.rx.reveal()
    assert one.keys.rx.reveal() == other.keys.tx.reveal()
    assert one.keys.tx.reveal() != one.keys.rx.reveal()
    assert len(one.keys.tx.reveal()) == len(one.keys.rx.reveal()) == one.keys.suite.master_length


def digest_of(identity: DtlsIdentity, name: str, algorithm: hashes.HashAlgorithm) -> Fingerprint:
    return Fingerprint(name, identity.certificate.fingerprint(algorithm))


# --- the handshake -----------------------------------------------------------------------------------------------


def test_both_ends_derive_the_same_keys_in_opposite_directions() -> None:
    server, client = make_pair()
    connect(server, client)
    assert_keyed_alike(server, client)
    assert server.version == client.version == "DTLSv1.2"
    assert server.fingerprint_algorithm == "sha-256"


def test_the_strongest_profile_is_chosen_when_both_know_all() -> None:
    server, client = make_pair()
    connect(server, client)
    assert server.keys is not None
    assert server.keys.suite is AEAD_AES_256_GCM


@pytest.mark.parametrize("suite", BY_DTLS_NAME.values(), ids=lambda s: s.name)
@pytest.mark.parametrize("our_role", ROLES)
def test_each_srtp_profile_is_agreed_with_a_peer_that_knows_only_it(suite: CryptoSuite, our_role: str) -> None:
    limited, ours = DtlsIdentity.generate(NOW, (suite,)), DtlsIdentity.generate(NOW, tuple(BY_DTLS_NAME.values()))
    pair = (ours, limited) if our_role == "server" else (limited, ours)
    server, client = make_pair(server=pair[0], client=pair[1])
    connect(server, client)
    assert_keyed_alike(server, client)
    assert server.keys is not None
    assert server.keys.suite is suite


@pytest.mark.parametrize("our_role", ROLES)
def test_a_peer_with_an_rsa_certificate_is_understood(our_role: str) -> None:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    older = DtlsIdentity(certificate, key)
    server, client = make_pair(client=older) if our_role == "server" else make_pair(server=older)
    connect(server, client)
    assert_keyed_alike(server, client)


def test_as_server_our_order_decides_not_the_browsers() -> None:
    weak_first = DtlsIdentity.generate(NOW, (AES_CM_128_HMAC_SHA1_80, AEAD_AES_128_GCM))
    server, client = make_pair(client=weak_first)
    connect(server, client)
    assert server.keys is not None
    assert server.keys.suite is AEAD_AES_128_GCM


@pytest.mark.parametrize("our_role", ROLES)
def test_no_common_srtp_profile_gives_no_keys(our_role: str) -> None:
    gcm = DtlsIdentity.generate(NOW, (AEAD_AES_256_GCM,))
    cm = DtlsIdentity.generate(NOW, (AES_CM_128_HMAC_SHA1_80,))
    server, client = make_pair(server=gcm, client=cm)
    connect(server, client)
    ours = server if our_role == "server" else client
    assert ours.failure is DtlsFailure.NO_SRTP_PROFILE
    assert ours.state is DtlsState.FAILED
    assert ours.keys is None


@pytest.mark.parametrize("our_role", ROLES)
@pytest.mark.parametrize("suites", [(), (AES_256_CM_HMAC_SHA1_80,)], ids=["none", "none that DTLS knows"])
def test_a_list_without_a_profile_gives_no_keys_whatever_the_peer_offers(
    suites: tuple[CryptoSuite, ...], our_role: DtlsRole
) -> None:
    ours = DtlsEndpoint(OURS, our_role, (BROWSER.fingerprint,), suites)
    theirs = DtlsEndpoint(BROWSER, "client" if our_role == "server" else "server", (OURS.fingerprint,))
    server, client = (ours, theirs) if our_role == "server" else (theirs, ours)
    connect(server, client)
    assert (ours.state, ours.failure, ours.keys) == (DtlsState.FAILED, DtlsFailure.NO_SRTP_PROFILE, None)
    assert ours.take_datagrams() == []


@pytest.mark.parametrize("our_role", ROLES)
def test_only_what_the_list_of_the_call_names_is_agreed_on_whatever_other_calls_may_use(our_role: DtlsRole) -> None:
    identity = DtlsIdentity.generate(NOW)
    everything = tuple(BY_DTLS_NAME.values())
    for listed in ((AES_CM_128_HMAC_SHA1_80,), (AES_CM_128_HMAC_SHA1_32,), SUITES, (AEAD_AES_128_GCM,)):
        ours = DtlsEndpoint(identity, our_role, (BROWSER.fingerprint,), listed)
        role: DtlsRole = "client" if our_role == "server" else "server"
        theirs = DtlsEndpoint(BROWSER, role, (identity.fingerprint,), everything)
        connect(*((ours, theirs) if our_role == "server" else (theirs, ours)))
        assert ours.keys is not None
        assert ours.keys.suite is listed[0]


def test_contexts_are_made_once_for_a_list_and_their_number_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtls, "MAX_CONTEXTS", 2)
    identity = DtlsIdentity.generate(NOW)
    assert identity.context() is identity.context(SUITES)
    one = identity.context((AEAD_AES_128_GCM,))
    for other in (AEAD_AES_256_GCM, AES_CM_128_HMAC_SHA1_80):
        identity.context((other,))
    assert identity.context((AEAD_AES_128_GCM,)) is not one
    assert len(identity._contexts) == 2


@pytest.mark.parametrize("seed", range(25))
def test_a_wire_that_loses_repeats_and_reorders_only_delays_the_handshake(seed: int) -> None:
    server, client = make_pair()
    connect(server, client, lossy, seed)
    assert_keyed_alike(server, client)


def test_early_resends_beat_the_one_second_timer() -> None:
    """Every first copy is lost: keys stand after three early resends of 100 ms and the trips between."""
    seen: set[bytes] = set()

    def lose_first_copy(datagram: bytes, _dice: random.Random) -> list[tuple[float, bytes]]:
        if datagram not in seen:
            seen.add(datagram)
            return []
        return [(ONE_WAY, datagram)]

    server, client = make_pair()
    wire = DtlsWire(server, client, lose_first_copy)
    wire.run(until=0.6)
    assert_keyed_alike(server, client)


def test_the_last_flight_is_resent_byte_for_byte_at_100_200_and_400_ms() -> None:
    server, client = make_pair()
    wire = DtlsWire(server, client, lambda _d, _r: [])
    wire.run(until=0.9)
    copies = [(round(at, 3), datagram) for at, index, datagram in wire.sent if index == 1]
    assert [at for at, _ in copies] == [0.0, 0.1, 0.3, 0.7]
    assert len({datagram for _, datagram in copies}) == 1


def test_a_client_whose_flight_was_answered_stops_resending() -> None:
    server, client = make_pair()
    wire = connect(server, client)
    assert not [at for at, index, _ in wire.sent if index == 1 and at > 4 * ONE_WAY]


def test_no_datagram_is_larger_than_a_webrtc_path_carries() -> None:
    server, client = make_pair()
    wire = connect(server, client)
    assert max(len(d) for _, _, d in wire.sent) <= MAX_DATAGRAM


def test_a_handshake_without_a_peer_times_out_after_ten_seconds() -> None:
    server, client = make_pair()
    wire = DtlsWire(server, client, lambda _d, _r: [])
    wire.run(until=HANDSHAKE_LIMIT - 0.1)
    assert client.state is DtlsState.HANDSHAKE
    wire.run(until=HANDSHAKE_LIMIT + 0.1)
    for end in (server, client):
        assert end.failure is DtlsFailure.TIMEOUT
        assert end.next_deadline() is None


def test_a_waiting_server_sends_nothing() -> None:
    server, _ = make_pair()
    server.start(0.0)
    assert server.take_datagrams() == []


# --- who the peer is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("our_role", ROLES)
def test_a_certificate_that_is_not_the_signalled_one_ends_the_handshake(our_role: str) -> None:
    if our_role == "server":
        server, client = make_pair(server_expects=(STRANGER.fingerprint,))
        ours, theirs = server, client
    else:
        server, client = make_pair(client_expects=(STRANGER.fingerprint,))
        ours, theirs = client, server
    connect(server, client)
    assert ours.state is DtlsState.FAILED
    assert ours.failure is DtlsFailure.FINGERPRINT_MISMATCH
    assert ours.keys is None
    assert theirs.keys is None  # the alert reached the peer before it could believe in a connection


_ALL_PROFILES = ":".join(suite.dtls_name for suite in SUITES if suite.dtls_name).encode()
"""What a context of the built-in set is known by."""


def lenient() -> DtlsIdentity:
    """An identity whose context believes any certificate and renegotiates: a peer's, or ours with a layer missing."""
    credential = make_certificate("lenient")
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_max_proto_version(DTLS_1_2)
    context.set_options(OP_NO_QUERY_MTU)
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    context.use_certificate(credential.certificate)
    context.use_privatekey(credential.key)
    context.set_tlsext_use_srtp(b"SRTP_AEAD_AES_256_GCM")
    identity = DtlsIdentity(credential.certificate, credential.key)
    identity._contexts = OrderedDict({_ALL_PROFILES: context})
    return identity


@pytest.mark.parametrize("our_role", ROLES)
def test_the_fingerprint_is_checked_again_when_the_handshake_is_done(our_role: str) -> None:
    ours = lenient()
    if our_role == "server":
        end, peer = make_pair(server=ours, server_expects=(STRANGER.fingerprint,))
        connect(end, peer)
    else:
        peer, end = make_pair(client=ours, client_expects=(STRANGER.fingerprint,))
        connect(peer, end)
    assert end.failure is DtlsFailure.FINGERPRINT_MISMATCH
    assert end.keys is None


def test_a_client_without_a_certificate_is_refused_within_the_handshake() -> None:
    nameless = SSL.Context(SSL.DTLS_METHOD)
    nameless.set_tlsext_use_srtp(b"SRTP_AEAD_AES_256_GCM")
    nameless.set_verify(SSL.VERIFY_NONE, lambda *_: True)
    peer = DtlsIdentity.generate(NOW)
    peer._contexts = OrderedDict({_ALL_PROFILES: nameless})
    server, client = make_pair(client=peer)
    connect(server, client)
    assert server.failure is DtlsFailure.HANDSHAKE
    assert server.keys is None


@pytest.mark.parametrize("fingerprints", [(), (Fingerprint("sha-1", bytes(20)),)], ids=["none", "sha-1 only"])
def test_without_a_known_hash_nothing_is_even_tried(fingerprints: tuple[Fingerprint, ...]) -> None:
    server, client = make_pair(client_expects=fingerprints)
    wire = connect(server, client)
    assert client.failure is DtlsFailure.FINGERPRINT_MISMATCH
    assert client.fingerprint_algorithm == ""
    assert client.next_deadline() is None
    assert wire.sent == []


def test_only_the_strongest_known_hash_counts() -> None:
    """RFC 8122 5: a right sha-256 does not excuse a wrong sha-512."""
    wrong = Fingerprint("sha-512", bytes(64))
    server, client = make_pair(server_expects=(BROWSER.fingerprint, wrong))
    connect(server, client)
    assert server.failure is DtlsFailure.FINGERPRINT_MISMATCH


def test_one_match_among_several_certificates_of_the_strongest_hash_suffices() -> None:
    expected = (
        digest_of(STRANGER, "sha-384", hashes.SHA384()),
        digest_of(BROWSER, "sha-384", hashes.SHA384()),
        Fingerprint("sha-256", bytes(32)),
    )
    server, client = make_pair(server_expects=expected)
    connect(server, client)
    assert_keyed_alike(server, client)
    assert server.fingerprint_algorithm == "sha-384"


def test_weak_hashes_are_never_preferred() -> None:
    weak = Fingerprint("sha-1", bytes(20))
    assert preferred_fingerprints((weak,)) == ()
    assert preferred_fingerprints((weak, BROWSER.fingerprint)) == (BROWSER.fingerprint,)


def test_keys_cannot_be_printed() -> None:
    server, client = make_pair()
    connect(server, client)
    assert server.keys is not None
    assert server.keys.tx.reveal().hex() not in repr(server.keys)
    assert "***" in repr(server.keys)


# --- ClientHello in pieces ---------------------------------------------------------------------------------------


def fragments_of(hello: bytes, cut: int) -> list[bytes]:
    """The ClientHello of one record as two records of record sequence numbers 0 and 1 (RFC 6347 4.2.3)."""
    header, body = hello[13:25], hello[25:]
    pieces = []
    for number, (start, part) in enumerate(((0, body[:cut]), (cut, body[cut:]))):
        message = header[:6] + start.to_bytes(3, "big") + len(part).to_bytes(3, "big") + part
        record = bytes([HANDSHAKE]) + b"\xfe\xff" + number.to_bytes(8, "big") + len(message).to_bytes(2, "big")
        pieces.append(record + message)
    return pieces


def renumber(datagram: bytes) -> bytes:
    """Make room for the second fragment: every other record in the clear moves up by one sequence number."""
    moved = b""
    for record in split_records(datagram):
        sequence = int.from_bytes(record[3:11], "big")
        clear = sequence >> 48 == 0
        moved += record[:3] + (sequence + clear).to_bytes(8, "big") + record[11:]
    return moved


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "reordered"])
def test_a_clienthello_split_over_two_datagrams_completes(order: tuple[int, int]) -> None:
    server, client = make_pair()

    def split_hello(datagram: bytes, _dice: random.Random) -> list[tuple[float, bytes]]:
        from_client = datagram in client_sent
        if from_client and datagram[13] == 1:
            pieces = fragments_of(datagram, 60)
            return [(ONE_WAY * (1 + place), pieces[which]) for place, which in enumerate(order)]
        return [(ONE_WAY, renumber(datagram) if from_client else datagram)]

    client_sent: set[bytes] = set()
    wire = DtlsWire(server, client, split_hello)
    original = client.take_datagrams

    def remembered() -> list[bytes]:
        taken = original()
        client_sent.update(taken)
        return taken

    client.take_datagrams = remembered  # type: ignore[method-assign]
    wire.run(until=5.0)
    assert_keyed_alike(server, client)


def extension(number: int, body: bytes) -> bytes:
    return number.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body


def browser_hello(total: int) -> bytes:
    """A ClientHello shaped as Chromium 156 sends it, filled up by a post-quantum key share to `total` octets."""
    suites = bytes.fromhex("130113021303c02bc02fcca9cca8c009c013c00ac014009c002f0035")
    fixed = b"\xfe\xfd" + bytes(range(32)) + b"\x00\x00" + len(suites).to_bytes(2, "big") + suites + b"\x01\x00"
    known = (
        extension(0x0017, b"")
        + extension(0xFF01, b"\x00")
        + extension(0x000A, bytes.fromhex("000811ec001d00170018"))
        + extension(0x000B, b"\x01\x00")
        + extension(0x000D, bytes.fromhex("000e0403080404010503080505010806"))
        + extension(0x000E, bytes.fromhex("0006000700080001") + b"\x00")
        + extension(0x002B, bytes.fromhex("04fefcfefd"))
    )
    rest = total - len(fixed) - 2 - len(known) - 4
    share = (rest - 2).to_bytes(2, "big") + bytes.fromhex("11ec") + (rest - 6).to_bytes(2, "big") + bytes(rest - 6)
    extensions = known + extension(0x0033, share)
    return fixed + len(extensions).to_bytes(2, "big") + extensions


@pytest.mark.parametrize(("total", "cut"), [(1413, 1175), (1461, 1383)], ids=["chromium 156", "firefox 153"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "reordered"])
def test_a_post_quantum_browser_hello_in_two_datagrams_is_answered(
    total: int, cut: int, order: tuple[int, int]
) -> None:
    """Lengths and cut as in the captures of both browsers; the key share's content does not matter to DTLS 1.2."""
    body = browser_hello(total)
    assert len(body) == total
    whole = bytes(13) + b"\x01" + total.to_bytes(3, "big") + bytes(8)[:2] + bytes(3) + total.to_bytes(3, "big") + body
    pieces = fragments_of(whole, cut)
    server, _ = make_pair()
    server.receive(pieces[order[0]], 0.0)
    assert server.take_datagrams() == []
    server.receive(pieces[order[1]], 0.01)
    flight = server.take_datagrams()
    assert flight
    assert flight[0][13] == 2  # ServerHello
    assert server.state is DtlsState.HANDSHAKE


# --- what hostile peers send -------------------------------------------------------------------------------------


def random_record(dice: random.Random) -> bytes:
    content = dice.choice([20, 21, 22, 23, 24, dice.randrange(20, 64)])
    body = dice.randbytes(dice.choice([0, 1, 2, 12, 25, dice.randrange(1, 300)]))
    length = len(body) if dice.random() < 0.8 else dice.randrange(65536)
    version = dice.choice([b"\xfe\xff", b"\xfe\xfd", b"\xfe\xfc", dice.randbytes(2)])
    epoch = dice.choice([0, 0, 1, dice.randrange(65536)]).to_bytes(2, "big")
    return bytes([content]) + version + epoch + dice.randbytes(6) + length.to_bytes(2, "big") + body


@pytest.mark.parametrize("role", ROLES)
def test_random_records_never_raise(role: Literal["server", "client"]) -> None:
    dice = random.Random(5764)
    end = DtlsEndpoint(OURS, role, (BROWSER.fingerprint,))
    for number in range(3000):
        if end.state is not DtlsState.HANDSHAKE:
            end = DtlsEndpoint(OURS, role, (BROWSER.fingerprint,))
            end.start(number / 100)
        end.receive(random_record(dice), number / 100)
        if (deadline := end.next_deadline()) is not None and deadline <= number / 100:
            end.handle_timer(number / 100)
        assert len(end.take_datagrams()) <= MAX_QUEUED
        assert end.keys is None


def test_random_records_do_not_touch_a_connected_endpoint() -> None:
    dice = random.Random(6347)
    server, client = make_pair()
    connect(server, client)
    for _ in range(3000):
        server.receive(random_record(dice), 6.0)
        client.receive(random_record(dice), 6.0)
    assert_keyed_alike(server, client)


def test_datagrams_that_hold_no_record_are_ignored() -> None:
    server, client = make_pair()
    client.start(0.0)
    hello = client.take_datagrams()[0]
    for junk in (b"", b"\x16", hello[:12], hello[:-1], b"\x80" + hello[1:], bytes(5000), hello[:11] + b"\xff\xff"):
        server.receive(junk, 0.0)
    assert server.state is DtlsState.HANDSHAKE
    assert server.take_datagrams() == []


def test_a_truncated_record_does_not_swallow_the_next_datagram() -> None:
    server, client = make_pair()
    client.start(0.0)
    (hello,) = client.take_datagrams()
    server.receive(hello[:-5], 0.0)
    server.receive(hello, 0.0)
    assert server.take_datagrams()


def test_an_alert_in_the_clear_does_not_close_a_connected_endpoint() -> None:
    server, client = make_pair()
    connect(server, client)
    fatal = bytes([ALERT]) + b"\xfe\xfd" + bytes(2) + b"\x00\x00\x00\x00\x00\x63" + b"\x00\x02\x02\x28"
    close = bytes([ALERT]) + b"\xfe\xfd" + bytes(2) + b"\x00\x00\x00\x00\x00\x64" + b"\x00\x02\x01\x00"
    for end in (server, client):
        end.receive(fatal, 6.0)
        end.receive(close, 6.0)
    assert_keyed_alike(server, client)


def test_a_null_cipher_hello_of_the_peer_fails_and_does_not_raise() -> None:
    body = b"\xfe\xfd" + bytes(32) + b"\x00\x00" + b"\x00\x02\x00\x00" + b"\x01\x00"
    message = b"\x01" + len(body).to_bytes(3, "big") + bytes(2) + bytes(3) + len(body).to_bytes(3, "big") + body
    hello = bytes([HANDSHAKE]) + b"\xfe\xff" + bytes(8) + len(message).to_bytes(2, "big") + message
    server, _ = make_pair()
    server.receive(hello, 0.0)
    assert server.failure is DtlsFailure.HANDSHAKE
    assert server.reason != ""


def test_a_second_hello_on_a_connected_endpoint_changes_nothing() -> None:
    """No renegotiation (RFC 8827 6.5) and no new association by a bare ClientHello."""
    server, client = make_pair()
    connect(server, client)
    keys = server.keys
    _, again = make_pair()
    again.start(6.0)
    for datagram in again.take_datagrams():
        server.receive(datagram, 6.0)
    assert server.state is DtlsState.CONNECTED
    assert server.keys is keys


@pytest.mark.parametrize("our_role", ROLES)
def test_renegotiation_is_refused_and_changes_nothing(our_role: str) -> None:
    server, client = make_pair(client=lenient()) if our_role == "server" else make_pair(server=lenient())
    wire = connect(server, client)
    ours, peer = (server, client) if our_role == "server" else (client, server)
    keys, connection = ours.keys, peer._connection
    assert connection is not None
    connection.renegotiate()
    with contextlib.suppress(SSL.WantReadError):
        connection.do_handshake()
    ours.receive(connection.bio_read(4096), wire.now)
    assert [datagram[0] for datagram in ours.take_datagrams()] == [ALERT]
    assert ours.state is DtlsState.CONNECTED
    assert ours.keys is keys
    assert ours.asked_again


@pytest.mark.parametrize("our_role", ROLES)
def test_renegotiation_long_after_the_handshake_is_ignored_and_noticed(our_role: str) -> None:
    server, client = make_pair(client=lenient()) if our_role == "server" else make_pair(server=lenient())
    wire = connect(server, client)
    ours, peer = (server, client) if our_role == "server" else (client, server)
    connection = peer._connection
    assert connection is not None
    ours.handle_timer(wire.now + RELEASE_AFTER)
    assert not ours.asked_again
    connection.renegotiate()
    with contextlib.suppress(SSL.WantReadError):
        connection.do_handshake()
    ours.receive(connection.bio_read(4096), wire.now + RELEASE_AFTER)
    assert ours.take_datagrams() == []
    assert ours.asked_again


@pytest.mark.parametrize("seed", range(5))
def test_a_handshake_on_a_bad_wire_is_no_renegotiation(seed: int) -> None:
    server, client = make_pair()
    connect(server, client, lossy, seed)
    assert not server.asked_again
    assert not client.asked_again


def test_a_browser_that_speaks_dtls_1_0_alone_is_too_old() -> None:
    old = lenient()
    context = old.context()
    assert context is not None
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    context.set_min_proto_version(DTLS_1_0)
    context.set_max_proto_version(DTLS_1_0)
    server, client = make_pair(client=old)
    connect(server, client)
    assert server.failure is DtlsFailure.OLD_VERSION
    assert server.keys is None


# --- the end -----------------------------------------------------------------------------------------------------


def test_close_tells_the_peer() -> None:
    server, client = make_pair()
    wire = connect(server, client)
    server.close(wire.now)
    wire.run(until=wire.now + 1)
    assert server.state is client.state is DtlsState.CLOSED
    assert server.next_deadline() is None
    assert server.keys is not None  # what was agreed stays known for the record


def test_the_openssl_state_is_let_go_and_close_still_tells_the_peer() -> None:
    server, client = make_pair()
    wire = connect(server, client)
    server.handle_timer(RELEASE_AFTER + 1.0)
    assert server.state is DtlsState.CONNECTED
    assert server._connection is None
    assert server.next_deadline() is None
    server.close(20.0)
    for datagram in server.take_datagrams():
        client.receive(datagram, wire.now)
    assert client.state is DtlsState.CLOSED


def test_a_failed_endpoint_stays_failed_after_close() -> None:
    server, client = make_pair(server_expects=(STRANGER.fingerprint,))
    wire = connect(server, client)
    server.close(wire.now)
    server.receive(b"\x16\xfe\xfd" + bytes(10), wire.now)
    assert server.state is DtlsState.FAILED
    assert server.take_datagrams() == []


def test_a_closed_endpoint_does_nothing_more() -> None:
    server, client = make_pair()
    server.close(0.0)
    server.start(0.0)
    client.start(0.0)
    for datagram in client.take_datagrams():
        server.receive(datagram, 0.0)
    assert server.state is DtlsState.CLOSED
    assert server.take_datagrams() == []
