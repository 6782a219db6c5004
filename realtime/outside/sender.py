"""
Sending from a process that serves no clients: a WSGI server, a task queue's worker, a script.

One background thread with one event loop and one channel layer serves the process. What is sent is
with the layer before the call returns, or the call raises.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine
from itertools import count
from typing import Any, TypeVar

import msgspec

from ..cluster import capacity
from ..cluster.addressing import as_command, as_emit, as_question
from ..cluster.circuit_breaker import CircuitBreaker
from ..cluster.envelopes import (
    Answer,
    Ask,
    Cancel,
    Command,
    Deliver,
    Emit,
    Flush,
    Question,
    encode,
    open_parcel,
    pack,
    server_group,
    unpack,
)
from ..cluster.layer_connection import PARALLEL
from ..cluster.layers import close_layer
from ..cluster.listener import Listener
from ..cluster.log_layer import LogLayer
from ..cluster.ordered import MESSAGE_ENVELOPES
from ..cluster.publisher import MESSAGE_BYTES
from ..cluster.requests import ANSWER_TIMEOUT, PendingRequests
from ..cluster.router import EVERYBODY, Router
from ..cluster.sequences import Lane
from ..cluster.sids import new_server_id
from ..cluster.targets import Target
from ..conf import get_settings
from ..exceptions import LayerUnavailable, NotRunning
from ..execution.tasks import Tasks
from ..hub.calls import Answers, collect
from ..hub.gateway import on_loop
from ..logs import log
from ..sockets.messages import Message, encode_args
from .background import Background

Result = TypeVar("Result")

# How long the layer may take for one message.
PUBLISH_TIMEOUT = 5.0

# How long what this process sends to itself may take, and how often it is looked for.
ECHO_TIMEOUT, ECHO_POLL = 3.0, 0.005


class SharedSend:
    """Messages of several threads that leave as one; `sent` is for all but the first to wait."""

    __slots__ = ("bodies", "sent", "size")

    def __init__(self, body: bytes, sent: asyncio.Future[None]) -> None:
        self.bodies = [body]
        self.size = len(body)
        self.sent = sent

    def add(self, body: bytes) -> bool:
        """Take one more, if there is room."""
        self.size += len(body)
        if self.size > MESSAGE_BYTES or len(self.bodies) == MESSAGE_ENVELOPES:
            return False
        self.bodies.append(body)
        return True


class RemoteGateway:
    """
    Leads to the cluster's clients from a process that has none.

    `new_layer()` makes a channel layer for it alone.
    """

    def __init__(self, new_layer: Callable[[], Any]) -> None:
        self._new_layer = new_layer
        self._layer = new_layer()
        self._id = "-" + new_server_id()  # no server's id: nobody takes this process for a hub
        self._router = Router()
        self._ids = count(1)
        self._slots = asyncio.Semaphore(PARALLEL)
        self._batches: dict[Lane, SharedSend] = {}
        self._questions = PendingRequests()
        self._opening = asyncio.Lock()
        self._channel = ""
        self._background = Background("realtime-outside")
        self._loop = self._background.loop
        self._tasks = Tasks(self._loop)
        self._listener = Listener(self._tasks, self._handle, self._receive_failed)
        self._breaker = CircuitBreaker(self._tasks, self._reach_layer)

    @property
    def process(self) -> int:
        """The process that this serves."""
        return self._background.process

    def close(self) -> None:
        """End the background thread, in the process that has it."""
        self._background.close()

    def wait(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Run async work on the background loop and wait for it, from any other thread."""
        return self._background.wait(work)

    # Sending

    def emit(self, target: Target, message: Message) -> None:
        """Send an event to a target. Raises LayerUnavailable where the layer does not take it."""
        self._publish(target, as_emit(target, message, self._new_id()))

    def command(self, target: Target, action: str, names: tuple[str, ...]) -> None:
        """Let a target's sockets do `action` (see `envelopes.Command`). Raises the same."""
        self._publish(target, as_command(target, action, names, self._new_id()))
        if action == "join":
            self._router.note_join(target.namespace, names)

    def _new_id(self) -> str:
        return f"{self._id}.{next(self._ids)}"  # which threads may do at once

    def _publish(self, target: Target, envelope: Emit | Command) -> None:
        body = encode(envelope)
        is_kept = isinstance(envelope, Command) or not envelope.volatile
        is_kept = is_kept and isinstance(self._layer, LogLayer)
        lanes = self._router.logged_lanes(target) if is_kept else self._router.lanes(target)

        async def publish() -> None:
            for lane in lanes:
                await self._send(lane, body)

        self.wait(publish)

    async def _send(self, lane: Lane, body: bytes) -> None:
        """
        Send an encoded envelope, and return when the layer has it. Raises LayerUnavailable.

        What comes for a lane while another one waits for a free slot goes along with that.
        """
        if (down := self._breaker.error) is not None:
            raise _unavailable(down) from down
        batch = self._batches.get(lane)
        if batch is not None and batch.add(body):
            await asyncio.shield(batch.sent)
            return
        batch = self._batches[lane] = SharedSend(body, self._loop.create_future())
        try:
            await self._send_batch(lane, batch)
        except BaseException as error:
            if len(batch.bodies) > 1:
                batch.sent.set_exception(error)
            raise
        batch.sent.set_result(None)

    async def _send_batch(self, lane: Lane, batch: SharedSend) -> None:
        try:
            await self._breaker.call(self._hand_over(lane, batch))
        except Exception as error:
            raise _unavailable(error) from error
        finally:
            self._seal(lane, batch)

    async def _hand_over(self, lane: Lane, batch: SharedSend) -> None:
        async with asyncio.timeout(PUBLISH_TIMEOUT), self._slots:
            self._seal(lane, batch)
            message, count = pack(self._id, lane.name, 0, 0, batch.bodies), len(batch.bodies)
            if isinstance(self._layer, LogLayer):
                await self._layer.send_logged(self._id, lane, message, count)
            else:
                await capacity.send(self._layer, lane, message, unnumbered=count)

    async def _reach_layer(self) -> None:
        """Send nothing to nobody, to know whether the layer takes it."""
        nobody = server_group(self._id[1:])
        async with asyncio.timeout(PUBLISH_TIMEOUT):
            await self._layer.group_send(nobody, pack(self._id, nobody, 0, 0, []))

    def _seal(self, lane: Lane, batch: SharedSend) -> None:
        if self._batches.get(lane) is batch:
            del self._batches[lane]

    async def drain(self) -> None:
        """Return at once: what was sent is with the layer already."""

    async def flush_cluster(self) -> None:
        """Wait until all commands so far are in effect in the whole cluster."""

        async def ask() -> None:
            async for _ in self.ask_all(Flush(), ANSWER_TIMEOUT):
                pass

        await on_loop(self._loop, ask)

    # Questions

    async def call(self, target: Target, message: Message, timeout: float | None) -> Answers:
        """
        Send an event to a target and return the acknowledgements.

        Raises NotRunning where no server answers, and LayerUnavailable.
        """
        answers = Answers()

        async def ask() -> None:
            question = as_question(target, message, timeout)
            await collect(answers, self.ask_all(question, timeout))
            answers.note_absent(target)

        await on_loop(self._loop, ask)
        return answers

    async def send_to_client(
        self, sid: str, namespace: str | None, event: str, args: tuple[Any, ...]
    ) -> bool:
        """Send an event to one client; tell if it is there. Raises the same as `call`."""
        question = Deliver(sid, namespace, *encode_args([event, *args]))

        async def ask() -> bool:
            return any([answer.content async for answer in self.ask_all(question, ANSWER_TIMEOUT)])

        return await on_loop(self._loop, ask)

    async def ask_all(self, question: Question, timeout: float | None) -> AsyncGenerator[Answer]:
        """
        Ask all servers and yield their answers, for at most `timeout` seconds.

        Raises NotRunning where nobody answers within ANSWER_TIMEOUT or that, and LayerUnavailable.
        """
        patience = ANSWER_TIMEOUT if timeout is None else min(timeout, ANSWER_TIMEOUT)
        heard, complete, started = False, False, self._loop.time()
        channel = await self._open()
        with self._questions.open(None) as (ask_id, opened):
            await self._send(EVERYBODY, encode(Ask(ask_id, channel, question)))
            try:
                async with asyncio.timeout(patience) as limit:
                    async for answer in opened.answers():
                        heard = True
                        limit.reschedule(None if timeout is None else started + timeout)
                        yield answer
                complete = True
            except TimeoutError:
                if not heard:
                    await self._replace_deaf_layer()
                    raise NotRunning(
                        f"No Realtime server has answered within {patience:g} seconds. "
                        "Is one running, and does it use the same channel layer?"
                    ) from None
            finally:
                if not complete:
                    self._tasks.spawn(self._cancel(ask_id))

    async def _cancel(self, ask_id: str) -> None:
        with contextlib.suppress(LayerUnavailable):  # nobody waits for more anyway
            await self._send(EVERYBODY, encode(Cancel(ask_id)))

    async def _open(self) -> str:
        """Return this process's channel for answers, which is opened when it is first needed."""
        async with self._opening:
            if not self._channel:
                try:
                    async with asyncio.timeout(PUBLISH_TIMEOUT):
                        self._channel = await self._layer.new_channel()
                except Exception as error:
                    raise _unavailable(error) from error
                self._listener.listen(self._layer, self._channel)
            return self._channel

    async def _replace_deaf_layer(self) -> None:
        """Take another layer for what comes next, where it is this process that hears nothing."""
        layer, received = self._layer, self._listener.received
        try:
            async with asyncio.timeout(ECHO_TIMEOUT):
                await layer.send(self._channel, pack(self._id, self._channel, 0, 0, []))
                while self._listener.received == received:
                    await asyncio.sleep(ECHO_POLL)
        except TimeoutError:
            if self._layer is layer:  # and no other question has found that out meanwhile
                log(logging.WARNING, "layer-replaced")
                self._layer, self._channel = self._new_layer(), ""
                self._listener.stop()
                self._tasks.spawn(self._close_layer(layer))
        except Exception as error:
            log(logging.DEBUG, "layer-error", error=repr(error))

    async def _close_layer(self, layer: Any) -> None:
        if layer is not self._layer:
            await asyncio.sleep(PUBLISH_TIMEOUT)  # for who sends through it now
            await close_layer(layer)

    def _receive_failed(self, error: Exception, again: bool) -> None:
        if not again:
            log(logging.WARNING, "layer-error", error=repr(error))

    def _handle(self, message: Any) -> None:
        with contextlib.suppress(msgspec.ValidationError):
            for envelope in unpack(open_parcel(message)):
                if isinstance(envelope, Answer):
                    self._questions.add(envelope)


def _unavailable(error: Exception) -> LayerUnavailable:
    late = isinstance(error, TimeoutError) and not str(error)
    why = f"it did not answer within {PUBLISH_TIMEOUT:g} seconds" if late else repr(error)
    return LayerUnavailable(
        f"The channel layer did not take the message: {why}. Nothing is kept for later. See that "
        f"the server which CHANNEL_LAYERS[{get_settings().CHANNEL_LAYER!r}] names runs and can be "
        "reached from here, and send again."
    )
