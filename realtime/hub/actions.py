"""What a hub does for the others."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from ..cluster.addressing import target_of
from ..cluster.envelopes import (
    Allowance,
    AwaitAcks,
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
    Upgrade,
    Wake,
)
from ..cluster.targets import Target
from ..logs import log
from ..sockets.messages import ForeignMessage, Message, decode_args, encode_args
from ..transports import relay
from ..utils.limits import LogLimiter
from .asking import Asking, answer_for_client, call_here
from .handing import Inheritance, give, give_up
from .interfaces import Hub

Tell = Callable[[Any], None]


class HubActions:
    """Carries out on local sockets what other processes ask for."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._unlogged = LogLimiter()
        self._answers: dict[type[Question], Callable[[Any, Tell], Awaitable[Any]]] = {
            Call: self._answer_call,
            Deliver: self._answer_for_client,
            Flush: self._flush,
            Fence: self._note_fence,
            Take: self._give,
            Inherit: Inheritance(hub).add,
            Upgrade: self._give_up,
            AwaitAcks: self._tell_acks,
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
        if number or not isinstance(envelope, Emit):
            return
        if self._hub.recovery is not None and self._hub.recovery.shared and not envelope.volatile:
            self._hub.recovery.lose(None, 0.0)
            if self._unlogged.should_log():
                log(logging.WARNING, "log-bypassed", server=server)
        if self._hub.lingering:
            self._hub.lingering.send_on(server, envelope)

    def _do(self, target: Target, envelope: Emit | Command, number: int = 0) -> None:
        if isinstance(envelope, Command):
            self._hub.execute(target, envelope.action, envelope.names, envelope.id, number)
            return
        emit = envelope
        message = ForeignMessage(emit.namespace, emit.text, emit.attachments, emit.volatile)
        self._hub.deliver(target, message, emit.id, number)

    def follow(self, server: str, envelope: Moved | Forward) -> None:
        """Take what another hub tells of a client that has moved."""
        if isinstance(envelope, Moved):
            self._hub.moves.take_note(server, envelope)
        elif (target := self._hub.moves.take_forward(envelope)) is not None and self._still_means(
            envelope
        ):
            self._do(target, envelope.envelope)

    def _still_means(self, forward: Forward) -> bool:
        """Tell whether what was sent on is for a client that may have left rooms since it moved."""
        target, sid = target_of(forward.envelope), forward.sid
        if target.rooms == (sid,):
            return True
        client: Any = self._hub.registry.sockets.get(sid)
        if client is None and self._hub.recovery is not None:
            client = self._hub.recovery.sessions.of_sid(sid)
        return client is None or target.means(client)

    def lose(self, lane: str | None, since: float) -> None:
        """
        Take note that something may be lost that was for a lane, or for any where it is None, since
        that time of the loop.
        """
        if self._hub.recovery is not None:
            self._hub.recovery.lose(lane, since)

    def forget_server(self, server: str) -> None:
        """Take note that another hub has left, or is taken for dead."""
        self._hub.departures.forget_server(server)
        if self._hub.recovery is not None:
            self._hub.recovery.forget_server(server)

    async def answer(self, question: Question, tell: Tell) -> Any:
        """Return the last answer to a question; `tell` gives earlier ones."""
        return await self._answers[type(question)](question, tell)

    async def _answer_call(self, question: Call, tell: Tell) -> None:
        name, *args = decode_args(question.text, question.attachments)
        # A client's own namespace, where none is named, is found with its socket.
        message = Message(question.namespace or "/", name, tuple(args))

        def asked(sids: list[str]) -> None:
            tell((sids, []))

        def answered(sid: str, args: list[Any]) -> None:
            tell(([], [(sid, *encode_args(args))]))

        asking = Asking(question.timeout, asked, answered)
        await call_here(self._hub, target_of(question), message, question.id, asking)

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

    async def _give_up(self, question: Upgrade, tell: Tell) -> int | None:
        return await give_up(self._hub, question, tell)

    async def _tell_acks(self, question: AwaitAcks, tell: Tell) -> None:
        await self._hub.arrivals.tell_acks(question.sid, tell)

    async def _wake(self, question: Wake, tell: Tell) -> None:
        if (connection := self._hub.connections.get(question.sid)) is not None:
            connection.wake()

    async def _tell_allowance(self, question: Allowance, tell: Tell) -> int | None:
        connection = self._hub.connections.get(question.sid)
        if connection is not None:
            return connection.frame_limit
        elsewhere = self._hub.moves.where(question.sid)
        if not question.follow or elsewhere is None:
            return None
        return await relay.ask_limit(self._hub, elsewhere, question.sid)

    async def _answer_http(self, question: HttpRequest, tell: Tell) -> HttpResponse | str:
        # The asker waits, now that it knows that this server lives.
        tell(self._hub.departures.invites(question) or None)
        await self._hub.arrivals.wait()
        return await relay.lead(self._hub, question)

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
