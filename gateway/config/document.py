"""One configuration file, typed: YAML tree -> frozen model, every mistake told with file, line, key and remedy.

`${NAME}` in a value is replaced from the environment, `file:PATH` stands for a secret kept in a file, and relative
paths are relative to the file that names them. What came from the environment or a secret file is never repeated
in an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Environment
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from gateway.base.errors import ConfigError, ConfigErrors
from gateway.config.explain import explain
from gateway.config.scalars import Model
from gateway.config.yaml import Location, Mapping, Node, Scalar, dotted, known_part, lines, read_yaml

MAX_SECRET_BYTES = 64 << 10
"""A secret file above 64 KB is not a password."""

MIN_HIDDEN = 4
"""Hiding shorter values (a port, a flag) would garble messages; messages name no values in the first place."""

M = TypeVar("M", bound=Model)

_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")


@dataclass(frozen=True)
class Document(Generic[M]):
    """A file that was read and typed; it makes errors that point into itself."""

    model: M
    path: Path
    root: Node

    def error(self, location: Location, message: str, remedy: str = "") -> ConfigError:
        """A mistake at a key; the line is that of the longest part of the location that stands in the file."""
        return _located(self.path, self.root, location, message, remedy)

    def place(self, error: ConfigError) -> ConfigError:
        """The same mistake with the file and line of its key; one that has a file is left as it is."""
        if error.file:
            return error
        line = next((line for key, line in lines(self.root) if key == error.key), 0)
        return ConfigError(error.message, file=str(self.path), line=line, key=error.key, remedy=error.remedy)


class FileResolver:
    """The meaning of paths and secrets in one file (`scalars.Resolver`)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.revealed: set[str] = set()

    def path(self, text: str) -> Path:
        if not text or not text.isprintable():
            raise ValueError("expected the path of a file")
        return self._directory / text

    def secret(self, text: str) -> str:
        value = self._read(self.path(text.removeprefix("file:"))) if text.startswith("file:") else text
        if not value:
            raise ValueError("the secret is empty")
        self.revealed.add(value)
        return value

    def _read(self, path: Path) -> str:
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_SECRET_BYTES + 1)
            if len(data) > MAX_SECRET_BYTES:
                raise ValueError(f"the secret file {path} is larger than {MAX_SECRET_BYTES} bytes")
            return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except OSError as error:
            raise ValueError(f"the secret file {path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ValueError(f"the secret file {path} is not UTF-8 text") from None


def read_document(path: Path, model: type[M], environ: Environment[str, str]) -> Document[M]:
    """Read and type one file. Raises ConfigErrors with every mistake in it."""
    root = read_yaml(path)
    filler = _Filler(path, root, environ)
    plain = filler.plain(root, ())
    resolver = FileResolver(path.parent)
    errors = filler.errors
    try:
        typed = model.model_validate(plain, context=resolver)
    except ValidationError as error:
        hidden = filler.revealed | resolver.revealed
        broken = {e.key for e in errors}
        told = (
            _located(path, root, p.location, _hide(p.message, hidden), p.remedy) for p in explain(error, model, root)
        )
        errors += [e for e in told if e.key not in broken]
    if errors:
        raise ConfigErrors(errors)
    return Document(typed, path, root)


def filled(path: Path, scalar: Scalar, location: Location, environ: Environment[str, str]) -> str:
    """The text of one key of a file of which nothing else is looked at, `${NAME}` replaced. Raises ConfigErrors."""
    filler = _Filler(path, scalar, environ)
    text = str(filler.plain(scalar, location))
    if filler.errors:
        raise ConfigErrors(filler.errors)
    return text


def _located(path: Path, root: Node, location: Location, message: str, remedy: str) -> ConfigError:
    _, line = known_part(root, location)
    return ConfigError(message, file=str(path), line=line, key=dotted(location), remedy=remedy)


def _hide(message: str, secrets: set[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= MIN_HIDDEN:
            message = message.replace(secret, "***")
    return message


class _Filler:
    """Turns the tree into plain values with `${NAME}` replaced; remembers what must not be printed."""

    def __init__(self, path: Path, root: Node, environ: Environment[str, str]) -> None:
        self._path, self._root, self._environ = path, root, environ
        self.revealed: set[str] = set()
        self.errors: list[ConfigError] = []

    def plain(self, node: Node, location: Location) -> object:
        if isinstance(node, Scalar):
            return self._fill(node.text, location)
        if isinstance(node, Mapping):
            return {key: self.plain(value, (*location, key)) for key, value in node.entries.items()}
        return [self.plain(item, (*location, index)) for index, item in enumerate(node.items)]

    def _fill(self, text: str, location: Location) -> str:
        return _VARIABLE.sub(lambda found: self._value(found, location), text)

    def _value(self, found: re.Match[str], location: Location) -> str:
        if found[0] == "$${":
            return "${"
        name = found[1]
        if name is None:
            self._fail(location, "${ without a NAME and }", "write ${NAME}, or $${ for the characters themselves")
        elif name not in self._environ:
            self._fail(location, f"the environment variable {name} is not set", f"set {name} before the start")
        else:
            self.revealed.add(self._environ[name])
            return self._environ[name]
        return ""

    def _fail(self, location: Location, message: str, remedy: str) -> None:
        self.errors.append(_located(self._path, self._root, location, message, remedy))
