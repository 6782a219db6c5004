"""What a hub asks clients, here and in the whole cluster, for who waits for their answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from ..cluster.addressing import as_question
from ..cluster.envelopes import Deliver
from ..cluster.requests import ANSWER_TIMEOUT
from ..cluster.sids import server_of
from ..cluster.targets import Target
from ..exceptions import ServerGone
from ..sockets.messages import Message, decode_args, encode_args
from .calls import Answers, ask_sockets, await_answers, collect
from .interfaces import Hub


async def call(hub: Hub, target: Target, message: Message, timeout: float | None) -> Answers:
    """
    Send an event to a target and return the acknowledgements of the whole cluster.

    After `timeout` seconds the answers name who is missing. One client that is gone is missing
    at once.
    """
    hub.require_own_thread("asking.call")
    await hub.wait_returned()
    answers, call_id = Answers(), hub.new_event_id()
    local = call_here(
        hub, target, message, call_id, Asking(timeout, answers.asked, answers.answered)
    )
    try:
        async with asyncio.timeout(timeout):
            if hub.is_here(target):
                await local
            else:
                question = as_question(target, message, timeout, call_id)
                await asyncio.gather(local, collect(answers, hub.cluster.ask_all(question)))
    except TimeoutError:
        pass
    answers.note_absent(target)
    return answers


class Asking(NamedTuple):
    """For how long sockets are asked, and who is told which they are, and what each answers."""

    timeout: float | None
    asked: Callable[[list[str]], None]
    answered: Callable[[str, list[Any]], None]


def call_here(
    hub: Hub, target: Target, message: Message, call_id: str, asking: Asking
) -> Coroutine[Any, Any, None]:
    """
    Ask the sockets of a target that are here, at once; return what waits for their answers, and
    then asks those that are just coming here.

    Who was asked already, where it was, is not asked again.
    """
    for crossing in hub.crossings:
        crossing.note_call(call_id)
    known: set[str] = set()

    def ask() -> Coroutine[Any, Any, None]:
        sockets = [
            socket
            for socket in hub.select(target)
            if socket.sid not in known and not hub.moves.had(socket.sid, call_id)
        ]
        known.update(socket.sid for socket in sockets)
        asking.asked([socket.sid for socket in sockets])
        meant = message.within(sockets[0].namespace) if target.client and sockets else message
        asked = ask_sockets(sockets, meant)
        return await_answers(asked, message.event, asking.timeout, asking.answered)

    async def ask_late() -> None:
        await hub.arrivals.wait()
        await ask()

    first = ask()

    async def finish() -> None:
        if hub.arrivals:
            await asyncio.gather(first, ask_late())
        else:
            await first

    return finish()


async def send_to_client(
    hub: Hub, sid: str, namespace: str | None, event: str, args: tuple[Any, ...]
) -> bool:
    """
    Send an event to one client, in its sid's namespace or another; tell if it is there.

    Its server is asked, wherever it is. Raises LayerUnavailable where that cannot be done now.
    """
    if deliver_to_client(hub, sid, namespace, event, args):
        return True
    home = server_of(sid)
    if home is None or hub.moves.is_here(sid):
        return False
    question = Deliver(sid, namespace, *encode_args([event, *args]))
    if home == hub.server_id:
        return await _ask_where_it_is(hub, question)
    if await hub.cluster.find(home):
        question.follow = True
        return await _ask_for_client(hub, home, question)
    return hub.cluster.is_sid_elsewhere(sid) and await _ask_all_for_client(hub, question)


async def _ask_where_it_is(hub: Hub, question: Deliver) -> bool:
    """Ask the hub that a client of this server is at, and the next one if it moves meanwhile."""
    asked: set[str] = set()
    while (server := hub.moves.where(question.sid)) is not None and server not in asked:
        asked.add(server)
        if await _ask_for_client(hub, server, question):
            return True
    return False


async def _ask_for_client(hub: Hub, server: str, question: Deliver) -> bool:
    try:
        return bool(await hub.cluster.ask(server, question, ANSWER_TIMEOUT))
    except ServerGone:
        hub.cluster.require_layer()
        return False


async def _ask_all_for_client(hub: Hub, question: Deliver) -> bool:
    """Ask all hubs for a client whose own server is gone."""
    hub.cluster.require_layer()
    found = False
    answers = hub.cluster.ask_all(question)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ANSWER_TIMEOUT):
            async for answer in answers:
                found = found or bool(answer.content)
    await answers.aclose()
    return found


async def answer_for_client(hub: Hub, question: Deliver) -> bool:
    """Send an event to one client for another process; tell if it is there."""
    await hub.arrivals.wait()
    name, *args = decode_args(question.text, question.attachments)
    if deliver_to_client(hub, question.sid, question.namespace, name, tuple(args)):
        return True
    if not question.follow or hub.moves.where(question.sid) is None:
        return False
    question.follow = False
    return await _ask_where_it_is(hub, question)


def deliver_to_client(
    hub: Hub, sid: str, namespace: str | None, event: str, args: tuple[Any, ...]
) -> bool:
    """
    Send an event to a client of this hub, as `send_to_client` does; tell if it is there, or may
    come back and then gets it.
    """
    if hub.recovery is not None:
        session = hub.recovery.sessions.find_client(Target(namespace or "", (sid,), client=True))
        if session is not None and session.claimant is None:
            message = Message(session.namespace, event, args)
            send = hub.emit if hub.recovery.shared else hub.deliver
            send(Target(session.namespace, (session.sid,)), message)
            return True
    socket = hub.registry.sockets.get(sid)
    if socket is not None and namespace is not None:
        socket = socket.connection.sockets.get(namespace)
    if socket is None or not socket.connected:
        return False
    message = Message(socket.namespace, event, args)
    socket.emit(message, message.frames(socket.connection.format))
    return True
