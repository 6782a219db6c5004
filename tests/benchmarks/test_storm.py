"""The reconnect storm: a small one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.processes import ROOT


@pytest.mark.timeout(240)
@pytest.mark.parametrize("server", ["uvicorn-asyncio", "daphne"])
def test_all_clients_come_back(server: str) -> None:
    command = [sys.executable, "-m", "benchmarks.storm", "--server", server]
    done = subprocess.run(
        [*command, "--clients", "60", "--processes", "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["clients"], figures["lost"]) == (60, 0)
    assert figures["dropped"] > 0
    assert figures["recovered"] + figures["told_of_a_loss"] == figures["dropped"]
    assert (figures["events_missing"], figures["events_doubled"]) == (0, 0)
    assert figures["clients_without_the_last_event"] == 0
    assert figures["slowest_connect"] > 0
    assert len(figures["peak_cpu_percent"]) == 2
