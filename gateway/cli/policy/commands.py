"""The commands of `sip-gateway policy`."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import click

from gateway.cli.output import Commands, FilePath, show

GATEWAY = "gateway.yaml"


@click.group(cls=Commands)
def policy() -> None:
    """What calls must meet, and why."""


@policy.command("explain")
@click.option("-c", "--config", type=FilePath(), default=GATEWAY, show_default=True, help="The gateway file.")
@click.option(
    "--from", "user", metavar="USER", default="", help="The user who calls; of a call that comes in, is called."
)
@click.option("--to", metavar="NUMBER", default="", help="What is called.")
@click.option("--trunk", metavar="TRUNK", default="", help="Over this trunk; without it where the dialplan leads.")
@click.option("--direction", type=click.Choice(["in", "out", "internal"]), help="Default: out with --from, else in.")
@click.option("--source", metavar="ADDRESS", default="", help="Where the request comes from on the wire.")
@click.option(
    "--transport", type=click.Choice(["udp", "tcp", "tls", "ws", "wss"]), help="Default: wss, or the trunk's."
)
@click.option("--caller", metavar="NUMBER", default="", help="The number that calls, as a trunk says it.")
@click.option("--method", type=click.Choice(["INVITE", "REFER"]), default="INVITE", show_default=True)
@click.option("--at", metavar="TIME", default="", help="2030-01-02 10:00, by the clock of the policy; default: now.")
@click.option("--json", "as_json", is_flag=True, help="For other programs: one object for each leg.")
def policy_explain(config: Path, at: str, direction: str | None, as_json: bool, **asked: Any) -> None:
    """Print, step by step, what a call must meet, and which rule, floors and exception make it so.

    Nothing is called. What is decided here is what is decided for a call that is just so.
    """
    from gateway.cli.policy.explain import Question, as_dict, decide, lines
    from gateway.cli.policy.times import moment
    from gateway.config.load import load_config
    from gateway.config.policy_scalars import zone
    from gateway.policy.facts import Direction

    loaded = load_config(config)
    place = loaded.policy.timezone
    when = moment(at, place) if at else datetime.datetime.now(zone(place))
    asked["transport"] = asked["transport"] or ""
    question = Question(direction=Direction(direction) if direction else None, at=when, **asked)
    decided = decide(loaded.site, question)
    if as_json:
        for one in decided:
            click.echo(json.dumps(as_dict(one)))
        return
    for line in lines(decided, place):
        show(line)


@policy.command("test")
@click.argument("path", metavar="FILE", type=FilePath())
@click.pass_context
def policy_test(ctx: click.Context, /, path: Path) -> None:
    """Compare a table of expectations with what the policy decides.

    FILE names calls and what is expected of each (docs/policy.md). Exit code 0: all of it is so; 1: something is not;
    2: a file has a mistake.
    """
    from gateway.cli.policy.table import gateway_of, read_table, run_table
    from gateway.config.load import load_config

    table = read_table(path)
    outcomes = list(run_table(table, load_config(gateway_of(table))))
    for outcome in outcomes:
        for words in outcome.wrong:
            show(f"{outcome.place}: {outcome.name}: {words}")
    failed = sum(bool(outcome.wrong) for outcome in outcomes)
    show(f"{len(outcomes) - failed} as expected, {failed} not")
    ctx.exit(1 if failed else 0)


@policy.command("lint")
@click.argument("path", metavar="[FILE]", type=FilePath(), default=GATEWAY)
@click.pass_context
def policy_lint(ctx: click.Context, /, path: Path) -> None:
    """Tell what is allowed and probably not meant: rules that can never match, trunks nothing protects.

    FILE is the gateway file; without it gateway.yaml. Exit code 1 when something was found.
    """
    from gateway.cli.policy.lint import lint
    from gateway.config.load import load_config

    loaded = load_config(path)
    found = list(lint(loaded.site, loaded.policy, datetime.datetime.now(datetime.UTC)))
    for finding in found:
        show(str(finding))
    show(f"{len(found)} findings" if found else "nothing found")
    ctx.exit(1 if found else 0)
