"""Each block has a rule: those that need no server, and what the other test files take."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path

import pytest
from django.urls import resolve

from tests.clients.javascript import require_node
from tests.docs.blocks import PAGES, Block, all_blocks, blocks_of
from tests.docs.registry import EXECUTED, EXECUTED_BLOCKS, TEXTS, name_of
from tests.docs.shell import check_command, check_script
from tests.packaging.guides import GUIDES
from tests.processes import ROOT
from tests.services import missing

SITE_PAGE = ROOT / "docs" / "reference" / "example-site.md"


def check_python(block: Block) -> None:
    """Compile it; `test_python` runs it."""
    ast.parse(block.code)
    compile(block.code, block.id, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def check_javascript(block: Block) -> None:
    """Parse it; `test_pages` runs it."""
    require_node()
    command = ["node", "--check", "--input-type=module", "-"]
    done = subprocess.run(command, input=block.code, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def check_html(block: Block) -> None:
    """See that it is a page; `test_pages` runs it."""
    assert "<script" in block.code


def check_shell(block: Block) -> None:
    check_script(block.code)


def check_json(block: Block) -> None:
    json.loads(block.code)


def check_unit(block: Block) -> None:
    """Parse a systemd unit, or lines of its [Service]."""
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(block.code if "\n[" in block.code else "[Service]\n" + block.code)
    assert set(parser.sections()) <= {"Unit", "Service", "Install"}
    check_command(parser["Service"]["ExecStart"].replace("%i", "8001").split())


def check_nginx(block: Block) -> None:
    """See that it is a file of the guide, lines of one, or a main configuration of its own."""
    files = [path.read_text() for path in (GUIDES / "deploy").glob("*.conf")]
    if block.code in files:
        return
    lines = {line.strip() for line in block.code.splitlines()} - {"..."}
    if any(lines <= {line.strip() for line in text.splitlines()} for text in files):
        return
    check_nginx_main(block.code)


def check_nginx_main(configuration: str) -> None:
    """Have nginx itself look at a main configuration."""
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        missing("nginx", "apt-get install nginx-light")
    folder = Path(os.environ.get("TMPDIR", "/tmp"))
    path = folder / f"realtime-docs-{os.getpid()}.conf"
    path.write_text(configuration)
    try:
        command = [str(program), "-t", "-c", str(path), "-g", "error_log stderr; pid /dev/null;"]
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        assert "syntax is ok" in done.stderr, done.stderr
    finally:
        path.unlink()


def check_file(block: Block) -> None:
    """See that it is a file of the guide, which `tests/packaging` gives to its server."""
    assert block.code in [path.read_text() for path in (GUIDES / "deploy").glob("*.conf")]


def check_balancer(block: Block) -> None:
    """See that what is ours in another program's file is there: paths, and a server's command."""
    paths = re.findall(r"(?:path:|uri) (/\S+)", block.code)
    assert paths
    for path in paths:
        name = resolve(path.removeprefix("/realtime"), "realtime.urls").url_name
        assert name in ("ready", "live")
    command = re.search(r"^ *command: (\[.*\])\n *args: (\[[^]]*\])", block.code, re.M)
    if command is not None:
        check_command(json.loads(command[1]) + json.loads(command[2]))


def check_text(block: Block) -> None:
    assert name_of(block.page) in TEXTS, "plain text is checked by nothing: see registry.TEXTS"


RULES: dict[str, Callable[[Block], None]] = {
    "python": check_python,
    "js": check_javascript,
    "html": check_html,
    "sh": check_shell,
    "json": check_json,
    "ini": check_unit,
    "nginx": check_nginx,
    "conf": check_file,
    "haproxy": check_balancer,
    "yaml": check_balancer,
    "text": check_text,
}


@pytest.mark.parametrize("block", all_blocks(), ids=lambda block: block.id)
def test_each_block(block: Block) -> None:
    assert block.language in RULES, f"no rule for a block in {block.language!r}"
    RULES[block.language](block)


@pytest.mark.parametrize("test", [*EXECUTED.values(), *EXECUTED_BLOCKS.values(), *TEXTS.values()])
def test_what_the_registry_names_exists(test: str) -> None:
    if "::" not in test:
        assert test == "a picture"
        return
    path, _, name = test.partition("::")
    functions = [
        node.name
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    assert name in functions


def test_the_registry_names_pages_that_exist() -> None:
    for name in {**EXECUTED, **TEXTS}:
        assert (ROOT / name) in PAGES
    for name, test in EXECUTED.items():
        assert Path(name).name in (ROOT / test.partition("::")[0]).read_text()
        assert any(block.path for block in blocks_of(ROOT / name))
    for name, start in EXECUTED_BLOCKS:
        assert any(block.code.startswith(start) for block in blocks_of(ROOT / name))


@pytest.mark.parametrize(
    "page",
    [
        page
        for page in PAGES
        if any(block.language in ("python", "js") for block in blocks_of(page))
    ],
    ids=name_of,
)
def test_each_page_names_its_site(page: Path) -> None:
    text = page.read_text()
    assert (
        page == SITE_PAGE
        or "example-site.md" in text
        or (name_of(page) in EXECUTED and "mysite" in text)
    )
