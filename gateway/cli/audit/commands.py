"""The commands of `sip-gateway audit`. Each is a few lines: what it does lives in the module it calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gateway.base.errors import ConfigError
from gateway.cli.audit.options import choosing, find_log, reading, wanted
from gateway.cli.output import Commands, FilePath, show, warn


@click.group(cls=Commands)
def audit() -> None:
    """Read the audit log.

    FILE is the log, a rotated part of it, or its directory; without it the log that gateway.yaml names, here or in
    /etc/sip-gateway.
    """


@audit.command("show")
@reading
@click.option("--json", "as_json", is_flag=True, help="The records as they stand in the log, for other programs.")
@click.option("--calls", is_flag=True, help="A table of calls, one row each, with what their codes mean below it.")
@click.option("--records", is_flag=True, help="Records also where --downgraded or --grade would give calls.")
@choosing
def audit_show(
    path: Path | None, config: Path | None, *, as_json: bool, calls: bool, records: bool, **choice: Any
) -> None:
    """Print every record, one line each, or those that are chosen.

    --downgraded and --grade ask about calls: they give a table of them. Of a directory the rotated files are read too,
    compressed or not. Records whose number is missing are told of.
    """
    from gateway.cli.audit.showing import show_calls, show_log

    log, asked = find_log(path, config), wanted(choice)
    about_calls = asked is not None and (asked.downgraded or bool(asked.grades))
    if not as_json and (calls or (about_calls and not records)):
        for line in show_calls(log, asked):
            show(line)
        return
    for line in show_log(log, asked, as_json=as_json):
        if as_json:
            click.echo(line.plain)
        else:
            show(line)


@audit.command("follow")
@reading
@choosing
def audit_follow(path: Path | None, config: Path | None, **choice: Any) -> None:
    """Print records as they are written, or those that are chosen, until Ctrl-C."""
    from gateway.cli.audit.following import follow_log

    try:
        for line in follow_log(find_log(path, config), wanted(choice)):
            show(line)
    except KeyboardInterrupt:
        return


@audit.command("call")
@click.argument("name", metavar="ID")
@reading
@click.option("--json", "as_json", is_flag=True, help="Its records, for other programs.")
def audit_call(name: str, path: Path | None, config: Path | None, *, as_json: bool) -> None:
    """Tell one call's story: who could listen, from when to when and why, what happened, how it ended.

    ID is the call as page and log name it (c-81f00d2a), its call_uid, the beginning of one, or a SIP Call-ID.
    """
    from gateway.cli.audit.showing import call_as_json, tell_call

    log = find_log(path, config)
    if as_json:
        for line in call_as_json(log, name):
            click.echo(line)
        return
    for told in tell_call(log, name):
        show(told)


@audit.command("verify")
@reading
@click.option("--key", "keys", multiple=True, type=FilePath(), help="Public key of the log; may be repeated.")
@click.option("--checkpoints", "outside", type=FilePath(), help="Checkpoints that were kept elsewhere, one in a line.")
@click.option("--json", "as_json", is_flag=True, help="A line for each finding, then one for the whole.")
@click.pass_context
def audit_verify(
    ctx: click.Context,
    /,
    path: Path | None,
    config: Path | None,
    keys: tuple[Path, ...],
    outside: Path | None,
    as_json: bool,
) -> None:
    """Check that the log is as it was written, and name the first bad record.

    Every record is checked against the one before it, every checkpoint against its signature, every call for its one
    end. What was cut off the end only checkpoints tell that were kept elsewhere. Exit code 1: the log is not intact.
    """
    from gateway.cli.audit import verifying

    log = find_log(path, config)
    made, notes = verifying.verifier(log, keys, outside)
    found = verifying.verify_log(log, made)
    found.remarks += notes
    if as_json:
        for line in verifying.as_json(found, made):
            click.echo(line)
    else:
        for words in verifying.told(found, made):
            show(words)
    ctx.exit(0 if found.intact else 1)


@audit.command("key")
@click.argument("path", metavar="FILE", type=FilePath())
def audit_key(path: Path) -> None:
    """Print the public key that checks the log's checkpoints, for those who keep them elsewhere.

    FILE is the directory of the log, or the file of its key where `audit.signing_key` names one.
    """
    from gateway.audit.checkpoint import log_id_of
    from gateway.audit.signing_key import FILE_NAME, load_public, public_pem

    key = load_public(path / FILE_NAME if path.is_dir() else path)
    click.echo(public_pem(key), nl=False)
    click.echo(f"log_id {log_id_of(key)}", err=True)


@audit.command("report")
@reading
@click.option("--month", default="", metavar="YYYY-MM", help="The month; without it the last complete one.")
@click.option("--html", "target", required=True, type=FilePath(), help="The page to be written.")
@click.option("--key", "keys", multiple=True, type=FilePath(), help="Public key of the log; may be repeated.")
@click.option("--checkpoints", "outside", type=FilePath(), help="Checkpoints that were kept elsewhere, one in a line.")
def audit_report(
    path: Path | None, config: Path | None, month: str, target: Path, keys: tuple[Path, ...], outside: Path | None
) -> None:
    """Write the report of a month for the security officer: one page that stands for itself and prints.

    It has the share of calls per grade over time and per trunk, the reasons, violations, exceptions and broken pins,
    and whether the log itself can be believed.
    """
    from gateway.cli.audit import reporting, verifying

    name, log = reporting.month_named(month), find_log(path, config)
    made, notes = verifying.verifier(log, keys, outside)
    text, intact = reporting.report(log, name, made, notes)
    reporting.save(target, text)
    show(f"wrote {target}")
    if not intact:
        warn("the log is not intact: see sip-gateway audit verify")


@audit.command("cdr")
@reading
@click.option("--csv", "form", flag_value="csv", default=True, help="Comma-separated, for a spreadsheet (the default).")
@click.option("--json", "form", flag_value="json", help="One JSON object in a line, with all that is known of a leg.")
@choosing
def audit_cdr(path: Path | None, config: Path | None, form: str, **choice: Any) -> None:
    """Print a record for each ended call: who, when, how long, how it ended, its grades, and every leg's suite."""
    from gateway.audit.query import Wanted
    from gateway.cli.audit.reporting import cdr_lines

    lines = cdr_lines(find_log(path, config), wanted(choice) or Wanted(), as_json=form == "json")
    for line in lines:
        click.echo(line, nl=False)


@audit.command("erase")
@click.argument("path", metavar="GATEWAY.YAML", type=FilePath())
@click.argument("who", metavar="NAME")
def audit_erase(path: Path, who: str) -> None:
    """Make the log forget who NAME is: a user, a number as the log shows it, or a pseudonym.

    No line of the log is touched, so it still verifies; its pseudonyms of that person mean nothing any more. A running
    gateway notices, goes on with a new key and writes `admin.erase`. Under `audit.retention.hold` nobody is erased.
    """
    from gateway.audit.people import erase
    from gateway.config.load import load_config

    place = load_config(path).site.audit
    if place.retention.hold:
        raise ConfigError("nobody is erased while there is a legal hold", key="audit.retention.hold")
    gone = erase(place.directory, who)
    if not gone:
        raise ConfigError(f"{who} is not in the tables of {place.directory}", remedy="the name as `audit show` has it")
    show(f"forgotten: {', '.join(gone)}")
