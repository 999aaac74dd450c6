"""Units of size. PURE."""

MEBIBYTE = 1 << 20
"""Octets."""
