"""Waiting until what other hubs were sending has reached the layer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any

from ..execution.tasks import Tasks
from ..logs import log
from .envelopes import Answer, Fence
from .requests import ANSWER_TIMEOUT

AskAll = Callable[[Fence, list[str]], AsyncGenerator[Answer]]


class Fences:
    """
    Asks hubs for a fence: with `ask_all(question, servers)`, of those that `reports()` names.

    Whoever waits meanwhile shares the next one, so a storm of clients costs no storm of questions.
    """

    def __init__(
        self, tasks: Tasks, ask_all: AskAll, reports: Callable[[], dict[str, dict[str, Any]]]
    ) -> None:
        self._tasks = tasks
        self._ask_all = ask_all
        self._reports = reports
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Wait for a fence that begins now or later, but not for ever."""
        if self._next is None:
            self._next = self._tasks.spawn(self._run(self._running))
        await asyncio.shield(self._next)

    async def _run(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        await self.ask(Fence())

    async def ask(self, question: Fence) -> None:
        """Ask every hub that understands it, and wait for the answers, but not for ever."""
        servers = [server for server, report in self._reports().items() if "scattered" in report]
        if not servers:
            return
        answers = self._ask_all(question, servers)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                async for _ in answers:
                    pass
        except TimeoutError:
            log(logging.WARNING, "layer-slow", waiting=len(servers))
        finally:
            await answers.aclose()
