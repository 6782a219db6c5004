"""The load generator and its driver work against our server. Nothing here depends on speed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import replace

import pytest

from benchmarks import chart, measure, report, results
from benchmarks.measure import FAULTS
from benchmarks.servers import ROOT
from benchmarks.workloads import LOGGED, RECOVERY, WORKLOADS, Case
from tests.services import missing

SHORT = 0.5

MACHINE = {"machine": "m", "system": "s", "versions": {"a": "1"}}


def _compiles(code: str) -> bool:
    if shutil.which("cc") is None:
        return False
    command = ["cc", "-E", "-x", "c", "-"]
    done = subprocess.run(command, input=code, text=True, capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture(scope="module", autouse=True)
def _load_generator() -> None:
    """Build it; without a compiler there is nothing to test, except where one must be."""
    if not _compiles("#include <stdio.h>"):
        missing("a C compiler", "apt-get install gcc libc6-dev")
    subprocess.run(["make", "-C", str(ROOT / "benchmarks" / "load")], check=True)


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("broadcast", Case("uvicorn-asyncio")),
        ("broadcast-rooms", Case("daphne")),
        ("broadcast-binary", Case("uvicorn-asyncio")),
        ("broadcast-16k", Case("daphne")),
        ("polling", Case("uvicorn-asyncio")),
        ("echo", Case("daphne")),
        ("typed", Case("uvicorn-asyncio", arguments=("--event", "typed"))),
        ("connects-session", Case("uvicorn-asyncio")),
        ("deaf", Case("daphne", arguments=("--clients", "50"), deaf=5)),
        ("cluster", Case("uvicorn-asyncio", processes=2, layer="core")),
        ("outside", Case("uvicorn-asyncio", layer="pubsub")),
        ("broadcast", Case("channels-daphne")),
        ("recovery-broadcast", Case("daphne", realtime=RECOVERY)),
        ("recovery-cluster", Case("uvicorn", processes=2, layer="pubsub", realtime=RECOVERY)),
    ],
    ids=lambda value: value if isinstance(value, str) else value.server,
)
def test_what_is_sent_arrives(name: str, case: Case) -> None:
    few = tuple("50" if each == "500" else each for each in WORKLOADS[name].arguments)
    workload = replace(WORKLOADS[name], arguments=few)
    for seconds in (SHORT, 4, 16):  # a busy machine may stand still for the first
        result = measure.measure(workload, case, seconds, SHORT)
        if result["done"]:
            break
    assert result["done"] > 0
    assert result["per_second"] > 0
    assert not any(result[fault] for fault in FAULTS)


def test_idle_connections_have_a_size() -> None:
    few = ("--workload", "idle", "--clients", "300")
    workload = replace(WORKLOADS["idle"], arguments=few)
    result = measure.measure(workload, Case("uvicorn-asyncio"), SHORT, SHORT)
    assert 1_000 < result["bytes_each"] < 500_000


@pytest.mark.parametrize("layer", ["core", "pubsub"])
def test_a_layer_by_itself(layer: str) -> None:
    case = Case("valkey", processes=2, layer=layer)
    result = measure.measure(WORKLOADS["layers"], case, SHORT, 0)
    assert result["done"] >= 400
    assert all(result[cost] > 0 for cost in ("cpu_us_each", "publish_us", "receive_us"))


def test_a_server_that_loses_messages_fails_its_measurement() -> None:
    workload = replace(
        WORKLOADS["echo"], arguments=(*WORKLOADS["echo"].arguments, "--event", "nobody listens")
    )
    with pytest.raises(RuntimeError, match="were not acknowledged"):
        measure.measure(workload, Case("uvicorn-asyncio"), SHORT, 0.1)


def test_the_report_compares_with_node_and_channels() -> None:
    def figures(rate: float) -> dict[str, float]:
        rounds = [
            {
                "per_second": rate * factor,
                "cpu_us_each": 1e6 / rate,
                "p50_us": 10,
                "p99_us": 20,
                "waited": 0.01,
            }
            for factor in (0.9, 1.0, 1.2)
        ]
        return results.summarize(rounds)

    broadcast = {"uvicorn": figures(300), "node": figures(100), "channels-uvicorn": figures(10)}
    summary = {
        "machines": {"broadcast": MACHINE | {"date": "2026-01-01"}},
        "workloads": {"broadcast": broadcast},
    }
    lines = list(report.tables(summary))
    row = next(line for line in lines if line.startswith("| Realtime on uvicorn (uvloop)"))
    assert [cell.strip() for cell in row.split("|")[2:5]] == ["300", "3.00", "30"]
    assert row.endswith("| 30% |")
    assert lines[-1].startswith("Measured on 2026-01-01 on a machine with m (s); a 1.")
    assert chart.draw(summary).count("<rect") == 1 + 2 * len(broadcast)


def test_tables_of_a_later_run_take_the_place_of_their_own() -> None:
    def run(date: str, **rates: float) -> results.Summary:
        figures = {"cpu_us": 1.0, "p50_ms": 1.0, "p99_ms": 2.0, "waited": 0.0, "spread": 0.0}
        return {
            "machines": {name: MACHINE | {"date": date} for name in rates},
            "workloads": {
                name: {"uvicorn": figures | {"per_second": rate}} for name, rate in rates.items()
            },
        }

    both = results.merge(run("2026-01-01", broadcast=300, echo=100), run("2026-02-02", echo=200))
    lines = list(report.tables(both))
    rates = [line.split("|")[2].strip() for line in lines if line.startswith("| Realtime")]
    assert rates == ["300", "200"]
    of_runs = lines[next(at for at, line in enumerate(lines) if line.startswith("Measured")) :]
    assert [line for line in of_runs if line] == [
        "Measured on 2026-01-01 on a machine with m (s); a 1. Tables of this run:",
        f"- {WORKLOADS['broadcast'].title}",
        "Measured on 2026-02-02 on a machine with m (s); a 1. Tables of this run:",
        f"- {WORKLOADS['echo'].title}",
    ]


def test_the_report_compares_recovery_with_none() -> None:
    names = ("uvicorn", "uvicorn with recovery", "node")
    times = {"p50_ms": 1.0, "p99_ms": 2.0, "waited": 0.0, "spread": 0.0}
    rates = {
        name: {"per_second": 100.0, "cpu_us": cpu, **times}
        for name, cpu in zip(names, (4.0, 4.4, 9.0), strict=True)
    }
    rows = _cells(report.table(WORKLOADS["recovery-broadcast"], rates))
    assert [row["CPU × without"] for row in rows] == ["", "1.10", ""]
    sizes = {
        name: {"kib": kib, "spread": 0.0} for name, kib in zip(names, (8, 8.5, 17), strict=True)
    }
    rows = _cells(report.table(WORKLOADS["recovery-idle"], sizes))
    assert [row["KiB more"] for row in rows] == ["", "0.5", ""]


def _cells(lines: Iterable[str]) -> list[dict[str, str]]:
    """Return the rows of a table, by its header."""
    header, _, *rows = (
        [cell.strip() for cell in line.split("|")] for line in lines if line[:1] == "|"
    )
    return [dict(zip(header, row, strict=True)) for row in rows]


@pytest.mark.parametrize("name", [name for name in WORKLOADS if name.startswith("recovery-")])
def test_each_row_with_recovery_has_one_without_beside_it(name: str) -> None:
    cases = WORKLOADS[name].cases
    assert {case.server for case in cases} == {"uvicorn", "daphne", "node"}
    without = {case.name: case for case in cases if not case.beside}
    beside = [(case, without[case.beside]) for case in cases if case.beside]
    assert {case.beside for case, _ in beside} == without.keys()
    for case, other in beside:
        assert (case.layer, case.processes) == (other.layer, other.processes)
        settings = LOGGED if "log in Redis" in case.label else RECOVERY
        assert case.realtime == {**other.realtime, **settings}
