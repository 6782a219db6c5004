"""Presence in one process, on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.live import ROOT
from tests.services import PostgreSQL


@pytest.mark.timeout(300)
def test_all_of_it_on_postgresql(postgresql: PostgreSQL) -> None:
    """The tests of tests/unit/presence, with PostgreSQL instead of SQLite."""
    tests = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--show-capture=no",
            "-p",
            "no:cacheprovider",
            "tests/unit/presence",
        ],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": postgresql.new_database()},
        check=False,
        capture_output=True,
        text=True,
    )
    assert tests.returncode == 0, tests.stdout[-4000:]
