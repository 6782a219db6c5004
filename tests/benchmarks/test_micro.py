"""The micro-benchmarks measure what they say they do: each is run once, and not timed."""

from __future__ import annotations

import subprocess
import sys

from tests.processes import ROOT


def test_all_of_them() -> None:
    options = ("-c", "benchmarks/micro/pytest.ini", "--rootdir", ".", "--benchmark-disable")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "benchmarks/micro", *options, "-p", "no:cacheprovider"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
