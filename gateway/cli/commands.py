"""The commands of `sip-gateway`. Each is a few lines: what it does lives in the module it calls.

Modules that open sockets or need the demo's packages are imported by the command that uses them, so that `check`
and `users` start fast and work where those packages are missing.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from gateway.admin.lines import Ask
from gateway.base.errors import ConfigError, ConfigErrors
from gateway.cli import running
from gateway.cli.audit.commands import audit
from gateway.cli.output import Commands, FilePath, show, tell, warn
from gateway.cli.policy.commands import policy
from gateway.cli.probe_options import Monitor, probe_options
from gateway.config.load import LoadedConfig, load_config, read_config, read_dialplan, read_users
from gateway.probe.result import Status

MAX_PASSWORD_INPUT = 1024
"""Characters read from standard input; a password line is shorter."""

PROGRAM = "sip-gateway"

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=Commands, context_settings=CONTEXT)
@click.version_option(package_name="sip-gateway", prog_name=PROGRAM)
def cli() -> None:
    """SIP-to-WebRTC security gateway: enforces, shows and proves how well every leg of every call is protected."""


def main() -> None:
    """Entry point of the console script."""
    cli(prog_name=PROGRAM)


@cli.command()
@click.option("-c", "--config", "path", type=FilePath(), required=True, help="The gateway file (gateway.yaml).")
def run(path: Path) -> None:
    """Run the gateway until it is told to stop (SIGTERM or Ctrl-C)."""
    loaded = load_config(path)
    from gateway.cli.preflight import preflight
    from gateway.process import main as run_gateway

    def read() -> LoadedConfig:
        """Once more, for the gateway that runs: its own ports are in use, and none of them can change."""
        reading = read_config(path)
        wrong = preflight(reading.gateway.model).wrong if reading.gateway is not None else ()
        return reading.loaded([reading.placed(mistake) for mistake in wrong])

    found = preflight(loaded.config)
    _refuse(loaded, (*found.wrong, *found.busy))
    run_gateway(loaded, read)


@cli.command()
@click.argument("path", metavar="FILE", type=FilePath())
@click.option(
    "--elsewhere", is_flag=True, help="For another machine: do not try addresses, ports and the audit log here."
)
@click.option("--connect", is_flag=True, help="Connect to each TLS target, and tell what its certificate proves.")
def check(path: Path, elsewhere: bool, connect: bool) -> None:
    """Check a configuration and print what each trunk will offer.

    Every mistake is told in one round, with file, line, key and remedy, and the exit code is 2. Names of trunks are
    looked up. A port that is in use is only a warning: the gateway itself may be running. So is a certificate, of ours
    or of a trunk, that ends within 30 days.
    """
    reading = read_config(path)
    from gateway.cli.names import unknown_names
    from gateway.cli.preflight import Findings, preflight
    from gateway.cli.report import report

    found = unknown = Findings((), ())
    if reading.gateway is not None and not elsewhere:
        found, unknown = preflight(reading.gateway.model), unknown_names(reading.gateway.model)
    loaded = reading.loaded([reading.placed(mistake) for mistake in (*found.wrong, *unknown.wrong)])
    for line in report(loaded):
        show(line)
    for mistake in (*found.busy, *unknown.busy):
        warn(str(loaded.placed(mistake)))
    for warning in loaded.warnings:
        warn(warning)
    if connect:
        _connect(loaded)


@cli.command()
@click.option("--directory", type=FilePath(), default="run/demo", show_default=True, help="Where its files are made.")
@click.option("--port", type=click.IntRange(1, 65535), default=8443, show_default=True, help="Port of the page.")
@click.option("--address", default="127.0.0.1", show_default=True, help="Address of the page; another lets others in.")
@click.option(
    "--origin", "origins", multiple=True, help="Origin of a page of your own that may connect; may be repeated."
)
@click.pass_context
def demo(ctx: click.Context, /, directory: Path, port: int, address: str, origins: tuple[str, ...]) -> None:
    """Start a demonstration on this machine: gateway, phones to call and softphone page."""
    from gateway.demo.main import DemoOptions
    from gateway.demo.main import main as run_demo
    from gateway.process import serve

    async def serve_file(path: Path, ready: Callable[[], None]) -> None:
        await serve(load_config(path), ready=ready)

    ctx.exit(run_demo(DemoOptions(directory, port, address, origins), serve_file))


@cli.group(cls=Commands, invoke_without_command=True)
@running.asks
@click.pass_context
def users(ctx: click.Context, config: Path | None, socket_path: Path | None, as_json: bool) -> None:
    """Who may sign in from a browser; without a command, who is signed in at the running gateway."""
    if ctx.invoked_subcommand is None:
        running.tell(Ask.USERS, config, socket_path, as_json)


@users.command("add")
@click.argument("path", metavar="FILE", type=FilePath())
@click.argument("name", metavar="USER")
@click.option("--realm", required=True, help="The gateway's realm, for example pbx.example.com.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
def users_add(path: Path, name: str, realm: str, password_stdin: bool) -> None:
    """Add USER to the users file, or give USER another password.

    The file gets digests of the password, never the password, and is made with mode 0600.
    """
    from gateway.cli import users as store

    store.check_name(name)
    known = store.UserStore.load(path)
    changed, before = name in known.users, known.users.get(name)
    known.users[name] = store.make_user(name, store.check_realm(realm), _password(password_stdin), before)
    known.save()
    show(f"{'changed' if changed else 'added'} {name} in {path}")


@users.command("remove")
@click.argument("path", metavar="FILE", type=FilePath())
@click.argument("name", metavar="USER")
def users_remove(path: Path, name: str) -> None:
    """Remove USER from the users file."""
    from gateway.cli import users as store

    known = store.UserStore.load(path)
    if name not in known.users:
        raise ConfigError(f"there is no user {name!r}", file=str(path), remedy="see sip-gateway users list")
    del known.users[name]
    known.save()
    show(f"removed {name} from {path}")


@users.command("list")
@click.argument("path", metavar="FILE", type=FilePath())
def users_list(path: Path) -> None:
    """List the users of a file with their realm."""
    for name, user in sorted(read_users(path, os.environ).model.users.items()):
        show(f"{name}@{user.realm}")


@cli.group(cls=Commands)
def dialplan() -> None:
    """Where calls go."""


@dialplan.command("explain")
@click.argument("path", metavar="[FILE]", type=FilePath(), default="gateway.yaml")
@click.argument("number", metavar="[NUMBER]", required=False)
@click.option("--to", "to", metavar="NUMBER", help="What is dialled, or called by the trunk; the same as NUMBER.")
@click.option("--from", "user", metavar="USER", default="", help="Explain a call of this user, with what she may call.")
@click.option("--trunk", "--from-trunk", metavar="TRUNK", help="Explain a call that comes in from this trunk.")
@click.option("--json", "as_json", is_flag=True, help="For other programs.")
def dialplan_explain(
    path: Path, number: str | None, to: str | None, user: str, trunk: str | None, *, as_json: bool
) -> None:
    """Print, step by step, where a call to NUMBER goes, and why.

    FILE is the gateway file, or a dialplan by itself; without it gateway.yaml.
    """
    from gateway.cli.dialplan import explain

    trace = explain(read_dialplan(path), number or to or "", user=user, trunk=trunk)
    if as_json:
        click.echo(json.dumps(trace.as_dict()))
        return
    for line in trace.lines():
        show(line)


@cli.group(cls=Commands)
def certs() -> None:
    """Certificates for development."""


@certs.command("dev")
@click.argument("directory", metavar="DIR", type=FilePath())
@click.option("--host", "hosts", multiple=True, help="A further name or address of the web server; may be repeated.")
def certs_dev(directory: Path, hosts: tuple[str, ...]) -> None:
    """Make a development CA and certificates in DIR. Never for use beyond one machine."""
    from gateway.demo.certificates import create

    made = create(directory, hosts)
    for pair in (made.ca, made.web, made.pbx, made.gateway):
        show(f"{pair.certificate}  {pair.key}")


@cli.command(hidden=True)
def reference() -> None:
    """Print docs/configuration.md, made from the schema."""
    from gateway.config.reference import reference as text

    click.echo(text(), nl=False)


@cli.command(cls=Monitor)
@probe_options
@click.pass_context
def probe(ctx: click.Context, /, **values: Any) -> None:
    """Call NUMBER through the gateway as a browser would, and measure what comes of it.

    Signs in over the WebSocket, calls with ICE and DTLS-SRTP, sends a tone, and tells set-up times, codecs, the
    grade of the call and what came back. With --from-trunk the call comes in from a trunk. With --trunk and --offers
    the trunk itself is called, to find out which security profile it can meet. NUMBER should be an echo test.

    Exit codes are those of monitoring plugins: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    """
    from gateway.cli.probing import run as run_probe

    try:
        status = run_probe(values)
    except ConfigError as error:
        tell(error)
        status = Status.UNKNOWN
    ctx.exit(int(status))


for _command in (audit, policy, *running.COMMANDS):
    cli.add_command(_command)


def _connect(loaded: LoadedConfig) -> None:
    """Tell what trunks show over TLS."""
    from gateway.cli.handshakes import ask, findings, words

    now = datetime.datetime.now(datetime.UTC)
    shown = ask(loaded.site.trunks.values(), loaded.site.nameservers)
    for each in shown:
        if each.info is not None and not each.refused:
            show(f"trunk {each.trunk}: {words(each, now)}")
    found = findings(shown, now)
    for warning in found.busy:
        warn(str(loaded.placed(warning)))
    _refuse(loaded, found.wrong)


def _refuse(loaded: LoadedConfig, found: Sequence[ConfigError]) -> None:
    if found:
        raise ConfigErrors([loaded.placed(mistake) for mistake in found])


def _password(from_standard_input: bool) -> str:
    if from_standard_input:
        return _password_line()
    typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return typed


def _password_line() -> str:
    remedy = "give the password on one line of UTF-8 text"
    try:
        line = sys.stdin.readline(MAX_PASSWORD_INPUT)
    except UnicodeDecodeError:
        raise ConfigError("the password is not UTF-8 text", remedy=remedy) from None
    if len(line) == MAX_PASSWORD_INPUT:
        raise ConfigError(f"the password has {MAX_PASSWORD_INPUT} characters or more", remedy=remedy)
    return line.rstrip("\r\n")
