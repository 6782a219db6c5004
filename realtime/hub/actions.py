"""What a hub does for the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..messages import ForeignMessage, Message, decode_args
from .calls import answer_call
from .envelopes import Call, Command, Deliver, Emit, HttpRequest, Question, Wake
from .targets import Target

if TYPE_CHECKING:
    from .hub import Hub


class HubActions:
    """Carries out on local sockets what other processes ask for."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def deliver(self, emit: Emit) -> None:
        """Deliver an event to local sockets."""
        message = ForeignMessage(emit.namespace, emit.text, emit.attachments, emit.volatile)
        self._hub.deliver(Target(emit.namespace, emit.rooms, emit.excluded), message)

    def execute(self, command: Command) -> None:
        """Let local sockets join or leave rooms, or disconnect them."""
        target = Target(command.namespace, command.rooms, command.excluded)
        self._hub.execute(target, command.action, command.names)

    async def answer(self, question: Question, tell: Callable[[Any], None]) -> Any:
        """Return the last answer to a question; `tell` gives earlier ones."""
        if isinstance(question, Call):
            target = Target(question.namespace, question.rooms, question.excluded)
            name, *args = decode_args(question.text, question.attachments)
            message = Message(question.namespace, name, tuple(args))
            sockets = self._hub.registry.select(target)
            await answer_call(sockets, message, question.timeout, tell)
            return None
        if isinstance(question, Deliver):
            name, *args = decode_args(question.text, question.attachments)
            return self._hub.deliver_to_client(question.sid, question.namespace, name, tuple(args))
        if isinstance(question, Wake):
            if (connection := self._hub.connections.get(question.sid)) is not None:
                connection.wake()
            return None
        if isinstance(question, HttpRequest):
            tell(None)  # the asker waits, now that it knows that this server lives
            if self._hub.answer_http is None:  # it is set before this server has any session
                raise RuntimeError("This server has no polling sessions.")
            return await self._hub.answer_http(question)
        await self._hub.settled()
        return True

    def report(self) -> dict[str, Any]:
        """Return what this hub is and counts, for all others to know."""
        return self._hub.describe()
