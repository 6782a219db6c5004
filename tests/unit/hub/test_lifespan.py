"""The signals of a process that starts to serve clients and stops, in the hub alone."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.dispatch import Signal

from realtime.asgi import Realtime
from realtime.hub import lifespan as serving
from realtime.hub.hub import Hub
from realtime.outside.process import find_hub
from realtime.signals import serving_started, serving_stopping

from ..conftest import Connect
from ..probes import Probe

On = Callable[[Signal, Callable[..., Any]], None]


@pytest.fixture
def on() -> Iterator[On]:
    """A function that connects a receiver for this test."""
    with ExitStack() as stack:

        def connect(signal: Signal, receiver: Callable[..., Any]) -> None:
            signal.connect(receiver)
            stack.callback(signal.disconnect, receiver)

        yield connect


async def run_lifespan(*kinds: str) -> list[str]:
    """Run an application's lifespan with these messages; return what it answers."""

    async def nobody(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    messages = [{"type": f"lifespan.{kind}"} for kind in kinds]
    answers: list[str] = []

    async def receive() -> Any:
        return messages.pop(0) if messages else await asyncio.Future()

    async def send(message: Any) -> None:
        answers.append(message["type"])
        if not messages:
            raise EOFError

    with pytest.raises(EOFError):
        await Realtime(nobody)({"type": "lifespan"}, receive, send)
    return answers


async def test_receivers_run_within_the_lifespan(on: On) -> None:
    told: list[Any] = []

    async def start(sender: Any, server: str, **kwargs: Any) -> None:
        await asyncio.sleep(0.01)
        hub = find_hub()
        told.append(("started", sender.label, hub and server == hub.server_id))

    def stop(**kwargs: Any) -> None:
        told.append(("stopping", threading.current_thread() is threading.main_thread()))

    on(serving_started, start)
    on(serving_stopping, stop)
    assert await run_lifespan("startup") == ["lifespan.startup.complete"]
    assert told == [("started", "realtime", True)]
    await run_lifespan("startup")
    assert len(told) == 1
    await run_lifespan("shutdown")
    assert told[1:] == [("stopping", False)]


async def test_a_test_client_starts_no_process(on: On, connect: Connect, hub: Hub) -> None:
    told: list[Any] = []

    def receiver(**kwargs: Any) -> None:
        told.append(kwargs)

    on(serving_started, receiver)
    on(serving_stopping, receiver)
    await connect()
    await hub.close(grace=0.5)
    assert told == []


async def test_a_slow_start_holds_up_no_server(
    on: On, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    ended = asyncio.Event()

    async def start(**kwargs: Any) -> None:
        try:
            await asyncio.Future()
        finally:
            ended.set()

    on(serving_started, start)
    monkeypatch.setattr(serving, "START_TIMEOUT", 0.01)
    await run_lifespan("startup")
    (line,) = [record for record in records if record.getMessage().startswith("receivers-slow")]
    assert line.realtime["signal"] == "serving_started"
    assert not ended.is_set()
    hub = find_hub()
    assert hub is not None
    await hub.close(grace=0.5)
    assert ended.is_set()


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_slow_stop_holds_up_no_server(
    on: On, hub: Hub, monkeypatch: pytest.MonkeyPatch, records: list[Any], in_thread: bool
) -> None:
    release = threading.Event()

    async def stop(**kwargs: Any) -> None:
        await asyncio.Future()

    def stop_in_thread(**kwargs: Any) -> None:
        release.wait(20)

    on(serving_stopping, stop_in_thread if in_thread else stop)
    monkeypatch.setattr(serving, "STOP_TIMEOUT", 0.01)
    hub.serving.start()
    async with asyncio.timeout(10):
        await hub.close(grace=0.5)
    release.set()
    (line,) = [record for record in records if record.getMessage().startswith("receivers-slow")]
    assert line.realtime["signal"] == "serving_stopping"


@pytest.mark.parametrize("error", [asyncio.CancelledError, ValueError])
async def test_what_a_receiver_raises_ends_nothing(
    on: On, hub: Hub, probe: Probe, records: list[Any], error: type[BaseException]
) -> None:
    async def fail(**kwargs: Any) -> None:
        raise error

    on(serving_started, fail)
    on(serving_stopping, fail)
    await hub.serving.started()
    await hub.close(grace=0.5)
    logged = [record for record in records if record.levelname == "ERROR"]
    # Django logs what is an Exception.
    assert len(logged) == (0 if error is ValueError else 2), logged


async def test_what_a_receiver_starts_goes_on(on: On, hub: Hub) -> None:
    tasks: list[asyncio.Task[int]] = []
    go = asyncio.Event()

    async def work() -> int:
        await go.wait()
        return await sync_to_async(threading.get_ident)()

    async def start(**kwargs: Any) -> None:
        tasks.append(asyncio.create_task(work()))

    on(serving_started, start)
    await hub.serving.started()
    go.set()
    assert await asyncio.wait_for(tasks[0], 10) != threading.get_ident()


def test_a_process_without_daphne_needs_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "daphne.server", raising=False)
    serving.start_with_daphne(lambda: pytest.fail("nobody runs"))
