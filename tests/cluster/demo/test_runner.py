"""`make cluster`: the demo from three processes, with all that they need."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import socketio

from tests.cluster.demo.conftest import DEADLINE, Runner, environment, roll
from tests.ports import HOST
from tests.processes import ROOT


def receive(client: socketio.SimpleClient, event: str) -> object:
    """Return the text of the next event of a name; other events are passed over."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        name, *args = client.receive(timeout=DEADLINE)
        if name == event:
            text, _offset = args
            return text
    raise TimeoutError(event)


def places(runner: Runner) -> dict[str, int]:
    """Return which process is at which address."""
    found = {}
    for port in runner.ports:
        with socketio.SimpleClient() as client:
            client.connect(f"http://{HOST}:{port}", wait_timeout=DEADLINE)
            place = client.call("whereami", timeout=DEADLINE)
            found[place["address"]] = place["process"]
    return found


def messages_cross(runner: Runner) -> None:
    """See that clients of all three hear each other."""
    with ExitStack() as stack:
        clients = [stack.enter_context(socketio.SimpleClient()) for _ in runner.ports]
        for client, port in zip(clients, runner.ports, strict=True):
            client.connect(f"http://{HOST}:{port}", wait_timeout=DEADLINE)
            assert receive(client, "message") == "I'm server"
        clients[0].call("broadcast", "to everybody", timeout=DEADLINE)
        for client in clients:
            assert receive(client, "message") == "to everybody"
        for client in clients[1:]:
            client.call("join", "№2", timeout=DEADLINE)
        clients[0].call("say", ("№2", "to the room"), timeout=DEADLINE)
        for client in clients[1:]:
            assert receive(client, "said") == "to the room"


def test_a_life(runner: Runner) -> None:
    """
    Messages cross; who wants one of its ports is told; its processes are restarted one by one;
    Ctrl-C ends everything.
    """
    before = places(runner)
    assert set(before) == {f"{HOST}:{port}" for port in runner.ports}
    assert len(set(before.values())) == 3
    messages_cross(runner)

    with tempfile.TemporaryDirectory(prefix="realtime-cluster-") as folder:
        for port in runner.ports[:2]:  # the first one names the cluster, too
            other = cluster_on(port, Path(folder))
            assert other.returncode == 1
            assert f"port {port}" in other.stderr

    done = roll(runner.ports[0])
    assert done.returncode == 0, done.stdout + done.stderr + runner.log
    told = re.findall(r"^(\d+) \| (is told|has ended|is ready)", done.stdout, re.M)
    steps = ("is told", "has ended", "is ready")
    assert told == [(str(port), step) for port in runner.ports for step in steps]
    runner.wait_log(rf"^{runner.ports[-1]} \| is ready")
    after = places(runner)
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())
    messages_cross(runner)

    runner.family = psutil.Process(runner.process.pid).children(recursive=True)
    os.killpg(runner.process.pid, signal.SIGINT)
    assert runner.wait_end() == 0
    assert "Traceback" not in runner.log
    assert len(re.findall(r"^\d+ \| .* shutdown ", runner.log, re.M)) == 6


def test_a_server_that_dies_ends_the_cluster(runner: Runner) -> None:
    servers = {p.pid: p for p in runner.family if "daphne" in " ".join(p.cmdline())}
    assert len(servers) == 3
    psutil.Process(min(servers)).kill()
    assert runner.wait_end() == 1
    runner.wait_log(r"^Stopped: the server on port \d+ ended with code -9$")


def cluster_on(port: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run another cluster, which ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "project.cluster", str(port)],
        cwd=ROOT,
        env=environment(folder),
        text=True,
        capture_output=True,
        timeout=DEADLINE * 2,
        check=False,
    )
