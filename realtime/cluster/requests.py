"""Pending requests to other hubs: the questions, and the answers that come back."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..exceptions import ServerGone
from .envelopes import Answer, Ask, Cancel, Question

# How long a hub that lives may take to say that it has a question.
ANSWER_TIMEOUT = 3.0

# Questions that may be open in one process.
MAX_OPEN = 100_000


class PendingRequest:
    """
    One open question: the servers whose last answer is due, and the answers that have come.

    `asked` are the servers that were asked; where it is None nobody knows who there is, and the
    first answers tell.
    """

    def __init__(self, asked: Iterable[str] | None) -> None:
        self._due: set[str] = set(asked or ())
        self._done: set[str] = set()
        self._heard = asked is not None
        self._answers: asyncio.Queue[Answer | None] = asyncio.Queue()
        self._check()

    def add(self, answer: Answer) -> None:
        """Add an answer of a server."""
        self._heard = True
        self._due.update(set(answer.servers) - self._done)
        if answer.final:
            self._finish(answer.server)
        self._answers.put_nowait(answer)
        self._check()

    def gone(self, server: str) -> None:
        """Expect nothing more of a server."""
        if server in self._due:
            self._finish(server)
            self._check()

    def _finish(self, server: str) -> None:
        self._due.discard(server)
        self._done.add(server)

    def _check(self) -> None:
        if self._heard and not self._due:
            self._answers.put_nowait(None)

    async def answers(self) -> AsyncGenerator[Answer]:
        """Yield the answers as they come, until the last one of every server."""
        while (answer := await self._answers.get()) is not None:
            yield answer


class PendingRequests:
    """The open questions of one process, by their ids."""

    def __init__(self) -> None:
        self._open: dict[str, PendingRequest] = {}

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def open(self, asked: Iterable[str] | None) -> Iterator[tuple[str, PendingRequest]]:
        """Give a new question and its id, which takes answers until the end of the block."""
        if len(self._open) >= MAX_OPEN:
            raise ServerGone(f"more than {MAX_OPEN} questions to other servers are open")
        ask_id = secrets.token_urlsafe(12)
        self._open[ask_id] = PendingRequest(asked)
        try:
            yield ask_id, self._open[ask_id]
        finally:
            del self._open[ask_id]

    def add(self, answer: Answer) -> None:
        """Add an answer to its question; one that nobody waits for is ignored."""
        if (question := self._open.get(answer.id)) is not None:
            question.add(answer)

    def gone(self, server: str) -> None:
        """Expect nothing more of a server that left or died."""
        for question in list(self._open.values()):
            question.gone(server)


class Requests(PendingRequests):
    """
    The questions that a hub asks, and to which it gets answers on `channel`.

    `send(server, envelope)` sends to one server, or to all where it is None.
    """

    def __init__(self, channel: str, send: Callable[[str | None, Ask | Cancel], object]) -> None:
        super().__init__()
        self.channel = channel
        self._send = send

    async def ask_all(
        self, question: Question, asked: Iterable[str] | None, server: str | None = None
    ) -> AsyncGenerator[Answer]:
        """
        Ask all servers, or one; yield the answers until each of `asked` has given its last.

        Close the iterator to tell them that no more is wanted.
        """
        complete = False
        with self.open(asked) as (ask_id, opened):
            try:
                self._send(server, Ask(ask_id, self.channel, question))
                async for answer in opened.answers():
                    yield answer
                complete = True
            finally:
                if not complete:
                    self._send(server, Cancel(ask_id))

    async def ask(
        self,
        server: str,
        question: Question,
        timeout: float | None = ANSWER_TIMEOUT,
        hear: Callable[[Any], object] = lambda content: None,
        *,
        patience: float = ANSWER_TIMEOUT,
    ) -> Any:
        """
        Ask one server and return the content of its last answer; `hear` is given earlier ones.

        It has `patience` seconds for its first answer, and `timeout` (None: any time) for the
        last one. Raises ServerGone where it does not answer, or leaves.
        """
        answers = self.ask_all(question, [server], server)
        try:
            async with asyncio.timeout(patience) as limit:
                async for answer in answers:
                    if answer.final:
                        return answer.content
                    hear(answer.content)
                    limit.reschedule(
                        None if timeout is None else asyncio.get_running_loop().time() + timeout
                    )
        except TimeoutError:
            raise ServerGone(f"the server {server} does not answer") from None
        finally:
            await answers.aclose()
        raise ServerGone(f"the server {server} is gone")
