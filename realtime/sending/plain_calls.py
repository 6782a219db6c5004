"""Plain calls to clients from anywhere: at once or after a commit, and what awaiting them means."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, Self

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.utils.asyncio import async_unsafe
from django.utils.connection import ConnectionDoesNotExist

from ..authority.changes import REAUTHORIZE
from ..cluster.targets import Target
from ..exceptions import NotRunning
from ..hub.gateway import Gateway
from ..outside.process import get_gateway
from ..protocol.names import check_rooms
from ..sockets.delivery import note_unflushed
from ..sockets.messages import Format, Message
from . import unreachable

Act = Callable[[Gateway], None]

DEFAULT_CALL_TIMEOUT = 10.0


class Pending:
    """
    What a plain call returns. The call is made, whether this is awaited or not.

    Awaiting it waits until the call is carried out: rooms joined and left and sockets closed are so
    in the whole cluster, and events are with the network, before which little waits. It raises
    TypeError for a call that waits for a commit.
    """

    __slots__ = ("_wait",)

    def __init__(self, wait: Callable[[], Awaitable[None]]) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()


class Sender:
    """Clients that are meant, what plain calls do with them, and when."""

    __slots__ = ("_on_commit", "_target", "_volatile")

    def __init__(
        self, target: Target, *, volatile: bool = False, on_commit: str | None = None
    ) -> None:
        self._target = target
        self._volatile = volatile
        self._on_commit = on_commit  # the alias of a database

    def _with(self, target: Target | None = None, **options: Any) -> Self:
        current = {"volatile": self._volatile, "on_commit": self._on_commit}
        return type(self)(target or self._target, **(current | options))

    # How

    def volatile(self) -> Self:
        """
        Events that a slow client may miss.

        For `emit` alone: commands and questions raise TypeError after it.
        """
        return self._with(volatile=True)

    def on_commit(self, using: str | None = None) -> Self:
        """
        Emit, join, leave and close when the transaction of the database `using` (the default one
        without it) is committed, and not at all if it is rolled back; at once where there is none.

        What fails then is logged, and never raised. What wants an answer raises TypeError. Raises
        ConnectionDoesNotExist for an alias that is not in DATABASES.
        """
        alias = DEFAULT_DB_ALIAS if using is None else using
        if alias not in connections:
            known = ", ".join(map(repr, connections))
            raise ConnectionDoesNotExist(f"DATABASES has no {alias!r}. There is {known}.")
        return self._with(on_commit=alias)

    # What

    def emit(self, event: str, *args: Any) -> Pending:
        """
        Send them an event.

        Raises TypeError or ValueError for what cannot be sent. Where nobody can be reached, it
        raises NotRunning or LayerUnavailable, or logs that, as ``REALTIME["UNREACHABLE"]`` says.
        """
        message = self._message(event, args)
        return self._do(lambda gateway: gateway.emit(self._target, message), "emit", event)

    def join(self, *rooms: str) -> Pending:
        """Put them into these rooms. Where nobody can be reached, the same as `emit`."""
        return self._command("join", check_rooms(rooms))

    def leave(self, *rooms: str) -> Pending:
        """Take them out of these rooms. Where nobody can be reached, the same as `emit`."""
        return self._command("leave", check_rooms(rooms))

    def reauthorize(self) -> Pending:
        """
        Ask anew who they are and what they may, and do what follows: for what nobody could tell,
        such as a right that another system gives. Where nobody can be reached, the same as `emit`.
        """
        return self._command(REAUTHORIZE, ())

    def close(self, *, connection: bool = False) -> Pending:
        """
        Disconnect them from the namespace; with `connection` end their whole connections, with all
        their namespaces. Where nobody can be reached, the same as `emit`.
        """
        return self._command("end" if connection else "close", ())

    def _message(self, event: str, args: tuple[Any, ...]) -> Message:
        """Return a message that is encoded now: later its arguments may be others."""
        message = Message(self._target.namespace or "/", event, args, self._volatile)
        message.frames(Format.SOCKETIO)
        return message

    def _command(self, action: str, names: tuple[str, ...]) -> Pending:
        self._refuse_volatile(action)

        def act(gateway: Gateway) -> None:
            note_unflushed()
            gateway.command(self._target, action, names)

        return self._do(act, action)

    def _do(self, act: Act, call: str, event: str | None = None) -> Pending:
        if self._on_commit is not None:
            return self._do_after_commit(act, call, event)
        try:
            gateway = get_gateway()
            act(gateway)
        except unreachable.ERRORS as error:
            unreachable.raise_or_log(error, **self._describe(call, event))
            return Pending(_nothing)
        if event is not None:
            return Pending(gateway.drain)
        return Pending(partial(self._flush_cluster, gateway, call))

    async def _flush_cluster(self, gateway: Gateway, call: str) -> None:
        try:
            await gateway.flush_cluster()
        except unreachable.ERRORS as error:
            unreachable.raise_or_log(error, **self._describe(call))

    def _describe(self, call: str, event: str | None = None) -> dict[str, str]:
        """Return what the log tells of a call."""
        fields = {"namespace": self._target.namespace or "-", "call": call}
        return fields if event is None else {**fields, "event": event}

    def _do_after_commit(self, act: Act, call: str, event: str | None) -> Pending:
        def act_or_log() -> None:
            try:
                act(get_gateway())
            except Exception as error:  # or the other hooks of the commit would not run
                unreachable.log_after_commit(error, **self._describe(call, event))

        try:
            get_gateway()
        except NotRunning:  # that will be so at the commit, too: better said before it
            if unreachable.should_raise():
                raise
        _on_commit(act_or_log, self._on_commit)
        return Pending(partial(_refuse_to_wait, call))

    # What cannot be

    def _refuse_modifiers(self, question: str) -> None:
        """Raise TypeError where a question is to be asked in a way that it cannot be."""
        self._refuse_volatile(question)
        if self._on_commit is not None:
            raise TypeError(
                f"{question}() wants an answer now, and on_commit() lets it wait for the commit. "
                "Ask without on_commit(), or in a function that you give to transaction.on_commit()"
            )

    def _refuse_volatile(self, call: str) -> None:
        if self._volatile:
            raise TypeError(
                f"{call}() cannot be volatile: it is done for every client, and volatile() is for "
                f"events that a slow client may miss. Call {call}() without volatile(), or emit()."
            )


async def _nothing() -> None:
    """There is nothing to wait for."""


async def _refuse_to_wait(call: str) -> None:
    raise TypeError(
        f"{call}() after on_commit() waits for the commit, and nobody can tell whether that comes. "
        "Do not await it; or call it without on_commit() after the transaction, and await that."
    )


@async_unsafe(
    "on_commit() waits for the transaction of the thread that it is called in, and async code has "
    "none. Call it where the transaction is: in a plain def, such as a receiver of post_save or a "
    "function given to sync_to_async(). Without a transaction, send without on_commit()."
)
def _on_commit(function: Callable[[], None], using: str | None) -> None:
    transaction.on_commit(function, using)
