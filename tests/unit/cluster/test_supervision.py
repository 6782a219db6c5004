"""Loops that must never end go on after an error that nobody has expected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from realtime.cluster.envelopes import group_name
from realtime.execution.tasks import Tasks
from realtime.hub import health
from tests.unit.probes import DEADLINE

from .conftest import Server, Start, until
from .layer import Bus

pytestmark = pytest.mark.slow

Two = tuple[Server, Server]

ERRORS = [RuntimeError("unexpected"), asyncio.CancelledError()]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.execution.tasks.MIN_PAUSE", 0.01)
    monkeypatch.setattr("realtime.execution.tasks.MAX_PAUSE", 0.05)


@pytest.fixture
async def two(start: Start) -> Two:
    """Two hubs that know each other."""
    return await start(), await start()


def failed(records: list[Any]) -> list[tuple[str, int]]:
    """Return the services that have failed, each with how often in a row."""
    return [
        (record.realtime["service"], record.realtime["times"])
        for record in records
        if record.args[0] == "service-failed"
    ]


def raising_once(
    monkeypatch: pytest.MonkeyPatch, where: Any, name: str, error: BaseException
) -> None:
    """Let a function raise an error when it is called next, and then do what it does."""
    real = getattr(where, name)

    def fail(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(where, name, real)
        raise error

    monkeypatch.setattr(where, name, fail)


# Tasks


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_a_service_is_started_again(error: BaseException, records: list[Any]) -> None:
    tasks = Tasks(asyncio.get_running_loop())
    runs = 0

    async def serve() -> None:
        nonlocal runs
        runs += 1
        if runs < 4:
            raise error

    async with asyncio.timeout(DEADLINE):
        await tasks.supervise(serve, "some service")
    assert runs == 4
    assert failed(records) == [("some service", times) for times in (1, 2, 3)]
    assert all(record.exc_info for record in records)
    (fault,) = tasks.faults().values()
    assert (fault.times, fault.error) == (3, repr(error))
    assert not len(tasks)


async def test_a_service_that_is_cancelled_ends(records: list[Any]) -> None:
    tasks = Tasks(asyncio.get_running_loop())
    begun = asyncio.Event()

    async def serve() -> None:
        begun.set()
        await asyncio.Event().wait()

    task = tasks.supervise(serve, "some service")
    await begun.wait()
    tasks.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert not records


async def test_what_a_service_awaits_may_be_cancelled_by_others(records: list[Any]) -> None:
    tasks = Tasks(asyncio.get_running_loop())
    futures = [asyncio.get_running_loop().create_future() for _ in range(2)]
    waiting = iter(futures)

    async def serve() -> None:
        await next(waiting)

    task = tasks.supervise(serve, "some service")
    await asyncio.sleep(0)
    futures[0].cancel()
    futures[1].set_result(None)
    async with asyncio.timeout(DEADLINE):
        await task
    assert failed(records) == [("some service", 1)]


async def test_pauses_grow_and_steadiness_ends_them(
    monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    monkeypatch.setattr("realtime.execution.tasks.STEADY", 0.1)
    tasks = Tasks(asyncio.get_running_loop())
    runs = 0

    async def serve() -> None:
        nonlocal runs
        runs += 1
        if runs == 5:
            await asyncio.sleep(0.15)  # this is what is tested: time passes
        if runs < 7:
            raise RuntimeError

    async with asyncio.timeout(DEADLINE):
        await tasks.supervise(serve, "some service")
    assert [times for _, times in failed(records)] == [1, 2, 3, 4, 1, 2]
    pauses = [record.realtime["retry_in"] for record in records]
    assert pauses == [0.01, 0.02, 0.04, 0.05, 0.01, 0.02]
    monkeypatch.setattr("realtime.execution.tasks.TOLD_FOR", 0)
    assert not tasks.faults()


# The hub's


def breaks(two: Two) -> dict[str, tuple[str, Any, str]]:
    """Return where to break what: the service, and the function that it calls."""
    cluster = two[0].cluster
    return {
        "numbering": ("publisher", cluster.publisher.outgoing, "next"),
        "sending": ("publisher", cluster.publisher, "_transmit"),
        "membership": ("memberships", cluster._memberships, "_apply"),
        "beat": ("beats", cluster.peers, "expire"),
        "clocks": ("beats", cluster.beats.clocks, "compare"),
        "arrival": ("listener", cluster._receiver, "_hear_own"),
        "files": ("files", two[0].hub.files, "check"),
    }


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize(
    "what", ["numbering", "sending", "membership", "beat", "clocks", "arrival", "files"]
)
async def test_every_loop_of_a_hub_goes_on(
    two: Two,
    bus: Bus,
    monkeypatch: pytest.MonkeyPatch,
    records: list[Any],
    what: str,
    error: BaseException,
) -> None:
    monkeypatch.setattr("realtime.hub.files.INTERVAL", 0.02)
    near, far = await two[0].client("a"), await two[1].client("a")
    service, where, name = breaks(two)[what]
    raising_once(monkeypatch, where, name, error)
    if what == "membership":
        async with asyncio.timeout(DEADLINE):
            await near.call("join", "b")
    two[0].emit(("a",), "may be lost")
    await until(lambda: failed(records) == [(service, 1)])
    (problem,) = two[0].hub.describe()["problems"]
    assert problem == {"problem": "service-failed", "service": service, "times": 1}
    assert health.is_ready(two[0].hub)
    two[0].emit(("a",), "hi")
    two[1].emit(("a",), "hello")
    for client, last in ((far, "hi"), (near, "hello")):
        while (await client.receive(DEADLINE))[1] != last:
            pass
    await two[0].cluster.drain()
    assert two[0].cluster.publisher.backlog == 0
    await near.call("join", "c")
    await until(lambda: bus.groups.get(group_name("/", "c")))
    await until(lambda: two[1].knows(two[0]) and two[0].knows(two[1]))


async def test_one_lane_that_fails_does_not_stop_the_others(
    two: Two, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    far = await two[1].client(*"abcdefgh")
    transmit = two[0].cluster.publisher._transmit

    async def fail_one(lane: Any, message: Any) -> None:
        if lane.name == group_name("/", "c"):
            raise RuntimeError("unexpected")
        await transmit(lane, message)

    monkeypatch.setattr(two[0].cluster.publisher, "_transmit", fail_one)
    two[0].layer.hang("group_send")
    two[0].emit(("a",), "first")
    for room in "abcdefgh":
        two[0].emit((room,), room)
    two[0].layer.resume()
    heard = [(await far.receive(DEADLINE))[1] for _ in range(8)]
    assert sorted(heard) == sorted([*"abdefgh", "first"])
    await until(lambda: two[0].cluster.publisher.backlog == 0)
    assert two[0].cluster.publisher.lost == 1


async def test_a_hub_whose_loop_fails_again_and_again_is_not_ready(
    two: Two, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    real = two[0].cluster.peers.expire
    await until(lambda: all(health.is_ready(server.hub) for server in two))

    def fail() -> None:
        raise RuntimeError("unexpected")

    monkeypatch.setattr(two[0].cluster.peers, "expire", fail)
    await until(lambda: not health.is_ready(two[0].hub))
    assert health.is_ready(two[1].hub)
    monkeypatch.setattr(two[0].cluster.peers, "expire", real)
    monkeypatch.setattr("realtime.execution.tasks.TOLD_FOR", 0.2)
    await until(lambda: health.is_ready(two[0].hub))
    reports = two[1].cluster.reports
    await until(lambda: reports()[two[0].hub.server_id]["problems"] == [])


async def test_the_end_of_an_outage_is_found_after_an_error(
    two: Two, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    far = await two[1].client("a")
    two[0].layer.fail()
    raising_once(monkeypatch, two[0].cluster.link, "_restore", asyncio.CancelledError())
    two[0].emit(("a",), "hi")
    await until(lambda: failed(records) == [("recovery", 1)])
    assert {"problem": "layer-down"} in two[0].hub.describe()["problems"]
    two[0].layer.resume()
    assert (await far.receive(DEADLINE))[1] == "hi"


# What a hub reports about itself


def reports(value: Any) -> Callable[[], Any]:
    def tell() -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    return tell


@pytest.mark.parametrize(
    "value",
    [2**80, object(), "\ud800", {1, 2**70}, [[]] * 3 + [object()], RuntimeError("broken")],
    ids=["large", "object", "surrogate", "set", "deep", "raises"],
)
async def test_a_report_that_fails_is_no_outage(two: Two, records: list[Any], value: Any) -> None:
    far = await two[1].client("a")
    two[0].hub.news["some"] = reports(value)
    beats = two[0].layer.calls["group_send"]
    await until(lambda: two[0].layer.calls["group_send"] > beats + 5)
    words = {record.args[0] for record in records}
    assert words & {"report-failed", "observer-failed"}
    assert not words & {"layer-down", "server-gone", "layer-ignored"}
    two[0].emit(("a",), "hi")
    assert (await far.receive(DEADLINE))[1] == "hi"
    assert two[1].knows(two[0])


async def test_a_key_that_is_no_text(two: Two, records: list[Any]) -> None:
    two[0].hub.news[7] = lambda: "told"  # type: ignore[index]
    await until(lambda: "report-failed" in [record.args[0] for record in records])
    assert two[1].knows(two[0])


# One message that the layer does not want


@pytest.mark.parametrize(
    "error", [ValueError("not this"), ConnectionError("not this"), TypeError(), AssertionError()]
)
async def test_one_message_that_is_refused_is_no_outage(
    start: Start, monkeypatch: pytest.MonkeyPatch, records: list[Any], error: Exception
) -> None:
    one, two = await start(), await start()
    near, far = await one.client(*map(str, range(200))), await two.client("a", "bad")
    group_send, asked = one.layer.group_send, one.layer.calls["group_add"]

    async def refuse(group: str, message: Any) -> None:
        if group == group_name("/", "bad"):
            raise error
        await group_send(group, message)

    monkeypatch.setattr(one.layer, "group_send", refuse)
    one.emit(("bad",), "never")
    one.emit(("a",), "hi")
    assert (await far.receive(DEADLINE))[1] == "hi"
    await until(lambda: one.cluster.lost)
    one.emit(("a",), "still")
    assert (await far.receive(DEADLINE))[1] == "still"
    assert one.layer.calls["group_add"] == asked
    words = [record.args[0] for record in records]
    assert "layer-down" not in words
    (line,) = [record.realtime for record in records if record.args[0] == "layer-lost"]
    assert (line["lost"], line["lane"]) == (1, group_name("/", "bad"))
    assert not near.pending()


async def test_what_cannot_be_received_is_no_outage(
    two: Two, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    far, layer = await two[1].client("a"), two[1].layer
    receive, asked = layer.receive, layer.calls["group_add"]
    bad = iter(range(1))
    monkeypatch.setattr("realtime.cluster.listener.MIN_PAUSE", 0.001)

    async def garble(channel: str) -> Any:
        message = await receive(channel)
        if message["server"] == two[0].hub.server_id and next(bad, None) is not None:
            raise ValueError("no key fits")
        return message

    monkeypatch.setattr(layer, "receive", garble)
    await until(lambda: "layer-ignored" in [record.args[0] for record in records])
    two[0].emit(("a",), "hi")
    assert (await far.receive(DEADLINE))[1] == "hi"
    assert "layer-down" not in [record.args[0] for record in records]
    assert layer.calls["group_add"] == asked
