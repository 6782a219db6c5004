"""A shop whose payments are handled once, however often they are sent."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import Any

from realtime import EventError, NamespaceConsumer, event

# Of this process: how often a payment was sent, how often it was made, and what lets it end.
tries: Counter[str] = Counter()
runs: Counter[str] = Counter()
gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)


class ShopConsumer(NamespaceConsumer):
    """The namespace "/shop"."""

    async def handle(self, event: str, args: list[Any]) -> Any:
        if event.startswith("pay"):
            tries[args[0]] += 1
        return await super().handle(event, args)

    @event(once="key")
    async def pay(self, key: str, content: Any) -> Any:
        runs[key] += 1
        return key, content

    @event("pay in a thread", once="key")
    def pay_in_a_thread(self, key: str, content: Any) -> Any:
        runs[key] += 1
        return {"key": key, "content": content}

    @event("pay slowly", once="key", concurrent=True)
    async def pay_slowly(self, key: str) -> str:
        runs[key] += 1
        await gates[key].wait()
        return f"{key} is paid"

    @event("pay too much", once="key")
    async def pay_too_much(self, key: str) -> None:
        runs[key] += 1
        raise EventError("no money", {"left": 3}, code="declined")

    @event
    async def open(self, key: str) -> None:
        """Let a slow payment end, if it is made in this process."""
        gates[key].set()

    @event
    async def counts(self, key: str) -> tuple[int, int]:
        """Answer how often a payment was sent to this process, and how often it was made here."""
        return tries[key], runs[key]
