"""What an event or a command does where no client can be reached."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import BaseCommand, call_command
from django.core.management.commands import runserver, shell
from pytest_django import Settings

import realtime
from realtime import LayerUnavailable, NotRunning, UnknownNamespace
from realtime.outside import process
from realtime.sending import surroundings, unreachable

from ..conftest import DEFAULTS
from ..probes import unsent_lines

CALLS: dict[str, Callable[[], Any]] = {
    "emit": lambda: realtime.emit("x", 1),
    "join": lambda: realtime.to("a").join("b"),
    "leave": lambda: realtime.to("a").leave("b"),
    "close": lambda: realtime.to("a").close(),
}


class Unavailable:
    """A gateway whose layer does not answer."""

    def emit(self, *args: Any) -> None:
        raise LayerUnavailable("no answer")

    command = emit


class Unflushed(Unavailable):
    """One whose layer takes what is sent, and fails when it is asked."""

    def command(self, *args: Any) -> None:
        """It takes that."""

    async def flush_cluster(self) -> None:
        raise NotRunning("No Realtime server has answered")


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_hubs", {})


@pytest.fixture(params=["no server", "no layer"])
def error(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[Exception]:
    """Each way in which nobody can be reached."""
    if request.param == "no server":
        return NotRunning
    monkeypatch.setattr("realtime.sending.plain_calls.get_gateway", Unavailable)
    return LayerUnavailable


def choose(settings: Settings, choice: str) -> None:
    settings.REALTIME = {**DEFAULTS, "UNREACHABLE": choice}


# The setting


@pytest.mark.parametrize("call", CALLS)
def test_raise(error: type[Exception], settings: Settings, call: str) -> None:
    choose(settings, "raise")
    with pytest.raises(error):
        CALLS[call]()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("choice", ["log", "auto"])
async def test_log(
    error: type[Exception], settings: Settings, call: str, choice: str, records: list[Any]
) -> None:
    choose(settings, choice)  # "auto" is "log" in tests, as here
    await CALLS[call]()
    ((record, fields),) = unsent_lines(records)
    assert record.levelno == logging.WARNING
    assert (fields["namespace"], fields["call"], fields["lost"]) == ("/", call, 1)
    assert fields.get("event") == ("x" if call == "emit" else None)
    assert fields["error"].startswith(error.__name__)
    assert "UNREACHABLE" in fields["hint"]


def test_questions_are_always_errors(settings: Settings) -> None:
    choose(settings, "log")
    with pytest.raises(NotRunning):
        realtime.to("a").call("x")
    with pytest.raises(NotRunning):
        realtime.to_client("sid").deliver("x")
    with pytest.raises(NotRunning):
        realtime.to_client("sid").call("x")


async def test_async_questions_are_always_errors(settings: Settings) -> None:
    choose(settings, "log")
    with pytest.raises(NotRunning):
        await realtime.to("a").acall("x")
    with pytest.raises(NotRunning):
        await realtime.to_client("sid").adeliver("x")
    with pytest.raises(NotRunning):
        await realtime.to_client("sid").acall("x")


def test_wrong_calls_are_always_errors(settings: Settings) -> None:
    choose(settings, "log")
    with pytest.raises(TypeError):
        realtime.emit("x", object())
    with pytest.raises(ValueError):
        realtime.emit("connect")
    with pytest.raises(UnknownNamespace):
        realtime.of("/nowhere/at/all").emit("x")
    with pytest.raises(TypeError):
        realtime.to(1)  # type: ignore[arg-type]


async def test_waiting_for_a_command(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    monkeypatch.setattr("realtime.sending.plain_calls.get_gateway", Unflushed)
    choose(settings, "log")
    await realtime.to("a").join("b")
    assert [fields["call"] for _, fields in unsent_lines(records)] == ["join"]
    choose(settings, "raise")
    with pytest.raises(NotRunning, match="has answered"):
        await realtime.to("a").join("b")


def test_who_has_to_know(settings: Settings) -> None:
    choose(settings, "log")
    with unreachable.raising(), pytest.raises(NotRunning):
        realtime.emit("x")
    realtime.emit("x")


def test_the_error_names_the_setting(settings: Settings) -> None:
    choose(settings, "raise")
    with pytest.raises(NotRunning, match=r"ASGI application.*UNREACHABLE"):
        realtime.emit("x")


@pytest.mark.parametrize("value", ["never", True, None, 1, [], "RAISE"])
def test_a_value_that_does_not_fit(value: Any) -> None:
    from realtime.conf import find_problems

    (problem,) = find_problems({"UNREACHABLE": value})
    assert '"log"' in problem.hint


# The log: not a line for each


def test_ten_thousand_make_few_lines(settings: Settings, records: list[Any]) -> None:
    choose(settings, "log")
    started = time.monotonic()
    threads = [threading.Thread(target=_emit_many, args=(2_500,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    passed = time.monotonic() - started
    lines = unsent_lines(records)
    assert lines[0][1]["lost"] < 10_000
    assert len(lines) <= passed + 2
    deadline = time.monotonic() + 5
    while sum(fields["lost"] for _, fields in unsent_lines(records)) < 10_000:
        assert time.monotonic() < deadline
    assert len(unsent_lines(records)) <= passed + 3


def _emit_many(number: int) -> None:
    for _ in range(number):
        realtime.emit("x")


# Where code runs


class Recorder(BaseCommand):
    """A command that tells what is said of it."""

    requires_system_checks: list[str] = []
    stealth_options = ("found",)

    def handle(self, *args: Any, **options: Any) -> None:
        found: list[Any] = options["found"]
        found.append(surroundings.is_command())
        thread = threading.Thread(target=lambda: found.append(surroundings.is_command()))
        thread.start()
        thread.join()


@pytest.mark.parametrize(
    ("name", "is_command"),
    [
        ("loaddata", True),
        ("migrate", True),
        ("import_orders", True),
        ("rqworker", True),
        ("runserver", False),
        ("runserver_plus", False),
        ("testserver", False),
        ("shell", False),
        ("shell_plus", False),
    ],
)
def test_commands(name: str, is_command: bool) -> None:
    command = type("Command", (Recorder,), {"__module__": f"shop.management.commands.{name}"})
    found: list[bool] = []
    assert not surroundings.is_command()
    call_command(command(), found=found)
    assert found == [is_command, is_command]
    assert not surroundings.is_command()


def test_djangos_own_names() -> None:
    for module in (runserver, shell):
        assert module.Command.__module__.rpartition(".")[2].startswith(surroundings.SERVING)


@pytest.mark.parametrize(
    ("argv", "is_command"),
    [
        (["manage.py", "loaddata", "x.json"], True),
        (["/srv/site/manage.py", "qcluster"], True),
        (["/usr/bin/django-admin", "migrate"], True),
        (["/lib/python/site-packages/django/__main__.py", "migrate"], True),
        (["manage.py", "runserver"], False),
        (["manage.py"], False),
        (["/usr/bin/daphne", "mysite.asgi:application"], False),
        (["/lib/uvicorn/__main__.py", "mysite.asgi:application"], False),
        (["/usr/bin/celery", "worker"], False),
        (["script.py", "loaddata"], False),
        ([""], False),
        ([], False),
    ],
)
def test_processes(argv: list[str], is_command: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    assert surroundings.is_command() is is_command


def test_a_test_is_a_test() -> None:
    assert surroundings.is_test()
