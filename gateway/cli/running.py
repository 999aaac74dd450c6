"""The commands that ask a running gateway: what it knows of trunks, users and calls, and what is said in a call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from gateway.admin.lines import Ask
from gateway.base.errors import ConfigError, ConfigErrors
from gateway.cli import tables
from gateway.cli.asking import ask, find_socket
from gateway.cli.ladder import Ladder
from gateway.cli.output import Commands, ExitError, FilePath, show, warn
from gateway.media.relay_facts import DRAIN_SECONDS, MAX_DRAIN_SECONDS

COLUMNS = {
    Ask.TRUNKS: tables.TRUNKS,
    Ask.USERS: tables.USERS,
    Ask.REGISTRATIONS: tables.REGISTRATIONS,
    Ask.CALLS: tables.CALLS,
    Ask.PINS: tables.PINS,
    Ask.WORKERS: tables.WORKERS,
}
NONE = {
    Ask.TRUNKS: "no trunks are configured",
    Ask.USERS: "nobody may sign in",
    Ask.REGISTRATIONS: "nobody is registered",
    Ask.CALLS: "no calls",
    Ask.WORKERS: "no relay worker is there",
    Ask.PINS: "nobody has been seen to encrypt yet",
}
RELIEFS = {
    "relieved": "begins no calls any more: a fresh one does",
    "waits": "goes on until there is a place for a fresh one: another worker drains",
    "vacated": "begins no calls any more; when it is gone, a fresh one has its place",
}
"""What becomes of a worker, in words."""
PLACE = ("file", "line", "key", "remedy")
"""What is told of a mistake besides its message."""
SHORT_HASH = 12
"""Characters of the hash of a configuration that tell it from others."""
WHICH = (
    click.option("-c", "--config", type=FilePath(), help="Of the gateway that runs with this file."),
    click.option("--socket", "socket_path", type=FilePath(), help="Of the gateway with this admin socket."),
    click.option("--json", "as_json", is_flag=True, help="One JSON object in a line, for other programs."),
)
"""Options of every command here; without the first two it is the only gateway of this machine."""


def asks(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say which gateway is asked."""
    for option in reversed(WHICH):
        command = option(command)
    return command


def tell(what: Ask, config: Path | None, socket_path: Path | None, as_json: bool) -> None:
    """Print one table of the running gateway."""
    rows = ask(find_socket(config, socket_path), what)
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    found = list(rows)
    if not found:
        show(NONE[what])
        return
    console = Console(highlight=False)
    console.print(tables.table(COLUMNS[what], found), no_wrap=False)


def _command(what: Ask, words: str) -> click.Command:
    return asks(click.command(what.value, help=words)(partial(tell, what)))  # type: ignore[return-value]


@click.group("pins", cls=Commands, invoke_without_command=True)
@asks
@click.pass_context
def pins(ctx: click.Context, config: Path | None, socket_path: Path | None, as_json: bool) -> None:
    """Show which trunks and users have been seen to encrypt: less is not taken from them any more."""
    if ctx.invoked_subcommand is None:
        tell(Ask.PINS, config, socket_path, as_json)


@pins.command("clear")
@click.argument("peer", metavar="TRUNK|user:NAME")
@asks
def pins_clear(peer: str, config: Path | None, socket_path: Path | None, as_json: bool) -> None:
    """Let a trunk or a user off, until it is seen to encrypt again. The audit log records it."""
    for row in ask(find_socket(config, socket_path), Ask.CLEAR_PIN, peer=peer):
        click.echo(json.dumps(row)) if as_json else show(f"{row.get('peer')} is held to encryption no more")


@click.group("workers", cls=Commands, invoke_without_command=True)
@asks
@click.pass_context
def workers(ctx: click.Context, config: Path | None, socket_path: Path | None, as_json: bool) -> None:
    """Show the relay workers: the processes media flows through, each by the number of its browser port."""
    if ctx.invoked_subcommand is None:
        tell(Ask.WORKERS, config, socket_path, as_json)


@workers.command("drain")
@click.argument("worker", metavar="N|all")
@click.option(
    "--within",
    type=click.FloatRange(0, MAX_DRAIN_SECONDS),
    default=DRAIN_SECONDS,
    show_default=True,
    help="Seconds its calls may go on; those that are left are ended then.",
)
@asks
def workers_drain(worker: str, within: float, config: Path | None, socket_path: Path | None, as_json: bool) -> None:
    """Have a fresh worker begin all calls from now on; N goes when the calls it has are over.

    The fresh one runs the program as it is installed now: after an upgrade, drain all. It needs a port to spare in
    media.browser.ports; without one the other workers begin the calls until N is gone.
    """
    _relieve(worker, within, find_socket(config, socket_path), as_json)


@workers.command("restart")
@click.argument("worker", metavar="N|all")
@asks
def workers_restart(worker: str, config: Path | None, socket_path: Path | None, as_json: bool) -> None:
    """The same at once: the calls N has are ended now, by BYE and as worker-drained."""
    _relieve(worker, 0.0, find_socket(config, socket_path), as_json)


def _relieve(worker: str, seconds: float, path: Path, as_json: bool) -> None:
    for row in ask(path, Ask.RELIEVE, worker=worker, seconds=str(seconds)):
        if as_json:
            click.echo(json.dumps(row))
        else:
            show(f"worker {row.get('worker')} {RELIEFS.get(str(row.get('outcome')), row.get('outcome'))}")


@click.command("trace")
@click.argument("call", metavar="[CALL]", default="")
@click.option(
    "--next", "next_of", metavar="NAME", default="", help="The next call of this trunk or user; * is anybody."
)
@click.option("--full", is_flag=True, help="Print each message too, without its secrets.")
@asks
def trace(call: str, next_of: str, full: bool, config: Path | None, socket_path: Path | None, as_json: bool) -> None:
    """Show the SIP messages of one call as they come, until it ends or Ctrl-C.

    CALL is the id that page and log say (c-81f00d2a), or its beginning. What came before the trace began is not
    there: see `--next`. Keys, passwords, tokens and the digits people type are taken out before anything is kept.
    """
    if bool(call) == bool(next_of):
        raise ConfigError("name one call, or --next with a trunk or a user", remedy="see sip-gateway calls")
    wish = {"call": call} if call else {"next": next_of}
    rows = ask(find_socket(config, socket_path), Ask.TRACE, waits=True, **wish)
    try:
        for line in _json(rows) if as_json else _drawn(rows, full):
            show(line) if isinstance(line, Text) else click.echo(line)
    except KeyboardInterrupt:
        return


def _json(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(row)


def _drawn(rows: Iterator[dict[str, Any]], full: bool) -> Iterator[Text]:
    ladder = Ladder()
    for row in rows:
        event = row.get("event")
        if event == "message":
            yield from ladder.lines(row)
            if full:
                yield Text("\n".join(f"    {line}" for line in str(row.get("text", "")).split("\n")) + "\n", "dim")
        else:
            yield _told(event, row)


def _told(event: object, row: dict[str, Any]) -> Text:
    if event == "waiting":
        return Text("waiting for the call", "dim")
    if event == "dropped":
        return Text(f"{row.get('messages')} messages are missing: they came faster than they were read", "yellow")
    if event == "ended":
        return Text(f"call {row.get('id')} is over: {row.get('reason', 'forgotten')}")
    return Text(
        f"call {row.get('id')} {row.get('from')} -> {row.get('to')} over {row.get('trunk')}, {row.get('state')}"
    )


@click.command("reload")
@asks
def reload(config: Path | None, socket_path: Path | None, as_json: bool) -> None:
    """Have the running gateway load its configuration anew: all of it, or nothing.

    Every mistake is told as `check` does, with exit code 2, and the configuration there was stays in force. Calls there
    are go on under what they began with. What cannot change while the gateway runs is a mistake too, and named.
    """
    mistakes: list[ConfigError] = []
    rows = ask(find_socket(config, socket_path), Ask.RELOAD)
    try:
        for row in rows:
            if as_json:
                click.echo(json.dumps(row))
            if row.get("event") == "mistake":
                mistakes.append(ConfigError(row["message"], **{name: row[name] for name in PLACE}))
            elif not as_json:
                _show_reloaded(row)
    except ExitError:
        if mistakes:
            raise ConfigErrors(mistakes) from None
        raise


def _show_reloaded(row: dict[str, Any]) -> None:
    if row.get("event") == "warning":
        warn(str(row.get("text")))
    elif row.get("event") == "change":
        show(str(row.get("text")))
    else:
        number = row.get("changes", 0)
        what = "nothing has changed" if not number else f"{number} change{'s' if number != 1 else ''}"
        show(f"loaded: {what}, configuration {str(row.get('sha256', ''))[:SHORT_HASH]}")


COMMANDS: tuple[click.Command, ...] = (
    _command(Ask.TRUNKS, "Show the trunks: which of them answer, how they are reached, how many calls go over them."),
    _command(Ask.REGISTRATIONS, "Show where users are signed in: one line for each place that rings."),
    _command(Ask.CALLS, "Show the calls there are, and how well each leg is protected."),
    pins,
    workers,
    trace,
    reload,
)
