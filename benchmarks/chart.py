"""The chart: one panel for each of the main workloads, one bar for each server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from .results import Summary
from .servers import KINDS

WIDTH, PANEL_WIDTH, LEFT, GAP = 960, 440, 226, 30
BAR, STEP, HEAD = 14, 22, 44

# Ours, the others on Python, and Node, told apart for every kind of sight.
OURS, OTHERS, NODE = "#0b6e4f", "#9aa5b1", "#3f6fb5"


@dataclass(frozen=True)
class Panel:
    """What one panel shows: a figure of a workload's cases."""

    workload: str
    figure: str
    title: str
    better: str
    digits: int = 0


PANELS = (
    Panel("broadcast", "per_second", "Broadcast to 500, deliveries/s", "more is better"),
    Panel("echo", "per_second", "Acknowledged echo, acknowledgements/s", "more is better"),
    Panel("broadcast", "p99_ms", "Broadcast, p99 to the last delivery, ms", "less is better", 1),
    Panel("idle", "kib", "Idle connection, KiB", "less is better", 1),
)


def _color(server: str) -> str:
    if KINDS[server].title.startswith("Realtime"):
        return OURS
    return NODE if server == "node" else OTHERS


def _panel(panel: Panel, figures: dict[str, float], x: int, y: int) -> Iterator[str]:
    largest = max(figures.values())
    yield f'<text x="{x}" y="{y + 16}" class="title">{escape(panel.title)}</text>'
    yield f'<text x="{x}" y="{y + 32}" class="note">{panel.better}</text>'
    for row, (server, value) in enumerate(figures.items()):
        top = y + HEAD + row * STEP
        width = max(1.0, value / largest * (PANEL_WIDTH - LEFT - 60))
        start = x + LEFT
        yield (
            f'<text x="{start - 8}" y="{top + 11}" class="name">'
            f"{escape(KINDS[server].title)}</text>"
        )
        yield (
            f'<rect x="{start}" y="{top}" width="{width:.1f}" height="{BAR}" '
            f'fill="{_color(server)}"/>'
        )
        yield (
            f'<text x="{start + width + 5:.1f}" y="{top + 11}" class="value">'
            f"{value:,.{panel.digits}f}</text>"
        )


def _figures(summary: Summary, panel: Panel) -> dict[str, float]:
    cases = summary["workloads"].get(panel.workload, {})
    return {
        name: figures[panel.figure]
        for name, figures in cases.items()
        if name in KINDS and panel.figure in figures
    }


def draw(summary: Summary) -> str:
    """Return the chart as SVG."""
    panels = [(panel, _figures(summary, panel)) for panel in PANELS]
    shown = [(panel, figures) for panel, figures in panels if figures]
    rows = max((len(figures) for _, figures in shown), default=0)
    height = HEAD + rows * STEP + GAP
    lines: list[str] = []
    for index, (panel, figures) in enumerate(shown):
        x = 20 + index % 2 * (PANEL_WIDTH + GAP)
        lines += _panel(panel, figures, x, 10 + index // 2 * height)
    total = 10 + (len(shown) + 1) // 2 * height
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" '
            f'width="{WIDTH}" height="{total}" role="img">',
            "<title>Realtime beside other servers, each on one core</title>",
            "<style>text{font:12px system-ui,sans-serif;fill:#1f2933}"
            ".title{font-weight:600;font-size:14px}.note{fill:#616e7c}"
            ".name{text-anchor:end}</style>",
            f'<rect width="{WIDTH}" height="{total}" fill="#ffffff"/>',
            *lines,
            "</svg>\n",
        )
    )


def write(summary: Summary, path: Path) -> None:
    """Write the chart."""
    path.write_text(draw(summary))
