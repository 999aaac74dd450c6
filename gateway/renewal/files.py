"""Files of certificates that are in use, and what becomes of them when they change: taken as a whole, or not at all."""

from __future__ import annotations

import datetime
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.base.errors import ConfigError
from gateway.config.certificates import Finding, KeyPair, check_ca, check_pair, expiries

Stamp = tuple[tuple[int, int, int] | None, ...]
"""Of each file its time, size and number on the disk: another one means that somebody wrote it. None: there is none."""


@dataclass(frozen=True)
class Watched:
    """Files that make one TLS context."""

    key: str
    """The section of the configuration that names them, for example `listen.web`."""
    pair: KeyPair | None
    ca: tuple[str, Path] | None
    """The key that names a file of authorities, and the file."""
    make: Callable[[], ssl.SSLContext | None]
    """Reads the files; it is called in a thread."""
    use: Callable[[ssl.SSLContext], None]
    """Has new connections use it; those there are keep what they began with."""

    @property
    def files(self) -> tuple[Path, ...]:
        pair = (self.pair.certificate, self.pair.key) if self.pair is not None else ()
        return (*pair, *((self.ca[1],) if self.ca is not None else ()))

    def stamp(self) -> Stamp:
        """How the files are now."""
        return tuple(_stamp(path) for path in self.files)

    def load(self, now: datetime.datetime) -> ssl.SSLContext | None:
        """What the files make.

        Raises:
            ConfigError: they are broken, do not belong together, or are not valid now; with file, key and remedy.
        """
        findings = [*check_pair(self.pair, now)] if self.pair is not None else []
        findings += check_ca(*self.ca) if self.ca is not None else []
        wrong = next((finding for finding in findings if not finding.warning), None)
        if wrong is not None:
            raise ConfigError(
                wrong.message, file=str(self._file(wrong)), key=f"{self.key}.{wrong.key}", remedy=wrong.remedy
            )
        return self.make()

    def is_as(self, other: Watched | None) -> bool:
        """Whether the same files make the same context."""
        return other is not None and (self.key, self.pair, self.ca) == (other.key, other.pair, other.ca)

    def ends(self) -> list[tuple[str, Path, float]]:
        """Key, file and end of each file whose certificates end, in seconds since 1970: the chain with its first one,
        authorities with the last. A file that cannot be read is left out.
        """
        found = []
        if self.pair is not None:
            found.append((f"{self.key}.certificate", self.pair.certificate, min))
        if self.ca is not None:
            found.append((f"{self.key}.{self.ca[0]}", self.ca[1], max))
        return [(key, path, choose(ends).timestamp()) for key, path, choose in found if (ends := expiries(path))]

    def _file(self, finding: Finding) -> Path:
        if self.ca is not None and finding.key == self.ca[0]:
            return self.ca[1]
        if self.pair is None:
            raise ValueError(finding.key)
        return self.pair.key if finding.key == "key" else self.pair.certificate


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
