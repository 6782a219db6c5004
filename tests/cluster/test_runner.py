"""`make cluster`: the demo from three processes, with all that they need."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import socketio

from tests.ports import HOST, free_port
from tests.processes import ROOT
from tests.valkey import require_valkey

DEADLINE = 30.0


class Runner:
    """The runner as a process; `log` has what it printed."""

    def __init__(self, folder: Path) -> None:
        self.ports = sorted(free_port() for _ in range(3))
        env = {**os.environ, "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3"}
        for name in ("REDIS_URL", "SECRET_KEY", "DJANGO_SETTINGS_MODULE"):
            env.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "project.cluster", *map(str, self.ports)],
            cwd=ROOT,
            env=env,
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


def receive(client: socketio.SimpleClient, event: str) -> list[object]:
    """Return the arguments of the next event of a name; other events are passed over."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        name, *args = client.receive(timeout=DEADLINE)
        if name == event:
            return args
    raise TimeoutError(event)


def test_messages_cross_and_ctrl_c_ends_everything(runner: Runner) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(socketio.SimpleClient()) for _ in runner.ports]
        for client, port in zip(clients, runner.ports, strict=True):
            client.connect(f"http://{HOST}:{port}", wait_timeout=DEADLINE)
            assert receive(client, "message") == ["I'm server"]
        places = [client.call("whereami", timeout=DEADLINE) for client in clients]
        assert [place["address"] for place in places] == [f"{HOST}:{p}" for p in runner.ports]
        assert len({place["server"] for place in places}) == 3

        clients[0].call("broadcast", "to everybody", timeout=DEADLINE)
        for client in clients:
            assert receive(client, "message") == ["to everybody"]

        for client in clients[1:]:
            client.call("join", "№2", timeout=DEADLINE)
        clients[0].call("say", ("№2", "to the room"), timeout=DEADLINE)
        for client in clients[1:]:
            assert receive(client, "said") == ["to the room"]

    os.killpg(runner.process.pid, signal.SIGINT)
    assert runner.wait_end() == 0
    assert "Traceback" not in runner.log
    assert len(re.findall(r"^\d+ \| .* shutdown ", runner.log, re.M)) == 3


def test_a_server_that_dies_ends_the_cluster(runner: Runner) -> None:
    servers = {p.pid: p for p in runner.family if "daphne" in " ".join(p.cmdline())}
    assert len(servers) == 3
    psutil.Process(min(servers)).kill()
    assert runner.wait_end() == 1
    runner.wait_log(r"^Stopped: the server on port \d+ ended with code -9$")


def test_an_occupied_port_is_named(runner: Runner) -> None:
    with tempfile.TemporaryDirectory(prefix="realtime-cluster-") as folder:
        other = subprocess.run(
            [sys.executable, "-m", "project.cluster", str(runner.ports[0])],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3"},
            text=True,
            capture_output=True,
            timeout=DEADLINE * 2,
            check=False,
        )
    assert other.returncode == 1
    assert f"port {runner.ports[0]}" in other.stderr
