"""Questions to other hubs, and who is expected to answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.cluster.envelopes import Answer, Ask, Cancel, Flush
from realtime.cluster.requests import PendingRequests, Requests
from realtime.exceptions import ServerGone
from tests.unit.probes import DEADLINE

from .conftest import until


class World:
    """A hub's questions, and what it has sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str | None, Ask | Cancel]] = []
        self.questions = Requests("my channel", self._send)
        self.answers: list[Any] = []

    def _send(self, server: str | None, envelope: Ask | Cancel) -> None:
        self.sent.append((server, envelope))

    async def ask_all(self, *servers: str) -> None:
        """Ask these servers, and keep what they answer."""
        async for answer in self.questions.ask_all(Flush(), servers):
            self.answers.append((answer.server, answer.content))

    def answer(self, server: str, content: Any = None, *servers: str, final: bool = True) -> None:
        """Let a server answer the question that was asked last."""
        [*_, ask] = [envelope for _, envelope in self.sent if isinstance(envelope, Ask)]
        self.questions.add(Answer(ask.id, server, final, content, servers))

    async def finished(self, asking: asyncio.Task[Any]) -> Any:
        async with asyncio.timeout(DEADLINE):
            result = await asking
        assert len(self.questions) == 0
        return result


@pytest.fixture
async def world() -> World:
    return World()


async def test_all_answer(world: World) -> None:
    asking = asyncio.create_task(world.ask_all("one", "two"))
    await until(lambda: world.sent)
    assert world.sent[0][0] is None
    world.answer("one", 1, final=False)
    world.answer("two", 2)
    world.answer("one", 3)
    await world.finished(asking)
    assert world.answers == [("one", 1), ("two", 2), ("one", 3)]
    assert len(world.sent) == 1  # nothing is to be cancelled
    world.answer("one", "too late")


async def test_nobody_is_there(world: World) -> None:
    await world.finished(asyncio.create_task(world.ask_all()))
    assert world.answers == []


async def test_who_is_gone_is_not_waited_for(world: World) -> None:
    asking = asyncio.create_task(world.ask_all("one", "two", "three"))
    await until(lambda: world.sent)
    world.questions.gone("one")
    world.questions.gone("never asked")
    world.answer("two", 2)
    assert not asking.done()
    world.answer("three", 3, final=False)
    world.questions.gone("three")
    await world.finished(asking)
    assert world.answers == [("two", 2), ("three", 3)]


async def test_who_asks_no_more_says_so(world: World) -> None:
    asking = asyncio.create_task(world.ask_all("one"))
    await until(lambda: world.sent)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await world.finished(asking)
    ask = world.sent[0][1]
    assert world.sent[1:] == [(None, Cancel(ask.id))]


async def test_one_server(world: World) -> None:
    asking = asyncio.create_task(world.questions.ask("one", Flush()))
    await until(lambda: world.sent)
    assert world.sent[0][0] == "one"
    world.answer("one", "not yet", final=False)
    world.answer("one", "yes")
    assert await world.finished(asking) == "yes"


@pytest.mark.slow
async def test_one_server_that_leaves_or_is_silent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = asyncio.create_task(world.questions.ask("one", Flush()))
    await until(lambda: world.sent)
    world.questions.gone("one")
    with pytest.raises(ServerGone, match="server one is gone"):
        await world.finished(asking)
    monkeypatch.setattr("realtime.cluster.requests.ANSWER_TIMEOUT", 0.02)
    with pytest.raises(ServerGone, match="server two does not answer"):
        await world.finished(asyncio.create_task(world.questions.ask("two", Flush())))
    assert isinstance(world.sent[-1][1], Cancel)


async def test_one_server_that_says_it_is_at_work_has_its_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.cluster.requests.ANSWER_TIMEOUT", 0.3)
    asking = asyncio.create_task(world.questions.ask("one", Flush(), None))
    while not world.sent:
        await asyncio.sleep(0)  # in the next turn: its time has begun
    world.answer("one", final=False)
    await asyncio.sleep(0.4)  # this is what is tested: time passes
    world.answer("one", "at last")
    assert await world.finished(asking) == "at last"
    asking = asyncio.create_task(world.questions.ask("one", Flush(), 0.05))
    await until(lambda: isinstance(world.sent[-1][1], Ask) and len(world.questions) == 1)
    world.answer("one", final=False)
    with pytest.raises(ServerGone):
        await world.finished(asking)


async def test_who_knows_nobody_learns_from_the_answers_whom_to_expect() -> None:
    questions = PendingRequests()
    with questions.open(None) as (ask_id, opened):

        def answer(server: str, content: Any, *servers: str) -> None:
            questions.add(Answer(ask_id, server, True, content, servers))

        answers = opened.answers()
        answer("one", 1, "one", "two")
        assert (await anext(answers)).content == 1
        answer("two", 2, "one", "two", "three")
        assert (await anext(answers)).content == 2
        answer("three", 3, "three")
        assert (await anext(answers)).content == 3
        with pytest.raises(StopAsyncIteration):
            await anext(answers)
    assert len(questions) == 0


async def test_as_many_as_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.cluster.requests.MAX_OPEN", 1)
    questions = PendingRequests()
    with (
        questions.open(None),
        pytest.raises(ServerGone, match="more than 1 questions"),
        questions.open(None),
    ):
        pass
    with questions.open(None):
        pass
