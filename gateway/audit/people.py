"""The table of who is who in the log: written before the first record that calls somebody so, and made to forget.

    people.keys           keys by month, one JSON object a line: for pseudonyms (`hmac`), for the tables (`names`)
    people-2030-01.jsonl  pseudonyms of a month, each with the name under AES-256-GCM

Forgetting somebody rewrites the tables without them and drops every key for pseudonyms, so nobody can tell whose a
pseudonym was by trying names. The gateway notices within its next record and goes on with a new key.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.audit.clean import Cleaned
from gateway.audit.pseudonym import hidden, is_pseudonym, pseudonym
from gateway.base.errors import ConfigError

KEYS_NAME, LOCK_NAME = "people.keys", "people.lock"

MAX_OCTETS = 256 * 1024**2
"""Of one table: some two million people a month. Of a longer one the end is not read."""

MAX_REMEMBERED = 200_000
"""People remembered as written; beyond that somebody may stand in the table twice."""

_KEY_OCTETS, _NONCE_OCTETS = 32, 12
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_MODE = 0o600

Entry = tuple[str, bytes]
"""A line, and the name of the file it belongs into."""


@dataclass(slots=True)
class _Month:
    """The keys of a month, and who has been met in it."""

    name: str
    hmac: bytes
    names: bytes
    known: dict[str, str] = field(default_factory=dict)

    @property
    def key_line(self) -> bytes:
        return _line({"month": self.name, "hmac": self.hmac.hex(), "names": self.names.hex()})


class People:
    """Calls people by pseudonyms, and says what must be in the tables before a record that does.

    Args:
        token: makes so many random octets.
    """

    def __init__(self, directory: Path, token: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._directory, self._token = directory, token
        self._month: _Month | None = None
        self._new: list[Entry] = []

    def open(self) -> None:
        """Go on with the newest key; raises OSError."""
        with _locked(self._directory):
            for stored in _objects(self._directory / KEYS_NAME):
                keys = _octets(stored.get("hmac")), _octets(stored.get("names"))
                if all(keys):
                    self._month = _Month(str(stored.get("month")), *keys)

    def hide(self, record: Cleaned, ts: str) -> tuple[Cleaned, tuple[Entry, ...]]:
        """The record of this time without names, and what the tables must have before it is written."""
        month = self._of(ts[: len("2030-01")])
        found = hidden(record, lambda name: self._called(month, name))
        new, self._new = tuple(self._new), []
        return found, new

    def called(self, name: str, month: str) -> str:
        """What somebody is called in the log in this month, or a later one that has begun.

        Nothing is written down: who it is the tables tell if a record has called somebody so. Peers make up names.
        """
        if self._month is None or self._month.name < month:
            self._month = self._of(month)
        return self._month.known.get(name) or (name if is_pseudonym(name) else pseudonym(self._month.hmac, name))

    def forget(self) -> None:
        """Somebody was forgotten: what is remembered is not used any more."""
        self._month = None

    def _of(self, name: str) -> _Month:
        if self._month is None or self._month.name != name:
            self._month = _Month(name, self._token(_KEY_OCTETS), self._token(_KEY_OCTETS))
            self._new.append((KEYS_NAME, self._month.key_line))
        return self._month

    def _called(self, month: _Month, name: str) -> str:
        if is_pseudonym(name):
            return name
        found = month.known.get(name)
        if found is None:
            found = pseudonym(month.hmac, name)
            self._new.append((f"people-{month.name}.jsonl", self._entry(month, found, name)))
            if len(month.known) < MAX_REMEMBERED:
                month.known[name] = found
        return found

    def _entry(self, month: _Month, called: str, name: str) -> bytes:
        nonce = self._token(_NONCE_OCTETS)
        sealed = nonce + AESGCM(month.names).encrypt(nonce, name.encode("utf-8"), called.encode("ascii"))
        return _line({"p": called, "name": base64.b64encode(sealed).decode("ascii")})


class Tables:
    """Appends to the tables. Used by one thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._identity = self._keys_identity()

    def append(self, entries: Sequence[Entry]) -> None:
        """Have these lines in the tables; raises OSError."""
        if not entries:
            return
        with _locked(self._directory):
            for name, line in entries:
                fd = os.open(self._directory / name, _FLAGS, _MODE)
                try:
                    if os.write(fd, b"\n" + line) != len(line) + 1:  # what is before may be torn
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                finally:
                    os.close(fd)
        if self._identity is None:
            self._identity = self._keys_identity()

    def were_rewritten(self) -> bool:
        """True once after somebody was forgotten."""
        found = self._keys_identity()
        if found == self._identity:
            return False
        before, self._identity = self._identity, found
        return before is not None

    def _keys_identity(self) -> int | None:
        try:
            return os.stat(self._directory / KEYS_NAME).st_ino
        except OSError:
            return None


def names_in(directory: Path) -> dict[bytes, bytes]:
    """Who is who, as far as that is still known: JSON texts by pseudonym. What cannot be read is unknown."""
    found: dict[bytes, bytes] = {}
    with contextlib.suppress(OSError):
        keys = _table_keys(directory)
        for path in sorted(directory.glob("people-*.jsonl")):
            month = path.name.removeprefix("people-").removesuffix(".jsonl")
            for stored in _objects(path):
                name = _opened(stored, keys.get(month, ()))
                if name is not None:
                    found[str(stored["p"]).encode("ascii", errors="replace")] = json.dumps(name).encode("ascii")
    return found


def erase(directory: Path, who: str) -> tuple[str, ...]:
    """Forget somebody: by name, whatever the case of its letters, or by pseudonym. Says which pseudonyms that were.

    Raises:
        ConfigError: the tables cannot be rewritten; then they are as they were.
    """
    try:
        with _locked(directory):
            keys, gone = _table_keys(directory), list[str]()
            for path in sorted(directory.glob("people-*.jsonl")):
                month = path.name.removeprefix("people-").removesuffix(".jsonl")
                stored = list(_objects(path))
                names = [(_opened(entry, keys.get(month, ())) or "").lower() for entry in stored]
                called = {str(e.get("p")) for e, name in zip(stored, names, strict=True) if name == who.lower()}
                called |= {who} if any(entry.get("p") == who for entry in stored) else set()
                if called:
                    _replace(path, [_line(entry) for entry in stored if entry.get("p") not in called])
                    gone += sorted(called)
            if gone:
                path = directory / KEYS_NAME
                _replace(path, [_line({k: v for k, v in e.items() if k != "hmac"}) for e in _objects(path)])
            return tuple(gone)
    except OSError as error:
        raise ConfigError(f"nobody was forgotten: {error.strerror}", file=str(directory)) from None


def forget_before(directory: Path, ts: str) -> None:
    """Remove the tables of months that were over at this time: no record is left that they could name."""
    month = ts[: len("2030-01")]
    for path in directory.glob("people-*.jsonl"):
        if path.name.removeprefix("people-").removesuffix(".jsonl") < month:
            path.unlink(missing_ok=True)


def _table_keys(directory: Path) -> dict[str, tuple[bytes, ...]]:
    found: dict[str, tuple[bytes, ...]] = {}
    for stored in _objects(directory / KEYS_NAME):
        key = _octets(stored.get("names"))
        if key:
            month = str(stored.get("month"))
            found[month] = (*found.get(month, ()), key)
    return found


def _opened(stored: Mapping[str, object], keys: Sequence[bytes]) -> str | None:
    """The name in an entry of a table, None without its key."""
    called, sealed = str(stored.get("p")), stored.get("name")
    if not isinstance(sealed, str):
        return None
    for key in keys:
        with contextlib.suppress(InvalidTag, ValueError):
            octets = base64.b64decode(sealed, validate=True)
            plain = AESGCM(key).decrypt(octets[:_NONCE_OCTETS], octets[_NONCE_OCTETS:], called.encode("utf-8"))
            return plain.decode("utf-8", errors="replace")
    return None


def _objects(path: Path) -> Iterator[dict[str, object]]:
    """The objects in a file, one a line; what is none is passed over, a missing file has none."""
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_OCTETS)
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            found = json.loads(line) if line else None
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found


def _replace(path: Path, lines: Sequence[bytes]) -> None:
    """Another file in place of this one, whole or not at all."""
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    with open(os.open(beside, _FLAGS | os.O_EXCL, _MODE), "wb") as handle:
        _give_to(handle.fileno(), path)
        handle.write(b"".join(lines))
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(beside, path)


def _give_to(fd: int, like: Path) -> None:
    """The file belongs to whom that one belongs to: root may have asked, and the gateway is to go on writing."""
    owner, mine = like.stat(), os.fstat(fd)
    if os.geteuid() == 0 and (owner.st_uid, owner.st_gid) != (mine.st_uid, mine.st_gid):
        os.fchown(fd, owner.st_uid, owner.st_gid)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Alone with the tables: the gateway and the command line both write them."""
    fd = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
    try:
        _give_to(fd, directory)
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _line(stored: Mapping[str, object]) -> bytes:
    return json.dumps(stored, separators=(",", ":")).encode("ascii") + b"\n"


def _octets(text: object) -> bytes:
    try:
        return bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        return b""
