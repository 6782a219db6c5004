"""Envelopes for a target, and the target that an envelope is for."""

from __future__ import annotations

from ..sockets.messages import Format, Message
from .envelopes import Call, Command, Emit
from .targets import Target


def as_emit(target: Target, message: Message, id: str = "") -> Emit:
    """Return what sends an event to other servers' sockets; `id` is as in `Emit`."""
    namespace, rooms, excluded, client = target
    text, attachments = _packet(message)
    return Emit(namespace, rooms, excluded, message.volatile, text, attachments, client, id)


def as_command(target: Target, action: str, names: tuple[str, ...], id: str = "") -> Command:
    """
    Return what lets other servers' sockets join or leave rooms, or closes them; `id` as in `Emit`.
    """
    namespace, rooms, excluded, client = target
    return Command(namespace, rooms, excluded, action, names, client, id)


def as_question(target: Target, message: Message, timeout: float | None, id: str = "") -> Call:
    """Return the question that asks other servers' sockets; `id` as in `Emit`."""
    namespace, rooms, excluded, client = target
    text, attachments = _packet(message)
    return Call(namespace, rooms, excluded, text, attachments, timeout, client, id)


def target_of(envelope: Emit | Command | Call) -> Target:
    """Return whom an envelope is for."""
    return Target(envelope.namespace, envelope.rooms, envelope.excluded, envelope.client)


def _packet(message: Message) -> tuple[str, tuple[bytes, ...]]:
    text, *attachments = message.frames(Format.SOCKETIO).frames
    return str(text), tuple(attachments)  # type: ignore[arg-type]
