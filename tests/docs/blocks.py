"""The fenced blocks of Markdown pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from tests.processes import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>.*)$")
_NAME = re.compile(r"(?:#|//|<!--) (?P<path>[\w./-]+\.\w+)(?P<add>, at the end)?(?: -->|, .*)?")


class Block(NamedTuple):
    """One block: its page, the line that it starts in, its language and its unindented code."""

    page: Path
    line: int
    language: str
    code: str

    @property
    def id(self) -> str:
        """What a test of this block is called."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def path(self) -> str | None:
        """The file that its first line names."""
        name = _NAME.fullmatch(self.code.partition("\n")[0].strip())
        return name["path"] if name else None

    @property
    def adds(self) -> bool:
        """Whether its first line says that it belongs at the end of that file."""
        name = _NAME.fullmatch(self.code.partition("\n")[0].strip())
        return bool(name and name["add"])

    @property
    def body(self) -> str:
        """Its code without the line that names a file."""
        return self.code.partition("\n")[2].lstrip("\n") if self.path else self.code


def blocks_of(page: Path) -> list[Block]:
    """Return a page's blocks. Raises ValueError for one that does not end."""
    blocks: list[Block] = []
    lines = page.read_text().splitlines()
    start, language, indent, code = 0, "", "", list[str]()
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if start and fence and not fence["language"] and fence["indent"] == indent:
            blocks.append(Block(page, start, language, "".join(f"{each}\n" for each in code)))
            start = 0
        elif start:
            code.append(line.removeprefix(indent))
        elif fence:
            start, language, indent, code = number, fence["language"], fence["indent"], []
    if start:
        raise ValueError(f"{page}:{start}: a block that does not end")
    return blocks


def all_blocks(*languages: str) -> list[Block]:
    """Return the blocks of all pages in these languages; all blocks where none is named."""
    blocks = [block for page in PAGES for block in blocks_of(page)]
    return [block for block in blocks if not languages or block.language in languages]


def block_with(page: str, text: str) -> Block:
    """Return the block of Python that has this text, of a page with this name."""
    (block,) = (
        each for each in all_blocks("python") if each.page.name == page and text in each.code
    )
    return block


def defined_by(block: Block) -> dict[str, Any]:
    """Run a block, and return what it defines."""
    names: dict[str, Any] = {}
    exec(compile(block.code, block.id, "exec"), names)
    return names


def expected_output(block: Block, call: str, comment: str) -> list[str]:
    """Return patterns of the lines that a block says it prints, behind calls of a function."""
    said = re.findall(rf"\b{call}\(.*\);? +{comment} (.*)$", block.code, re.M)
    return [re.sub("<.*?>", ".*", re.escape(line)) for line in said]


def check_output(block: Block, output: str, call: str, comment: str) -> None:
    """Assert that a block has printed what it says."""
    lines = output.splitlines()
    for pattern in expected_output(block, call, comment):
        assert any(re.fullmatch(pattern, line) for line in lines), f"no {pattern!r} in:\n{output}"
