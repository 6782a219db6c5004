"""
Sending from a process that serves no clients: a WSGI server, a task queue's worker, a script.

One background thread with one event loop and one channel layer serves the process. What is sent is
with the layer before the call returns, or the call raises.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

import msgspec
from channels.layers import channel_layers

from ..conf import get_settings
from ..exceptions import LayerUnavailable, NotRunning, WouldDeadlock
from ..logs import log
from ..messages import Format, Message, encode_args
from .alone import reaches_others
from .calls import Answers, as_question, collect
from .envelopes import (
    Answer,
    Ask,
    Cancel,
    Command,
    Deliver,
    Emit,
    Question,
    Settle,
    encode,
    open_parcel,
    pack,
    unpack,
)
from .gateway import on_loop
from .link import MIN_PAUSE, PARALLEL
from .questions import ANSWER_TIMEOUT, Questions
from .router import EVERYBODY, Router
from .sids import new_server_id
from .targets import Target

Result = TypeVar("Result")

# How long the layer may take for one message.
PUBLISH_TIMEOUT = 5.0


class Outside:
    """Leads to the cluster's clients from a process that has none."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._process = os.getpid()
        self._id = "-" + new_server_id()  # no server's id: nobody takes this process for a hub
        self._router = Router(lambda server: None)
        self._loop = asyncio.new_event_loop()
        self._slots = asyncio.Semaphore(PARALLEL)
        self._questions: Questions | None = None
        self._opening = asyncio.Lock()
        self._listener: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._serve, name="realtime-outside", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()  # which closes the layer's connections, too

    def close(self) -> None:
        """End the background thread, in the process that has it."""
        if os.getpid() != self._process:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=2)

    # Sending

    def emit(self, target: Target, message: Message) -> None:
        """Send an event to a target. Raises LayerUnavailable where the layer does not take it."""
        text, *attachments = message.frames(Format.SOCKETIO).frames
        self._publish(
            target,
            Emit(*target, message.volatile, str(text), tuple(attachments)),  # type: ignore[arg-type]
        )

    def command(self, target: Target, action: str, names: tuple[str, ...]) -> None:
        """Let a target's sockets `join` or `leave` rooms, or `disconnect`. Raises the same."""
        self._publish(target, Command(*target, action, names))
        if action == "join":
            self._router.note_join(target.namespace, names)

    def _publish(self, target: Target, envelope: Emit | Command) -> None:
        body = encode(envelope)
        groups = [lane.name for lane in self._router.lanes(target)]
        self.wait(lambda: self._send_all(groups, body))

    async def _send_all(self, groups: list[str], body: bytes) -> None:
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT), self._slots:
                for group in groups:
                    await self._layer.group_send(group, pack(self._id, group, 0, 0, [body]))
        except Exception as error:
            why = repr(error) if str(error) else f"no answer within {PUBLISH_TIMEOUT} seconds"
            raise LayerUnavailable(f"The channel layer did not take the message: {why}") from error

    async def drain(self) -> None:
        """Nothing waits here."""

    async def settled(self) -> None:
        """Wait until all commands so far are in effect in the whole cluster."""

        async def settle() -> None:
            async for _ in self._ask_all(Settle(), ANSWER_TIMEOUT):
                pass

        await on_loop(self._loop, settle)

    # Questions

    async def call(self, target: Target, message: Message, timeout: float | None) -> Answers:
        """Send an event to a target and return the acknowledgements. Raises NotRunning."""
        answers = Answers()

        async def ask() -> None:
            try:
                async with asyncio.timeout(timeout):
                    question = as_question(target, message, timeout)
                    await collect(answers, self._ask_all(question, timeout))
            except TimeoutError:
                pass
            answers.note_absent(target)

        await on_loop(self._loop, ask)
        return answers

    async def send_to_client(
        self, sid: str, namespace: str | None, event: str, args: tuple[Any, ...]
    ) -> bool:
        """Send an event to one client; tell if it is there. Raises NotRunning."""
        question = Deliver(sid, namespace, *encode_args([event, *args]))

        async def ask() -> bool:
            return any([answer.content async for answer in self._ask_all(question, ANSWER_TIMEOUT)])

        return await on_loop(self._loop, ask)

    async def _ask_all(self, question: Question, timeout: float | None) -> AsyncGenerator[Answer]:
        """
        Ask all servers and yield their answers, for at most `timeout` seconds.

        Raises NotRunning where nobody answers within ANSWER_TIMEOUT.
        """
        answers = (await self._open()).ask_all(question, None)
        heard, started = False, self._loop.time()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT) as limit:
                async for answer in answers:
                    heard = True
                    limit.reschedule(None if timeout is None else started + timeout)
                    yield answer
        except TimeoutError:
            if not heard:
                raise NotRunning(
                    f"No Realtime server has answered within {ANSWER_TIMEOUT} seconds. "
                    "Is one running, and does it use the same channel layer?"
                ) from None
        finally:
            await answers.aclose()

    async def _open(self) -> Questions:
        """Open this process's channel for answers, once."""
        async with self._opening:
            if self._questions is None:
                try:
                    async with asyncio.timeout(PUBLISH_TIMEOUT):
                        channel = await self._layer.new_channel("realtime")
                except Exception as error:
                    raise LayerUnavailable(
                        f"The channel layer does not answer: {error!r}"
                    ) from error
                self._questions = Questions(channel, self._send_question)
                self._listener = self._loop.create_task(self._listen(self._questions, channel))
        return self._questions

    def _send_question(self, server: str | None, envelope: Ask | Cancel) -> None:
        task = self._loop.create_task(self._send_all([EVERYBODY.name], encode(envelope)))
        self._sending.add(task)
        task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log(logging.ERROR, "layer-error", error=error)

    async def _listen(self, questions: Questions, channel: str) -> None:
        while True:
            try:
                message = await self._layer.receive(channel)
            except Exception as error:
                log(logging.ERROR, "layer-error", error=repr(error))
                await asyncio.sleep(MIN_PAUSE)
                continue
            with contextlib.suppress(msgspec.ValidationError):
                for envelope in unpack(open_parcel(message)):
                    if isinstance(envelope, Answer):
                        questions.take(envelope)

    # Waiting

    def wait(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Run async work on the background loop and wait for it, from any other thread."""
        if threading.current_thread() is self._thread:
            raise WouldDeadlock(
                "This blocks the event loop. Use the twin whose name starts with a."
            )
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result()


# By process, because a forked child needs a thread and connections of its own, and by alias.
_outside: dict[tuple[int, str], Outside] = {}
_locks: dict[int, threading.Lock] = {}


def get_outside() -> Outside:
    """
    Return this process's way to the cluster, made when it is first asked for.

    Raises NotRunning where the channel layer leads to no other process.
    """
    key = os.getpid(), get_settings().CHANNEL_LAYER
    if key not in _outside:
        with _locks.setdefault(os.getpid(), threading.Lock()):
            if key not in _outside:
                _outside[key] = _open_outside(key[1])
    return _outside[key]


def _open_outside(alias: str) -> Outside:
    layer = channel_layers.make_backend(alias) if alias in channel_layers.configs else None
    if not reaches_others(layer):
        raise NotRunning(
            "This process serves no Realtime clients, and its channel layer is in memory, so it "
            "reaches no process that does. Configure channels_redis in CHANNEL_LAYERS, or send "
            "from the process that runs your ASGI application."
        )
    outside = Outside(layer)
    atexit.register(outside.close)
    return outside
