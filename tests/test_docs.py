"""The documentation says what the code does, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from realtime.conf import OPTIONS
from tests.processes import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
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
    source = "".join(path.read_text() for path in (ROOT / "realtime").rglob("*.py"))
    ids = set(re.findall(r"id=\"(realtime\.[EWI]\d+)\"", source))
    assert ids == {name for name in first_cells("settings.md") if name.startswith("realtime.")}


def test_every_log_line_is_documented() -> None:
    words = {
        word
        for module in (ROOT / "realtime").rglob("*.py")
        for word in LOG_CALL.findall(module.read_text())
    }
    assert len(words) > 10
    assert words <= set(first_cells("logging.md"))
