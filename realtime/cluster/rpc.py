"""Requests between hubs (RPC): asking questions, and answering those of others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any, Protocol

from ..exceptions import ServerGone
from ..execution.tasks import Tasks
from ..logs import log
from .envelopes import (
    Answer,
    Ask,
    Cancel,
    Command,
    Emit,
    Forward,
    Inherit,
    Moved,
    Question,
    Take,
    Upgrade,
    encode,
    server_group,
)
from .peers import Peers
from .publisher import Publisher
from .requests import Requests
from .router import EVERYBODY
from .sequences import Lane

# Questions by which clients move. What was sent before to such a client does not come behind them,
# nor behind their answers.
MOVES = (Take, Upgrade, Inherit)


class Actions(Protocol):
    """What the hub does for other hubs."""

    def receive(self, server: str, envelope: Emit | Command, direct: bool, number: int = 0) -> None:
        """
        Do with local sockets what a server asks for; `direct` tells that it asks no other hub,
        `number` is its place in the log, where it has one.
        """

    def follow(self, server: str, envelope: Moved | Forward) -> None:
        """Take what another hub tells of a client that has moved."""

    def lose(self, lane: str | None, since: float) -> None:
        """
        Take note that something may be lost that was for a lane, or for any where it is None, since
        that time of the loop.
        """

    def forget_server(self, server: str) -> None:
        """Take note that another hub has left, or is taken for dead."""

    async def answer(self, question: Question, tell: Callable[[Any], None]) -> Any:
        """Return the last answer to a question; `tell` gives earlier ones."""

    def report(self) -> dict[str, Any]:
        """Return what this hub counts, for all others to know."""


class PeerRequests:
    """What this hub asks and is asked. `channel` is where its answers arrive."""

    def __init__(
        self, server: str, peers: Peers, publisher: Publisher, actions: Actions, tasks: Tasks
    ) -> None:
        self._server = server
        self._peers = peers
        self._publisher = publisher
        self._actions = actions
        self._tasks = tasks
        self._questions = Requests("", self._send)
        # What is being answered, by who asks and the question's id.
        self._answering: dict[tuple[str, str], asyncio.Task[Any]] = {}

    @property
    def channel(self) -> str:
        """The channel of this process, on which its answers arrive."""
        return self._questions.channel

    @channel.setter
    def channel(self, channel: str) -> None:
        self._questions.channel = channel

    def _send(self, server: str | None, envelope: Ask | Cancel) -> None:
        lane = EVERYBODY
        if server is not None:
            exclusive = isinstance(envelope, Ask) and isinstance(envelope.question, MOVES)
            lane = self._lane(server, exclusive)
        self._publisher.put(lane, encode(envelope))

    def _lane(self, server: str, exclusive: bool = False) -> Lane:
        channel = self._peers.channel(server)
        return Lane(channel or server_group(server), channel is not None, exclusive=exclusive)

    def tell(self, server: str, envelope: Moved | Forward) -> None:
        """Tell one peer something that wants no answer; what is for no peer is not sent."""
        if server in self._peers:
            self._publisher.put(self._lane(server), encode(envelope))

    async def ask(
        self,
        server: str,
        question: Question,
        timeout: float | None,
        hear: Callable[[Any], object],
        *,
        patience: float,
    ) -> Any:
        """Ask one peer and return its answer (see `Requests.ask`). Raises ServerGone."""
        if server not in self._peers:
            raise ServerGone(f"there is no server {server}")
        return await self._questions.ask(server, question, timeout, hear, patience=patience)

    def ask_all(self, question: Question, asked: list[str] | None = None) -> AsyncGenerator[Answer]:
        """Ask all peers; yield their answers until each, or each of `asked`, has given its last."""
        return self._questions.ask_all(question, self._peers.names() if asked is None else asked)

    def gone(self, server: str) -> None:
        """Expect nothing more of a server."""
        self._questions.gone(server)

    def handle(self, server: str, envelope: Ask | Answer | Cancel) -> None:
        """Take what another process asks, answers, or does not want to know any more."""
        if isinstance(envelope, Ask):
            self._begin(server, envelope)
        elif isinstance(envelope, Answer):
            self._questions.add(envelope)
        elif (task := self._answering.get((server, envelope.id))) is not None:
            task.cancel()

    def _begin(self, server: str, ask: Ask) -> None:
        """
        Answer a question in a task.

        Its end is told by a callback: who is cancelled before its first step has no `finally`.
        """
        if (server, ask.id) in self._answering:
            return
        tell = partial(self._tell, server, ask)
        task = self._tasks.spawn(self._actions.answer(ask.question, tell))
        self._answering[server, ask.id] = task
        task.add_done_callback(partial(self._end, server, ask))

    def _end(self, server: str, ask: Ask, task: asyncio.Task[Any]) -> None:
        """Give the last answer: None where there is no better one."""
        del self._answering[server, ask.id]
        failed = task.cancelled() or task.exception() is not None  # which has been logged
        try:
            self._tell(server, ask, None if failed else task.result(), final=True)
        except Exception:  # it cannot be encoded
            log(logging.ERROR, "layer-error", server=server, exc_info=True)
            self._tell(server, ask, None, final=True)

    def _tell(self, server: str, ask: Ask, content: Any, final: bool = False) -> None:
        # Who is no hub learns from us whom to expect answers of.
        servers = () if server in self._peers else (self._server, *self._peers.names())
        answer = Answer(ask.id, self._server, final, content, servers)
        lane = Lane(ask.reply_to, direct=True, exclusive=isinstance(ask.question, MOVES))
        self._publisher.put(lane, encode(answer))
