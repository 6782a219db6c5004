"""What it costs to ask again who clients are: for a few."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.processes import ROOT


@pytest.mark.timeout(240)
def test_a_small_storm_and_few_idle_clients() -> None:
    command = [sys.executable, "-m", "benchmarks.authority"]
    done = subprocess.run(
        [*command, "--users", "5", "--sockets", "20", "--idle", "20"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    decoder, text = json.JSONDecoder(), done.stdout.strip()
    storm, end = decoder.raw_decode(text)
    idle, _ = decoder.raw_decode(text[end:].strip())
    assert (storm["users"], storm["sockets"], idle["clients"]) == (5, 20, 20)
    assert 0 < storm["queries"] < 20
    assert 0 < idle["next: queries a minute"] < 10
