"""libsrtp, as the wheel of pylibsrtp brings it: the only file that knows the library.

pylibsrtp wraps a part of it. What it leaves out is there all the same, in the shared object of its binding: AES-256
in counter mode (RFC 6188), a master key identifier in the packets (RFC 3711 3.1), and a stream's roll-over
counter. So contexts are made here with the library's own functions; the four that run for every packet are those of
the binding, which cost the least. The layout of the one structure that is written to is held against the binding's when
this is loaded, so that another library cannot be taken for this one.
"""

from __future__ import annotations

import socket
from typing import Any

from cffi import FFI
from pylibsrtp import _binding

from gateway.base.crypto_suite import CryptoSuite
from gateway.base.errors import MediaError
from gateway.base.values import Secret

REPLAY_WINDOW = 128
"""Packets; RFC 3711 3.3.2 asks for 64 at least, 128 is 2.5 s of audio."""
BUFFER = 1500
"""Octets a packet is worked on in, trailer included: no path carries more."""
MAX_TRAILER = 144
"""Octets the library may add to RTP: tag and key identifier (SRTP_MAX_TRAILER_LEN)."""
MAX_PACKET = BUFFER - MAX_TRAILER
"""Longest RTP packet that can be protected, octets."""
MAX_PACKET_RTCP = MAX_PACKET - 4
"""The same of RTCP: its index stands in the trailer too."""
MAX_MKI = 128
"""Octets of a master key identifier (RFC 4568 6.1)."""
OK = 0
REPLAYED = frozenset({9, 10, 26})
"""srtp_err_status_t: replay_fail, replay_old, pkt_idx_old."""
LIBRARY = "libsrtp2 2."
"""What the version must begin with: the structure is that of this generation."""
INBOUND, OUTBOUND, SPECIFIC = _binding.lib.ssrc_any_inbound, _binding.lib.ssrc_any_outbound, _binding.lib.ssrc_specific

_ffi = FFI()
_ffi.cdef("""
typedef struct { int cipher; int key; int auth; int auth_key; int tag; int services; } crypto_policy;
typedef struct { unsigned char *key; unsigned char *mki; unsigned int mki_size; } master_key;
typedef struct {
    int ssrc_type; unsigned int ssrc;
    crypto_policy rtp; crypto_policy rtcp;
    unsigned char *key; master_key **keys; unsigned long num_master_keys; void *ekt;
    unsigned long window_size; int allow_repeat_tx;
    int *enc_xtn_hdr; int enc_xtn_hdr_count; void *next;
} policy;
const char *srtp_get_version_string(void);
int srtp_create(void **session, const policy *policy);
int srtp_add_stream(void *session, const policy *policy);
int srtp_remove_stream(void *session, uint32_t ssrc);
int srtp_set_stream_roc(void *session, uint32_t ssrc, uint32_t roc);
int srtp_get_stream_roc(void *session, uint32_t ssrc, uint32_t *roc);
int srtp_protect_mki(void *session, void *packet, int *length, unsigned int use, unsigned int index);
int srtp_protect_rtcp_mki(void *session, void *packet, int *length, unsigned int use, unsigned int index);
int srtp_unprotect_mki(void *session, void *packet, int *length, unsigned int use);
int srtp_unprotect_rtcp_mki(void *session, void *packet, int *length, unsigned int use);
void srtp_crypto_policy_set_rtp_default(crypto_policy *p);
void srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(crypto_policy *p);
void srtp_crypto_policy_set_aes_cm_192_hmac_sha1_80(crypto_policy *p);
void srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(crypto_policy *p);
void srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32(crypto_policy *p);
void srtp_crypto_policy_set_aes_gcm_128_16_auth(crypto_policy *p);
void srtp_crypto_policy_set_aes_gcm_256_16_auth(crypto_policy *p);
""")
_lib: Any = _ffi.dlopen(_binding.__file__)

_SETTERS = {
    "AEAD_AES_256_GCM": ("aes_gcm_256_16_auth", "aes_gcm_256_16_auth"),
    "AEAD_AES_128_GCM": ("aes_gcm_128_16_auth", "aes_gcm_128_16_auth"),
    "AES_256_CM_HMAC_SHA1_80": ("aes_cm_256_hmac_sha1_80", "aes_cm_256_hmac_sha1_80"),
    "AES_256_CM_HMAC_SHA1_32": ("aes_cm_256_hmac_sha1_32", "aes_cm_256_hmac_sha1_80"),
    "AES_CM_128_HMAC_SHA1_80": ("rtp_default", "rtp_default"),
    "AES_CM_128_HMAC_SHA1_32": ("aes_cm_128_hmac_sha1_32", "rtp_default"),
}
"""What the library calls each suite, for RTP and for RTCP: a short tag is one of RTP alone (RFC 4568 6.2.2)."""


def _check_layout() -> None:
    """Raises MediaError when the library is another than the one this file was written for."""
    version = _ffi.string(_lib.srtp_get_version_string()).decode("ascii", "replace")
    theirs = _binding.ffi.typeof("srtp_policy_t")
    known = {name: member.offset for name, member in theirs.fields}
    ours = {name: _ffi.offsetof("policy", name) for name in known if name != "ssrc"}
    same = _ffi.sizeof("policy") == _binding.ffi.sizeof(theirs) and all(known[name] == at for name, at in ours.items())
    if not (version.startswith(LIBRARY) and same):
        raise MediaError(f"{version} is not the SRTP library this gateway was made for")


_check_layout()


class Context:
    """One direction under one master key, whatever the number of its sources.

    Attributes:
        run: protects or unprotects the RTP packet in `data`; 0 when it did. `run_rtcp` does so for RTCP.

    Raises:
        MediaError: the library does not take the key, which says nothing of it.
    """

    __slots__ = ("_keep", "_policy", "buffer", "data", "length", "run", "run_rtcp", "session")

    def __init__(self, suite: CryptoSuite, key: Secret[bytes], direction: int, mki: bytes) -> None:
        self._keep: tuple[Any, ...] = ()
        self._policy: Any = None
        policy = self._made_policy(suite, key, mki)
        policy.ssrc_type = direction
        made = _ffi.new("void **")
        if _lib.srtp_create(made, policy) != OK:
            raise MediaError("the SRTP library refuses a key")
        address = int(_ffi.cast("uintptr_t", made[0]))
        self.session = _binding.ffi.gc(_binding.ffi.cast("srtp_t", address), _binding.lib.srtp_dealloc)
        self.data = _binding.ffi.new("char[]", BUFFER)
        self.buffer = _binding.ffi.buffer(self.data)
        self.length = _binding.ffi.new("int *")
        sends = direction == OUTBOUND
        self.run, self.run_rtcp = _with_identifier(sends) if mki else _without(sends)

    def forget(self, ssrc: bytes) -> None:
        """Let the context of a source go."""
        _lib.srtp_remove_stream(self._handle, socket.htonl(int.from_bytes(ssrc)))  # in network order, this one alone

    def rollover(self, ssrc: bytes) -> int | None:
        """The roll-over counter of a source; None for one that was not heard."""
        found = _ffi.new("uint32_t *")
        return int(found[0]) if _lib.srtp_get_stream_roc(self._handle, int.from_bytes(ssrc), found) == OK else None

    def expect(self, ssrc: bytes, rollover: int) -> None:
        """Take the next packet of a source for one of this roll-over counter.

        That makes a context where nothing has authenticated yet: only for a source that is known to be there.
        """
        if self.rollover(ssrc) is None:
            self._policy.ssrc_type, self._policy.ssrc = SPECIFIC, int.from_bytes(ssrc)
            _lib.srtp_add_stream(self._handle, self._policy)
        _lib.srtp_set_stream_roc(self._handle, int.from_bytes(ssrc), rollover)

    @property
    def _handle(self) -> Any:
        return _ffi.cast("void *", int(_binding.ffi.cast("uintptr_t", self.session)))

    def _made_policy(self, suite: CryptoSuite, key: Secret[bytes], mki: bytes) -> Any:
        """The structure the library makes a context by; it copies what it needs, but the pointers are kept alive."""
        policy = _ffi.new("policy *")
        rtp, rtcp = _SETTERS[suite.name]
        getattr(_lib, "srtp_crypto_policy_set_" + rtp)(_ffi.addressof(policy, "rtp"))
        getattr(_lib, "srtp_crypto_policy_set_" + rtcp)(_ffi.addressof(policy, "rtcp"))
        policy.window_size = REPLAY_WINDOW
        master = _ffi.new("unsigned char[]", key.reveal())
        self._policy, self._keep = policy, (master,)
        if not mki:
            policy.key = master
            return policy
        name = _ffi.new("unsigned char[]", mki)
        entry = _ffi.new("master_key *", {"key": master, "mki": name, "mki_size": len(mki)})
        entries = _ffi.new("master_key *[]", [entry])
        policy.keys, policy.num_master_keys = entries, 1
        self._keep = (master, name, entry, entries)
        return policy


def _without(sends: bool) -> tuple[Any, Any]:
    lib = _binding.lib
    return (lib.srtp_protect, lib.srtp_protect_rtcp) if sends else (lib.srtp_unprotect, lib.srtp_unprotect_rtcp)


def _with_identifier(sends: bool) -> tuple[Any, Any]:
    """The functions for packets that name their key; a peer that uses that pays for it, and nobody else."""

    def foreign(value: Any, kind: str) -> Any:
        return _ffi.cast(kind, int(_binding.ffi.cast("uintptr_t", value)))

    def protect(session: Any, data: Any, length: Any) -> int:
        where = foreign(session, "void *"), foreign(data, "void *"), foreign(length, "int *")
        return int(_lib.srtp_protect_mki(*where, 1, 0))

    def protect_rtcp(session: Any, data: Any, length: Any) -> int:
        where = foreign(session, "void *"), foreign(data, "void *"), foreign(length, "int *")
        return int(_lib.srtp_protect_rtcp_mki(*where, 1, 0))

    def unprotect(session: Any, data: Any, length: Any) -> int:
        return int(
            _lib.srtp_unprotect_mki(foreign(session, "void *"), foreign(data, "void *"), foreign(length, "int *"), 1)
        )

    def unprotect_rtcp(session: Any, data: Any, length: Any) -> int:
        where = foreign(session, "void *"), foreign(data, "void *"), foreign(length, "int *")
        return int(_lib.srtp_unprotect_rtcp_mki(*where, 1))

    return (protect, protect_rtcp) if sends else (unprotect, unprotect_rtcp)
