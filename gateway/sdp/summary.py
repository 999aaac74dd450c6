"""What a peer's description says of protection, for the audit log: suites and algorithms, never a key. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.sdp.media import RemoteAudio

MAX_NAMES = 8
"""Suites and fingerprints told of; peers send two to six."""


@dataclass(frozen=True, slots=True)
class Described:
    """How a stream is to be sent, and what offers or gives keys to it."""

    proto: str
    direction: str
    suites: tuple[str, ...] = ()
    """Of the usable key lines, in their order."""
    parameters: tuple[str, ...] = ()
    """Session parameters of those (RFC 4568 6.3)."""
    unusable: tuple[str, ...] = ()
    """Codes of the other key lines."""
    fingerprints: tuple[str, ...] = ()
    """Hash algorithms."""
    setup: str = ""

    def as_dict(self) -> dict[str, object]:
        """As it stands in an audit record; what there is not is left out."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items() if value}


def protection(audio: RemoteAudio) -> Described:
    """What a line says of protection."""
    return Described(
        audio.proto.value,
        audio.direction.value,
        tuple(line.suite for line in audio.cryptos[:MAX_NAMES]),
        tuple(sorted({word for line in audio.cryptos for word in line.parameters})[:MAX_NAMES]),
        tuple(sorted({str(code) for code in audio.crypto_problems})),
        tuple(one.algorithm for one in audio.fingerprints[:MAX_NAMES]),
        audio.setup.value if audio.setup is not None else "",
    )


def stream(audio: RemoteAudio) -> str:
    """The stream in three words."""
    return f"audio {audio.proto.value} {audio.direction.value if audio.rtp is not None else 'refused'}"
