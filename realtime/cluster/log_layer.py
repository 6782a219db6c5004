"""
A channel layer that keeps a log: what is sent to groups is written to streams on its way.

It takes the place of channels_redis' pubsub layer, has the same channels, and its messages are
understood there, and theirs here.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha1, sha256
from typing import Any, NamedTuple

import msgspec

from ..utils.recovery import RecoveryOptions
from .envelopes import HUBS, Hole, encode, pack
from .log_scripts import APPEND, REACH, number_at
from .redis_pipe import Command, Connection, Pipe
from .sequences import Lane

# The last key of a message, and what stands there until Redis gives it a number.
LOG = "log"
NO_NUMBER = 2**63
NUMBER_BYTES = 8

# How long until Redis says that a channel is heard.
SUBSCRIBE_TIMEOUT = 10.0

SHA = sha1(APPEND.encode(), usedforsecurity=False).hexdigest()


class Disconnected(ConnectionError):
    """The connection that hears has ended: what was published since may be lost."""


class NotNumbered(Exception):
    """Redis works, and does not keep what it is given: it is full, or may only be read."""


class Job(NamedTuple):
    """
    A message for a channel, or a group's.

    With `streams` it is kept in the log, as so many `events`; `sequence` is the sender's own count,
    by which a second try is known.
    """

    channel: str
    message: dict[str, Any]
    streams: tuple[str, ...] = ()
    events: int = 1
    sequence: int | None = None
    # The number that all events stand behind, in the order in which a client gets them.
    behind: int | None = None
    # Channels that get it as well.
    also: tuple[str, ...] = ()


class LogLayer:
    """
    The layer of one event loop. `make()` returns a new connection of redis-py, `sender` is whose
    sequences count, `lifetime` says in seconds for how long the log keeps what `options` bound.
    """

    def __init__(
        self, make: Any, prefix: str, sender: str, options: RecoveryOptions, lifetime: float
    ) -> None:
        self.prefix = prefix
        self._key = f"{prefix}:{{realtime}}:"
        self._sender = sender
        # For how many milliseconds the log keeps what is in it.
        self.lifetime = round(lifetime * 1000)
        self._bounds = (self.lifetime, options.events, options.bytes)
        self._pipe = Pipe(make, begin=[("SCRIPT", "LOAD", APPEND)])
        self._hearing = Connection(make, self._hear, self._failed)
        self._queues: dict[str, asyncio.Queue[Any]] = {}
        self._members: dict[str, set[str]] = {}
        self._heard: set[str] = set()
        self._confirming: defaultdict[str, list[asyncio.Future[None]]] = defaultdict(list)
        # Where the log was when a group was heard first.
        self.since: dict[str, int] = {}
        # How often the connection that hears has ended.
        self.ended = 0

    # Keys

    def stream(self, name: str) -> str:
        """Return the key of a stream."""
        return f"{self._key}log:{name}"

    def known(self, name: str) -> str:
        """Return the key of what is known of a stream."""
        return f"{self._key}log:{name}:known"

    def session(self, pid: str) -> str:
        """Return the key of a session; who may list keys does not see the secret."""
        return f"{self._key}session:{sha256(pid.encode()).hexdigest()[:40]}"

    def gap(self, server: str) -> str:
        """Return the key of the number up to which a server's clients may have missed something."""
        return f"{self._key}gap:{server}"

    @property
    def last(self) -> str:
        """The key of the last number."""
        return f"{self._key}last"

    # Channels' interface

    async def new_channel(self, prefix: str = "specific.") -> str:
        """Return the name of a channel that this process hears."""
        channel = f"{self.prefix}{prefix}{uuid.uuid4().hex}"
        self._queues[channel] = asyncio.Queue()
        await self._subscribe(channel)
        return channel

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send to a channel."""
        await self.publish([Job(channel, message)])

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send to all channels of a group."""
        await self.publish([Job(self.group_channel(group), message)])

    async def receive(self, channel: str) -> dict[str, Any]:
        """Return the next message of a channel. Raises Disconnected where some may be lost."""
        queue = self._queues.setdefault(channel, asyncio.Queue())
        await self.hear(channel)
        data = await queue.get()
        if isinstance(data, Exception):
            raise data
        return msgspec.msgpack.decode(data)  # type: ignore[no-any-return]

    async def group_add(self, group: str, channel: str) -> None:
        """Let a channel hear a group, and return when it does."""
        name = self.group_channel(group)
        self._members.setdefault(name, set()).add(channel)
        if name not in self._heard:
            await self._subscribe(name)
            self.since[group] = await self.position()

    async def group_discard(self, group: str, channel: str) -> None:
        """Let a channel hear a group no more."""
        name = self.group_channel(group)
        members = self._members.get(name)
        if members is None:
            return
        members.discard(channel)
        if not members:
            del self._members[name]
            self.since.pop(group, None)
            if name in self._heard:
                self._heard.discard(name)
                await self._hearing.send([("UNSUBSCRIBE", name)])

    async def close_pools(self) -> None:
        """End all connections."""
        await self._pipe.close()
        await self._hearing.close()
        self._heard.clear()

    def group_channel(self, group: str) -> str:
        """Return the channel of Redis that is a group's."""
        return f"{self.prefix}__group__{group}"

    # Hearing

    async def hear(self, channel: str) -> None:
        """Wait until a channel is heard."""
        if channel not in self._heard:
            await self._subscribe(channel)

    async def _subscribe(self, name: str) -> None:
        confirmed = asyncio.get_running_loop().create_future()
        self._confirming[name].append(confirmed)
        await self._hearing.send([("SUBSCRIBE", name)])
        async with asyncio.timeout(SUBSCRIBE_TIMEOUT):
            await confirmed

    def _hear(self, answer: Any) -> None:
        if isinstance(answer, Exception):
            return
        kind, name, data = answer
        channel = name.decode()
        if kind == b"message":
            if channel in self._queues:
                self._queues[channel].put_nowait(data)
            for member in self._members.get(channel, ()):
                if (queue := self._queues.get(member)) is not None:
                    queue.put_nowait(data)
        elif kind == b"subscribe":
            self._heard.add(channel)
            for waiter in self._confirming.pop(channel, ()):
                if not waiter.done():
                    waiter.set_result(None)

    def _failed(self, error: Exception) -> None:
        self.ended += 1
        self._heard.clear()
        confirming, self._confirming = self._confirming, defaultdict(list)
        for waiters in confirming.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)
                    waiter.exception()
        lost = Disconnected(repr(error))
        for queue in self._queues.values():
            queue.put_nowait(lost)

    # Sending

    async def publish(self, jobs: Sequence[Job]) -> list[int | Exception]:
        """
        Send messages, in order and in one go; return their numbers: 0 for those that have none, and
        an error for those that Redis refuses.

        Raises redis-py's errors, and OSError, where Redis cannot be reached.
        """
        if not jobs:
            return []
        answers = await self._pipe.run(*map(self._command, jobs))
        if any(type(answer).__name__ == "NoScriptError" for answer in answers):
            await self._pipe.run(("SCRIPT", "LOAD", APPEND))  # somebody has flushed them
            answers = await self._pipe.run(*map(self._command, jobs))
        return [
            answer if isinstance(answer, Exception) else int(answer) if job.streams else 0
            for job, answer in zip(jobs, answers, strict=True)
        ]

    async def send_logged(
        self, server: str, lane: Lane, message: dict[str, Any], count: int
    ) -> None:
        """
        Send a message of so many envelopes in a lane, and keep it in the lane's streams. Where that
        is refused it is sent all the same, and all hubs are told.
        """
        also = tuple(map(self.group_channel, lane.also))
        job = Job(self.group_channel(lane.name), message, lane.streams, count, also=also)
        (answer,) = await self.publish([job])
        if isinstance(answer, Exception):
            hole = pack(server, HUBS, 0, 0, [encode(Hole())])
            hubs = Job(self.group_channel(HUBS), hole)
            await self.publish([hubs, job._replace(streams=())])

    def _command(self, job: Job) -> Command:
        if not job.streams:
            return "PUBLISH", job.channel, msgspec.msgpack.encode({**job.message, LOG: 0})
        data = msgspec.msgpack.encode({**job.message, LOG: NO_NUMBER})[:-NUMBER_BYTES]
        keys = [self.last, f"{self._key}sent:{self._sender}"]
        for name in job.streams:
            keys += self.stream(name), self.known(name)
        sequence = "" if job.sequence is None else job.sequence
        behind = "" if job.behind is None else job.behind
        channels = "\n".join(filter(None, (job.channel, *job.also)))
        args = channels, data, job.events, sequence, behind, *self._bounds
        return "EVALSHA", SHA, len(keys), *keys, *args

    async def run(self, *commands: Command) -> list[Any]:
        """Have commands carried out, behind all that was sent; return Redis' answers."""
        return await self._pipe.run(*commands)

    async def run_id(self) -> str:
        """Return which Redis this is: another one at each start; empty where it does not tell."""
        (answer,) = await self._pipe.run(("INFO", "server"))
        if isinstance(answer, Exception):
            return ""
        lines = answer.decode(errors="replace").splitlines()
        found = (line.partition(":")[2] for line in lines if line.startswith("run_id:"))
        return next(found, "")

    async def position(self) -> int:
        """Return a number behind which all to come are."""
        last, time = await self._pipe.run(("GET", self.last), ("TIME",))
        return number_at(read_number(last), time)

    async def reach(self, number: int) -> int:
        """Return the same, where numbers up to this one were given, whatever Redis knows."""
        (answer,) = await self._pipe.run(("EVAL", REACH, 1, self.last, number, self.lifetime))
        return read_number(answer)


def read_number(answer: Any) -> int:
    """Return the number in an answer of Redis: 0 where there is none."""
    if isinstance(answer, Exception):
        raise answer
    return int(answer or 0)
