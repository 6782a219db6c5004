"""Imports run one way, for types and inside functions too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import realtime

PACKAGE = Path(realtime.__file__).parent

# From the bottom to the top. What stands in one line does not import each other.
ORDER = """
    exceptions
    utils
    conf
    logs error_answers
    protocol
    execution
    identity
    authority
    sockets
    routing
    signals
    cluster
    recovery
    webservers
    transports
    hub
    outside
    sending
    fields
    models
    presence
    once
    broadcast
    consumers
    client_rooms
    realtime
    permissions
    mounting
    asgi
    checks
    views
    admin
    apps
    testing urls templatetags management
"""
RANKS = {unit: rank for rank, line in enumerate(ORDER.split("\n")) for unit in line.split()}


@cache
def modules() -> dict[str, Path]:
    """Return the modules by their dotted names; migrations are Django's."""
    paths = (path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts)
    return {_dotted(path): path for path in paths}


def _dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def graph() -> dict[str, set[str]]:
    """Return which modules each of them imports, anywhere in it."""
    return {name: set(_imports(name, path)) - {name} for name, path in modules().items()}


def _imports(name: str, path: Path) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in modules())
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [node.module])])
            for each in node.names:
                full = f"{base}.{each.name}"
                if (found := full if full in modules() else base) in modules():
                    yield found


def unit_of(module: str) -> str:
    """Return the wing of a module, or itself where it stands on top."""
    return "realtime" if module == "realtime" else module.split(".")[1]


def test_every_unit_has_its_place() -> None:
    assert {unit_of(module) for module in modules()} == RANKS.keys()


def test_the_graph_is_whole() -> None:
    """Relative and absolute imports, of modules and of what is in them, anywhere."""
    assert graph()["realtime.hub.hub"] >= {"realtime.hub.registry", "realtime.cluster.cluster"}
    assert "realtime.models" in graph()["realtime.broadcast"]  # for types
    assert "realtime.checks" in graph()["realtime.apps"]  # in a function
    assert sum(map(len, graph().values())) > 700


def test_imports_run_down() -> None:
    wrong = [
        f"{module} imports {imported}"
        for module, all_imported in graph().items()
        for imported in all_imported
        if unit_of(module) != unit_of(imported)
        and RANKS[unit_of(module)] <= RANKS[unit_of(imported)]
    ]
    assert not wrong


def test_there_is_no_ring() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(f"a ring of imports: {error.args[1]}")


@pytest.mark.parametrize("wing", sorted({path.parent for path in modules().values()}), ids=_dotted)
def test_each_wing_says_what_it_is(wing: Path) -> None:
    assert ast.get_docstring(ast.parse((wing / "__init__.py").read_text()))
