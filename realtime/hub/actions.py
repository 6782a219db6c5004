"""What a hub does for the others."""

from __future__ import annotations

from collections.abc import Callable
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
    HttpRequest,
    Question,
    Wake,
)
from ..sockets.messages import ForeignMessage, Message, decode_args
from .asking import deliver_to_client
from .calls import answer_call
from .interfaces import Hub


class HubActions:
    """Carries out on local sockets what other processes ask for."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def deliver(self, emit: Emit) -> None:
        """Deliver an event to local sockets."""
        message = ForeignMessage(emit.namespace, emit.text, emit.attachments, emit.volatile)
        self._hub.deliver(target_of(emit), message)

    def execute(self, command: Command) -> None:
        """Let local sockets join or leave rooms, or close them."""
        self._hub.execute(target_of(command), command.action, command.names)

    async def answer(self, question: Question, tell: Callable[[Any], None]) -> Any:
        """Return the last answer to a question; `tell` gives earlier ones."""
        if isinstance(question, Call):
            name, *args = decode_args(question.text, question.attachments)
            sockets = self._hub.select(target_of(question))
            namespace = question.namespace
            if question.client and sockets:
                namespace = sockets[0].namespace
            message = Message(namespace, name, tuple(args))
            await answer_call(sockets, message, question.timeout, tell)
            return None
        if isinstance(question, Deliver):
            name, *args = decode_args(question.text, question.attachments)
            return deliver_to_client(self._hub, question.sid, question.namespace, name, tuple(args))
        if isinstance(question, Wake | Allowance):
            return self._answer_about_session(question)
        if isinstance(question, Describe | Drain):
            return self._answer_command(question)
        if isinstance(question, HttpRequest):
            tell(None)  # the asker waits, now that it knows that this server lives
            if self._hub.answer_http is None:  # it is set before this server has any session
                raise RuntimeError("This server has no polling sessions.")
            return await self._hub.answer_http(question)
        await self._hub.flush_local()
        return True

    def _answer_about_session(self, question: Wake | Allowance) -> int | None:
        """Answer for a session of this server; with None where there is no such, or to Wake."""
        connection = self._hub.connections.get(question.sid)
        if connection is None:
            return None
        if isinstance(question, Allowance):
            return connection.frame_limit
        connection.wake()
        return None

    def _answer_command(self, question: Describe | Drain) -> Any:
        """Answer what a command of `manage.py` asks."""
        if isinstance(question, Describe):
            return self._hub.describe()
        if self._hub.server_id not in question.servers:
            return None
        self._hub.services.spawn(self._hub.drain.finish())
        return len(self._hub.connections)

    def report(self) -> dict[str, Any]:
        """Return what this hub is and counts, for all others to know."""
        return self._hub.describe()
