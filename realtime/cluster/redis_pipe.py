"""Connections to Redis: one for requests, whose answers come in their order, and one that hears."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

Command = tuple[Any, ...]


class Connection:
    """
    One connection, which is made when it is needed and after each failure.

    `make()` returns a connection of redis-py, `begin` are requests that go first on each. What
    comes is given to `hear`, errors in the place of answers too; `failed(error)` is called once for
    each connection that has ended.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        hear: Callable[[Any], None],
        failed: Callable[[Exception], None],
        begin: Sequence[Command] = (),
    ) -> None:
        self._make = make
        self._hear = hear
        self._failed = failed
        self._begin = begin
        self._connection: Any = None
        self._connecting = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    async def open(self) -> Any:
        """Return the connection. Raises redis-py's errors, and OSError."""
        if self._connection is None:
            async with self._connecting:
                if self._connection is None:
                    await self._open()
        return self._connection

    async def _open(self) -> None:
        connection = self._make()
        # Who waits for an answer says for how long, and pushes may come at any time.
        connection.socket_timeout = None
        await connection.connect()
        try:
            for command in self._begin:
                await connection.send_packed_command(connection.pack_command(*command))
                await connection.read_response()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._connection = connection
        self._reading = asyncio.ensure_future(self._read(connection))

    async def send(self, commands: Sequence[Command]) -> None:
        """Write requests, in one go. Raises what `open` raises."""
        connection = await self.open()
        packed = connection.pack_commands(commands)
        try:
            await connection.send_packed_command(packed, check_health=False)
        except Exception as error:
            self._end(connection, error)
            raise

    async def _read(self, connection: Any) -> None:
        from redis.exceptions import ResponseError  # noqa: PLC0415

        try:
            while True:
                try:
                    answer = await connection.read_response()
                except ResponseError as error:
                    answer = error
                self._hear(answer)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._end(connection, error)

    def _end(self, connection: Any, error: Exception) -> None:
        if self._connection is connection:
            self._connection = None
            if self._reading is not None and self._reading is not asyncio.current_task():
                self._reading.cancel()
            self._failed(error)
            self._ending = asyncio.ensure_future(_disconnect(connection))

    async def close(self) -> None:
        """End the connection, if there is one."""
        connection, self._connection = self._connection, None
        if self._reading is not None:
            self._reading.cancel()
        if connection is not None:
            await _disconnect(connection)


async def _disconnect(connection: Any) -> None:
    with contextlib.suppress(Exception):
        await connection.disconnect(nowait=True)


class Pipe:
    """Requests to Redis, sent as they come, whoever waits for answers to earlier ones."""

    def __init__(self, make: Callable[[], Any], begin: Sequence[Command] = ()) -> None:
        self._connection = Connection(make, self._hear, self._failed, begin)
        self._waiting: deque[asyncio.Future[Any]] = deque()

    async def run(self, *commands: Command) -> list[Any]:
        """
        Send requests, which nothing comes between, and return their answers: a ResponseError in the
        place of one that Redis refuses.

        Raises redis-py's errors, and OSError, where the connection fails.
        """
        await self._connection.open()
        loop = asyncio.get_running_loop()
        answers = [loop.create_future() for _ in commands]
        self._waiting.extend(answers)
        await self._connection.send(commands)
        return await asyncio.gather(*answers)

    def _hear(self, answer: Any) -> None:
        waiter = self._waiting.popleft()
        if not waiter.done():
            waiter.set_result(answer)

    def _failed(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            if not waiter.done():
                waiter.set_exception(error)
                waiter.exception()  # whoever sent it may be gone

    async def close(self) -> None:
        """End the connection."""
        await self._connection.close()
        self._failed(ConnectionError("closed"))
