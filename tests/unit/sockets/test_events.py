"""What becomes of an event: its handler, its acknowledgement, and its errors."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from realtime import EventError, NamespaceConsumer, event

from ..conftest import Connect, Serve
from ..probes import Wire


async def test_events_that_no_handler_claims(serve: Serve, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        @event
        async def claimed(self) -> str:
            return "handler"

        async def receive(self, event: str, *args: Any) -> Any:
            return event, *args

    serve(Main)
    client = await connect()
    assert await client.call("claimed") == "handler"
    assert await client.call("any name", 1, b"2") == ("any name", 1, b"2")


@pytest.mark.parametrize(
    ("result", "answer"),
    [(None, []), (1, [1]), ("", [""]), ([1, 2], [[1, 2]]), ((1, 2), [1, 2]), ((), []), (0, [0])],
)
async def test_what_a_handler_returns_is_the_acknowledgement(
    serve: Serve, new_wire: Any, result: Any, answer: list[Any]
) -> None:
    class Main(NamespaceConsumer):
        @event
        async def get(self) -> Any:
            return result

    serve(Main)
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed('427["get"]')
    text = str(await wire.next())
    assert text.startswith("437")
    assert json.loads(text[3:]) == answer


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (
            EventError("too late", {"until": 5}, code="closed"),
            {"code": "closed", "message": "too late", "data": {"until": 5}},
        ),
        (EventError(), {"code": "error", "message": "", "data": None}),
        (EventError("no", object()), {"code": "error", "message": "no", "data": None}),
        (ValueError("secret"), {"code": "server_error", "message": "server error", "data": None}),
        (StopIteration("x"), {"code": "server_error", "message": "server error", "data": None}),
        (
            asyncio.CancelledError("secret"),
            {"code": "server_error", "message": "server error", "data": None},
        ),
    ],
    ids=["event error", "empty", "unsendable data", "error", "stop iteration", "cancelled"],
)
@pytest.mark.parametrize("name", ["fail", "fail in a thread"])
async def test_a_failing_handler_answers_an_error(
    serve: Serve,
    connect: Connect,
    records: list[Any],
    name: str,
    error: BaseException,
    answer: dict[str, Any],
) -> None:
    class Main(NamespaceConsumer):
        @event
        async def fail(self) -> None:
            raise error

        @event("fail in a thread")
        def fail_in_a_thread(self) -> None:
            raise error

        @event
        async def ping(self) -> str:
            return "pong"

    serve(Main)
    client = await connect(user=get_user_model()(pk=5))
    assert await client.call(name) == {"error": answer}
    assert await client.call("ping") == "pong", "the connection stays"
    fields = [record.realtime for record in records if record.levelname in ("WARNING", "ERROR")]
    assert [field["event"] for field in fields] == [name] * len(fields)
    assert fields[0]["sid"] == client.sid
    assert (fields[0]["namespace"], fields[0]["user"]) == ("/", 5)


async def test_an_answer_that_cannot_be_sent_is_an_error(serve: Serve, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        @event
        async def get(self) -> object:
            return object()

    serve(Main)
    answer = await (await connect()).call("get")
    assert answer["error"]["code"] == "server_error"


async def test_handle_is_around_every_event(serve: Serve, connect: Connect) -> None:
    class Checked(NamespaceConsumer):
        async def handle(self, event: str, args: list[Any]) -> Any:
            if event == "forbidden":
                raise EventError("not you", code="forbidden")
            return "checked", await super().handle(event, args)

    class Main(Checked):
        @event
        async def double(self, n: int) -> int:
            return n * 2

        async def receive(self, event: str, *args: Any) -> str:
            return event

    serve(Main)
    client = await connect()
    assert await client.call("double", 4) == ("checked", 8)
    assert await client.call("other") == ("checked", "other")
    assert (await client.call("forbidden"))["error"]["code"] == "forbidden"
