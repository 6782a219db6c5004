"""What a hub does for the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ..cluster.addressing import target_of
from ..cluster.envelopes import (
    Allowance,
    Call,
    Command,
    Deliver,
    Describe,
    Drain,
    Emit,
    Fence,
    Flush,
    Forward,
    HttpRequest,
    HttpResponse,
    Inherit,
    Moved,
    Question,
    Take,
    Wake,
)
from ..cluster.targets import Target
from ..sockets.messages import ForeignMessage, Message, decode_args
from .asking import answer_for_client
from .calls import answer_call
from .handing import Inheritance, give
from .interfaces import Hub

Tell = Callable[[Any], None]


class HubActions:
    """Carries out on local sockets what other processes ask for."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._answers: dict[type[Question], Callable[[Any, Tell], Awaitable[Any]]] = {
            Call: self._answer_call,
            Deliver: self._answer_for_client,
            Flush: self._flush,
            Fence: self._note_fence,
            Take: self._give,
            Inherit: Inheritance(hub).add,
            Wake: self._wake,
            Allowance: self._tell_allowance,
            Describe: self._describe,
            Drain: self._drain,
            HttpRequest: self._answer_http,
        }

    def receive(self, server: str, envelope: Emit | Command, direct: bool, number: int = 0) -> None:
        """
        Do with local sockets what a server asks for; `direct` tells that it asks no other hub,
        `number` is its place in the log that hubs share.
        """
        if number or not self._hub.moves.active:
            # What is in the log is there for clients that move, too.
            self._do(target_of(envelope), envelope, number)
        elif (target := self._hub.moves.screen(server, envelope, direct)) is not None:
            self._do(target, envelope)
        if isinstance(envelope, Emit) and self._hub.recovery is not None:
            if self._hub.recovery.shared and not (number or envelope.volatile):
                self._hub.recovery.lose(None)  # its sender keeps no log
            transfers = self._hub.recovery.transfers
            if transfers.lingering:
                transfers.send_on(server, envelope)

    def _do(self, target: Target, envelope: Emit | Command, number: int = 0) -> None:
        if isinstance(envelope, Command):
            self._hub.execute(target, envelope.action, envelope.names, number)
            return
        emit = envelope
        message = ForeignMessage(emit.namespace, emit.text, emit.attachments, emit.volatile)
        self._hub.deliver(target, message, emit.id, number)

    def follow(self, server: str, envelope: Moved | Forward) -> None:
        """Take what another hub tells of a client that has moved."""
        if isinstance(envelope, Moved):
            self._hub.moves.take_note(server, envelope)
        elif (target := self._hub.moves.take_forward(envelope)) is not None:
            self._do(target, envelope.envelope)

    def lose(self, lane: str | None) -> None:
        """Take note that something may be lost that was for a lane; for any, where it is None."""
        if self._hub.recovery is not None:
            self._hub.recovery.lose(lane)

    async def answer(self, question: Question, tell: Tell) -> Any:
        """Return the last answer to a question; `tell` gives earlier ones."""
        return await self._answers[type(question)](question, tell)

    async def _answer_call(self, question: Call, tell: Tell) -> None:
        name, *args = decode_args(question.text, question.attachments)
        sockets = self._hub.select(target_of(question))
        namespace = question.namespace
        if question.client and sockets:
            namespace = sockets[0].namespace
        message = Message(namespace, name, tuple(args))
        await answer_call(sockets, message, question.timeout, tell)

    async def _answer_for_client(self, question: Deliver, tell: Tell) -> bool:
        return await answer_for_client(self._hub, question)

    async def _flush(self, question: Flush, tell: Tell) -> bool:
        await self._hub.flush_local()
        return True

    async def _note_fence(self, question: Fence, tell: Tell) -> bool:
        if question.scattered:
            self._hub.cluster.note_scattered(question.scattered)
        return True

    async def _give(self, question: Take, tell: Tell) -> int | None:
        return await give(self._hub, question, tell)

    async def _wake(self, question: Wake, tell: Tell) -> None:
        if (connection := self._hub.connections.get(question.sid)) is not None:
            connection.wake()

    async def _tell_allowance(self, question: Allowance, tell: Tell) -> int | None:
        connection = self._hub.connections.get(question.sid)
        return None if connection is None else connection.frame_limit

    async def _answer_http(self, question: HttpRequest, tell: Tell) -> HttpResponse:
        tell(None)  # the asker waits, now that it knows that this server lives
        if self._hub.answer_http is None:  # it is set before this server has any session
            raise RuntimeError("This server has no polling sessions.")
        return await self._hub.answer_http(question)

    async def _describe(self, question: Describe, tell: Tell) -> dict[str, Any]:
        return self._hub.describe()

    async def _drain(self, question: Drain, tell: Tell) -> int | None:
        if self._hub.server_id not in question.servers:
            return None
        self._hub.services.spawn(self._hub.drain.finish())
        return len(self._hub.connections)

    def report(self) -> dict[str, Any]:
        """Return what this hub is and counts, for all others to know."""
        return self._hub.describe()
