"""Events that ask many sockets for their acknowledgements."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

from ..cluster.envelopes import Answer
from ..cluster.sids import server_of
from ..cluster.targets import Target
from ..exceptions import AckTimeout, ClientDisconnected
from ..sockets.acks import Asked
from ..sockets.messages import Message, decode_args
from ..sockets.socket import Socket

# What a server tells of a call: the sids that it asked, and acknowledgements as (sid, text,
# attachments).
Part = tuple[list[str], list[tuple[str, str, tuple[bytes, ...]]]]

# How many of the clients that are missing an error names.
SHOWN = 5


class Answers(dict[str, Any]):
    """
    Acknowledgements by sid, as `Broadcaster.call` returns them.

    An answer of one argument is that argument, of none None, of several a tuple. `missing` names
    the sids that did not answer in time or went away; nothing is raised for them, unless by
    `raise_for_missing`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.missing: list[str] = []

    def raise_for_missing(self) -> None:
        """Raise AckTimeout where anybody did not answer in time, or went away."""
        if self.missing:
            shown = ", ".join(self.missing[:SHOWN]) + (", ..." if len(self.missing) > SHOWN else "")
            asked = len(self) + len(self.missing)
            raise AckTimeout(f"{len(self.missing)} of {asked} clients did not acknowledge: {shown}")

    def asked(self, sids: Iterable[str]) -> None:
        """Take note of sockets that were asked."""
        self.missing += sids

    def answered(self, sid: str, args: list[Any]) -> None:
        """Take a socket's acknowledgement."""
        self[sid] = as_answer(args)
        if sid in self.missing:
            self.missing.remove(sid)

    def note_absent(self, target: Target) -> None:
        """Count one client as missing that was meant, and that no server has."""
        if len(target.rooms) == 1 and not self and not self.missing and server_of(target.rooms[0]):
            self.missing.append(target.rooms[0])


def as_answer(args: list[Any]) -> Any:
    """
    Return an acknowledgement's arguments as one value: None, the only one, or a tuple of several.

    A list is never several arguments: JSON has no tuples, so one argument cannot be one.
    """
    if not args:
        return None
    return args[0] if len(args) == 1 else tuple(args)


def ask_sockets(sockets: list[Socket], message: Message) -> list[tuple[Socket, Asked]]:
    """Ask sockets at once, for `await_answers`."""
    return [(socket, socket.acks.ask(message)) for socket in sockets if not socket.gone]


async def await_answers(
    asked: list[tuple[Socket, Asked]],
    event: str,
    timeout: float | None,
    answered: Callable[[str, list[Any]], None],
) -> None:
    """Hand over what each socket that was asked acknowledges within `timeout` seconds."""

    async def wait(socket: Socket, asked: Asked) -> None:
        try:
            args = await socket.acks.finish(asked, event, timeout)
        except (AckTimeout, ClientDisconnected):
            return
        answered(socket.sid, args)

    await asyncio.gather(*(wait(*each) for each in asked))


async def collect(answers: Answers, parts: AsyncGenerator[Answer]) -> None:
    """Take what other servers tell of a call."""
    async for part in parts:
        if part.content is not None:
            sids, acks = part.content
            answers.asked(sids)
            for sid, text, attachments in acks:
                answers.answered(sid, decode_args(text, tuple(attachments)))
