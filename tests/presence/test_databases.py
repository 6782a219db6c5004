"""What tests of one process do with SQLite, done with other databases."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.processes import ROOT

# The database need not be dropped: it goes with its server, and PostgreSQL waits five seconds where
# a thread has not left it yet.
OPTIONS = ["-q", "--show-capture=no", "-p", "no:cacheprovider", "--reuse-db"]
# What holds for all inputs is shown with SQLite.
OPTIONS += ["--hypothesis-profile", "quick"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("database", ["postgresql", "mariadb"])
@pytest.mark.parametrize(
    "which",
    [
        ["tests/unit/presence"],
        ["tests/unit/once"],
        ["tests/unit/admin", "-k", "not 100_000"],
        [
            "tests/unit/identity/test_lookups.py",
            "tests/unit/identity/test_users.py",
            "tests/unit/test_fields.py",
        ],
    ],
    ids=["presence", "once", "admin", "sessions"],
)
def test_all_of_it(database: str, which: list[str], request: pytest.FixtureRequest) -> None:
    """Tests of tests/unit, with another database instead of SQLite."""
    service = request.getfixturevalue(database)
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, *which],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": service.new_database()},
        check=False,
        capture_output=True,
        text=True,
    )
    assert tests.returncode == 0, tests.stdout[-4000:]
