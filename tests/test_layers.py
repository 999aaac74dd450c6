"""The import contract names every pure module: one that is left out drifts, and nobody is told."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
PURE = next(contract for contract in CONTRACTS if contract["name"] == "pure modules have no I/O")

DOORS = {
    "admission": "makes runners, which have tasks",
    "manager": "the doors of the SIP stack",
    "registration.leaving": "has tasks",
    "registration.link": "asks, and waits",
    "registration.relay": "has tasks",
    "registration.verdicts": "waits for the store",
    "remains": "closes connections",
    "run.asked": "tells runners",
    "run.clocks": "has timers",
    "run.comeback": "stands between the registrar and the runners",
    "run.edge": "catches what anybody raises",
    "run.handover": "moves a leg from one runner to another",
    "run.handshakes": "drives DTLS",
    "run.lookup": "asks DNS",
    "run.media": "drives relay and DTLS",
    "run.pin_file": "reads and writes a file",
    "run.pin_keeper": "waits for the log",
    "run.pins": "has a task that writes",
    "run.probes": "sends",
    "run.runner": "carries out effects",
    "run.seeker": "has tasks",
    "run.sender": "sends",
    "run.services": "names what has I/O",
    "sign_in": "writes to the audit log",
    "trunk_identity": "writes to the audit log",
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


OTHER_DOORS = {
    "gateway.__main__": "starts the program",
    "gateway.audit.archive": "reads files",
    "gateway.audit.ledger": "writes to a file",
    "gateway.audit.opening": "reads the log back",
    "gateway.audit.recovery": "reads files",
    "gateway.cli.audit.commands": "reads files, writes to the terminal",
    "gateway.cli.audit.options": "reads the configuration, and the clock",
    "gateway.cli.audit.reporting": "reads files, writes the report",
    "gateway.cli.audit.showing": "reads files",
    "gateway.cli.audit.verifying": "reads files",
    "gateway.cli.output": "writes to the terminal",
    "gateway.cli.policy.commands": "reads files, writes to the terminal",
    "gateway.cli.pictures": "draws on the terminal",
    "gateway.cli.report": "writes to the terminal",
    "gateway.cli.running": "writes to the terminal",
    "gateway.config.certificates": "reads files",
    "gateway.config.document": "reads files",
    "gateway.config.inbound": "tells mistakes of files",
    "gateway.config.references": "asks for files",
    "gateway.config.issuers": "reads key files",
    "gateway.media.worker._mmsg": "describes functions of the system",
    "gateway.media.worker.lane": "names sockets and places in memory",
    "gateway.media.worker.mmsg_build": "writes a file",
    "gateway.media.worker.records": "lays down memory",
    "gateway.tokens.token": "PyJWT looks at the clock",
    "gateway.config.registrar": "tells mistakes of files",
    "gateway.config.hep": "tells mistakes of files",
    "gateway.config.sinks": "tells mistakes of files",
    "gateway.config.yaml": "reads files",
    "gateway.media.worker.port_dtls": "stands on the ICE library",
    "gateway.media.worker.port_ice": "stands on the ICE library",
    "gateway.media.worker.srtp": "stands on the SRTP library",
    "gateway.reload.asking": "waits for a reload",
    "gateway.reload.difference": "knows what files are loaded to",
    "gateway.reload.keys": "stands on it",
    "gateway.reload.parts": "reaches everything that lives",
    "gateway.net.interfaces": "asks the machine for its addresses",
    "gateway.web.assets": "reads files",
    "gateway.web.metrics": "answers Prometheus",
}
"""Modules elsewhere that import nothing forbidden themselves and are not PURE all the same, with the reason."""

BEGINNERS = {
    "admission",
    "manager",
    "registration.relay",
    "remains",
    "run.pin_keeper",
    "run.probes",
    "sign_in",
    "trunk_identity",
}
"""Modules of `gateway.call` that may look at the site there is now: what they begin keeps it."""


def named(module: str) -> bool:
    return any(module == pure or module.startswith(f"{pure}.") for pure in PURE["source_modules"])


def modules_of(package: str) -> dict[str, Path]:
    """The modules of a package by their names inside it."""
    top = ROOT / "gateway" / package
    return {
        ".".join(path.relative_to(top).with_suffix("").parts): path
        for path in sorted(top.rglob("*.py"))
        if path.stem != "__init__"
    }


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize(("package", "doors"), [("call", DOORS), ("location", LOCATION_DOORS)])
def test_each_module_is_pure_by_contract_or_a_door_with_a_reason(package: str, doors: dict[str, str]) -> None:
    modules = set(modules_of(package))
    assert {name for name in modules if not named(f"gateway.{package}.{name}")} - set(doors) == set()


def test_whatever_else_imports_nothing_forbidden_is_pure_by_contract_or_has_a_reason() -> None:
    forbidden, unnamed = set(PURE["forbidden_modules"]), set()
    for path in (ROOT / "gateway").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        inside = path.stem == "__init__" or module.startswith(("gateway.call.", "gateway.location."))
        if not inside and not named(module) and not forbidden & set(imported(path)):
            unnamed.add(module)
    assert unnamed == set(OTHER_DOORS)


def test_what_a_living_call_does_looks_at_its_own_site_only() -> None:
    for name, path in modules_of("call").items():
        attributes = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert name in BEGINNERS or "sites" not in attributes, name


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


FIRST = """
import importlib, sys
for name in sys.argv[1:]:
    package = ".".join(name.split(".")[:2])
    for loaded in [module for module in sys.modules if (module + ".").startswith(package + ".")]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except Exception as error:
        print(name, repr(error))
"""


def imported_in_order(path: Path) -> Iterator[str]:
    """What a module imports as it is imported itself: not what stands in a function, or is for types alone."""
    waiting: list[ast.stmt] = ast.parse(path.read_text()).body
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]


def on_circles(imports: dict[str, set[str]]) -> set[str]:
    """The modules on a circle, or between two: what is left without those that import none, or are imported by none."""
    left = {name: found & imports.keys() for name, found in imports.items()}
    while left:
        wanted = set().union(*left.values())
        ends = {name for name, found in left.items() if not found or name not in wanted}
        if not ends:
            break
        left = {name: found - ends for name, found in left.items() if name not in ends}
    return set(left)


def test_each_module_can_be_the_first_that_is_imported() -> None:
    """A circle inside a package is seen only by whoever comes in at its wrong end; between packages there is none."""
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted((ROOT / "gateway").rglob("*.py"))
        if path.stem != "__main__"
    }
    # To import a module is to import the package it is in, which may import it in turn.
    imports = {name: {*imported_in_order(path), name.rpartition(".")[0]} - {name} for name, path in paths.items()}
    names = sorted(on_circles(imports))
    assert names, "the circles that are known and harmless are found"
    asked = subprocess.run(
        [sys.executable, "-c", FIRST, *names], cwd=ROOT, capture_output=True, text=True, timeout=100, check=True
    )
    assert asked.stdout == ""


def test_nobody_but_the_legs_asks_which_of_the_two_a_leg_is() -> None:
    for path in (ROOT / "gateway").rglob("*.py"):
        if "legs" not in path.parts:
            assert not {"BrowserLeg", "TrunkLeg"} & set(re.findall(r"\w+", path.read_text())), path


def test_each_module_of_the_call_has_a_test_file_of_its_own() -> None:
    """What a module promises is looked for where its name is; tests of a theme stand beside them."""
    modules = {path.stem for path in modules_of("call").values()}
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / "call").rglob("test_*.py")}
    assert modules - tested == set()
