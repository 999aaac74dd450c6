"""What SDP says about keys: `a=crypto` (RFC 4568), `a=fingerprint` (RFC 8122) and `a=setup` (RFC 4145).

Strict on purpose. A crypto line that asks for anything this gateway does not do exactly is unusable as a whole; it is
never used "without that parameter".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Self

from gateway.base.codes import Code
from gateway.base.crypto_suite import BY_NAME, CryptoSuite
from gateway.base.errors import SdpError
from gateway.base.values import Secret
from gateway.sdp.description import optional_uint, parse_uint

MAX_CRYPTO_LINES = 128
"""Per m-line; what follows is ignored. Devices send ten with the usable one ninth; 128 are judged in a few ms."""
MAX_FINGERPRINTS = 32
"""Per m-line; what follows is ignored. One per hash function and certificate is all a peer can mean (RFC 8122 5)."""
MAX_TAG = 999_999_999
"""Nine digits (RFC 4568 9.1)."""
MAX_LIFETIME = 1 << 48
"""SRTP packets one master key may protect (RFC 3711 9.2)."""
MIN_LIFETIME = 1 << 12
"""Packets a peer must let its key protect, else its line is left out: 80 s of 20 ms packets. A call whose keys end
faster than that would do nothing but change them."""
MAX_MKI_LENGTH = 128
"""Octets of a master key identifier (RFC 4568 6.1)."""
MAX_KEY_TEXT = 128
"""Base64 of the longest key and salt (46 octets) is 64 characters."""
TLS_ID_LENGTHS = range(20, 256)
"""Characters of `a=tls-id` (RFC 8842 4); what is shorter or longer says nothing."""
MIN_WINDOW, MAX_WINDOW = 64, 32768
"""Replay window sizes a peer may hint at (RFC 4568 6.3.6: at least 64); ours is fixed and not smaller than 64."""

DIGEST_LENGTHS = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
"""Hash functions a fingerprint is believed for, with octets. SHA-1 and MD5 can be forged (RFC 8122 5.1)."""

REFUSED_PARAMETERS = {
    "UNENCRYPTED_SRTP": Code.SUITE_UNENCRYPTED_SRTP,
    "UNENCRYPTED_SRTCP": Code.SUITE_UNENCRYPTED_SRTCP,
    "UNAUTHENTICATED_SRTP": Code.SUITE_UNAUTHENTICATED_SRTP,
    "UNAUTHENTICATED_SRTCP": Code.SUITE_UNAUTHENTICATED_SRTP,
}
"""Session parameters that switch protection off (RFC 4568 6.3.2, 6.3.3), and their codes; the last is none of the RFC's
and says the same."""

ALIASES = {"AES_CM_256_": "AES_256_CM_", "AES_CM_192_": "AES_192_CM_"}
"""Spellings older than RFC 6188, with the RFC's."""


def canonical_suite(name: str) -> str:
    """The RFC 6188 spelling of a suite name; other names are returned as they are."""
    for alias, real in ALIASES.items():
        if name.startswith(alias):
            return real + name.removeprefix(alias)
    return name


@dataclass(frozen=True, slots=True)
class Mki:
    """What the packets call the key they are under (RFC 3711 3.1): a number in so many octets."""

    value: int
    length: int

    @property
    def octets(self) -> bytes:
        """As it stands in the packets."""
        return self.value.to_bytes(self.length)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `value:length` (RFC 4568 6.1).

        Raises:
            CryptoError: malformed, longer than 128 octets, or a value that is longer than that.
        """
        value_text, _, length_text = text.partition(":")
        length = optional_uint(length_text, MAX_MKI_LENGTH)
        value = optional_uint(value_text, (1 << 8 * length) - 1) if length else None
        if not length or value is None:
            raise CryptoError("crypto line has a malformed key identifier", Code.KEY_MKI)
        return cls(value, length)

    def __str__(self) -> str:
        return f"{self.value}:{self.length}"


class CryptoError(SdpError):
    """A crypto line that cannot be used, and the code that says why; malformed ones are `media.keying_unknown`."""

    def __init__(self, why: str, code: Code = Code.MEDIA_KEYING_UNKNOWN) -> None:
        super().__init__(why, 488)
        self.code = code


@dataclass(frozen=True, slots=True)
class CryptoAttribute:
    """One usable `a=crypto` line (RFC 4568 9.1): the suite is known, the key has its length, nothing weakens it."""

    tag: int
    suite: str
    key: Secret[bytes]
    """Master key followed by master salt."""
    lifetime: int | None = None
    """Packets the peer lets this key protect; None: the suite's own limit."""
    parameters: tuple[str, ...] = field(default=(), compare=False)
    """Session parameters that need nothing of us (WSH)."""
    mki: Mki | None = None
    """What the packets under this key call it; None: they do not name it."""
    spelled: str = field(default="", compare=False)
    """How the peer writes the suite where that is not its name: the answer must repeat it (RFC 4568 5.1.2)."""

    @property
    def crypto_suite(self) -> CryptoSuite:
        """The suite's entry in the one table.

        Raises:
            SdpError: made by hand with a name that is not in the table.
        """
        return _suite(self.suite)

    @classmethod
    def parse(cls, value: str) -> Self:
        """Read the value of an `a=crypto` attribute.

        Raises:
            CryptoError: malformed, unknown suite, wrong key length, more keys than one, a lifetime too short to keep a
                call, or any session parameter but WSH.
        """
        fields = [f for f in value.split(" ") if f]
        if len(fields) < 3:
            raise CryptoError("crypto line has fewer than three fields")
        tag_text, name, key_text, *parameters = fields
        tag = optional_uint(tag_text, MAX_TAG)
        if tag is None:
            raise CryptoError("crypto tag is not a number")
        suite = _suite(canonical_suite(name))
        _check_parameters(parameters)
        key, lifetime, mki = _parse_inline(key_text, suite)
        spelled = "" if name == suite.name else name
        return cls(tag, suite.name, key, lifetime, tuple(parameters), mki, spelled)

    def with_key(self, key: Secret[bytes]) -> CryptoAttribute:
        """The same tag and suite with another key: the line that answers this one (RFC 4568 5.1.2).

        Each side says how its own packets name their key. Who names it has it named back, in as many octets: many
        devices have one setting for both ways.
        """
        return replace(self, key=key, lifetime=None, parameters=(), mki=Mki(1, self.mki.length) if self.mki else None)

    def same_master_key(self, other: CryptoAttribute) -> bool:
        """True when the master keys are equal, whatever the salts: one key used twice (RFC 4568 7)."""
        ours, theirs = self.key.reveal(), other.key.reveal()
        return ours[: self.crypto_suite.key_length] == theirs[: other.crypto_suite.key_length]

    def to_line(self) -> str:
        """The attribute's value for the wire, key included; the `a=crypto:` before it is `build`'s."""
        encoded = base64.b64encode(self.key.reveal()).decode("ascii")
        lifetime = f"|{self.lifetime}" if self.lifetime is not None else ""
        mki = f"|{self.mki}" if self.mki is not None else ""
        return f"{self.tag} {self.spelled or self.suite} inline:{encoded}{lifetime}{mki}"

    def __str__(self) -> str:
        return f"{self.tag} {self.suite} inline:***"


def _suite(name: str) -> CryptoSuite:
    if name in BY_NAME:
        return BY_NAME[name]
    if "NULL" in name or name.startswith("F8_"):
        raise CryptoError("crypto suite does not encrypt well enough", Code.SUITE_NULL)
    if name.endswith("_SHA1_32"):
        raise CryptoError("crypto suite has a short tag", Code.SUITE_WEAK_TAG)
    raise CryptoError("crypto suite is not supported", Code.SUITE_UNKNOWN)


def _check_parameters(parameters: Iterable[str]) -> None:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if (weak := REFUSED_PARAMETERS.get(name.lstrip("-").upper())) is not None:
            raise CryptoError("crypto line switches protection off", weak)
        window = optional_uint(value, MAX_WINDOW) if name.upper() == "WSH" else None
        if window is None or window < MIN_WINDOW:
            raise CryptoError("crypto line has an unsupported session parameter", Code.KEY_PARAMETER_UNKNOWN)


def _parse_inline(text: str, suite: CryptoSuite) -> tuple[Secret[bytes], int | None, Mki | None]:
    """`inline:key[|lifetime][|MKI]`. A `;` begins a second key, of which the packets would tell: none is carried."""
    method, colon, rest = text.partition(":")
    if method.lower() != "inline" or not colon:
        raise CryptoError("crypto line needs an inline key")
    if ";" in rest:
        raise CryptoError("crypto line has more keys than one", Code.KEY_MKI)
    key_text, *more = rest.split("|")
    mki = Mki.parse(more.pop()) if more and ":" in more[-1] else None
    if len(more) > 1:
        raise CryptoError("crypto line has more parts than a key, a lifetime and an identifier")
    return _decode_key(key_text, suite), _parse_lifetime(more[0]) if more else None, mki


def _decode_key(text: str, suite: CryptoSuite) -> Secret[bytes]:
    bare = text.rstrip("=")
    padded = len(bare) != len(text)
    if len(text) > MAX_KEY_TEXT or (padded and (len(text) % 4 or len(text) - len(bare) > 2)):
        raise CryptoError("crypto key is not base64")
    try:
        key = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise CryptoError("crypto key is not base64") from None
    if len(key) != suite.master_length:
        raise CryptoError("crypto key has the wrong length for its suite")
    return Secret(key)


def _parse_lifetime(text: str) -> int:
    """`2^n` or a decimal count of packets (RFC 4568 6.1)."""
    base, caret, exponent_text = text.partition("^")
    try:
        if caret and base != "2":
            raise CryptoError("crypto lifetime is malformed")
        lifetime = 1 << parse_uint(exponent_text, 48) if caret else parse_uint(text, MAX_LIFETIME)
    except SdpError:
        raise CryptoError("crypto lifetime is malformed") from None
    if lifetime == 0:
        raise CryptoError("crypto lifetime is zero")
    if lifetime < MIN_LIFETIME:
        raise CryptoError("crypto lifetime is too short for a call", Code.KEY_LIFETIME)
    return lifetime


@dataclass(frozen=True, slots=True)
class CryptoLines:
    """All crypto lines of one m-line, judged."""

    usable: tuple[CryptoAttribute, ...]
    """In the order offered."""
    problems: tuple[Code, ...]
    """Codes of the lines left out, each once."""
    count: int
    """Lines there were, usable or not: with none usable, the peer still means SRTP."""


def read_crypto_lines(values: list[str]) -> CryptoLines:
    """Judge each line by itself: a bad one never spoils its neighbours (RFC 4568 5.1.1).

    A tag used twice is ambiguous in the answer, so only its first line counts.
    """
    usable: dict[int, CryptoAttribute] = {}
    problems: dict[Code, None] = {}
    for value in values[:MAX_CRYPTO_LINES]:
        try:
            line = CryptoAttribute.parse(value)
        except CryptoError as error:
            problems[error.code] = None
            continue
        if usable.setdefault(line.tag, line) is not line:
            problems[Code.MEDIA_KEYING_UNKNOWN] = None
    return CryptoLines(tuple(usable.values()), tuple(problems), len(values))


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Hash of a certificate (RFC 8122 5)."""

    algorithm: str
    """Lower case."""
    digest: bytes

    @property
    def usable(self) -> bool:
        """True when the hash function is one that a certificate may be believed by."""
        return DIGEST_LENGTHS.get(self.algorithm) == len(self.digest)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `sha-256 AB:CD:...`, in either case.

        Raises:
            SdpError: malformed, or a known hash function with a digest of another length.
        """
        algorithm, _, digest_text = text.strip(" ").partition(" ")
        pairs = digest_text.strip(" ").split(":")
        if any(len(pair) != 2 or not pair.isascii() for pair in pairs) or not algorithm:
            raise SdpError("fingerprint is malformed", 400)
        try:
            digest = binascii.unhexlify("".join(pairs))
        except (binascii.Error, ValueError):
            raise SdpError("fingerprint is malformed", 400) from None
        if DIGEST_LENGTHS.get(algorithm.lower(), len(digest)) != len(digest):
            raise SdpError("fingerprint has the wrong length", 400)
        return cls(algorithm.lower(), digest)

    def __str__(self) -> str:
        return f"{self.algorithm} {self.digest.hex(':').upper()}"


def read_fingerprints(values: list[str]) -> tuple[Fingerprint, ...]:
    """Every well-formed fingerprint once, unknown hash functions included; malformed ones are left out."""
    found: dict[Fingerprint, None] = {}
    for value in values[:MAX_FINGERPRINTS]:
        try:
            found[Fingerprint.parse(value)] = None
        except SdpError:
            continue
    return tuple(found)


def read_tls_id(text: str | None) -> str:
    """The name of a DTLS association (RFC 8842 4); "" where there is none, or one that is malformed."""
    named = text or ""
    if len(named) not in TLS_ID_LENGTHS or not named.isascii():
        return ""
    return named if all(c.isalnum() or c in "+/-_" for c in named) else ""
