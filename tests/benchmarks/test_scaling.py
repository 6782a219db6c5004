"""What a million clients need is computed from what was measured."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scaling import __main__ as command
from benchmarks.scaling import costs, tables
from benchmarks.scaling.needs import BUSY, MOST_CLIENTS, needs
from benchmarks.scaling.simulation import Scenario, simulate, spread

CHAT = Scenario("chat", rooms=3, members=50, stay=1200, events=1 / 60)


def figures() -> dict[str, Any]:
    """Return what a run of the benchmarks may have found."""

    def layer(cpu: float) -> dict[str, float]:
        return {"cpu_us": cpu, "publish_us": 200, "receive_us": 150}

    return {
        "broadcast": {"uvicorn": {"cpu_us": 5}},
        "echo": {"uvicorn": {"cpu_us": 20}},
        "connects-session": {"uvicorn with presence": {"cpu_us": 2000}},
        "idle": {"uvicorn": {"kib": 20}},
        "layers": {
            "valkey core layer, 1 to receive": layer(50),
            "valkey core layer, 4 to receive": layer(110),
            "valkey pubsub layer, 1 to receive": layer(10),
            "valkey pubsub layer, 4 to receive": layer(16),
        },
    }


def machines() -> dict[str, Any]:
    """Return what that was measured on."""
    machine = {"date": "2026-01-01", "machine": "m", "system": "s", "versions": {"a": "1"}}
    return dict.fromkeys(figures(), machine)


@pytest.fixture
def measured() -> costs.Costs:
    return costs.read(figures())


def test_a_layers_cost_grows_with_its_receivers(measured: costs.Costs) -> None:
    core = measured.layers["core"]
    assert core.in_valkey(1) == 50
    assert core.in_valkey(4) == 110
    assert core.in_valkey(10) == 230
    assert measured.connection == 20 * 1024


def test_what_was_not_measured_is_named() -> None:
    known = figures()
    del known["layers"]["valkey core layer, 4 to receive"]
    with pytest.raises(KeyError, match=r"make bench ARGS=.*--only layers"):
        costs.read(known)


@pytest.mark.parametrize(("members", "processes"), [(1, 8), (5, 8), (50, 8), (5, 64)])
def test_rooms_spread_as_chance_has_it(members: int, processes: int) -> None:
    expected = processes * (1 - (1 - 1 / processes) ** members)
    assert spread(members, processes) == pytest.approx(expected, rel=0.05)


def test_clients_that_come_and_go() -> None:
    found = simulate(CHAT, 4)
    # Who speaks is more often in a large room than in a small one.
    assert found.receivers > CHAT.members
    assert 3.9 < found.processes <= 4
    assert found.rush == pytest.approx(1 / 3, rel=0.1)
    small = simulate(replace(CHAT, rooms=1, members=1.5), 64)
    # Nearly everyone's coming opens a group somewhere, and nearly everyone's leaving closes one.
    assert small.group_changes == pytest.approx(2 / CHAT.stay, rel=0.3)
    assert 1 < small.processes <= small.receivers < 6


def test_one_process_needs_no_layer(measured: costs.Costs) -> None:
    found = needs(CHAT, 500, measured, "pubsub")
    assert (found.processes, found.published, found.valkeys["core"]) == (1, 0, 0)


def test_a_million(measured: costs.Costs) -> None:
    found = needs(CHAT, 1_000_000, measured, "pubsub")
    assert found.processes >= 1_000_000 / MOST_CLIENTS
    assert found.busy <= BUSY
    assert found.files > 1_000_000 / found.processes
    assert found.deliveries == pytest.approx(1e6 / 60 * found.outcome.receivers)
    assert found.valkeys["core"] > found.valkeys["pubsub"] >= 1
    assert found.connects == pytest.approx(1e6 / 1200)
    assert found.rows > found.connects * 8
    assert found.memory > 1e6 * 20 * 1024
    dearer = replace(measured, deliver=measured.deliver * 20)
    assert needs(CHAT, 1_000_000, dearer, "pubsub").processes > found.processes


def test_every_table_has_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "CLIENTS", (5_000,))
    disturbed = replace(costs.read(figures()), waited=0.4)
    monkeypatch.setattr(tables, "read", lambda figures: disturbed)
    lines = list(tables.tables({"machines": machines(), "workloads": figures()}))
    for scenario in tables.SCENARIOS:
        assert sum(line.startswith(f"| {scenario.name} |") for line in lines) == 1
    assert "| core, to 4 processes (measured) | 200 | 150 | 110.0 | 5,455/s |" in lines
    assert len({line.count("|") for line in lines if "everyone in one" in line}) == 1
    assert "40%" in lines[-1]
    assert [line[:22] for line in lines if "a machine with m (s)" in line] == [
        "Measured on 2026-01-01"
    ]


def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, page = tmp_path / "benchmarks.json", tmp_path / "scaling.md"
    kept.write_text(json.dumps({"machines": machines(), "workloads": figures()}))
    page.write_text(f"before\n{tables.START}\nold\n{tables.END}\nafter\n")
    monkeypatch.setattr(command, "PAGE", page)
    monkeypatch.setattr(tables, "tables", lambda *args: iter(["new"]))
    monkeypatch.setattr(sys, "argv", ["scaling", "--figures", str(kept), "--write"])
    assert command.main() == 0
    text = page.read_text()
    assert text == f"before\n{tables.START}\n\nnew\n\n{tables.END}\nafter\n"
