"""Sessions that one hub asks another one for, or hands over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.cluster.envelopes import Inherit, Take
from realtime.exceptions import ServerGone
from realtime.hub import handing
from realtime.hub.handing import hand_over, take

from .conftest import Two, until
from .layer import Bus

TAKE = Take("pid", "offset", "user", "/")


class Sessions:
    """What a hub keeps: sessions by pid, and what it was handed."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.asked: list[Take] = []
        self.inherited: list[tuple[str, bytes]] = []
        self.full = False
        self.error: Exception | None = None

    async def take(self, question: Take) -> bytes | None:
        self.asked.append(question)
        if self.error is not None:
            raise self.error
        return (self.kept.pop if question.final else self.kept.get)(question.pid, None)

    async def inherit(self, question: Inherit) -> bool:
        if not self.full:
            self.inherited.append((question.kind, question.body))
        return not self.full


@pytest.fixture
def sessions(two: Two) -> Sessions:
    """What the second hub keeps."""
    sessions = two[1].hub.sessions = Sessions()
    return sessions


@pytest.fixture
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handing, "PART_BYTES", 10)


def question(**fields: Any) -> Take:
    return Take(**{"pid": "pid", "offset": None, "user": "7", "namespace": "/a"} | fields)


async def test_a_session(two: Two, sessions: Sessions) -> None:
    sessions.kept = {"pid": b"\x00session", "empty": b""}
    other = two[1].hub.server_id
    assert await take(two[0].hub, other, question(final=False)) == b"\x00session"
    assert await take(two[0].hub, other, question(offset="at")) == b"\x00session"
    assert await take(two[0].hub, other, question()) is None
    assert await take(two[0].hub, other, question(pid="empty")) == b""
    asker = two[0].hub.server_id
    assert sessions.asked[:2] == [
        Take("pid", None, "7", "/a", asker, final=False),
        Take("pid", "at", "7", "/a", asker),
    ]


@pytest.mark.usefixtures("_small_parts")
@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 1005])
async def test_what_is_large_comes_in_parts(two: Two, sessions: Sessions, size: int) -> None:
    body = bytes(number % 256 for number in range(size))
    sessions.kept["pid"] = body
    assert await take(two[0].hub, two[1].hub.server_id, question()) == body
    assert await hand_over(two[0].hub, two[1].hub.server_id, "sessions", body)
    assert sessions.inherited == [("sessions", body)]


@pytest.mark.usefixtures("_small_parts")
async def test_a_part_that_is_lost(
    two: Two, sessions: Sessions, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.cluster.publisher.MESSAGE_BYTES", 1)  # each in its own message
    sessions.kept["pid"] = bytes(25) + b"lost" + bytes(66)
    bus.copies = lambda channel, message: int(b"lost" not in message["bodies"][0])
    with pytest.raises(ServerGone, match="of 10 parts"):
        await take(two[0].hub, two[1].hub.server_id, question())


async def test_a_hub_that_keeps_no_sessions(two: Two) -> None:
    assert await take(two[0].hub, two[1].hub.server_id, question()) is None
    assert not await hand_over(two[0].hub, two[1].hub.server_id, "sessions", b"")


async def test_a_hub_that_cannot(two: Two, sessions: Sessions, records: list[Any]) -> None:
    sessions.error = RuntimeError("broken")
    assert await take(two[0].hub, two[1].hub.server_id, question()) is None
    sessions.full = True
    assert not await hand_over(two[0].hub, two[1].hub.server_id, "sessions", b"")


@pytest.mark.expiry
async def test_a_hub_that_is_gone(two: Two) -> None:
    with pytest.raises(ServerGone):
        await take(two[0].hub, "nobody", question())
    two[1].kill()
    with pytest.raises(ServerGone):
        await hand_over(two[0].hub, two[1].hub.server_id, "sessions", b"")


async def test_nothing_overtakes_the_question(two: Two, sessions: Sessions) -> None:
    """What was sent before to a client that is taken is in the session that is given away."""
    client = await two[1].client()
    sessions.take = lambda question: heard(client)  # type: ignore[method-assign]
    two[0].layer.hang("send", "group_send")
    for number in range(5):
        two[0].emit((client.sid,), number)
        two[0].emit((), number)
        two[0].emit(("a room",), number)
    asking = asyncio.create_task(take(two[0].hub, two[1].hub.server_id, question()))
    await until(lambda: two[0].layer.held)
    two[0].layer.resume()
    assert await asking == b"10"


async def heard(client: Any) -> bytes:
    return str(client.pending()).encode()


# What is handed over in parts


def part(number: int, more: bool = True, id: str = "id", body: bytes = b"x") -> Inherit:
    return Inherit("kind", body, id, number, more)


async def test_parts_that_do_not_fit(two: Two, sessions: Sessions) -> None:
    cluster, other = two[0].cluster, two[1].hub.server_id
    assert not await cluster.ask(other, part(1)), "it has no beginning"
    assert not await cluster.ask(other, part(1, more=False))
    assert await cluster.ask(other, part(0))
    assert not await cluster.ask(other, part(2)), "one is missing"
    assert not await cluster.ask(other, part(1)), "and all is gone with it"
    assert await cluster.ask(other, part(0, id="a"))
    assert await cluster.ask(other, part(0, id="b", body=b"y"))
    assert await cluster.ask(other, part(1, more=False, id="a", body=b"z"))
    assert sessions.inherited == [("kind", b"xz")]


async def test_what_waits_for_its_last_part_is_bounded(
    two: Two, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handing, "MAX_PARTIAL_BYTES", 25)
    cluster, other = two[0].cluster, two[1].hub.server_id
    assert await cluster.ask(other, part(0, id="a", body=bytes(10)))
    assert await cluster.ask(other, part(0, id="b", body=bytes(10)))
    assert not await cluster.ask(other, part(1, id="a", body=bytes(10)))
    assert await cluster.ask(other, part(1, id="b", body=bytes(10)))
    monkeypatch.setattr(handing, "MAX_PARTIAL_AGE", -1.0)
    assert await cluster.ask(other, part(0, id="c", body=bytes(5)))
    assert not await cluster.ask(other, part(1, id="c", body=bytes(5))), "it was too late"
    assert await cluster.ask(other, part(2, id="b", more=False, body=b"z"))
    assert sessions.inherited == [("kind", bytes(20) + b"z")]
