"""Caps on what the gateway takes on, and where its log is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from gateway.config.scalars import FilePath, Model
from gateway.config.schema.sinks import Sink

MAX_SINKS = 8
"""Receivers of the log: each has a queue and a task."""


class Rotate(Model):
    """When the log begins a new file: `audit.jsonl` becomes `audit-20300102T030405Z-17.jsonl`, by its first record."""

    size_mb: float = Field(default=64.0, ge=0, le=4096)
    """After so much; 0: however large."""
    daily: bool = True
    """Each day (UTC)."""


class Retention(Model):
    """How long records are kept, in days from the newest of their file; the log tells what goes before it goes."""

    detail_days: int = Field(default=90, ge=1, le=36500)
    """Then only the end of each call with its grades stays, and what the log says of itself and the gateway."""
    final_days: int = Field(default=400, ge=1, le=36500)
    """Then the whole file goes."""
    hold: bool = False
    """Legal hold: while it is true nothing goes, and nobody is erased."""


class Audit(Model):
    """The audit log."""

    directory: FilePath
    """Directory of the audit log; made when it is missing."""
    on_unavailable: Literal["buffer_then_refuse_new", "refuse_new"] = "buffer_then_refuse_new"
    """When the log cannot be written: buffer in memory and refuse new calls once that is full, or refuse at once.
    Emergency numbers always connect."""
    buffer_mb: float = Field(default=1.0, gt=0, le=1024)
    """How much is buffered in memory while the log cannot be written."""
    signing_key: FilePath | None = None
    """Private Ed25519 key (PEM, mode 0600) that signs the log's checkpoints; made when it is missing. Default:
    `audit.key` in `directory`. Elsewhere, who may change the log does not have the key as well."""
    people: Literal["pseudonyms", "names"] = "pseudonyms"
    """How users and numbers stand in the log: by pseudonyms, which `sip-gateway audit` turns into names as long as its
    tables know them (`sip-gateway audit erase` makes them forget somebody), or by name, for ever."""
    rotate: Rotate = Field(default_factory=Rotate)
    """When the log begins a new file."""
    retention: Retention = Field(default_factory=Retention)
    """How long records are kept."""
    sinks: tuple[Sink, ...] = Field(default=(), max_length=MAX_SINKS)
    """Who else gets the records, on other machines."""

    @field_validator("sinks")
    @classmethod
    def _have_names(cls, sinks: tuple[Sink, ...]) -> tuple[Sink, ...]:
        if len({sink.name for sink in sinks}) != len(sinks):
            raise ValueError("each sink needs a name of its own")
        return sinks


class PinSettings(Model):
    """How long trunks and users that have been seen to encrypt are held to it."""

    days: int = Field(default=90, ge=1, le=3650)
    """So many days after it was seen the last time."""
    file: FilePath | None = None
    """Where it is remembered, made with mode 0600. Default: `pins.json` in `audit.directory`."""


class Admin(Model):
    """How the running gateway is asked by `sip-gateway trunks`, `users`, `registrations`, `calls`, `pins`
    and `trace`."""

    socket: FilePath | None = None
    """Unix socket for that, made with mode 0600; its directory must be writable for nobody else. Default: one in
    `$RUNTIME_DIRECTORY`, else `/run/sip-gateway` for root, else `$XDG_RUNTIME_DIR/sip-gateway`."""


class Connections(Model):
    """Shares of connections: whoever fills one leaves the others alone. A source is an IPv4 address or an IPv6 /64."""

    page: int = Field(default=512, ge=16)
    """Connections to the page and `/metrics` from other machines; when full, the longest silent gives way."""
    page_per_source: int = Field(default=256, ge=8)
    """Those of one source: an office behind one NAT, each browser with its usual six connections. Also all of this
    machine's own."""
    strangers: int = Field(default=512, ge=16)
    """WebSockets that are not signed in yet; when full, the oldest gives way."""
    strangers_per_source: int = Field(default=32, ge=4)
    """Those of one source."""
    signed_in: int = Field(default=4000, ge=1)
    """WebSockets of users that are signed in; more sign-ins are refused with 503."""
    signed_in_per_source: int = Field(default=1000, ge=1)
    """Those of one source."""
    signed_in_per_user: int = Field(default=16, ge=1)
    """Those of one user: pages and devices, and connections that died unnoticed."""
    trunk: int = Field(default=256, ge=1)
    """TCP and TLS connections from one trunk; each trunk has its own share, and nobody but trunks is let in."""
    trunk_per_source: int = Field(default=32, ge=1)
    """Those of one source within a trunk's networks."""


class Limits(Model):
    """Caps on what the gateway takes on."""

    calls: int = Field(default=1000, ge=1)
    """Calls at the same time; more are refused with 503."""
    calls_per_user: int = Field(default=8, ge=1, le=1000)
    """Of these, calls one user has dialled; more are refused with 486. Emergency calls are counted apart."""
    registrations_per_user: int = Field(default=10, ge=1, le=10)
    """Places where one user can be called at the same time: pages and devices."""
    registrations_full: Literal["displace", "refuse"] = "displace"
    """What becomes of one place too many: it takes that of the oldest, which is told, or gets 403."""
    ring_seconds: int = Field(default=180, ge=1, le=600)
    """How long a call may ring before it is ended."""
    silence_seconds: int = Field(default=1800, ge=60, le=86_400)
    """How long a trunk that still answers, or a browser that still consents, may send neither RTP nor RTCP, hold aside,
    before its call is ended."""
    reconnect_seconds: int = Field(default=30, ge=0, le=600)
    """How long a call that stands is kept for a browser whose WebSocket is gone, until it registers again as the same
    device; 0: it ends at once."""
    connections: Connections = Connections()
    """Shares of connections."""
