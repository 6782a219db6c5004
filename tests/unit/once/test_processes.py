"""Tries of several processes, and a store that does not answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError

from realtime import EventError, NamespaceConsumer, event
from realtime.exceptions import OnceError
from realtime.fields import DatabaseNow
from realtime.hub.hub import Hub
from realtime.identity.lookups import Lookups
from realtime.models import HandledEvent
from realtime.once.store import DatabaseStore
from realtime.sockets import claims
from realtime.sockets.attempts import Attempt, Found
from realtime.sockets.once import Once

from ..conftest import Connect, Serve
from ..presence.conftest import ask
from ..probes import DEADLINE, Probe
from .test_store import age, attempt

ANN = User(pk=1, username="ann")


@pytest.fixture
def quick(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is silent for a moment is taken for dead."""
    monkeypatch.setattr(hub.settings, "SERVER_HEARTBEAT", 0.05)


@pytest.fixture
def process(hub: Hub) -> Callable[[], Once]:
    """A function that returns what another process has."""

    def process(store: DatabaseStore | None = None) -> Once:
        once = Once(hub)
        once.keep_in(store or DatabaseStore())
        return once

    return process


class Handler:
    """What is to run once; it waits at a gate."""

    def __init__(self, *results: Any) -> None:
        self.results = list(results)
        self.runs = 0
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()

    async def __call__(self) -> Any:
        self.runs += 1
        self.begun.set()
        await self.gate.wait()
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


async def test_a_try_of_another_process_waits(process: Callable[[], Once]) -> None:
    handler = Handler("done")
    tries = [asyncio.create_task(process().handle(attempt(), handler)) for _ in range(3)]
    await handler.begun.wait()
    assert not any(each.done() for each in tries)
    handler.gate.set()
    assert await asyncio.gather(*tries) == ["done"] * 3
    assert await process().handle(attempt(), handler) == "done"
    assert handler.runs == 1


async def test_a_refusal_is_told_by_all_processes(process: Callable[[], Once]) -> None:
    handler = Handler(EventError("no", {"left": 1}, code="declined"))
    handler.gate.set()
    for _ in range(2):
        with pytest.raises(EventError) as raised:
            await process().handle(attempt(), handler)
        assert (raised.value.code, raised.value.data) == ("declined", {"left": 1})
    assert handler.runs == 1


async def test_after_a_failure_another_process_runs_it(process: Callable[[], Once]) -> None:
    handler = Handler(KeyError("first"), "done")
    one, two = process(), process()
    first = asyncio.create_task(one.handle(attempt(), handler))
    await handler.begun.wait()
    second = asyncio.create_task(two.handle(attempt(), handler))
    handler.gate.set()
    with pytest.raises(KeyError):
        await first
    assert await second == "done"
    assert handler.runs == 2


@pytest.mark.usefixtures("quick")
async def test_a_process_that_died_leaves_it_unknown(process: Callable[[], Once]) -> None:
    """Who knows whether the payment was made: it is not made again."""
    await ask(lambda: DatabaseStore().claim(attempt()))  # and then it was killed
    handler = Handler("done")
    with pytest.raises(OnceError) as raised:
        await process().handle(attempt(), handler)
    assert raised.value.code == "interrupted"
    assert handler.runs == 0


@pytest.mark.usefixtures("quick")
async def test_a_long_handler_is_known_to_run(
    process: Callable[[], Once], monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed = threading.Event()
    renew = DatabaseStore.renew

    def note(self: DatabaseStore, attempts: list[Attempt]) -> None:
        renew(self, attempts)
        renewed.set()

    monkeypatch.setattr(DatabaseStore, "renew", note)
    handler = Handler("done")
    first = asyncio.create_task(process().handle(attempt(), handler))
    await handler.begun.wait()
    await ask(lambda: age(60))
    renewed.clear()
    assert await asyncio.to_thread(renewed.wait, DEADLINE)
    await rows(1, answer=None, seen_at__gt=DatabaseNow() - timedelta(seconds=30))
    handler.gate.set()
    assert await first == "done"


async def test_a_process_that_was_cut_off_comes_back(process: Callable[[], Once]) -> None:
    """It is silent, since the database was away; nobody takes it for dead at once."""
    handler = Handler("done")
    first = asyncio.create_task(process().handle(attempt(), handler))
    await handler.begun.wait()
    await ask(lambda: age(60))
    second = asyncio.create_task(process().handle(attempt(), handler))
    handler.gate.set()
    assert await asyncio.gather(first, second) == ["done", "done"]


async def test_nobody_waits_for_another_process_for_ever(
    process: Callable[[], Once], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "WAIT", 0.1)
    handler = Handler("done")
    first = asyncio.create_task(process().handle(attempt(), handler))
    await handler.begun.wait()
    with pytest.raises(OnceError) as raised:
        await process().handle(attempt(), handler)
    assert raised.value.code == "still_running"
    handler.gate.set()
    assert await first == "done"


@pytest.mark.slow
async def test_the_end_of_a_process_forgets_nothing(
    serve: Serve, connect: Connect, probe: Probe, hub: Hub
) -> None:
    """A handler that is cancelled may have done its work: its key stays."""

    class Slow(NamespaceConsumer):
        @event(once="key")
        async def pay(self, key: str) -> None:
            probe.note(key)
            await probe.gate.wait()

    serve(Slow)
    client = await connect(user=ANN)
    client.emit("pay", "k")
    assert await probe.next() == "k"
    await hub.close(grace=0.05)
    assert await ask(lambda: HandledEvent.objects.filter(answer=None).count()) == 1


# The database is away


class Failing(DatabaseStore):
    """A database that fails while `down` is set, and does not answer while `stuck` is."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.open = threading.Event()
        self.open.set()
        self.claimed = 0

    def _pass(self) -> None:
        assert self.open.wait(DEADLINE)
        if self.down:
            raise OperationalError("the database is away")

    def claim(self, attempt: Attempt) -> Found:
        self.claimed += 1
        self._pass()
        return super().claim(attempt)

    def finish(self, attempt: Attempt, answer: bytes) -> None:
        self._pass()
        super().finish(attempt, answer)

    def release(self, attempt: Attempt) -> None:
        self._pass()
        super().release(attempt)


async def rows(expected: int, **fields: Any) -> None:
    """Wait until there are so many rows with these fields."""
    async with asyncio.timeout(DEADLINE):
        while await ask(lambda: HandledEvent.objects.filter(**fields).count()) != expected:
            await asyncio.sleep(0.01)


async def test_without_the_database_nothing_is_handled(
    process: Callable[..., Once], records: list[Any]
) -> None:
    store = Failing()
    store.down = True
    once, handler = process(store), Handler("done")
    handler.gate.set()
    with pytest.raises(OnceError) as raised:
        await once.handle(attempt(), handler)
    assert raised.value.code == "unavailable"
    assert handler.runs == 0
    (line,) = [each for each in records if each.args[0] == "once-unavailable"]
    assert "the database is away" in line.realtime["error"]
    store.down = False
    assert await once.handle(attempt(), handler) == "done"


async def test_what_was_claimed_too_late_is_given_back(
    process: Callable[..., Once], hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Failing()
    store.open.clear()
    once, handler = process(store), Handler("done")
    handler.gate.set()
    monkeypatch.setattr(hub.settings, "LOOKUP_TIMEOUT", 0.05)
    with pytest.raises(OnceError) as raised:
        await once.handle(attempt(), handler)
    assert raised.value.code == "unavailable"
    assert handler.runs == 0
    monkeypatch.setattr(hub.settings, "LOOKUP_TIMEOUT", DEADLINE)
    store.open.set()
    assert await once.handle(attempt(), handler) == "done"  # as soon as that is given back
    assert handler.runs == 1


async def test_nothing_is_asked_for_one_who_was_told_to_come_again(
    process: Callable[..., Once], hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for a database that is stuck does not come over it when that is back."""
    lookups = Lookups(hub.spawn, 1)
    monkeypatch.setattr(hub, "lookups", lookups)
    monkeypatch.setattr(hub.settings, "LOOKUP_TIMEOUT", 0.05)
    store = Failing()
    store.open.clear()
    once, handler = process(store), Handler("done")
    handler.gate.set()
    tries = [asyncio.create_task(once.handle(attempt(str(n)), handler)) for n in range(20)]
    errors = await asyncio.gather(*tries, return_exceptions=True)
    assert {getattr(error, "code", None) for error in errors} == {"unavailable"}
    monkeypatch.setattr(hub.settings, "LOOKUP_TIMEOUT", DEADLINE)
    store.open.set()
    assert await once.handle(attempt("last"), handler) == "done"
    assert store.claimed <= 2  # one that had begun, and this one
    await rows(1)
    assert handler.runs == 1
    await lookups.close()


async def test_an_answer_is_kept_when_the_database_is_back(
    process: Callable[..., Once], records: list[Any]
) -> None:
    store = Failing()
    once, handler = process(store), Handler("done")
    first = asyncio.create_task(once.handle(attempt(), handler))
    await handler.begun.wait()
    store.down = True
    handler.gate.set()
    assert await first == "done"  # it was done, whatever the database says
    assert await once.handle(attempt(), handler) == "done"  # and this process knows it
    store.down = False
    await rows(1, answer__isnull=False)
    assert await process().handle(attempt(), handler) == "done"
    assert handler.runs == 1
    assert any(each.args[0] == "once-unkept" for each in records)


async def test_a_failure_is_told_while_the_database_is_away(process: Callable[..., Once]) -> None:
    store = Failing()
    once, handler = process(store), Handler(KeyError(), "done")
    first = asyncio.create_task(once.handle(attempt(), handler))
    await handler.begun.wait()
    store.down = True
    handler.gate.set()
    with pytest.raises(KeyError):
        await first
    second = asyncio.create_task(once.handle(attempt(), handler))
    store.down = False
    assert await second == "done"
    assert handler.runs == 2


async def test_a_slow_database_keeps_no_answer_back(
    process: Callable[..., Once], hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Failing()
    once, handler = process(store), Handler("done")
    first = asyncio.create_task(once.handle(attempt(), handler))
    await handler.begun.wait()
    monkeypatch.setattr(hub.settings, "LOOKUP_TIMEOUT", 0.05)
    store.open.clear()
    handler.gate.set()
    assert await first == "done"
    store.open.set()
    await rows(1, answer__isnull=False)


async def test_a_site_without_a_table(hub: Hub) -> None:
    handler = Handler("done")
    with pytest.raises(OnceError) as raised:
        await Once(hub).handle(attempt(), handler)
    assert raised.value.code == "unavailable"
    assert handler.runs == 0


@pytest.mark.usefixtures("quick")
async def test_old_rows_are_removed(
    process: Callable[..., Once], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "SWEEP_INTERVAL", 0.01)
    await ask(lambda: DatabaseStore().claim(attempt("old")))
    await ask(lambda: age(90_000))
    handler = Handler("done")
    handler.gate.set()
    await process().handle(attempt("new"), handler)
    await rows(0, pk="old")
    await rows(1, pk="new")
