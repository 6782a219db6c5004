"""Heartbeats: every hub says regularly that it is there, and hears itself and the others."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from ..logs import log
from ..utils.limits import LogLimiter
from .clocks import Clocks
from .envelopes import HUBS, Beat, decode, encode, pack
from .layer_connection import CALL_TIMEOUT, LAYER_DEAF, LayerConnection
from .peers import BEAT, EXPIRY, Peers
from .sequences import Outgoing

# How often it is looked whether all have answered.
LOOK = 0.005

# Beats of this hub's own on their way, at most.
MAX_SENT = 1_000

# How late a beat may come back, in seconds: what waits for longer the layer may forget some time.
MAX_LATE = 30.0


class Deaf(ConnectionError):
    """What this process sends to its own group does not come back."""

    def __init__(self) -> None:
        super().__init__("what this process sends to its own group does not come back")


class Sent(NamedTuple):
    """A beat that is to come back: when it was sent, by the clock and by the loop."""

    at: float
    time: float


class Heartbeats:
    """
    Beats on the group of all hubs, past the publisher's queue.

    `channel` is this process's, `report()` what it lets the others know. It is `late` while its own
    beats take longer than a hub lives that is not heard, and those of others come late as well: the
    layer is slow then, or this process, with what it reads. As its own come back in the order in
    which they were sent, and none is missing, nothing is lost that was sent before them.
    """

    def __init__(
        self,
        server: str,
        link: LayerConnection,
        peers: Peers,
        outgoing: Outgoing,
        report: Callable[[], dict[str, Any]],
    ) -> None:
        self.channel = ""
        self.late = False
        # When a beat of another one has come, for all hubs, that was late.
        self._late_heard = float("-inf")
        self._sent = deque[Sent](maxlen=MAX_SENT)
        self._faults = LogLimiter()
        self._server = server
        self._link = link
        self._peers = peers
        self._outgoing = outgoing
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._clock = time.time
        self.clocks = Clocks(server, self._loop.time, self._clock)
        # Who has answered our greetings, by their nonces.
        self._echoes: dict[str, set[str]] = {}

    async def run(self) -> None:
        """
        Send a beat every BEAT seconds, for ever; find out who is gone, and whose clock is off.
        """
        while True:
            started = self._loop.time()
            await asyncio.sleep(BEAT)
            self.clocks.compare()
            if not self._link.up.is_set():
                continue
            try:
                await self.say(tails=self._outgoing.tails(), report=self._describe())
            except Exception as error:
                self._link.failed(error)
                continue
            if self._loop.time() - started > 2 * BEAT:
                self._peers.grant_time()  # this process, or the layer, stood still
            self._peers.expire()
            self._look_for_own()

    def _look_for_own(self) -> None:
        """Find out whether this hub's own beats come back, and are only late, or do not."""
        if not self._peers.deaf:
            self.late = False
            return
        now = self._loop.time()
        waiting = now - self._sent[0].time if self._sent else MAX_LATE
        self.late = waiting < MAX_LATE and now - self._late_heard <= EXPIRY
        if not self.late:
            self._link.failed(None, LAYER_DEAF)

    async def say(self, channel: str | None = None, **fields: Any) -> None:
        """Send a beat with these fields to all hubs, or to one; raises what the layer raises."""
        beat = Beat(self._server, self.channel, at=self._clock(), **fields)
        message = pack(self._server, HUBS, 0, 0, [encode(beat)])
        async with asyncio.timeout(CALL_TIMEOUT):
            if channel is None:
                self._sent.append(Sent(beat.at, self._loop.time()))
                await self._link.layer.group_send(HUBS, message)
            else:
                await self._link.layer.send(channel, message)

    def _describe(self) -> dict[str, Any]:
        """
        Return this hub's report, or none where that fails, or cannot be sent: that is no outage of
        the layer, and no reason to be taken for dead.
        """
        try:
            report = self._report()
            decode(encode(Beat(self._server, self.channel, report=report)))
        except Exception:
            if self._faults.should_log():
                log(logging.ERROR, "report-failed", exc_info=True)
            return {}
        return report

    async def announce(self) -> None:
        """Send a beat with this hub's report now; raises what the layer raises."""
        await self.say(report=self._describe())

    async def probe(self) -> None:
        """
        Wait until this hub hears itself.

        Raises what the layer raises, and Deaf where nothing comes back in the time of a beat.
        """
        started = self._loop.time()
        try:
            async with asyncio.timeout(BEAT):
                await self.say()
                while self._peers.heard_self < started:
                    await asyncio.sleep(LOOK)
        except TimeoutError:
            raise Deaf from None

    def heard_own(self, beat: Beat) -> None:
        """
        Take note of this hub's own beat, which came back. Where they are late, and some are missing
        before it, so may be other messages.
        """
        missing, sent = 0, None
        if any(each.at == beat.at for each in self._sent):
            while (sent := self._sent.popleft()).at != beat.at:
                missing += 1
        if self.late and missing:
            self._link.failed(None, LAYER_DEAF)
        self.late = False
        self._peers.heard_own(None if sent is None else sent.time)
        self.clocks.heard(self._server, beat.at)

    def heard(self, beat: Beat) -> None:
        """Take note of another hub's beat, and answer one that asks for it."""
        if not beat.echo and self._clock() - beat.at > BEAT:
            self._late_heard = self._loop.time()
        self._peers.heard(beat)
        if beat.leaving:
            self.clocks.forget(beat.server)
        else:
            self.clocks.heard(beat.server, beat.at)
        if beat.echo in self._echoes:
            self._echoes[beat.echo].add(beat.server)
        if beat.hello:
            self._link.tasks.spawn(self._echo(beat))

    async def _echo(self, hello: Beat) -> None:
        try:
            await self.say(hello.channel, echo=hello.hello, report=self._describe())
        except Exception as error:
            log(logging.DEBUG, "layer-error", error=repr(error))

    async def greet(self) -> None:
        """
        Wait until this hub hears itself, and every peer has answered or had its time.

        Raises Deaf where it does not hear itself.
        """
        nonce = secrets.token_urlsafe(6)
        started, answered = self._loop.time(), self._echoes.setdefault(nonce, set())
        try:
            while self._loop.time() - started < EXPIRY:
                await self.say(hello=nonce, report=self._describe())
                deadline = self._loop.time() + BEAT / 4
                while self._loop.time() < deadline:
                    heard = self._peers.heard_self >= started
                    if heard and answered.issuperset(self._peers.names()):
                        return
                    await asyncio.sleep(LOOK)
        finally:
            del self._echoes[nonce]
        if self._peers.heard_self < started:
            raise Deaf
