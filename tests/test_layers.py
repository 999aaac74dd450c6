"""The import contract names every pure module: one that is left out drifts, and nobody is told."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
PURE = next(contract for contract in CONTRACTS if contract["name"] == "pure modules have no I/O")

DOORS = {
    "admission": "makes runners, which have tasks",
    "edge": "catches what anybody raises",
    "guesses": "asked with the clock of the gateway",
    "failures": "asked with the clock of the gateway",
    "lookup": "asks DNS",
    "manager": "the doors of the SIP stack",
    "media_control": "drives relay and DTLS",
    "probes": "sends",
    "runner": "carries out effects",
    "services": "names what has I/O",
    "two_legs": "hands effects to what drives the relay",
    "sign_in": "writes to the audit log",
}
"""Modules of `gateway.call` that are meant to touch the world, or stand between it and the machine, with the reason."""

LOCATION_DOORS = {
    "announcer": "sends",
    "asking": "waits for a store",
    "service": "has tasks",
    "store": "what a database is to fill",
    "turns": "makes requests wait for each other",
}
"""Modules of `gateway.location` that are not PURE, with the reason."""


BEGINNERS = {"admission", "manager", "probes", "sign_in"}
"""Modules of `gateway.call` that may look at the site there is now: what they begin keeps it."""


def named(module: str) -> bool:
    return any(module == pure or module.startswith(f"{pure}.") for pure in PURE["source_modules"])


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize(("package", "doors"), [("call", DOORS), ("location", LOCATION_DOORS)])
def test_each_module_is_pure_by_contract_or_a_door_with_a_reason(package: str, doors: dict[str, str]) -> None:
    modules = {path.stem for path in (ROOT / "gateway" / package).glob("*.py")} - {"__init__"}
    assert {name for name in modules if not named(f"gateway.{package}.{name}")} - set(doors) == set()


def test_what_a_living_call_does_looks_at_its_own_site_only() -> None:
    for path in (ROOT / "gateway" / "call").glob("*.py"):
        attributes = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert path.stem in BEGINNERS or "sites" not in attributes, path.stem


def test_each_name_in_the_contract_is_a_module_there_is() -> None:
    for module in PURE["source_modules"]:
        path = ROOT.joinpath(*module.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file(), module


def test_nothing_pure_imports_what_is_forbidden() -> None:
    """What import-linter says, in the words of this file: the contract would pass if it named nothing."""
    forbidden = set(PURE["forbidden_modules"])
    for path in (ROOT / "gateway").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if named(module):
            assert not forbidden & set(imported(path)), module
