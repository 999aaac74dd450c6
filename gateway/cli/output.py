"""What the commands print: results to standard output, mistakes to standard error, colour only on a terminal."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from gateway.base.errors import ConfigError, ConfigErrors, GatewayError


def show(line: Text | str) -> None:
    """One line of a result; never wrapped, markup in it means nothing."""
    Console(highlight=False).print(Text(line) if isinstance(line, str) else line, soft_wrap=True)


def warn(message: str) -> None:
    """Something that is allowed but probably not meant."""
    _standard_error(Text.assemble(("warning: ", "yellow"), message))


def tell(error: ConfigError) -> None:
    """Every mistake with its place and its remedy."""
    found = error.errors if isinstance(error, ConfigErrors) else (error,)
    for mistake in found:
        _standard_error(Text.assemble(("error: ", "bold red"), str(mistake)))
    if len(found) > 1:
        _standard_error(Text(f"{len(found)} mistakes"))


def _standard_error(text: Text) -> None:
    Console(stderr=True, highlight=False).print(text, soft_wrap=True)


class ExitError(GatewayError):
    """What a command could not do, with the exit code that says which kind of failure it was."""

    def __init__(self, why: str, exit_code: int) -> None:
        super().__init__(why)
        self.exit_code = exit_code


class Commands(click.Group):
    """A group whose commands may raise our errors: they are told, a mistake of the user's with exit code 2."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            tell(error)
            ctx.exit(2)
        except GatewayError as error:
            _standard_error(Text.assemble(("error: ", "bold red"), str(error)))
            ctx.exit(error.exit_code if isinstance(error, ExitError) else 1)


class FilePath(click.Path):
    """A path as an argument; whether it can be read is told by who reads it."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, readable=False)
