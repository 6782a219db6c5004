"""What consumers share, as rows that others query."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.urls import path

import realtime
from realtime import NamespaceConsumer, event
from realtime.hub.hub import Hub
from realtime.models import Socket

from ..conftest import Connect, Serve
from .conftest import Interference, ask, until, writer_of

TEXTS = [
    *("\0", "\ud800", "\u2028", "'; DROP TABLE x; --", '"\\', "%s {0}", "", "🙂" * 500),
    "a" * 3000,
]


class Main(NamespaceConsumer):
    """Shares what its client says."""

    async def connect(self, auth: dict[str, Any]) -> None:
        self.share(**auth)

    @event("share")
    async def on_share(self, values: dict[str, Any]) -> None:
        self.share(**values)

    @event("share text")
    async def share_text(self, number: int) -> None:
        text = TEXTS[number]
        self.share(**{"name": text, f"key {text[:20]}": [text[:20]]})

    @event("share and see")
    async def share_and_see(self, values: dict[str, Any]) -> Any:
        await self.share(**values)
        return await Socket.objects.values_list("data", flat=True).aget(pk=self.sid)


@pytest.fixture(autouse=True)
def _consumer(serve: Serve) -> None:
    serve(Main, routes=[path("other/", Main.as_asgi())])


async def found(**conditions: Any) -> list[str]:
    """Return the names of the online clients of "/" for which conditions hold, in order."""
    sockets = realtime.of().sockets().filter(**conditions)
    return sorted([socket.data["name"] async for socket in sockets])


async def test_queries_by_what_is_shared(connect: Connect) -> None:
    await connect(auth={"name": "Ada", "age": 36, "tags": ["math"], "deep": {"is": "Ü"}})
    await connect(auth={"name": "ada", "age": 7, "admin": True})
    await connect(auth={"name": "Бо №1 🙂", "left": None})
    await connect("/other", auth={"name": "Ada"})
    assert await found(data__name="Ada") == ["Ada"]
    assert await found(data__name="ada") == ["ada"]
    assert await found(data__name="Бо №1 🙂") == ["Бо №1 🙂"]
    assert await found(data__name__in=["Ada", "nobody"]) == ["Ada"]
    assert await found(data__name__icontains="DA") == ["Ada", "ada"]
    assert await found(data__age__gt=10) == ["Ada"]
    assert await found(data__left=None) == ["Бо №1 🙂"]
    assert await found(data__admin=True) == ["ada"]
    assert await found(data__has_key="age") == ["Ada", "ada"]
    assert await found(data__deep__is="Ü") == ["Ada"]
    assert await found(data__tags__0="math") == ["Ada"]
    assert await realtime.of("/other").sockets().filter(data__name="Ada").acount() == 1
    ordered = realtime.of().sockets().order_by("data__name").values("data__name")
    assert len([row async for row in ordered]) == 3


async def test_it_is_there_before_the_answer(connect: Connect) -> None:
    client = await connect()
    sockets = Socket.objects.filter(pk=client.sid)
    assert (await sockets.aget()).data == {}
    for values in ({"typing": True}, {"typing": False}, {"at": "desk"}):
        await client.call("share", values)
        assert values.items() <= (await sockets.aget()).data.items()
    assert await client.call("share and see", {"n": 1}) == {"typing": False, "at": "desk", "n": 1}


async def test_hostile_texts_stop_nobody(connect: Connect, hub: Hub) -> None:
    client, other = await connect(), await connect()
    for number, text in enumerate(TEXTS):
        assert await client.call("share text", number) is None
        kept = (await Socket.objects.aget(pk=client.sid)).data["name"]
        assert kept == text.replace("\0", "\ufffd").replace("\ud800", "\ufffd")
        await client.call("share", {"name": ""})
        await client.disconnect()
        client = await connect()
    await client.call("share", {"number": 2**200, "float": 1e308, "list": [[[[]]]] * 20})
    await other.call("share", {"still": "written"})
    assert (await Socket.objects.aget(pk=other.sid)).data == {"still": "written"}
    assert writer_of(hub)._down_since is None


async def test_changes_in_one_batch(connect: Connect, hub: Hub, interference: Interference) -> None:
    client = await connect()
    interference.gate.clear()
    interference.entered.clear()
    for number in range(50):
        client.emit("share", {"n": number})
        client.emit("share", {f"k{number}": number})
    new = hub.loop.create_task(connect(auth={"name": "new"}))
    await until(interference.entered.is_set)
    await until(lambda: len(client.shared) == 51)
    interference.gate.set()
    await new
    await hub.observers.wait_written()
    assert (await Socket.objects.aget(pk=client.sid)).data == client.shared


async def test_an_outage_loses_nothing(
    connect: Connect, hub: Hub, interference: Interference
) -> None:
    client = await connect(auth={"name": "Ada"})
    interference.error = RuntimeError("away")
    await client.call("share", {"name": "Bo"})
    await until(lambda: writer_of(hub)._behind)
    await client.call("share", {"more": 1})
    interference.error = None
    await until(lambda: writer_of(hub)._down_since is None)
    await client.call("share", {"last": 2})
    expected = {"name": "Bo", "more": 1, "last": 2}
    assert (await Socket.objects.aget(pk=client.sid)).data == expected


async def test_the_migration_can_be_taken_back(connect: Connect) -> None:
    def migrate() -> list[str]:
        columns = []
        for target in ("0002", None):
            args = ["realtime", target] if target else ["realtime"]
            call_command("migrate", *args, verbosity=0)
            with connection.cursor() as cursor:
                found = connection.introspection.get_table_description(cursor, "realtime_socket")
            columns.append("data" if "data" in [column.name for column in found] else "-")
        return columns

    assert await ask(migrate) == ["-", "data"]
    client = await connect(auth={"name": "Ada"})
    assert (await Socket.objects.aget(pk=client.sid)).data == {"name": "Ada"}
