"""The tables of docs/scaling.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ..measure import DISTURBED
from ..report import provenance, put_between
from ..results import Summary
from .costs import FEW, LAYERS, MANY, WORKLOADS, Costs, read
from .needs import BUSY, CORES, GIB, MEMORY, Needs, needs
from .simulation import Scenario, spread

START, END = "<!-- scaling: start -->", "<!-- scaling: end -->"

SCENARIOS = (
    Scenario("notifications: a room for each client", 1, 1.5, 1200, 1 / 60),
    Scenario("chat: 3 rooms of 50", 3, 50, 1200, 1 / 60),
    Scenario("documents: a room of 5, busy", 1, 5, 600, 1 / 2),
    Scenario("a match: everyone in one channel", 1, 5, 600, 1 / 300, to_all=1.0),
)
SIZES = (2, 5, 20, 100, 1_000)
PROCESSES = (2, 4, 16, 64)
CLIENTS = (10_000, 100_000, 1_000_000)


def write_page(summary: Summary, page: Path) -> None:
    """Put the tables between the two marks of a page. Raises KeyError for a missing figure."""
    put_between(START, END, list(tables(summary)), page)


def tables(summary: Summary) -> Iterator[str]:
    """
    Yield the lines of the page between its marks, in Markdown.

    Raises KeyError, which says what to measure, where a figure is missing.
    """
    costs = read(summary["workloads"])
    yield "### What one core carries"
    yield ""
    yield from _core(costs)
    yield ""
    yield "### What one Valkey carries"
    yield ""
    yield from _valkey(costs)
    yield ""
    yield "### How rooms spread"
    yield ""
    yield from _spread()
    for clients in CLIENTS:
        yield ""
        yield f"### {clients:,} clients"
        yield ""
        yield from _clients(costs, clients)
    yield ""
    yield from dict.fromkeys(provenance(summary["machines"][name]) for name in WORKLOADS)
    if costs.waited > DISTURBED:
        yield (
            f"Meanwhile others had the cores for up to {costs.waited:.0%} of the time: on a quiet "
            "machine the costs are lower."
        )


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    header = list(header)
    yield _row(header)
    yield _row(["---", *["---:"] * (len(header) - 1)])
    yield from map(_row, rows)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _core(costs: Costs) -> Iterator[str]:
    yield from _table(
        ("of one process on uvicorn", "CPU µs each (measured)", "a core, full", f"at {BUSY:.0%}"),
        (
            (what, f"{cost:,.1f}", f"{1e6 / cost:,.0f}/s", f"{BUSY * 1e6 / cost:,.0f}/s")
            for what, cost in (
                ("deliveries of 100 bytes", costs.deliver),
                ("events with an acknowledgement", costs.event),
                ("connects with session and presence", costs.connect),
            )
        ),
    )
    yield ""
    yield (
        f"An idle connection takes {costs.connection / 1024:,.1f} KiB (measured): "
        f"{GIB / costs.connection:,.0f} of them a GiB (computed)."
    )


def _valkey(costs: Costs) -> Iterator[str]:
    def rows() -> Iterator[list[str]]:
        for name in LAYERS:
            layer = costs.layers[name]
            own = [f"{layer.publish:,.0f}", f"{layer.receive:,.0f}"]
            for receivers in (FEW, MANY, 16, 64):
                used = layer.in_valkey(receivers)
                how = "measured" if receivers in (FEW, MANY) else "computed"
                yield [
                    f"{name}, to {receivers} processes ({how})",
                    *own,
                    f"{used:,.1f}",
                    f"{BUSY * 1e6 / used:,.0f}/s",
                ]

    header = ("layer", "publisher µs", "receiver µs", "Valkey µs", f"messages at {BUSY:.0%}")
    yield from _table(header, rows())


def _spread() -> Iterator[str]:
    header = ["members of a room (simulated)", *(f"of {count} processes" for count in PROCESSES)]
    yield from _table(
        header,
        (
            [f"{size:,}", *(f"{spread(size, processes):,.1f}" for processes in PROCESSES)]
            for size in SIZES
        ),
    )


def _clients(costs: Costs, clients: int) -> Iterator[str]:
    header = (
        *("site", "processes", f"machines of {CORES} cores, {MEMORY // GIB} GiB", "memory GiB"),
        *("files each", "deliveries/s", "layer messages/s", "hubs each", "group changes/s"),
        *("Valkeys core", "Valkeys pubsub", "connects/s", "rows/s", "transactions/s"),
        "rush",
    )
    yield from _table(
        header,
        (
            _needs(scenario.name, needs(scenario, clients, costs, "pubsub"))
            for scenario in SCENARIOS
        ),
    )


def _needs(name: str, need: Needs) -> list[str]:
    hubs = need.received / need.published if need.published else 0
    return [
        name,
        f"{need.processes:,}",
        f"{need.machines:,}",
        f"{need.memory / GIB:,.1f}",
        f"{need.files:,}",
        *(f"{value:,.0f}" for value in (need.deliveries, need.published)),
        f"{hubs:,.1f}",
        f"{need.group_changes:,.0f}",
        *(f"{need.valkeys[layer]:,}" for layer in LAYERS),
        *(f"{value:,.0f}" for value in (need.connects, need.rows, need.transactions)),
        f"{need.outcome.rush:.1%}",
    ]
