"""Each log line has a limit, and the reference says which."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import realtime

PACKAGE = Path(realtime.__file__).parent
PAGE = PACKAGE.parent / "docs" / "reference" / "logging.md"

CONNECTION, PROCESS = "connection", "process"

# The only lines that are given to `write`, where nothing else limits them, and what does.
WRITTEN = {
    ("sockets/log.py", "disconnect"): "as its `connect`",
    ("sending/unsent.py", "unsent"): "one a second",
    ("hub/observers.py", "observer-failed"): "one a second for each",
    ("execution/tasks.py", "service-failed"): "one for each start anew",
    ("cluster/loss_log.py", "layer-lost"): "one a second for each",
    ("hub/entrance.py", "error"): "one a second for each class that cannot be made",
    ("transports/refusals.py", "forbidden"): "ten, then one a second",
    ("logs.py", "unlogged"): "one a connection",
}

# What logs words that it is given.
HANDS_ON = ("logs.py", "recovery/session.py", "sockets/log.py", "transports/connection.py")

# Words that a call has in a variable.
VARIABLE = {"cluster/layer_connection.py": ("layer-down", "layer-deaf")}


class Call(NamedTuple):
    """A call that logs: where it is, its function, and the words that it may log."""

    module: str
    function: str
    words: tuple[str, ...]


@cache
def calls() -> list[Call]:
    """Return all calls of the package that log."""
    return [
        call
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        for call in _as_log(path.relative_to(PACKAGE).as_posix(), node)
    ]


def _as_log(module: str, node: ast.Call) -> Iterator[Call]:
    if isinstance(node.func, ast.Name):
        function, is_method = node.func.id, False
    elif isinstance(node.func, ast.Attribute):
        function, is_method = node.func.attr, True
    else:
        return
    if not (function == "log" or (function == "write" and not is_method)) or len(node.args) < 2:
        return
    way = {"log": CONNECTION if is_method else PROCESS}.get(function, function)
    match node.args[1]:
        case ast.Constant(value="%s %s"):  # the standard library's
            assert module == "logs.py"
        case ast.Constant(value=str(word)):
            yield Call(module, way, (word,))
        case ast.Name(id="what") if module in VARIABLE:
            yield Call(module, way, VARIABLE[module])
        case ast.Name(id="what"):  # it is handed on
            assert module in HANDS_ON, module
        case _:
            raise AssertionError(f"{module}: a word that is no constant: {ast.unparse(node)}")


def documented() -> dict[str, set[str]]:
    """Return what the reference says of each word: how its lines are limited."""
    limits: dict[str, set[str]] = defaultdict(set)
    for word, limit in re.findall(r"^\| `([\w-]+)` \| [^|]+ \| ([^|]+) \|", PAGE.read_text(), re.M):
        limits[word].update(re.split("; |, or ", limit.replace(" before there is one", "")))
    return limits


def test_each_line_is_limited_as_the_reference_says() -> None:
    limits: dict[str, set[str]] = defaultdict(set)
    for call in calls():
        for word in call.words:
            way = call.function
            limits[word].add(WRITTEN[call.module, word] if way == "write" else way)
    assert limits == documented()


def test_no_other_line_is_without_a_limit() -> None:
    written = {(call.module, call.words[0]) for call in calls() if call.function == "write"}
    assert written == set(WRITTEN)


def test_nothing_logs_past_that() -> None:
    past = re.compile(
        r"getLogger\(|\blogger\.(?!isEnabledFor|filters|addFilter)|logging\.(info|warn|error|exc)"
    )
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if past.search(path.read_text())
    }
    assert found == {"logs.py", "transports/access_logs.py"}, "access logs are other programs'"
