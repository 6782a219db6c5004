"""Log lines that no client can forge."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from django.urls import path

from realtime import EventError, NamespaceConsumer, event
from realtime.logs import Lines, log, tell_skipped


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("/orders/7", "/orders/7"),
        ("№1", "№1"),
        (5, "5"),
        (None, "None"),
        ("", '""'),
        ("two words", '"two words"'),
        ('a"b', r'"a\"b"'),
        ("a\\b c", r'"a\\b c"'),
        ('a\\" sid=forged', r'"a\\\" sid=forged"'),
        ("a\nERROR forged", r'"a\nERROR forged"'),
        ("a\r\nb", r'"a\r\nb"'),
        ("a\tb", r'"a\x09b"'),
        ("\x1b[31mred", r'"\x1b[31mred"'),
        ("\x00\x7f\x85\u2028", r'"\x00\x7f\x85\x2028"'),
        ("half \ud800", r'"half \ud800"'),
        ("user\u202egnp.exe", r'"user\x202egnp.exe"'),
        ("\u2066\u200b\ufeff\u00ad\u061c", r'"\x2066\x200b\xfeff\xad\x61c"'),
        ("\U000e0041", r'"\xe0041"'),
        ("a\u00a0b", r'"a\xa0b"'),
        ("\x00" * 300, '"' + r"\x00" * 50 + '"'),
        (" " + "x" * 300, '" ' + "x" * 199 + '"'),
        ("x" * 300, "x" * 200),
    ],
)
def test_values(records: list[Any], value: Any, text: str) -> None:
    log(logging.INFO, "word", first=1, field=value)
    (record,) = records
    assert record.getMessage() == f"word first=1 field={text}"
    assert record.getMessage().isprintable()
    assert record.realtime == {"first": 1, "field": value}


def test_what_nobody_reads_is_not_made(records: list[Any]) -> None:
    class Unreadable:
        def __str__(self) -> str:
            raise AssertionError

    logging.getLogger("realtime").setLevel(logging.WARNING)
    log(logging.INFO, "word", field=Unreadable())
    assert records == []


@pytest.mark.parametrize(
    ("level", "error", "at_once"),
    [
        (logging.INFO, None, 20),
        (logging.WARNING, None, 10),
        (logging.ERROR, None, 10),
        (logging.ERROR, RuntimeError(), 3),
    ],
)
def test_so_many_lines_of_a_kind_at_once(
    records: list[Any], level: int, error: Exception | None, at_once: int
) -> None:
    lines = Lines()
    told = [lines.log(level, "word", exc_info=error, n=n) for n in range(100)]
    assert told == [True] * at_once + [False] * (100 - at_once)
    assert lines.log(level, "another")
    lines.tell_skipped(connection="abc")
    lines.tell_skipped(connection="abc")
    assert len(records) == at_once + 2
    assert records[-1].getMessage() == (
        f"unlogged connection=abc skipped={100 - at_once} kinds=word:{100 - at_once}"
    )
    assert records[-1].levelno == level


async def test_a_client_fills_no_log(serve: Any, connect: Any, records: list[Any]) -> None:
    class Main(NamespaceConsumer):
        @event
        async def boom(self) -> None:
            raise RuntimeError("broken")

        @event
        async def refuse(self) -> None:
            raise EventError("no")

        @event
        async def ask(self) -> None:
            self.emit("question", callback=self.answered)

        def answered(self) -> None: ...

    serve(Main)
    client, neighbour = await connect(), await connect()
    client.answer("question", "an argument that it does not take")
    for _ in range(50):
        client.emit("boom")
        client.emit("refuse")
        client.emit("ask")
    await client.call("refuse")
    while len(client._session.hub.tasks) > len(client._session.hub.connections):
        await asyncio.sleep(0)
    await neighbour.call("boom")
    await client.disconnect()
    mine = [each for each in records if each.realtime.get("sid") == client.sid]
    kinds = [each.args[0] for each in mine]
    assert [kinds.count(kind) for kind in ("error", "event-error")] == [3, 10]
    assert [each.realtime["sid"] for each in records if each.exc_info].count(neighbour.sid) == 1
    (told,) = [each.realtime for each in records if each.args[0] == "unlogged"]
    assert told["skipped"] == client._session.hub.counters.unlogged
    assert "event-error:41" in told["kinds"]
    assert kinds.count("connect") == kinds.count("disconnect") == 1


async def test_many_namespaces_end_as_they_began(
    serve: Any, new_wire: Any, records: list[Any]
) -> None:
    serve(routes=[path("n/<int:n>/", NamespaceConsumer.as_asgi())])
    wire = new_wire()
    for n in range(30):
        await wire.connect(f"/n/{n}")
    wire.close()
    while len(wire.session.hub.tasks) > 1:
        await asyncio.sleep(0)

    def namespaces(kind: str) -> set[str]:
        return {each.realtime["namespace"] for each in records if each.args[0] == kind}

    assert len(namespaces("connect")) == 20
    assert namespaces("connect") <= namespaces("disconnect")


def test_what_is_no_clients_is_limited_for_the_process(records: list[Any]) -> None:
    for n in range(100):
        log(logging.WARNING, "layer-ignored", error=n)
        log(logging.WARNING, "layer-refused", error=n)
    kinds = [each.args[0] for each in records]
    assert [kinds.count(kind) for kind in ("layer-ignored", "layer-refused")] == [10, 10]
    tell_skipped()
    assert records[-1].realtime == {
        "skipped": 180,
        "kinds": "layer-ignored:90 layer-refused:90",
    }


def test_many_clients_cause_no_more_tracebacks_than_one_process_may(records: list[Any]) -> None:
    for number in range(50):
        assert Lines().log(logging.ERROR, "error", exc_info=KeyError(number), n=number)
    with_traceback = [each for each in records if each.exc_info]
    assert len(with_traceback) in (30, 31), "one a second more"
    assert len(records) == 50, "the lines are there"
    assert records[-1].realtime == {"n": 49, "error": "KeyError"}
