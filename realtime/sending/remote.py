"""One client, known by its sid: what can be done with it from anywhere."""

from __future__ import annotations

from time import monotonic
from typing import Any

from ..exceptions import AckTimeout, ClientDisconnected
from ..outside.process import get_gateway
from .plain_calls import DEFAULT_CALL_TIMEOUT, Sender


class RemoteClient(Sender):
    """
    One client, in its sid's namespace or in another of its own.

    `emit`, `join`, `leave` and `close` are plain calls, as those of a Broadcaster; `volatile` and
    `on_commit` return a new RemoteClient.
    """

    __slots__ = ()

    async def adeliver(self, event: str, *args: Any) -> bool:
        """
        Send an event and return whether the client is there.

        Raises TypeError or ValueError for what cannot be sent, and NotRunning or LayerUnavailable
        where its server cannot be asked.
        """
        self._refuse_modifiers("adeliver")
        self._message(event, args)  # raises here, not there
        target = self._target
        return await get_gateway().send_to_client(
            target.rooms[0], target.namespace or None, event, args
        )

    def deliver(self, event: str, *args: Any) -> bool:
        """
        Send the client an event and tell if it is there, as `adeliver` does, from code that is not
        async.
        """
        self._refuse_modifiers("deliver")
        return get_gateway().wait(lambda: self.adeliver(event, *args))

    async def acall(
        self, event: str, *args: Any, timeout: float | None = DEFAULT_CALL_TIMEOUT
    ) -> Any:
        """
        Send an event and return the client's acknowledgement: None, a value, or a tuple of several.

        Raises AckTimeout after `timeout` seconds, ClientDisconnected where the client is not there
        or goes away, and NotRunning or LayerUnavailable where its server cannot be asked.
        """
        self._refuse_modifiers("acall")
        started = monotonic()
        answers = await get_gateway().call(self._target, self._message(event, args), timeout)
        for answer in answers.values():
            return answer
        if timeout is not None and monotonic() - started >= timeout:
            raise AckTimeout(f"no acknowledgement of {event!r} within {timeout} seconds")
        raise ClientDisconnected(f"the client is gone, and cannot answer {event!r}")

    def call(self, event: str, *args: Any, timeout: float | None = DEFAULT_CALL_TIMEOUT) -> Any:
        """
        Send the client an event and return its answer, as `acall` does, from code that is not
        async.
        """
        self._refuse_modifiers("call")
        return get_gateway().wait(lambda: self.acall(event, *args, timeout=timeout))
