"""What clients are told while the database is away, and what the log says of them."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser
from django.db import DataError, InterfaceError, OperationalError
from django.urls import path

from realtime import NamespaceConsumer, logs
from realtime.exceptions import ServerUnavailable
from realtime.execution import calls as running
from realtime.hub.hub import Hub
from realtime.identity import outages
from realtime.identity.lookups import LookupGivenUp
from realtime.identity.scopes import identify

from ..conftest import Connect, Serve
from ..logins import request
from ..probes import Probe, Wire

KEY = "a" * 32


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of an account of one's own."""
    clock = Clock()
    monkeypatch.setattr(outages, "lines", outages.Log(clock))
    return clock


def told(records: list[Any]) -> list[dict[str, Any]]:
    """Return the fields of the lines about clients who were turned away."""
    return [each.realtime for each in records if each.args[0] == "lookup-failed"]


def fail_with(hub: Hub, error: Exception | None) -> None:
    """Let a hub's lookups raise an error, or never end."""

    async def run(*args: Any) -> Any:
        if error is not None:
            raise error
        await asyncio.Event().wait()

    hub.lookups.run = run  # type: ignore[method-assign]
    hub.lookups.share = run  # type: ignore[method-assign]


ERRORS = [OperationalError("away"), InterfaceError("closed"), LookupGivenUp(), ValueError("odd")]


@pytest.mark.parametrize("error", ERRORS)
async def test_who_cannot_be_looked_up(hub: Hub, error: Exception, records: list[Any]) -> None:
    fail_with(hub, error)
    with pytest.raises(ServerUnavailable) as caught:
        await identify(hub, request(KEY))
    assert (caught.value.status, caught.value.retry_after) == (503, 5)
    (record,) = records
    assert told(records)[0]["step"] == "lookup"
    assert bool(record.exc_info) is isinstance(error, ValueError), "whose fault a traceback shows"
    assert (await identify(hub, request(None)))["user"] == AnonymousUser()


async def test_a_lookup_that_never_ends(hub: Hub, serve: Serve, records: list[Any]) -> None:
    hub.settings.LOOKUP_TIMEOUT = 0.05
    fail_with(hub, None)
    with pytest.raises(ServerUnavailable):
        await identify(hub, request(KEY))
    assert "no answer within 0.05 seconds" in told(records)[0]["error"]


async def test_a_site_that_lets_them_in(hub: Hub, records: list[Any]) -> None:
    hub.settings.LOOKUP_FAILURE = "anonymous"
    fail_with(hub, OperationalError("away"))
    scope = await identify(hub, request(KEY))
    assert scope["user"] == AnonymousUser()
    assert scope["session"].session_key is None
    assert scope["cookies"]["sessionid"] == KEY
    assert len(told(records)) == 1


async def test_one_line_a_second_with_a_count(hub: Hub, clock: Clock, records: list[Any]) -> None:
    fail_with(hub, OperationalError("away"))
    for _ in range(150):
        with pytest.raises(ServerUnavailable):
            await identify(hub, request(KEY))
    assert [line["times"] for line in told(records)] == [1]
    clock.now += 1
    with pytest.raises(ServerUnavailable):
        await identify(hub, request(KEY))
    assert [line["times"] for line in told(records)] == [1, 150]


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize(
    ("error", "is_outage"),
    [(OperationalError("away"), True), (InterfaceError("away"), True), (DataError("bug"), False)],
)
async def test_connect_finds_the_database_away(
    serve: Serve, new_wire: Any, records: list[Any], kind: str, error: Exception, is_outage: bool
) -> None:
    class Async(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            raise error

    class Sync(NamespaceConsumer):
        def connect(self, auth: dict[str, Any]) -> None:
            raise error

    serve(Async if kind == "async" else Sync, routes=[path("other/", NamespaceConsumer.as_asgi())])
    wire: Wire = new_wire()
    answers = [json.loads((await wire.connect())[2:]) for _ in range(20)]
    if not is_outage:
        assert answers == [{"message": "server error"}] * 20
        return
    refusal = {"message": "try again later", "data": {"code": 503, "retry_after": 5}}
    assert answers == [refusal] * 20
    (line,) = told(records)
    assert (line["step"], line["times"]) == ("connect", 1)
    assert line["consumer"].endswith(kind.title())
    assert not any(record.exc_info for record in records)
    assert (await wire.connect("/other")).startswith("40/other,"), "its connection lives on"


async def test_an_asgiref_without_contexts_of_threads(
    serve: Serve, probe: Probe, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "HAS_OWN_THREADS", False)

    class Main(NamespaceConsumer):
        def connect(self, auth: dict[str, Any]) -> None:
            self.emit("question", callback=self.answered)

        def answered(self, answer: int) -> None:
            probe.note((answer, threading.current_thread() is threading.main_thread()))

        async def receive(self, event: str, *args: Any) -> int:
            return await sync_to_async(int)("7")

    serve(Main)
    client = await connect()
    assert await client.call("anything") == 7
    client.answer("question", 3)
    assert await client.receive() == ("question",)


def test_who_is_left_out_of_a_line_is_in_a_later_one(
    clock: Clock, records: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process has a limit for its lines, too: what was not told is not forgotten."""
    monkeypatch.setattr(logs, "_of_process", logs.Lines())
    for _ in range(12):
        outages.lines.note(ValueError("odd"), step="lookup", exc_info=True)
        clock.now += 2
    written = sum(each["times"] for each in told(records))
    assert len(told(records)) < 12, "there is such a limit"
    assert written + outages.lines._untold == 12
