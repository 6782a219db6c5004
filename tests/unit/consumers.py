"""Consumers that many tests share; a test's own stand beside it."""

from __future__ import annotations

from typing import Any

from realtime import NamespaceConsumer, event

from .probes import Probe


class RoomsConsumer(NamespaceConsumer):
    """Joins the rooms that the client's `auth` names, and does what the client asks for."""

    async def connect(self, auth: dict[str, Any]) -> None:
        self.join(*auth.get("rooms", ()))

    @event
    async def echo(self, *args: Any) -> tuple[Any, ...]:
        return args

    @event("join")
    async def enter(self, *rooms: str) -> list[str]:
        self.join(*rooms)
        return sorted(self.rooms)

    @event("leave")
    async def exit(self, *rooms: str) -> list[str]:
        self.leave(*rooms)
        return sorted(self.rooms)


class OrderConsumer(RoomsConsumer):
    """The namespaces "/orders/1", "/orders/2", ..."""


class Noting(NamespaceConsumer):
    """Notes its last hook."""

    probe: Probe

    async def disconnect(self, reason: str) -> None:
        self.probe.note(reason)
