"""People in the log go by pseudonyms, so that one can be forgotten without a line being touched. PURE.

A pseudonym is `p-` and 64 bits of HMAC-SHA-256 of the name under a key that is another each month. Whose it is stands
in a table beside the log (`people`), encrypted; the log itself never has the name.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping

from gateway.audit.clean import Cleaned

FIELDS = ("user", "from", "to", "dialled", "target", "claimed")
"""Names of records under which people stand."""

LISTS = ("users",)
"""The same with several."""

PSEUDONYM = re.compile(r"p-[0-9a-f]{16}")
_IN_A_LINE = re.compile(rb'"(p-[0-9a-f]{16})"')


def pseudonym(key: bytes, name: str) -> str:
    """What somebody is called in the log while this key is in use."""
    return f"p-{hmac.digest(key, name.encode('utf-8', errors='replace'), 'sha256')[:8].hex()}"


def is_pseudonym(text: str) -> bool:
    """Whether that is one already, as in a record made of older ones."""
    return PSEUDONYM.fullmatch(text) is not None


def hidden(record: Cleaned, called: Callable[[str], str]) -> Cleaned:
    """The record, which is harmless already, with everybody in it called otherwise."""
    found = Cleaned(record)
    for field in FIELDS:
        value = found.get(field)
        if isinstance(value, str) and value:
            found[field] = called(value)
    for field in LISTS:
        several = found.get(field)
        if isinstance(several, list):
            found[field] = [called(value) if isinstance(value, str) and value else value for value in several]
    return found


def restored(line: bytes, names: Mapping[bytes, bytes]) -> bytes:
    """A line with the names of those who are still known.

    Args:
        names: JSON texts (with their quotes) by pseudonym.
    """
    if not names or b'"p-' not in line:
        return line
    return _IN_A_LINE.sub(lambda found: names.get(found[1], found[0]), line)
