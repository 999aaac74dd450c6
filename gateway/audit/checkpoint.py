"""Signed checkpoints: what the log was at a moment, so that who keeps one finds what was rewritten or cut off. PURE.

A checkpoint says: the record with the number `size` had the hash `head`, and all before it hang on that by the chain.
It is a record of the log (`log.checkpoint`), stands for itself, and is signed with Ed25519 (RFC 8032) over the
canonical JSON of the five names of `SIGNED`. Each names the hash of the checkpoint record before.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.audit.chain import GENESIS

TYPE = "log.checkpoint"
"""The type of the record."""

SIGNED = ("head", "log_id", "prev_checkpoint", "size", "ts")
"""What is signed: sorted names, in compact JSON."""

Record = Mapping[str, object]

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode


@dataclass(frozen=True, slots=True)
class State:
    """How far a log is."""

    size: int = 0
    """Number of the newest record in the file."""
    head: str = GENESIS
    """Its hash."""
    prev_checkpoint: str = GENESIS
    """Hash of the newest checkpoint record."""


def log_id_of(key: Ed25519PublicKey) -> str:
    """What a log is called in its checkpoints: the SHA-256 of its public key (32 octets, RFC 8032)."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


class Signer:
    """Makes checkpoints with the key of one log."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.log_id = log_id_of(key.public_key())

    def complete(self, draft: bytes, ts: str, state: State) -> bytes:
        """The draft of a checkpoint record, which has its time only, with all it says of the log and its signature."""
        stated = {"head": state.head, "log_id": self.log_id, "prev_checkpoint": state.prev_checkpoint}
        content = {**stated, "size": state.size, "ts": ts}
        signature = self._key.sign(_encode(content).encode("ascii"))
        del content["ts"]  # the envelope of the record has it
        content["signature"] = base64.b64encode(signature).decode("ascii")
        return b"%b,%b" % (draft, _encode(content)[1:-1].encode("ascii"))


def signed_text(record: Record) -> bytes:
    """What the signature of a checkpoint record is over."""
    return _encode({name: record.get(name) for name in SIGNED}).encode("ascii")


def is_genuine(record: Record, key: Ed25519PublicKey) -> bool:
    """Whether a checkpoint, wherever it was kept, was signed with the key of its log."""
    signature = record.get("signature")
    if record.get("log_id") != log_id_of(key) or not isinstance(signature, str):
        return False
    try:
        key.verify(base64.b64decode(signature, validate=True), signed_text(record))
    except (InvalidSignature, ValueError):
        return False
    return True
