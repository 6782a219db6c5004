"""Consumers that tests drive from outside; each event does one thing that a test looks at."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import defaultdict
from typing import Any

import psutil
from asgiref.sync import sync_to_async

from realtime import ConnectionRefused, EventError, NamespaceConsumer, event
from realtime.outside.process import get_hub

logger = logging.getLogger("realtime.lab")

# What blocks a handler until another client ends that, by names that tests choose.
LONGEST_HOLD = 60.0
_gates: defaultdict[str, threading.Event] = defaultdict(threading.Event)
_meetings: defaultdict[str, threading.Barrier] = defaultdict(lambda: threading.Barrier(2))

# Tasks that clients share, by what they look up.
_flights: dict[str, asyncio.Task[str]] = {}


async def _look_up(key: str) -> str:
    await asyncio.sleep(0.2)
    return key.upper()


# Of the process: what `stats` reports beside the hub's own counts.
_process = psutil.Process(os.getpid())


class LabConsumer(NamespaceConsumer):
    """The namespace "/lab"."""

    async def connect(self, auth: Any) -> None:
        wishes = auth if isinstance(auth, dict) else {}
        self.data["auth"] = auth
        if "wait" in wishes:
            logger.info("lab connecting tag=%s", wishes["tag"])
            await asyncio.sleep(wishes["wait"])
        if "room" in wishes:
            self.join(wishes["room"])
        if "say" in wishes:
            self.emit("said", wishes["say"])

    async def disconnect(self, reason: str) -> None:
        logger.info('lab left sid=%s reason="%s"', self.sid, reason)
        auth = self.data.get("auth")
        if isinstance(auth, dict) and "tag" in auth:
            logger.info("lab gone tag=%s", auth["tag"])

    async def receive(self, event: str, *args: Any) -> None:
        self.emit("unclaimed", event, *args)

    # Answers

    @event
    async def echo(self, *args: Any) -> tuple[Any, ...]:
        return args

    @event
    async def nothing(self, *args: Any) -> None:
        return None

    @event
    async def typed(self, name: str, n: int = 1) -> dict[str, Any]:
        return {"name": name, "n": n}

    @event
    async def boom(self) -> None:
        raise RuntimeError("secret detail")

    @event
    async def refuse(self) -> None:
        raise EventError("no", {"why": "test"})

    @event
    async def cart(self) -> Any:
        return await self.session.aget("cart")

    @event
    async def whoami(self) -> dict[str, Any]:
        return {
            "sid": self.sid,
            "authenticated": self.user.is_authenticated,
            "auth": self.data["auth"],
            "transport": self.transport,
            "kwargs": self.kwargs,
        }

    @event
    async def header(self, name: str) -> str | None:
        return self.headers.get(name)

    @event
    async def query_list(self, name: str) -> list[str]:
        return self.query.getlist(name)

    @event
    async def query_strings(self) -> list[str]:
        """Return its request's query, as the scope and `query` have it."""
        return [self.scope["query_string"].decode(), self.query.urlencode()]

    @event
    async def recovery(self) -> list[bool]:
        return [self.recovered, self.lost]

    @event
    async def writer(self) -> str:
        """By what it is written: an adapter of the server, or through ASGI."""
        writer = self._socket.connection.writer
        return type(getattr(writer, "adapter", writer)).__name__

    @event
    async def reader(self) -> str:
        """What has the place of the server's protocol."""
        transport = self._socket.connection.writer.adapter.transport  # type: ignore[attr-defined]
        of_asyncio = hasattr(transport, "get_protocol")
        protocol = transport.get_protocol() if of_asyncio else transport.protocol
        return type(protocol).__name__

    # Time

    @event
    async def sleep(self, seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    @event("work until draining")
    async def work_until_draining(self) -> str:
        """Be at work when the process begins to drain, and for a little longer."""
        logger.info("lab works sid=%s", self.sid)
        while not get_hub().draining:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        return "done"

    @event("fill the threads")
    async def fill_the_threads(self, gate: str) -> None:
        """Let every thread of the loop's own pool wait until somebody opens the gate."""
        pool = asyncio.get_running_loop()
        for _ in range(100):
            pool.run_in_executor(None, _gates[gate].wait, LONGEST_HOLD)

    @event("work in the pool", concurrent=True)
    async def work_in_the_pool(self) -> str:
        await asyncio.to_thread(self.emit, "worked")
        return "worked"

    @event("take no more clients")
    async def take_no_more_clients(self) -> None:
        """Do what a drain begins with, and no more: clients that are there stay."""
        get_hub().drain.begin()

    @event
    def block(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    @event("block in a thread")
    async def block_in_a_thread(self, seconds: float) -> float:
        await sync_to_async(time.sleep)(seconds)
        return seconds

    @event("block in a callback")
    async def block_in_a_callback(self, seconds: float) -> None:
        def callback() -> None:
            self.emit("blocked")
            time.sleep(seconds)

        self.emit("question", "block?", callback=callback)

    @event
    def hold(self, gate: str) -> bool:
        """Say "held", and block until somebody opens the gate."""
        self.emit("held")
        return _gates[gate].wait(LONGEST_HOLD)

    @event("hold in the loop")
    async def hold_in_the_loop(self, gate: str) -> bool:
        """Do the same without blocking a handler's thread."""
        self.emit("held")
        return await asyncio.to_thread(_gates[gate].wait, LONGEST_HOLD)

    @event("open gate")
    async def open_gate(self, gate: str) -> None:
        _gates.pop(gate).set()

    @event("single flight")
    async def single_flight(self, key: str) -> str:
        """Answer with what one task, which all who ask for a key share, finds out in a while."""
        if key not in _flights:
            _flights[key] = asyncio.create_task(_look_up(key))
        return await _flights[key]

    @event("wait for the next", concurrent=True)
    async def wait_for_the_next(self) -> Any:
        """Answer with what the client says in its next event "said"."""
        self.data["next"] = asyncio.get_running_loop().create_future()
        self.emit("waiting")
        return await self.data["next"]

    @event
    async def said(self, what: Any) -> None:
        self.data["next"].set_result(what)

    @event("spawn")
    async def spawn_a_task(self) -> None:
        self.spawn(self._until_the_end())

    async def _until_the_end(self) -> None:
        self.emit("spawned")
        try:
            await asyncio.sleep(LONGEST_HOLD)
        finally:
            logger.info("lab task ended sid=%s", self.sid)

    @event
    def meet(self, place: str) -> bool:
        """Block until another client is here as well."""
        return _meetings[place].wait(LONGEST_HOLD) >= 0

    @event
    async def timeout(self) -> str:
        try:
            async with asyncio.timeout(0.1):
                await asyncio.sleep(30)
        except TimeoutError:
            return "timed out"
        return "slept"

    @event
    async def note(self, text: str, seconds: float = 0) -> list[str]:
        """Note a text after some time, and answer with all notes so far."""
        if seconds:
            await asyncio.sleep(seconds)
        notes: list[str] = self.data.setdefault("notes", [])
        notes.append(text)
        return notes

    @event("blocking note")
    def blocking_note(self, text: str, seconds: float) -> list[str]:
        time.sleep(seconds)
        notes: list[str] = self.data.setdefault("notes", [])
        notes.append(text)
        return notes

    # The other way round

    @event
    async def ask(self, question: str = "ready?") -> Any:
        try:
            return await self.acall("question", question, timeout=5)
        except Exception as error:
            logger.info("lab unanswered sid=%s error=%s", self.sid, type(error).__name__)
            raise

    @event("ask unanswered")
    async def ask_unanswered(self) -> str:
        try:
            await self.acall("question", "are you there?", timeout=0.2)
        except Exception as error:
            return type(error).__name__
        return "answered"

    @event("ask with callback")
    async def ask_with_callback(self) -> None:
        self.emit("question", "call me back", callback=self.answered)

    def answered(self, *args: Any) -> None:
        """Tell the client that its acknowledgement arrived."""
        self.emit("answered", *args)

    @event
    async def kick(self, connection: bool = False) -> None:
        self.close(connection=connection)

    # Rooms

    @event("join")
    async def enter(self, room: str) -> list[str]:
        self.join(room)
        return sorted(self.rooms)

    @event("leave")
    async def exit(self, room: str) -> list[str]:
        self.leave(room)
        return sorted(self.rooms)

    @event("rooms")
    async def list_rooms(self) -> list[str]:
        return sorted(self.rooms)

    @event("say")
    async def say(self, rooms: list[str], *args: Any) -> None:
        """Emit "said" to the union of the rooms, this socket excluded."""
        target = self
        for room in rooms:
            target = target.to(room)
        target.emit("said", *args)

    @event("say to others")
    async def say_to_others(self, *args: Any) -> None:
        self.broadcast.emit("said", *args)

    @event("x", room="members")
    async def members_only(self) -> str:
        return "member"

    # Load

    @event
    async def flood(
        self, n: int, size: int, room: str | None = None, volatile: bool = False
    ) -> int:
        """Emit `n` messages of `size` characters as fast as the code runs."""
        target = self.to(room) if room else self
        if volatile:
            target = target.volatile()
        text = "x" * size
        for number in range(n):
            target.emit("flood", number, text)
            if number % 10 == 9:
                await asyncio.sleep(0)
        return n

    @event
    async def tally(self, number: int) -> None:
        """Count events that are numbered from 0, and those that come out of turn."""
        counted, late = self.data.get("tally", (0, 0))
        self.data["tally"] = counted + 1, late + (number != counted)

    @event("get tally")
    async def get_tally(self) -> tuple[int, int]:
        return self.data.get("tally", (0, 0))

    @event
    async def report(self) -> dict[str, int]:
        return get_hub().report()

    @event
    async def stats(self) -> dict[str, int]:
        """Answer with what must not grow, however many clients come and go."""
        return {
            "asyncio_tasks": len(asyncio.all_tasks()),
            "threads": threading.active_count(),
            "files": _process.num_fds(),
            **{f"hub_{name}": count for name, count in get_hub().stats().items()},
        }


class RefusedConsumer(NamespaceConsumer):
    """The namespace "/refused": nobody gets in."""

    async def connect(self, auth: Any) -> None:
        raise ConnectionRefused("log in first", code=401)


class TypedConsumer(NamespaceConsumer):
    """The namespaces "/typed/1", "/typed/2", ..."""

    async def connect(self, auth: Any) -> None:
        self.emit("kwargs", self.kwargs)

    @event("kwargs")
    async def get_kwargs(self) -> dict[str, Any]:
        return dict(self.kwargs)


class ConformanceConsumer(NamespaceConsumer):
    """What the official protocol test suites expect of a namespace."""

    async def connect(self, auth: Any) -> None:
        self.emit("auth", {} if auth is None else auth)

    @event
    async def message(self, *args: Any) -> None:
        self.emit("message-back", *args)

    @event("message-with-ack")
    async def message_with_ack(self, *args: Any) -> tuple[Any, ...]:
        return args
