"""Tokens of SIP (tags, branches, Call-IDs, nonces) from the operating system's randomness."""

from __future__ import annotations

import secrets

TOKEN_ALPHABET = b"abcdefghijklmnopqrstuvwxyz0123456789"
_FAIR = 256 - 256 % len(TOKEN_ALPHABET)
"""Octets below fall on each character equally often; the others are thrown away."""
_TO_TOKEN = bytes(TOKEN_ALPHABET[octet % len(TOKEN_ALPHABET)] for octet in range(256))
_UNFAIR = bytes(range(_FAIR, 256))


def random_token(length: int) -> str:
    """A token from the operating system's randomness (a `TokenSource`)."""
    found = ""
    while len(found) < length:
        found += secrets.token_bytes(2 * length).translate(_TO_TOKEN, _UNFAIR).decode()
    return found[:length]
