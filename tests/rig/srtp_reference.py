"""SRTP and SRTCP written down from the RFCs (3711, 6188, 7714), by AES and HMAC alone: what libraries are held to.

Slow and without replay protection; each function is a formula of a section.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

RTP = (0, 1, 2)
RTCP = (3, 4, 5)
"""Labels of cipher key, authentication key and salt (RFC 3711 4.3.1, 4.3.2)."""
AUTH_KEY = 20
E_BIT = 1 << 31


def counter_mode(key: bytes, counter: bytes, data: bytes) -> bytes:
    """AES-CM (RFC 3711 4.1.1, RFC 6188 2): the data under the key stream that begins at this counter."""
    stream = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()
    return stream.update(data) + stream.finalize()


def derive(master_key: bytes, master_salt: bytes, label: int, length: int) -> bytes:
    """A session key (RFC 3711 4.3.1 with a derivation rate of zero; RFC 6188 3: the PRF has the master key's AES)."""
    salt = master_salt.ljust(14, b"\0")  # RFC 7714 11 says nothing of 96 bits; all implementations take the higher ones
    x = int.from_bytes(salt) ^ (label << 48)
    return counter_mode(master_key, x.to_bytes(14) + b"\0\0", bytes(length))


def counter(salt: bytes, ssrc: bytes, index: int) -> bytes:
    """The first counter of a packet: (salt * 2^16) XOR (SSRC * 2^64) XOR (index * 2^16) (RFC 3711 4.1.1)."""
    value = (int.from_bytes(salt) << 16) ^ (int.from_bytes(ssrc) << 64) ^ (index << 16)
    return value.to_bytes(16)


@dataclass(frozen=True)
class Reference:
    """One direction under one master key."""

    cipher: Literal["cm", "gcm"]
    key: bytes
    salt: bytes
    tag: int = 10
    """Octets of the tag of RTP in counter mode; 80 bits for RTCP, 128 for GCM, whatever this is."""
    mki: bytes = b""

    def rtp(self, packet: bytes, rollover: int = 0) -> bytes:
        """An RTP packet without CSRC and extension, protected (RFC 3711 3.1, RFC 7714 8)."""
        header, payload, ssrc = packet[:12], packet[12:], packet[8:12]
        sequence = packet[2:4]
        if self.cipher == "gcm":
            key, salt = (derive(self.key, self.salt, RTP[n], size) for n, size in ((0, len(self.key)), (2, 12)))
            iv = xor(b"\0\0" + ssrc + rollover.to_bytes(4) + sequence, salt)
            return header + AESGCM(key).encrypt(iv, payload, header) + self.mki
        index = rollover << 16 | int.from_bytes(sequence)
        sealed = header + self._counter_mode(RTP, ssrc, index, payload)
        return sealed + self.mki + self._tag(RTP, sealed + rollover.to_bytes(4), self.tag)

    def rtcp(self, packet: bytes, index: int) -> bytes:
        """A compound RTCP packet, protected (RFC 3711 3.4, RFC 7714 9)."""
        header, payload, ssrc = packet[:8], packet[8:], packet[4:8]
        trailer = (E_BIT | index).to_bytes(4)
        if self.cipher == "gcm":
            key, salt = (derive(self.key, self.salt, RTCP[n], size) for n, size in ((0, len(self.key)), (2, 12)))
            iv = xor(b"\0\0" + ssrc + b"\0\0" + index.to_bytes(4), salt)
            return header + AESGCM(key).encrypt(iv, payload, header + trailer) + trailer + self.mki
        sealed = header + self._counter_mode(RTCP, ssrc, index, payload) + trailer
        return sealed + self.mki + self._tag(RTCP, sealed, 10)

    def _counter_mode(self, labels: tuple[int, int, int], ssrc: bytes, index: int, payload: bytes) -> bytes:
        key, salt = derive(self.key, self.salt, labels[0], len(self.key)), derive(self.key, self.salt, labels[2], 14)
        return counter_mode(key, counter(salt, ssrc, index), payload)

    def _tag(self, labels: tuple[int, int, int], data: bytes, length: int) -> bytes:
        return hmac.digest(derive(self.key, self.salt, labels[1], AUTH_KEY), data, hashlib.sha1)[:length]


def xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))
