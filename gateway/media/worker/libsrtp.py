"""libsrtp, as the wheel of pylibsrtp brings it: the only file that knows the library.

pylibsrtp wraps a part of it. What it leaves out is there all the same, in the shared object of its binding: AES-256 in
counter mode (RFC 6188), a master key identifier in the packets (RFC 3711 3.1), and a stream's roll-over counter. So
contexts are made here with the library's own functions, by ctypes; the four that run for every packet are those of the
binding, which cost the least. The layout of the one structure that is written to is held against the binding's when
this is loaded, so that another library cannot be taken for this one.
"""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

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

_lib = ctypes.CDLL(_binding.__file__)
_lib.srtp_get_version_string.restype = ctypes.c_char_p


class _CryptoPolicy(ctypes.Structure):
    """srtp_crypto_policy_t, which the library fills in itself."""

    _fields_: ClassVar = [(name, ctypes.c_int) for name in ("cipher", "key", "auth", "auth_key", "tag", "services")]


class _MasterKey(ctypes.Structure):
    """srtp_master_key_t."""

    _fields_: ClassVar = [("key", ctypes.c_void_p), ("mki", ctypes.c_void_p), ("mki_size", ctypes.c_uint)]


class _Policy(ctypes.Structure):
    """srtp_policy_t."""

    _fields_: ClassVar = [
        ("ssrc_type", ctypes.c_int),
        ("ssrc", ctypes.c_uint),
        ("rtp", _CryptoPolicy),
        ("rtcp", _CryptoPolicy),
        ("key", ctypes.c_void_p),
        ("keys", ctypes.c_void_p),
        ("num_master_keys", ctypes.c_ulong),
        ("ekt", ctypes.c_void_p),
        ("window_size", ctypes.c_ulong),
        ("allow_repeat_tx", ctypes.c_int),
        ("enc_xtn_hdr", ctypes.c_void_p),
        ("enc_xtn_hdr_count", ctypes.c_int),
        ("next", ctypes.c_void_p),
    ]


Run = Callable[[Any, Any, Any], int]
"""What the library does to a packet: session, buffer, length in and out; a status, 0 for done."""


def pointer(place: int) -> Any:
    """An address in memory, for `Context.run`."""
    return _binding.ffi.cast("void *", place)


def length_pointer() -> Any:
    """Where a length is told to the library and by it, for `Context.run`; `[0]` is its value."""
    return _binding.ffi.new("int *")


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
    version = _lib.srtp_get_version_string().decode("ascii", "replace")
    theirs = _binding.ffi.typeof("srtp_policy_t")
    places = {name: member.offset for name, member in theirs.fields if name != "ssrc"}
    same = all(getattr(_Policy, name).offset == place for name, place in places.items())
    if not version.startswith(LIBRARY) or not same or ctypes.sizeof(_Policy) != _binding.ffi.sizeof(theirs):
        raise MediaError(f"{version} is not the SRTP library this gateway was made for")


_check_layout()


@cache
def _policy_of(suite: str) -> _Policy:
    """The structure as a suite has it, without a key."""
    policy = _Policy(window_size=REPLAY_WINDOW)
    rtp, rtcp = _SETTERS[suite]
    getattr(_lib, "srtp_crypto_policy_set_" + rtp)(ctypes.byref(policy.rtp))
    getattr(_lib, "srtp_crypto_policy_set_" + rtcp)(ctypes.byref(policy.rtcp))
    return policy


class Context:
    """One direction under one master key, whatever the number of its sources.

    Attributes:
        run: protects or unprotects the RTP packet in `data`; 0 when it did. `run_rtcp` does so for RTCP.
        in_place: they do so with a packet that is elsewhere too.

    Raises:
        MediaError: the library does not take the key, which says nothing of it.
    """

    __slots__ = ("_handle", "_keep", "_policy", "buffer", "data", "in_place", "length", "run", "run_rtcp", "session")

    def __init__(self, suite: CryptoSuite, key: Secret[bytes], direction: int, mki: bytes) -> None:
        self._keep: tuple[Any, ...] = ()
        self._policy = self._made_policy(suite, key, mki)
        self._policy.ssrc_type = direction
        self._handle = ctypes.c_void_p()
        if _lib.srtp_create(ctypes.byref(self._handle), ctypes.byref(self._policy)) != OK:
            raise MediaError("the SRTP library refuses a key")
        ffi = _binding.ffi
        self.session = ffi.gc(ffi.cast("srtp_t", self._handle.value), _binding.lib.srtp_dealloc)
        self.data = ffi.new("char[]", BUFFER)
        self.buffer, self.length = ffi.buffer(self.data), ffi.new("int *")
        sends, self.in_place = direction == OUTBOUND, not mki
        self.run, self.run_rtcp = self._named(sends) if mki else _PLAIN[sends]

    def forget(self, ssrc: bytes) -> None:
        """Let the context of a source go."""
        number = socket.htonl(int.from_bytes(ssrc))  # this function alone wants it in network order
        _lib.srtp_remove_stream(self._handle, ctypes.c_uint32(number))

    def rollover(self, ssrc: bytes) -> int | None:
        """The roll-over counter of a source; None for one that was not heard."""
        found = ctypes.c_uint32()
        status = _lib.srtp_get_stream_roc(self._handle, ctypes.c_uint32(int.from_bytes(ssrc)), ctypes.byref(found))
        return found.value if status == OK else None

    def expect(self, ssrc: bytes, rollover: int) -> None:
        """Take the next packet of a source for one of this roll-over counter.

        That makes a context where nothing has authenticated yet: only for a source that is known to be there.
        """
        number = int.from_bytes(ssrc)
        if self.rollover(ssrc) is None:
            self._policy.ssrc_type, self._policy.ssrc = SPECIFIC, number
            _lib.srtp_add_stream(self._handle, ctypes.byref(self._policy))
        _lib.srtp_set_stream_roc(self._handle, ctypes.c_uint32(number), ctypes.c_uint32(rollover))

    def _made_policy(self, suite: CryptoSuite, key: Secret[bytes], mki: bytes) -> _Policy:
        """The structure the library makes a context by; what it points to must live as long as it does."""
        policy, master = _Policy.from_buffer_copy(_policy_of(suite.name)), ctypes.create_string_buffer(key.reveal())
        if not mki:
            self._keep, policy.key = (master,), ctypes.addressof(master)
            return policy
        name = ctypes.create_string_buffer(mki)
        entry = _MasterKey(ctypes.addressof(master), ctypes.addressof(name), len(mki))
        entries = (ctypes.c_void_p * 1)(ctypes.addressof(entry))
        self._keep = (master, name, entry, entries)
        policy.keys, policy.num_master_keys = ctypes.addressof(entries), 1
        return policy

    def _named(self, sends: bool) -> tuple[Run, Run]:
        """The functions for packets that name their key. They cost more; who does not use them does not pay for it."""
        to = _binding.ffi.cast
        data, length = (ctypes.c_void_p(int(to("uintptr_t", place))) for place in (self.data, self.length))
        handle, use, first = self._handle, ctypes.c_uint(1), ctypes.c_uint(0)

        def run(session: Any, packet: Any, size: Any) -> int:
            if sends:
                return int(_lib.srtp_protect_mki(handle, data, length, use, first))
            return int(_lib.srtp_unprotect_mki(handle, data, length, use))

        def run_rtcp(session: Any, packet: Any, size: Any) -> int:
            if sends:
                return int(_lib.srtp_protect_rtcp_mki(handle, data, length, use, first))
            return int(_lib.srtp_unprotect_rtcp_mki(handle, data, length, use))

        return run, run_rtcp


_PLAIN: dict[bool, tuple[Run, Run]] = {
    True: (_binding.lib.srtp_protect, _binding.lib.srtp_protect_rtcp),
    False: (_binding.lib.srtp_unprotect, _binding.lib.srtp_unprotect_rtcp),
}
"""The functions for packets that do not name their key, by whether they send."""
