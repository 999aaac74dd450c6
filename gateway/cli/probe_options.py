"""The options of `sip-gateway probe`, apart from what it does: they are read at every start of the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from gateway.base.grades import Grade
from gateway.cli.output import FilePath
from gateway.probe.result import Expected, Status

PASSWORD_VARIABLE = "SIP_GATEWAY_PROBE_PASSWORD"  # noqa: S105 the name of a variable

PARAMETERS = (
    click.argument("number", default=""),
    click.option("-c", "--config", type=FilePath(), help="The gateway file: address, realm, trunks, certificate."),
    click.option("--user", default="", help="Who signs in; best a user of its own."),
    click.option("--password-file", type=FilePath(), help=f"Its password; or the variable {PASSWORD_VARIABLE}."),
    click.option("--url", default="", help="WebSocket of another gateway: wss://HOST:PORT/ws."),
    click.option("--realm", default="", help="Its realm."),
    click.option("--origin", default="", help="Origin of the page that is played; default: the first configured."),
    click.option("--ca", type=FilePath(), help="Authorities of its certificate; default is the system's."),
    click.option("--trunk", default="", help="The call must go over it; with --offers the trunk that is tried."),
    click.option("--offers", is_flag=True, help="Try plain RTP, OSRTP, SDES, DTLS on the trunk itself; recommend."),
    click.option("--from-trunk", default="", help="Call NUMBER from this trunk; the probe answers as --user."),
    click.option("--source", default="", help="Address the trunk's call comes from; default is of its networks."),
    click.option("--transport", type=click.Choice(["", "udp", "tcp"]), default="", help="Of the trunk's call."),
    click.option(
        "--offer", type=click.Choice(["", "plain", "osrtp", "sdes", "dtls"]), default="", help="Of the trunk's call."
    ),
    click.option(
        "--codec",
        type=click.Choice(["", "opus", "G722", "PCMU", "PCMA"], case_sensitive=False),
        default="",
        help="The only codec the browser offers.",
    ),
    click.option("--seconds", type=click.FloatRange(0.5, 60), default=3.0, show_default=True, help="Of tones."),
    click.option("--ring", type=click.FloatRange(1, 180), default=30.0, show_default=True, help="Longest wait."),
    click.option(
        "--expect",
        type=click.Choice([e.value for e in Expected]),
        default="audio",
        show_default=True,
        help="What must come back.",
    ),
    click.option("--min-grade", type=click.Choice(list(Grade.__members__)), default="CLEARTEXT", help="Less alarms."),
    click.option("--warn", type=click.FloatRange(0), default=0.0, help="Seconds from INVITE to 200 that warn."),
    click.option("--critical", type=click.FloatRange(0), default=0.0, help="Seconds from INVITE to 200 that alarm."),
    click.option("--socket", "socket_path", type=FilePath(), help="Admin socket, for the codes of both legs."),
    click.option("--steps", is_flag=True, help="Say everything that was done, too."),
    click.option("--json", "as_json", is_flag=True, help="One JSON object, for other programs."),
)
"""What `probe` takes."""


def probe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all of them."""
    for parameter in reversed(PARAMETERS):
        command = parameter(command)
    return command


class Monitor(click.Command):
    """A command for monitoring: whatever is wrong with the question is UNKNOWN, not CRITICAL."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            error.exit_code = int(Status.UNKNOWN)  # type: ignore[misc]
            raise
