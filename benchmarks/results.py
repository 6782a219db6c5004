"""Raw results of each round, their medians, and what is kept of them."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from .measure import Result
from .servers import ROOT
from .workloads import WORKLOADS, Workload

FOLDER = ROOT / "benchmarks" / "results"

# The figures of a case: their names here, and what one of the load generator's is divided by.
FIGURES = {
    "per_second": ("per_second", 1.0),
    "cpu_us": ("cpu_us_each", 1.0),
    "p50_ms": ("p50_us", 1e3),
    "p99_ms": ("p99_us", 1e3),
    "waited": ("waited", 1.0),
    "publish_us": ("publish_us", 1.0),
    "receive_us": ("receive_us", 1.0),
    "kib": ("bytes_each", 1024.0),
    "cut": ("cut", 1.0),
    "grown_mib": ("grown", 2.0**20),
    "bound_mib": ("bound", 2.0**20),
}

Summary = dict[str, Any]


def summarize(rounds: list[Result]) -> dict[str, float]:
    """
    Return the medians of a case's rounds, under the names of FIGURES.

    `spread` is the distance between the best and the worst round, as a part of the median.
    """
    summary = {
        name: median(result[source] for result in rounds) / divisor
        for name, (source, divisor) in FIGURES.items()
        if source in rounds[0]
    }
    main = "per_second" if "per_second" in rounds[0] else "bytes_each"
    values = [result[main] for result in rounds]
    summary["spread"] = (max(values) - min(values)) / (median(values) or 1)
    summary["rounds"] = len(rounds)
    return summary


def save(workload: Workload, machine: dict[str, Any], rounds: dict[str, list[Result]]) -> None:
    """Keep one workload's raw results, in place of those of an earlier run."""
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine, "rounds": rounds}, indent=1)
    (FOLDER / f"{workload.name}.json").write_text(text + "\n")


def load() -> Summary:
    """
    Return the medians of every workload that has results.

    `workloads` are cases by name, in the order of WORKLOADS; `machines` is what each was measured
    on, and when.
    """
    found = {
        name: json.loads(path.read_text())
        for name in WORKLOADS
        if (path := FOLDER / f"{name}.json").exists()
    }
    return {
        "machines": {name: saved["machine"] for name, saved in found.items()},
        "workloads": {
            name: {case: summarize(rounds) for case, rounds in saved["rounds"].items()}
            for name, saved in found.items()
        },
    }


def read_kept(path: Path) -> Summary:
    """Return what `write_kept` has written."""
    summary: Summary = json.loads(path.read_text())
    return summary


def merge(kept: Summary, new: Summary) -> Summary:
    """Return the workloads of both, the new ones in place of those that were kept."""
    both = {part: kept[part] | new[part] for part in ("machines", "workloads")}
    return {
        part: {name: of_part[name] for name in WORKLOADS if name in of_part}
        for part, of_part in both.items()
    }


def write_kept(summary: Summary, path: Path) -> None:
    """Write the one file of results that is kept with the project."""
    rounded = json.loads(json.dumps(summary), parse_float=lambda text: round(float(text), 4))
    path.write_text(json.dumps(rounded, indent=1) + "\n")
