"""
What is private to a server: all of that is in one adapter for each, and is checked before any use.

An adapter serves one WebSocket. It knows the server's protocol and the transport under that, whose
place `DirectReader` takes, and to which `TransportWriter` writes. A server that does not fit, whole
and as it is known, is left alone: its frames come and go through ASGI.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, NamedTuple, Protocol

from django.utils.version import get_version_tuple

from ..logs import log

Receive = Callable[[], Awaitable[dict[str, Any]]]
Spawn = Callable[[Coroutine[Any, Any, Any]], "asyncio.Task[Any]"]

# How long a closing handshake may take before the connection is cut.
CLOSE_TIMEOUT = 5.0

# The servers of which it was logged that they are used through ASGI.
_noted: set[str] = set()


class Package(NamedTuple):
    """A package from PyPI, and the versions of it that are known: from `first` up to `last`."""

    name: str
    first: tuple[int, int]
    last: tuple[int, int]

    def __str__(self) -> str:
        first, last = (".".join(map(str, each)) for each in (self.first, self.last))
        return f"{self.name} {first}" if first == last else f"{self.name} {first} to {last}"

    @property
    def installed(self) -> str | None:
        """The version that is installed, if any is."""
        try:
            return version(self.name)
        except PackageNotFoundError:
            return None


@cache
def find_unknown(packages: tuple[Package, ...]) -> Package | None:
    """Return the first of some packages of which no known version is installed."""
    for package in packages:
        installed = package.installed
        if installed is None:
            return package
        if not package.first <= get_version_tuple(installed)[:2] <= package.last:
            return package
    return None


class TakesBytes(Protocol):
    """What a transport gives its bytes to."""

    def data_received(self, data: bytes) -> None:
        """Take what came."""

    def connection_lost(self, error: Any) -> None:
        """Learn that the transport is gone."""


class Adapter(ABC):
    """
    One WebSocket's server: its `protocol`, and the `transport` under that.

    `packages` are those that the server is made of. `names` are all the attributes that are used of
    its objects, by where these are found.
    """

    __slots__ = ("_spawn", "protocol", "transport")

    server: ClassVar[str]
    packages: ClassVar[tuple[Package, ...]]
    names: ClassVar[Mapping[str, tuple[str, ...]]]
    reader: ClassVar[Callable[..., Any]]

    def __init__(self, protocol: Any, spawn: Spawn) -> None:
        self.protocol = protocol
        self.transport: Any = protocol.transport
        self._spawn = spawn

    @staticmethod
    @abstractmethod
    def find_protocol(send: Any) -> Any:
        """Return the protocol behind an ASGI `send`, or None where it is not this adapter's."""

    def find_misfit(self) -> str:
        """Return why the server cannot be used but through ASGI, or an empty text."""
        if unknown := find_unknown(self.packages):
            return f"{unknown.name} {unknown.installed or '(missing)'} is none of {unknown}"
        for place, names in self.names.items():
            thing = self._find(place)
            for name in names:
                if not hasattr(thing, name):
                    return f"{place} has no {name}"
        if not self._is_whole():
            return "the transport is not the protocol's own"
        return ""

    @classmethod
    def note_misfit(cls, reason: str, error: Exception | None = None) -> None:
        """Log, once for each server, that it is used through ASGI, and why."""
        if cls.server not in _noted:
            _noted.add(cls.server)
            log(logging.WARNING, "server-unknown", server=cls.server, reason=reason, exc_info=error)

    def _find(self, place: str) -> Any:
        """Return what `names` are of, as "protocol.conn"."""
        thing: Any = self
        for name in place.split("."):
            thing = getattr(thing, name)
        return thing

    @abstractmethod
    def _is_whole(self) -> bool:
        """
        Tell whether the server's protocol is still the one that the transport gives its bytes to.
        """

    @abstractmethod
    def is_fresh(self, receive: Any) -> bool:
        """Tell whether frames may be read directly, and nothing has come that this would miss."""

    @property
    @abstractmethod
    def receive(self) -> Receive:
        """What the server's application receives by."""

    # Reading

    @abstractmethod
    def take_over(self, reader: TakesBytes) -> None:
        """Let the transport give to the reader what it gave to the server's protocol."""

    @abstractmethod
    def quieten(self) -> None:
        """Let the server ask no more whether the client is there."""

    @abstractmethod
    def slim(self) -> None:
        """Let the server's objects take less memory, until they are needed."""

    @abstractmethod
    def mute(self) -> None:
        """Let the server keep nothing of what it still gets, and nobody wait for that."""

    @abstractmethod
    def is_closing(self) -> bool:
        """Tell whether the transport is closed, or about to be: then no server expects bytes."""

    @abstractmethod
    def give(self, data: bytes) -> None:
        """Let the server's parser have bytes."""

    @abstractmethod
    def end(self, error: Any) -> None:
        """Tell the server's protocol that the client is gone."""

    @abstractmethod
    def pause(self) -> None:
        """Stop reading from the socket."""

    @abstractmethod
    def resume(self) -> None:
        """Read from the socket again, after `pause`."""

    def slow_down(self) -> None:  # noqa: B027
        """Stop reading, where the server itself would go on without bounds."""

    def speed_up(self) -> None:  # noqa: B027
        """Read again after `slow_down`."""

    # Writing

    @abstractmethod
    def unsent(self) -> int:
        """Return how many bytes the transport could not send yet."""

    @abstractmethod
    def descriptor(self) -> int:
        """Return the socket's file descriptor, or -1 where there is none."""

    @abstractmethod
    def put(self, parts: list[bytes]) -> None:
        """Give bytes to the transport."""

    @abstractmethod
    def ask_for_drained(self) -> None:
        """Let the transport, which is behind, tell the reader once it has sent most of it."""

    @abstractmethod
    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake."""

    @abstractmethod
    def abort(self) -> None:
        """Cut the connection, whatever is unsent."""

    async def closed(self) -> None:
        """Wait until the close frame has left."""
        await asyncio.sleep(0)

    def _cut_unless_sent(self) -> None:
        """Let a transport that closes not wait for ever until the client has read its last."""
        if self.unsent():
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self.abort)
