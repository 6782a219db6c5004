"""Publishing where all that a hub sends is in one order, whatever lanes it goes in."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..logs import log
from ..utils.limits import LogLimiter
from .envelopes import HUBS, Hole, encode, pack
from .layer_connection import LayerConnection, LayerRefused
from .log_layer import Job, LogLayer
from .memberships import Memberships
from .publisher import MESSAGE_BYTES, Publisher
from .sequences import Lane, Position

# Envelopes in one message, and messages in one go.
MESSAGE_ENVELOPES = 500
MESSAGES = 200


class Item(NamedTuple):
    """An encoded envelope for a lane."""

    lane: Lane
    body: bytes


class OneOrder:
    """
    Envelopes that leave together, in the order in which they came: it takes the place of
    `publisher.Batch`.
    """

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._bytes = 0

    def takes(self, lane: Lane) -> bool:
        """Tell whether there is room for more."""
        return len(self.items) < MESSAGE_ENVELOPES and self._bytes < MESSAGE_BYTES

    def add(self, lane: Lane, body: bytes) -> None:
        """Add an encoded envelope for a lane."""
        self.items.append(Item(lane, body))
        self._bytes += len(body)

    def runs(self) -> Iterator[tuple[Lane, list[bytes]]]:
        """Yield what goes in one message: neighbours for the same lane."""
        run: list[bytes] = []
        before: Lane | None = None
        for lane, body in self.items:
            if before is not None and lane != before:
                yield before, run
                run = []
            before = lane
            run.append(body)
        if before is not None:
            yield before, run


class OrderedPublisher(Publisher):
    """
    Publishes through a layer that keeps a log, one batch after the other.

    Where the log does not take something, it is sent all the same, and all hubs are told that there
    is a hole.
    """

    new_batch = OneOrder

    def __init__(self, server: str, link: LayerConnection, memberships: Memberships) -> None:
        super().__init__(server, self._never)
        self._link = link
        self._memberships = memberships
        self._faults = LogLimiter()
        self._hole = False

    async def _never(self, lane: Lane, message: dict[str, Any]) -> None:
        raise NotImplementedError

    async def _send(self, batch: Any) -> None:
        runs = list(batch.runs())
        if any(map(self._memberships.is_coming, (lane.name for lane, _ in runs))):
            await self._memberships.flush()  # this hub is to hear it, too
        positions = [self.outgoing.next(lane.name) for lane, _ in runs]
        jobs = [
            self._job(lane, run, position)
            for (lane, run), position in zip(runs, positions, strict=True)
        ]
        bodies = [body for _, run in runs for body in run]
        try:
            answers = await self._publish(jobs)
        except LayerRefused as error:
            self._lose(bodies)
            log(logging.ERROR, "log-refused", error=repr(error))
            self._hole = True
            return
        except BaseException:
            self._lose(bodies)
            raise
        self._free(bodies)
        for (lane, _), position in zip(runs, positions, strict=True):
            self.outgoing.sent(lane.name, position)
        refused = [
            job for job, answer in zip(jobs, answers, strict=True) if isinstance(answer, Exception)
        ]
        if refused:
            await self._publish_unlogged(refused, next(filter(_is_error, answers)))
        elif self._hole and any(job.streams for job in jobs):
            self._hole = False
            await self._tell_hole()

    def _job(self, lane: Lane, bodies: list[bytes], position: Position) -> Job:
        message = pack(self._server, lane.name, *position, bodies)
        layer: LogLayer = self._link.layer
        channel = lane.name if lane.direct else layer.group_channel(lane.name)
        also = tuple(map(layer.group_channel, lane.also))
        return Job(channel, message, lane.streams, len(bodies), position.number, also=also)

    async def _publish(self, jobs: list[Job]) -> list[Any]:
        return await self._link.call(lambda: self._link.layer.publish(jobs))

    async def _publish_unlogged(self, jobs: list[Job], error: Any) -> None:
        """Send what the log does not take, without a number; what follows may have overtaken it."""
        if self._faults.should_log():
            log(logging.ERROR, "log-refused", error=repr(error))
        self._hole = True
        await self._tell_hole()
        await self._publish([self._again(job) for job in jobs])

    def _again(self, job: Job) -> Job:
        """Return what sends a message anew, without a place in the log."""
        lane = job.message["lane"]
        position = self.outgoing.next(lane)
        message = {**job.message, "number": position.number, "place": position.place}
        return job._replace(streams=(), message=message)

    async def _tell_hole(self) -> None:
        message = pack(self._server, HUBS, 0, 0, [encode(Hole())])
        await self._publish([Job(self._link.layer.group_channel(HUBS), message)])


def _is_error(answer: Any) -> bool:
    return isinstance(answer, Exception)
