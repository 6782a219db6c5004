"""What waits for a commit: events and commands, and what fails after it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import SynchronousOnlyOperation
from django.db import transaction
from django.test import TestCase
from django.utils.connection import ConnectionDoesNotExist
from pytest_django import Settings

import realtime
from realtime import LayerUnavailable, NamespaceConsumer, NotRunning, event
from realtime.hub.hub import Hub
from realtime.outside import process

from ..conftest import Connect, Serve
from ..probes import DEADLINE, unsent_lines
from ..test_broadcast import Crowd, got, in_thread

pytestmark = pytest.mark.django_db(transaction=True)


def atomically(*calls: Callable[[], Any], rolled_back: bool = False) -> None:
    """Make calls in a transaction."""
    with suppress(ZeroDivisionError), transaction.atomic():
        for call in calls:
            call()
        if rolled_back:
            raise ZeroDivisionError


# When


async def test_an_event_waits_for_the_commit(crowd: Crowd) -> None:
    def work() -> None:
        with transaction.atomic():
            realtime.to("a").on_commit().emit("said", 1)
            realtime.emit("at once")
            reached.set()
            assert go_on.wait(DEADLINE)

    reached, go_on = threading.Event(), threading.Event()
    working = asyncio.create_task(in_thread(work))
    assert await in_thread(reached.wait, DEADLINE)
    assert await got(crowd) == "ann bob cleo dan"
    go_on.set()
    await working
    assert await crowd["ann"].receive() == ("said", 1)
    assert await got(crowd) == "cleo"


async def test_commands_wait_for_the_commit(crowd: Crowd, hub: Hub) -> None:
    def work() -> None:
        with transaction.atomic():
            realtime.to("a").on_commit().join("new")
            realtime.to("b").on_commit().leave("b")
            realtime.to(crowd["dan"].sid).on_commit().close()
            realtime.to("new", "b").emit("before")
        realtime.to("new").emit("after")

    await in_thread(work)
    for name in ("ann", "bob"):
        assert await crowd[name].receive() == ("before",)
    for name in ("ann", "cleo"):
        assert await crowd[name].receive() == ("after",)
    await crowd["dan"].closed(DEADLINE)
    assert await got(crowd) == ""
    assert "b" not in hub.registry.sockets[crowd["bob"].sid].rooms


async def test_what_is_rolled_back_never_happens(crowd: Crowd) -> None:
    def work() -> None:
        atomically(
            lambda: realtime.of().on_commit().emit("never"),
            lambda: realtime.of().on_commit().close(),
            lambda: realtime.of().on_commit().join("b"),
            rolled_back=True,
        )
        realtime.of().on_commit().emit("outside of a transaction")
        realtime.to("b").emit("in b")

    await in_thread(work)
    assert await crowd["ann"].receive() == ("outside of a transaction",)
    assert await crowd["bob"].receive() == ("outside of a transaction",)
    assert await crowd["bob"].receive() == ("in b",)
    assert await crowd["dan"].receive() == ("outside of a transaction",)
    assert crowd["dan"].pending() == 0


async def test_a_savepoint(crowd: Crowd) -> None:
    def work() -> None:
        with transaction.atomic():
            atomically(lambda: realtime.of().on_commit().emit("kept"))
            atomically(lambda: realtime.of().on_commit().emit("dropped"), rolled_back=True)
            realtime.emit("now")

    await in_thread(work)
    assert [await crowd["ann"].receive() for _ in range(2)] == [("now",), ("kept",)]
    assert crowd["ann"].pending() == 0


async def test_what_is_sent_is_what_was_given(crowd: Crowd) -> None:
    def work() -> None:
        value = {"n": 1}
        with transaction.atomic():
            realtime.of().on_commit().emit("value", value)
            with pytest.raises(TypeError):
                realtime.of().on_commit().emit("value", object())
            value["n"] = 2

    await in_thread(work)
    assert await crowd["ann"].receive() == ("value", {"n": 1})


async def test_narrowing_keeps_the_commit(crowd: Crowd) -> None:
    def work() -> None:
        with transaction.atomic():
            sockets = realtime.of().on_commit().to("a", "b").excluding("b").volatile()
            sockets.emit("last")
            realtime.emit("first")

    await in_thread(work)
    assert [await crowd["cleo"].receive() for _ in range(2)] == [("first",), ("last",)]
    assert await crowd["bob"].receive() == ("first",)
    assert crowd["bob"].pending() == 0


# From a handler: its acknowledgement waits for what the commit has done


async def test_a_handler_joins_at_its_commit(serve: Serve, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        @event
        def enter(self) -> int:
            with transaction.atomic():
                self.everyone.to(self.sid).on_commit().join("room")
                return len(self.rooms)

    serve(Main)
    client = await connect()
    assert await client.call("enter") == 0
    realtime.to("room").emit("welcome")
    assert await client.receive() == ("welcome",)


# What cannot be


def test_a_database_that_does_not_exist() -> None:
    with pytest.raises(ConnectionDoesNotExist, match=r"no 'other'\. There is 'default'"):
        realtime.of().on_commit(using="other")
    with pytest.raises(ConnectionDoesNotExist, match="'other'"):
        realtime.of().on_commit("other")


@pytest.mark.parametrize("question", ["call", "count", "sockets", "rooms"])
def test_a_question_cannot_wait(question: str) -> None:
    args = ("ready?",) if question == "call" else ()
    with pytest.raises(TypeError, match=r"wants an answer now.*transaction\.on_commit"):
        getattr(realtime.of().on_commit(), question)(*args)


@pytest.mark.parametrize("question", ["acall", "acount"])
async def test_an_async_question_cannot_wait(question: str) -> None:
    args = ("ready?",) if question == "acall" else ()
    with pytest.raises(TypeError, match="wants an answer now"):
        await getattr(realtime.of().on_commit(), question)(*args)


@pytest.mark.parametrize("call", ["emit", "join", "leave", "close"])
async def test_async_code_has_no_transaction(crowd: Crowd, call: str) -> None:
    args = () if call == "close" else ("x",)
    with pytest.raises(SynchronousOnlyOperation, match="receiver of post_save"):
        getattr(realtime.to("a").on_commit(), call)(*args)
    assert await got(crowd) == ""


# What fails


class Broken:
    """A gateway that fails."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def emit(self, *args: Any) -> None:
        raise self.error

    command = emit


ERRORS = [
    LayerUnavailable("no answer"),
    NotRunning("about to end"),
    RuntimeError("Event loop is closed"),
    ZeroDivisionError("anything"),
]


@pytest.fixture(params=ERRORS, ids=lambda error: type(error).__name__)
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Exception:
    """An error of everything that is sent."""
    monkeypatch.setattr("realtime.sending.plain_calls.get_gateway", lambda: Broken(request.param))
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("call", ["emit", "join", "leave", "close"])
def test_what_fails_after_the_commit_is_logged(
    broken: Exception, call: str, records: list[Any]
) -> None:
    seen: list[str] = []
    args = () if call == "close" else ("x",)
    with transaction.atomic():
        Group.objects.create(name="kept")
        getattr(realtime.of("/").on_commit(), call)(*args)
        transaction.on_commit(lambda: seen.append("mail"))
    assert seen == ["mail"]
    assert Group.objects.filter(name="kept").exists()
    ((record, fields),) = unsent_lines(records)
    assert record.levelno == logging.ERROR
    what = {"event": "x"} if call == "emit" else {}
    error = f"{type(broken).__name__}: {broken}"
    assert fields == {"namespace": "/", "call": call, **what, "error": error, "lost": 1}
    known = isinstance(broken, realtime.LayerUnavailable | realtime.NotRunning)
    assert bool(record.exc_info) is not known


def test_the_same_outside_of_a_transaction(broken: Exception, records: list[Any]) -> None:
    realtime.of("/").on_commit().emit("x")
    assert len(unsent_lines(records)) == 1


def test_the_same_in_a_test_that_captures_the_hooks(broken: Exception, records: list[Any]) -> None:
    with transaction.atomic():  # as in a TestCase
        with TestCase.captureOnCommitCallbacks(execute=True) as hooks:
            realtime.of("/").on_commit().emit("x")
            assert unsent_lines(records) == []
        assert len(hooks) == len(unsent_lines(records)) == 1
        transaction.set_rollback(True)


def test_what_is_no_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "realtime.sending.plain_calls.get_gateway", lambda: Broken(KeyboardInterrupt())
    )
    with pytest.raises(KeyboardInterrupt):
        realtime.of("/").on_commit().emit("x")


def test_no_server_is_said_before_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_hubs", {})

    def save() -> None:
        with transaction.atomic():
            Group.objects.create(name="not kept")
            realtime.of("/").on_commit().emit("x")

    with pytest.raises(NotRunning):
        save()
    assert not Group.objects.filter(name="not kept").exists()


def test_no_server_is_logged_at_the_commit(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, records: list[Any]
) -> None:
    monkeypatch.setattr(process, "_hubs", {})
    settings.REALTIME = {**settings.REALTIME, "UNREACHABLE": "log"}
    with suppress(ZeroDivisionError), transaction.atomic():
        realtime.of("/").on_commit().emit("rolled back")
        raise ZeroDivisionError
    assert unsent_lines(records) == []
    with transaction.atomic():
        realtime.of("/").on_commit().emit("x")
        assert unsent_lines(records) == []
    ((record, fields),) = unsent_lines(records)
    assert (record.levelno, fields["event"]) == (logging.WARNING, "x")


async def test_a_hub_counts_it(
    crowd: Crowd, hub: Hub, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    monkeypatch.setattr(hub, "run", Broken(RuntimeError("closed")).emit)
    await in_thread(atomically, lambda: realtime.of("/").on_commit().emit("x"))
    assert hub.report()["unsent"] == 1
    assert len(unsent_lines(records)) == 1
    monkeypatch.undo()
    assert await got(crowd) == ""
