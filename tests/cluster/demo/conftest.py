"""The demo as a cluster, as `make cluster` and `make roll` run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.ports import free_port
from tests.processes import ROOT
from tests.valkey import require_valkey

DEADLINE = 30.0


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a cluster whose database is in a folder."""
    left_out = ("REDIS_URL", "SECRET_KEY", "DJANGO_SETTINGS_MODULE")
    given = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**given, "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3"}


class Runner:
    """The runner as a process; `log` has what it printed."""

    def __init__(self, folder: Path) -> None:
        self.ports = sorted(free_port() for _ in range(3))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "project.cluster", *map(str, self.ports)],
            cwd=ROOT,
            env=environment(folder),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A Ctrl-C goes to all of a process group: one of its own, not the tests'.
            process_group=0,
        )
        self.log = ""
        self.family: list[psutil.Process] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.log += line
                self._changed.notify_all()

    def wait_log(self, pattern: str) -> re.Match[str]:
        """Return the first match in the log, waiting for it to appear."""
        with self._changed:
            match = self._changed.wait_for(lambda: re.search(pattern, self.log, re.M), DEADLINE)
        assert match, self.log
        return match

    def wait_ready(self) -> None:
        """Return when all servers accept connections."""
        self.wait_log(r"^Ctrl-C ends")
        self.family = psutil.Process(self.process.pid).children(recursive=True)

    def wait_end(self) -> int:
        """Return the exit code, when it has ended and nothing of it is left."""
        code = self.process.wait(DEADLINE)
        _, alive = psutil.wait_procs(self.family, timeout=DEADLINE)
        assert not alive, f"{alive} outlived the runner:\n{self.log}"
        self._reader.join(DEADLINE)  # nobody else has the pipe any more
        return code


def roll(port: int) -> subprocess.CompletedProcess[str]:
    """Have a cluster restart its processes."""
    return subprocess.run(
        [sys.executable, "-m", "project.roll", str(port)],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=DEADLINE * 6,
        check=False,
    )


@pytest.fixture
def runner() -> Iterator[Runner]:
    """A running cluster of three."""
    require_valkey()
    with tempfile.TemporaryDirectory(prefix="realtime-cluster-") as folder:
        runner = Runner(Path(folder))
        try:
            runner.wait_ready()
            yield runner
        finally:
            if runner.process.poll() is None:
                runner.process.terminate()
                runner.process.wait(DEADLINE)
