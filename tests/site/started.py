"""
The demo, which tells in its log when its process starts to serve clients and when it stops.

A clock in a thread, and one in a task of the event loop, emit as soon as the process serves.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

from django.dispatch import receiver

import realtime
from project.asgi import application
from realtime.signals import serving_started, serving_stopping

__all__ = ["application"]

logger = logging.getLogger("realtime.started")

tasks: list[asyncio.Task[None]] = []
stopped = threading.Event()


def emit() -> None:
    """Emit, and tell whether that could be done."""
    try:
        realtime.of("/lab").emit("tick")
    except realtime.NotRunning:
        logger.info("clock not running in=%s", threading.current_thread().name)
    else:
        logger.info("clock ticked in=%s", threading.current_thread().name)


async def tick() -> None:
    try:
        while True:
            realtime.of("/lab").emit("tick")
            await asyncio.sleep(0.05)
    finally:
        logger.info("clock stopped")


@receiver(serving_started)
async def start(sender: Any, server: str, **kwargs: Any) -> None:
    logger.info("start in=loop sender=%s server=%s", sender.name, server)
    tasks.append(asyncio.create_task(tick()))


@receiver(serving_started)
def start_thread(**kwargs: Any) -> None:
    logger.info("start in=thread sockets=%d", realtime.of("/lab").count())
    threading.Thread(target=emit, name="site-clock", daemon=True).start()


@receiver(serving_started)
async def fail(**kwargs: Any) -> None:
    raise RuntimeError("a start that fails")


@receiver(serving_stopping)
async def stop(server: str, **kwargs: Any) -> None:
    logger.info("stop in=loop server=%s", server)
    realtime.of("/lab").emit("bye")
    for task in tasks:
        task.cancel()


@receiver(serving_stopping)
def stop_thread(**kwargs: Any) -> None:
    logger.info("stop in=thread sockets=%d", realtime.of("/lab").count())
