"""The documentation says what the code does, and its links lead somewhere."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import pytest

import realtime
from realtime import exceptions
from realtime.conf import OPTIONS
from realtime.protocol import plain
from realtime.sockets.overrides import HOOKS
from realtime.webservers import writers
from tests.docs.blocks import PAGES
from tests.packaging.guides import fenced
from tests.processes import ROOT

REFERENCE = ROOT / "docs" / "reference"
LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
LOG_CALL = re.compile(r"\b(?:log\(\s*logging\.\w+|failed\(\w+),\s*\"([a-z-]+)\"")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


def first_cells(page: str) -> list[str]:
    """Return the code in the first cells of a reference page's tables."""
    rows = re.findall(r"^\| (`[^|]+) \|", (REFERENCE / page).read_text(), re.M)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    for match in LINK.finditer(page.read_text()):
        target = (page.parent / match["path"]).resolve() if match["path"] else page
        assert target.exists(), match[0]
        assert match["anchor"] is None or match["anchor"] in anchors(target), match[0]


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {
        (index.parent / match["path"]).resolve() for match in LINK.finditer(index.read_text())
    }
    assert {page for page in PAGES if page not in (index, ROOT / "README.md")} <= linked


def test_every_setting_is_documented_with_its_default() -> None:
    rows = re.findall(
        r"^\| `([A-Z_]+)` \| `?(.+?)`? \|", (REFERENCE / "settings.md").read_text(), re.M
    )
    documented = {name: default for name, default in rows if name in OPTIONS}
    assert documented.keys() == OPTIONS.keys()
    for name, option in OPTIONS.items():
        if option.default not in ("", ()):
            default = option.default
            default = list(default) if isinstance(default, tuple) else default
            written = documented[name].replace("'", '"')
            assert eval(written) == default, name


def test_every_check_is_documented() -> None:
    sources = (module.read_text() for module in (ROOT / "realtime" / "checks").glob("*.py"))
    ids = {
        name for source in sources for name in re.findall(r"id=\"(realtime\.[EWI]\d+)\"", source)
    }
    assert ids == {name for name in first_cells("settings.md") if name.startswith("realtime.")}


def test_every_log_line_is_documented() -> None:
    words = {
        word
        for module in (ROOT / "realtime").rglob("*.py")
        for word in LOG_CALL.findall(module.read_text())
    }
    assert len(words) > 10
    assert words <= set(first_cells("logging.md"))


def test_the_public_names_are_those_of_the_package() -> None:
    page = (REFERENCE / "conventions.md").read_text()
    table = page.partition("## Public names\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", table, re.M)
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(names) == sorted(realtime.__all__)
    for name in names:
        assert getattr(realtime, name).__module__.startswith("realtime."), name


def test_every_error_that_a_site_catches_is_public() -> None:
    # Those of requests.
    own = {"HandshakeError", "TooManyConnections", "ServerUnavailable", "ServerDraining"}
    for name, error in vars(exceptions).items():
        if isinstance(error, type) and issubclass(error, exceptions.RealtimeError):
            inner = name in own or issubclass(error, exceptions.ProtocolError)
            assert inner is (name not in realtime.__all__) or name == "InvalidEventName", name


def public(*kinds: type) -> set[str]:
    """Return what classes have for their users."""
    names = {name for kind in kinds for name in (*dir(kind), *inspect.get_annotations(kind))}
    return {name for name in names if not name.startswith("_")}


def test_every_member_of_a_consumer_is_documented() -> None:
    page = (REFERENCE / "consumers.md").read_text()
    parts = [part for part in page.split("\n## ") if part.startswith(("What a", "What an"))]
    rows = re.findall(r"^\| (`[^|]+) \|", "\n".join(parts), re.M)
    members = {name for row in rows for name in re.findall(r"`(?:await )?(\w+)", row)}
    hooks = set(re.findall(r"^\*\*`(\w+)\(", page, re.M))
    assert hooks == set(HOOKS)
    assert members | hooks | {"as_asgi"} == public(realtime.NamespaceConsumer)


def test_every_member_of_a_broadcaster_is_documented() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", (REFERENCE / "sending.md").read_text(), re.M)
    members = {name for row in rows for name in re.findall(r"`\.(\w+)\(", row)}
    assert members == public(realtime.Broadcaster, realtime.RemoteClient)


# Where the code of others is.
INSTALLED = {"node_modules", ".venv"}

# Names that the API had before its first release. JavaScript's `socket.volatile` is another.
OLD_NAMES = {
    "volatile": r"(?<!socket)\.volatile\.\w",
    "namespace": r"\bself\.namespace\.(?!(?:partition|removeprefix|split|startswith)\b)\w",
    "disconnect": r"(?:of|to|excluding|on_commit)\((?:[^()\n]|\([^()\n]*\))*\)\.disconnect\(",
    "send_to_client": r"(?:broadcast\.|realtime\.|import |import a|\bawait a)send_to_client\b",
    "broadcast": r"realtime\.broadcast\.(?:Pending|count_clients|get_gateway)",
    "attach": r"consumer\.attach\(",
}


@pytest.mark.parametrize("old", OLD_NAMES.values(), ids=OLD_NAMES.keys())
def test_no_old_name_is_left(old: str) -> None:
    files = [ROOT / "README.md"]
    for folder in ("realtime", "tests", "docs", "project", "templates", "benchmarks"):
        for kind in ("py", "md", "html"):
            files += (ROOT / folder).rglob(f"*.{kind}")
    files = [file for file in files if not INSTALLED & set(file.parts) and file != Path(__file__)]
    assert len(files) > 300
    for file in files:
        for number, line in enumerate(file.read_text().splitlines(), 1):
            wrong = line.endswith("# wrong")  # what type checkers refuse
            assert wrong or not re.search(old, line), f"{file.relative_to(ROOT)}:{number}: {line}"


def test_the_tree_of_errors() -> None:
    """The page has that of the module's docstring, whose last lines it leaves to prose."""
    (tree,) = fenced(REFERENCE / "errors.md", "text")
    documented = inspect.cleandoc(exceptions.__doc__ or "").partition("::\n\n")[2]
    lines = [line.strip() for line in documented.splitlines()]
    assert [line.strip() for line in tree.splitlines()] == lines[: len(tree.splitlines())]
    left_out = set(re.findall(r"\w+", " ".join(lines[len(tree.splitlines()) :])))
    named = set(re.findall(r"^[│ ]*[├└]── (\w+)", tree, re.M)) | {"RealtimeError"}
    for name, error in vars(exceptions).items():
        if isinstance(error, type) and issubclass(error, exceptions.RealtimeError):
            assert name in named | left_out, name
            assert name in named or issubclass(error, exceptions.ProtocolError), name


def test_every_code_of_an_error_is_documented() -> None:
    """Those of error acknowledgements, of HTTP and of closed WebSockets, wherever they are."""
    page = (REFERENCE / "errors.md").read_text() + (REFERENCE / "wire-formats.md").read_text()
    sources = "".join(module.read_text() for module in (ROOT / "realtime").rglob("*.py"))
    answers = set(re.findall(r"(?:default_code = |\{\"code\": )\"(\w+)\"", sources))
    assert {"error", "invalid_arguments", "rate_limited", "server_error"} <= answers
    assert answers <= set(re.findall(r"`([a-z_]+)`", page))
    for code, message in exceptions.HandshakeError.MESSAGES.items():
        assert re.search(rf"^\| {code} \| 40[03] \| {message} \|", page, re.M), code
    closes = {
        value
        for module in (writers, plain)
        for value in vars(module).values()
        if isinstance(value, int) and 1000 <= value < 5000
    }
    assert len(closes) >= 7
    for code in closes:
        assert re.search(rf"\b{code}\b", page), code
    refusals = re.findall(r"\.reject\((?:packet\.)?namespace, \"([^\"]+)\"", sources)
    assert len(refusals) >= 4
    for message in refusals:
        assert f"`{message}`" in page, message


def test_the_example_of_log_lines() -> None:
    (example,) = fenced(REFERENCE / "logging.md", "text")
    assert example.splitlines()
    for line in example.splitlines():
        word, *fields = shlex.split(line)
        assert word in first_cells("logging.md")
        assert [field.partition("=")[0] for field in fields][:4] == [
            *("namespace", "sid", "user", "transport")
        ]


def test_the_readmes_figures_are_those_of_the_benchmarks() -> None:
    """In the same order: Realtime on uvicorn, on daphne, and Node."""
    figures = (ROOT / "docs" / "benchmarks.md").read_text()
    rows = {
        "deliveries a second to a room of 500, on WebSocket": (
            "Broadcast of 100 bytes to a room of 500, four on their way"
        ),
        "the same from two processes over Valkey (core layer)": (
            "Broadcast of 100 bytes to a room of 500 on two processes over Valkey"
        ),
        "acknowledged events a second": (
            "Acknowledged echo of 100 bytes, 50 clients with four on their way each"
        ),
        "KiB of memory for an idle client": "Memory of an idle connection, 5,000 of them",
        "deliveries a second to a room of 500, on polling": (
            "Broadcast of 100 bytes to a room of 500 over HTTP long-polling"
        ),
    }
    readme = (ROOT / "README.md").read_text()
    for name, heading in rows.items():
        table = figures.partition(f"### {heading}\n")[2].partition("\n###")[0]
        measured = [
            re.search(rf"^\| {server}[^|]*\| ([\d,.]+) \|", table, re.M)
            for server in (
                r"Realtime on uvicorn \(uvloop\)(?! \(pubsub)",
                r"Realtime on daphne(?! \(pubsub)",
                "Socket.IO on Node",
            )
        ]
        row = " | ".join(each[1] for each in measured if each)
        assert f"| {name} | {row} |" in readme, (name, row)
