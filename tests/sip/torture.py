"""The 49 messages of RFC 4475, octet for octet, out of the notation that RFC writes them in (its section 2).

`<allOneLine>` joins lines, `<hex>` stands for octets, `<repeat count=n>` for n times a text. Each line ends in CRLF.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "vectors" / "sip" / "rfc4475.txt"
_MARK = re.compile(rb"<hex>([0-9A-F]*)</hex>|<repeat count=(\d+)>(.*?)</repeat>")


@dataclass(frozen=True)
class Torture:
    """One message, its name and its section."""

    name: str
    section: str
    data: bytes


def _expand(line: str) -> bytes:
    def octets(match: re.Match[bytes]) -> bytes:
        return match[3] * int(match[2]) if match[2] else bytes.fromhex(match[1].decode())

    return _MARK.sub(octets, line.encode("ascii"))


def _octets(lines: list[str]) -> bytes:
    out: list[bytes] = []
    joined: list[bytes] | None = None
    for line in lines:
        if line == "<allOneLine>":
            joined = []
        elif line == "</allOneLine>":
            out.append(b"".join(joined or []))
            joined = None
        elif joined is not None:
            joined.append(_expand(line))
        else:
            out.append(_expand(line))
    return b"\r\n".join([*out, b""])


def _read() -> dict[str, Torture]:
    found: dict[str, Torture] = {}
    for block in SOURCE.read_text("ascii").split("=== ")[1:]:
        title, *lines = block.removesuffix("\n").split("\n")
        section, name = title.split(" ")
        found[name] = Torture(name, section, _octets(lines))
    return found


TORTURE = _read()
"""By name, in the order of the RFC."""
