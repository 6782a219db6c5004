"""What of the site's code is at work for a socket, beside its hooks and handlers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any

from ..execution.calls import call_apart
from .acks import Acks
from .delivery import CONNECTED, Delivery
from .dispatch import Dispatcher
from .messages import Message
from .spawned import Spawned, Work


class Activity(Delivery):
    """The side of a socket on which its consumer has spawned tasks, and waits for callbacks."""

    __slots__ = ("_callbacks", "_spawned")

    acks: Acks
    context: Context
    dispatcher: Dispatcher

    def __init__(self) -> None:
        super().__init__()
        # What the consumer has spawned: nothing, as a rule.
        self._spawned: Spawned | None = None
        # How many callbacks of the consumer wait for acknowledgements, or run.
        self._callbacks = 0

    def ask(self, message: Message, callback: Callable[..., Any]) -> None:
        """Send an event, and call back with the client's acknowledgement, if that comes."""
        self._callbacks += 1
        self.acks.send(message, partial(self._answered, callback))

    def _answered(self, callback: Callable[..., Any], args: list[Any] | None) -> None:
        if args is None:
            self._callbacks -= 1
        else:
            self.hub.spawn(self._call_back(callback, args))

    async def _call_back(self, callback: Callable[..., Any], args: list[Any]) -> None:
        """Call a callback, in a thread where that is plain."""
        try:
            await call_apart(callback, *args, slots=self.hub.sync_handlers)
        except BaseException as error:
            self.log_failure("callback", error)
        finally:
            self._callbacks -= 1

    @property
    def has_spawned(self) -> bool:
        """Whether a task that the consumer has spawned is running."""
        return bool(self._spawned)

    @property
    def at_rest(self) -> bool:
        """Whether nothing of the site's code is at work for it, or waits for its client."""
        return self.state is CONNECTED and not self.dispatcher.at_work and not self._callbacks

    def spawn(self, work: Work) -> asyncio.Task[None]:
        """Run work in a task that is cancelled when the socket ends; at once, where it has."""
        if self._spawned is None:
            self._spawned = Spawned()
        task = self._spawned.start(work, self._run_spawned, self.hub, self.context.copy())
        if self.gone:
            task.cancel()
        return task

    async def _run_spawned(self, work: Work) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.log_failure("spawn", error)
