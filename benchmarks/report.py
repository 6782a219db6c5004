"""The tables: for the terminal, and for the page in the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .results import Summary
from .servers import KINDS
from .workloads import WORKLOADS, Case, Workload

START, END = "<!-- benchmarks: start -->", "<!-- benchmarks: end -->"

Figures = dict[str, dict[str, float]]


def title(case: Case) -> str:
    """Return a case's name as people read it."""
    return f"{KINDS[case.server].title} {case.label}".strip()


def table(workload: Workload, figures: Figures) -> Iterator[str]:
    """Yield the lines of one workload's table, in Markdown."""
    cases = [case for case in workload.cases if case.name in figures]
    memory = "kib" in figures[cases[0].name]
    main = "kib" if memory else "per_second"
    timed = not memory and workload.name not in ("outside", "layers")
    header = ["server", workload.unit if memory else f"{workload.unit}/s"]
    node, channels = _reference(workload, figures, "node"), _channels(workload, figures)
    header += ["× Node"] if node else []
    header += ["× Channels"] if channels else []
    header += [] if memory else ["CPU µs each"]
    header += ["p50 ms", "p99 ms", "waited"] if timed else []
    header += ["publisher µs", "receiver µs"] if workload.name == "layers" else []
    header += ["× without", "grew MiB", "may MiB", "cut"] if any(c.deaf for c in cases) else []
    paired = any(case.beside and not case.deaf for case in cases)
    header += ["KiB more" if memory else "CPU × without"] if paired else []
    header.append("spread")
    yield _row(header)
    yield _row(["---", *["---:"] * (len(header) - 1)])
    for case in cases:
        own = figures[case.name]
        cells = [title(case), f"{own[main]:,.1f}" if memory else f"{own[main]:,.0f}"]
        if node:
            cells.append(_ratio(own[main], node[main]))
        if channels:
            other = channels.get(_web_server(case))
            cells.append(_ratio(own[main], other[main]) if other else "")
        if not memory:
            cells.append(f"{own['cpu_us']:,.1f}")
            if timed:
                cells += [f"{own['p50_ms']:,.1f}", f"{own['p99_ms']:,.1f}", f"{own['waited']:.0%}"]
        if workload.name == "layers":
            cells += [f"{own[name]:,.0f}" for name in ("publish_us", "receive_us")]
        without = figures.get(case.beside)
        if case.deaf:
            cells.append(_ratio(own[main], without[main]) if without else "")
            cells += [f"{own[name]:,.0f}" for name in ("grown_mib", "bound_mib", "cut")]
        elif without and memory:
            cells.append(f"{own['kib'] - without['kib']:,.1f}")
        elif without:
            cells.append(_ratio(own["cpu_us"], without["cpu_us"]))
        cells += [""] * (len(header) - 1 - len(cells))
        cells.append(f"{own['spread']:.0%}")
        yield _row(cells)
    if workload.missing:
        yield ""
        yield workload.missing


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _ratio(value: float, reference: float) -> str:
    ratio = value / reference
    return f"{ratio:,.0f}" if ratio >= 20 else f"{ratio:.2f}"


def _web_server(case: Case) -> str:
    return "daphne" if case.server.endswith("daphne") else "uvicorn"


def _reference(workload: Workload, figures: Figures, server: str) -> dict[str, float] | None:
    """Return the figures of the case on a server that others are compared with."""
    for case in workload.cases:
        if case.server == server and case.name in figures:
            return figures[case.name]
    return None


def _channels(workload: Workload, figures: Figures) -> Figures:
    found = {
        server: _reference(workload, figures, f"channels-{server}")
        for server in ("uvicorn", "daphne")
    }
    return {server: figures for server, figures in found.items() if figures}


def tables(summary: Summary) -> Iterator[str]:
    """Yield every table under its title, and what each was measured on."""
    runs: dict[str, list[str]] = {}
    for name, figures in summary["workloads"].items():
        if figures:
            heading = WORKLOADS[name].title
            yield f"### {heading}"
            yield ""
            yield from table(WORKLOADS[name], figures)
            yield ""
            runs.setdefault(provenance(summary["machines"][name]), []).append(heading)
    if len(runs) == 1:
        yield from runs
        return
    for measured, headings in runs.items():
        yield measured + " Tables of this run:"
        yield ""
        yield from (f"- {heading}" for heading in headings)
        yield ""


def provenance(machine: dict[str, Any]) -> str:
    """Return when and on what figures were measured."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"Measured on {machine['date']} on a machine with {machine['machine']} "
        f"({machine['system']}); {versions}."
    )


def write_page(summary: Summary, page: Path) -> None:
    """Put the tables between the two marks of a page in the documentation."""
    put_between(START, END, tables(summary), page)


def put_between(start: str, end: str, lines: Iterable[str], page: Path) -> None:
    """Put lines between two marks of a page, in place of what is there."""
    before, found_start, rest = page.read_text().partition(start)
    _, found_end, after = rest.partition(end)
    if not (found_start and found_end):
        raise ValueError(f"{page} has no {start} ... {end}")
    page.write_text(f"{before}{start}\n\n" + "\n".join(lines) + f"\n\n{end}{after}")
