"""
A task queue's worker, with Valkey as its broker.

With ``SAY_AT_START`` in the environment it speaks to that room before its processes are forked.
"""

from __future__ import annotations

import os
from typing import Any

import django
from celery import Celery
from celery.signals import worker_init

django.setup()

import realtime  # noqa: E402

app = Celery("site", broker=os.environ["REDIS_URL"])
app.conf.task_default_queue = os.environ["TASK_QUEUE"]
app.conf.broker_connection_retry_on_startup = True


@app.task(ignore_result=True)
def say(room: str, *args: Any) -> None:
    """Emit each argument, and the id of this process last."""
    for arg in args:
        realtime.of("/cluster").to(room).emit("said", arg)
    realtime.of("/cluster").to(room).emit("said", os.getpid())


@worker_init.connect
def say_at_start(**kwargs: Any) -> None:
    if room := os.environ.get("SAY_AT_START"):
        realtime.of("/cluster").to(room).emit("said", "parent")
