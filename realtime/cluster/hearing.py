"""Hearing again after an outage, where the layer keeps a log: what was missed is read there."""

from __future__ import annotations

from collections.abc import Callable

from .catching_up import CatchingUp, Receiver
from .layer_connection import LayerConnection
from .log_layer import Disconnected
from .memberships import Memberships


class Hearing:
    """
    Sees to it that what comes through a layer is whole, or is known not to be.

    `on_down` is called at the beginning of an outage, and `on_back` at its end, with whether
    nothing of the log was missed.
    """

    def __init__(self, link: LayerConnection, memberships: Memberships, receiver: Receiver) -> None:
        self.on_down: Callable[[], object] = lambda: None
        self.on_back: Callable[[bool], object] = lambda complete: None
        self.catching_up = CatchingUp(lambda: link.layer, receiver)
        self._link = link
        self._memberships = memberships
        # How often the connection had ended when all was heard; and whether all was since.
        self._ended = 0
        self._is_complete = True

    def broken(self) -> None:
        """Take note that something may be published now that is not heard here."""
        self.catching_up.begin()

    def replaced(self) -> None:
        """Take note that the layer is another object."""
        self._ended = self._link.layer.ended

    async def again(self, *, anew: bool) -> None:
        """
        Hear all groups again, and take what the log has of what was sent meanwhile. Raises what the
        layer raises.
        """
        layer = self._link.layer
        if anew or layer.ended != self._ended:
            self.broken()
        self._ended = layer.ended
        await self._memberships.restore(anew=anew)
        await layer.hear(self._memberships.channel)
        if not await self.catching_up.finish():
            self._is_complete = False

    def tell(self) -> None:
        """Tell the end of an outage. Raises Disconnected where the connection has ended again."""
        if self._link.layer.ended != self._ended:
            raise Disconnected("the connection has ended again")
        complete, self._is_complete = self._is_complete, True
        if not (complete and self._link.up.is_set()):
            self.on_back(complete)
