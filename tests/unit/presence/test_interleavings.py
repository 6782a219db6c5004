"""Whatever happens to sockets and to the database, in the end its rows are the hub's registry."""

from __future__ import annotations

import asyncio
from functools import partialmethod
from typing import Any

import pytest
from channels.layers import channel_layers
from django.db import DataError, IntegrityError, OperationalError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime.models import Server
from realtime.outside.process import ensure_hub
from realtime.presence import writer as writer_module
from realtime.presence.store import Lost, Store
from realtime.testing import Client

from .conftest import ask, read_registry, read_rows, writer_of

ERRORS: dict[str, Exception] = {
    "down": OperationalError("away"),
    "refused": IntegrityError("a row is there already"),
    "lost": Lost(),
    "bug": DataError("a value does not fit"),
}

ROOMS = st.sampled_from(["a", "b", "Room №1"])
STEPS = st.one_of(
    st.tuples(st.just("open"), st.lists(ROOMS, max_size=2)),
    st.tuples(st.just("close"), st.integers(0, 9)),
    st.tuples(st.just("join"), st.integers(0, 9), ROOMS),
    st.tuples(st.just("leave"), st.integers(0, 9), ROOMS),
    st.tuples(st.just("fail before"), st.sampled_from(sorted(ERRORS))),
    st.tuples(st.just("fail after"), st.sampled_from(sorted(ERRORS))),
    st.tuples(st.just("take for dead"), st.booleans()),
    st.tuples(st.just("rest"), st.integers(0, 3)),
)


class Scenario:
    """One hub, its clients, and the errors that its next writes meet."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.before: list[Exception] = []
        self.after: list[Exception] = []

    async def step(self, what: str, *args: Any) -> None:
        """Do one thing, and do not wait for what follows from it."""
        if what == "open":
            client = Client(auth={"rooms": args[0]})
            self.clients.append(client)
            await client.connect(timeout=20)
        elif what == "fail before":
            self.before.append(ERRORS[args[0]])
        elif what == "fail after":
            self.after.append(ERRORS[args[0]])
        elif what == "take for dead":
            await ask(lambda: take_for_dead(remove=args[0]))
        elif what == "rest":
            await asyncio.sleep(args[0] / 1000)
        elif self.clients:
            client = self.clients[args[0] % len(self.clients)]
            if what == "close":
                self.clients.remove(client)
                await client.disconnect()
            else:
                client.emit(what, args[1])

    def write(self, store: Store, changes: Any, beat: Any) -> None:
        """Write, and fail before or after it where that is due."""
        if self.before:
            raise self.before.pop(0)
        _write(store, changes, beat=beat)
        if self.after:
            raise self.after.pop(0)

    async def check(self) -> None:
        """See that all of it is in the database, as soon as no more errors come."""
        hub = ensure_hub()
        writer = writer_of(hub)
        self.before.clear()
        self.after.clear()
        for client in self.clients:
            await client.call("echo", timeout=20)  # what it emitted is handled
        async with asyncio.timeout(20):
            await (
                writer.idle()
            )  # with a heartbeat, in which a server that is taken for dead sees it
        assert await ask(read_rows) == read_registry(hub)
        assert len(read_registry(hub)) == len(self.clients)
        assert await ask(lambda: Server.objects.living().count()) == 1


_write = Store.write


def disturbed(store: Store, scenario: Scenario, changes: Any, *, beat: Any) -> None:
    scenario.write(store, changes, beat)


def take_for_dead(remove: bool) -> None:
    if not remove:
        Server.objects.update(seen_at="2020-01-01T00:00Z")
        return
    for _ in range(10):
        try:
            Server.objects.all().delete()
            return
        except (IntegrityError, OperationalError):
            pass  # the writer was at these rows, or has added a room: once more, as servers do
    raise AssertionError("the writer's rows cannot be removed")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_RETRY", 0.005)
    monkeypatch.setattr(writer_module, "BATCH", 3)


@pytest.mark.slow
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, max_size=25))
def test_the_rows_are_the_registry(steps: list[Any]) -> None:
    async def run() -> None:
        channel_layers.backends.clear()
        scenario = Scenario()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, "write", partialmethod(disturbed, scenario))
            ensure_hub()
            try:
                for step in steps:
                    await scenario.step(*step)
                await scenario.check()
            finally:
                for client in scenario.clients:
                    await client.disconnect()
                await ensure_hub().close(grace=2)
        assert await ask(read_rows) == {}
        assert await ask(Server.objects.count) == 0

    asyncio.run(run())
