"""`sip-gateway policy test`: expectations an administrator keeps beside a policy, compared with what it decides."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from gateway.base.errors import ConfigError
from gateway.cli.policy.explain import Question, binding, decide, told
from gateway.cli.policy.times import moment
from gateway.config.document import Document, read_document
from gateway.config.load import LoadedConfig
from gateway.config.policy_scalars import CodeName
from gateway.config.scalars import FilePath, Model, Name
from gateway.config.schema.policy import GradeName
from gateway.policy.facts import Direction

MAX_TESTS = 2000
"""Expectations of one file."""


class Expected(Model):
    """What is expected of the policy of a call; what is not written is not compared."""

    profile: Name | None = None
    rule: str | None = None
    """Id of the rule that decides; "" where none does."""
    require: GradeName | None = None
    prefer: GradeName | None = None
    deny: tuple[CodeName, ...] | None = None
    """All codes that are denied."""
    suites: tuple[str, ...] | None = None
    """All suites, in their order."""
    offer: tuple[Literal["dtls", "sdes"], ...] | None = None
    """How a trunk is offered keys, in their order."""
    answer: tuple[Literal["dtls", "sdes"], ...] | None = None
    """Which keys are taken from its offers, in their order."""
    floors: tuple[str, ...] | None = None
    """Ids of the floors that hold, in their order."""
    exception: str | None = None
    """Id of the exception that is used; "" where none is."""
    reject: int | None = None
    """The status it is refused with; 0 where it is not."""


class PolicyTest(Model):
    """One call, and what is expected."""

    name: str = ""
    """What is tried, for people."""
    from_: str = Field(default="", alias="from")
    """The user who calls, or is called by a trunk."""
    to: str = ""
    trunk: str = ""
    direction: Literal["in", "out", "internal"] | None = None
    source: str = ""
    transport: Literal["udp", "tcp", "tls", "ws", "wss"] | None = None
    caller: str = ""
    method: Literal["INVITE", "REFER"] = "INVITE"
    at: str
    """When: 2030-01-02 10:00, by the clock of the policy; an expectation that knows no time would change with it."""
    expect: Expected

    @model_validator(mode="after")
    def _expects_something(self) -> PolicyTest:
        if not self.expect.model_fields_set:
            raise ValueError("`expect` names at least one of: " + ", ".join(Expected.model_fields))
        return self


class PolicyTests(Model):
    """A table of expectations."""

    gateway: FilePath | None = None
    """The gateway file. Default: gateway.yaml beside this file."""
    tests: tuple[PolicyTest, ...] = Field(min_length=1, max_length=MAX_TESTS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one expectation."""

    name: str
    place: str
    """File and line of it."""
    wrong: tuple[str, ...] = ()
    """What was expected and what was decided, for each thing that differs."""


def read_table(path: Path) -> Document[PolicyTests]:
    """The table in a file. Raises ConfigErrors."""
    return read_document(path, PolicyTests, os.environ)


def gateway_of(table: Document[PolicyTests]) -> Path:
    """The gateway file a table is about."""
    return table.model.gateway or table.path.parent / "gateway.yaml"


def run_table(table: Document[PolicyTests], loaded: LoadedConfig) -> Iterator[Outcome]:
    """What comes of each expectation, in their order."""
    for index, test in enumerate(table.model.tests):
        place = table.error(("tests", index), "")
        name = test.name or f"{test.from_ or test.trunk} to {test.to or 'anywhere'}"
        yield Outcome(name, f"{place.file}:{place.line}", tuple(_wrong(test, loaded)))


def _wrong(test: PolicyTest, loaded: LoadedConfig) -> Iterator[str]:
    try:
        found = told(binding(decide(loaded.site, _question(test, moment(test.at, loaded.policy.timezone)))))
    except ConfigError as error:
        yield error.message
        return
    yield from _differences(test.expect, found)


def _question(test: PolicyTest, at: datetime) -> Question:
    return Question(
        user=test.from_,
        to=test.to,
        trunk=test.trunk,
        direction=Direction(test.direction) if test.direction is not None else None,
        source=test.source,
        transport=test.transport or "",
        caller=test.caller,
        method=test.method,
        at=at,
    )


def _differences(expected: Expected, found: Mapping[str, object]) -> Iterator[str]:
    names = {"rule": "rule_id", "exception": "exception_id"}
    for key in Expected.model_fields:
        wanted, got = getattr(expected, key), found[names.get(key, key)]
        if wanted is None:
            continue
        if key == "deny":
            wanted = sorted(wanted)
        wanted = list(wanted) if isinstance(wanted, tuple) else wanted
        if wanted != got:
            yield f"{key}: expected {_written(wanted)}, decided {_written(got)}"


def _written(value: object) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value) or '""'
