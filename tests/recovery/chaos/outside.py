"""A process of the site without clients: it emits what is asked for on its standard input."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator

import django

from tests.clusters import LiveCluster
from tests.processes import ROOT
from tests.recovery.chaos.payloads import payload_of


def main() -> None:
    """Emit for each line, and answer each with its number once that is done."""
    django.setup()
    import realtime

    for line in sys.stdin:
        ask = json.loads(line)
        target = realtime.of(ask["namespace"]).to(*ask["rooms"]).excluding(*ask["excluded"])
        if ask["volatile"]:
            target = target.volatile()
        target.emit("n", ask["number"], *payload_of(ask["number"]))
        print(ask["number"], flush=True)


@contextlib.asynccontextmanager
async def outside_process(cluster: LiveCluster) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a process of the cluster's site that serves no clients."""
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.site.settings",
        "DATABASE_URL": cluster.database,
        "REALTIME_OVERRIDES": json.dumps(cluster.realtime),
        "PYTHONPATH": str(ROOT),
        **cluster.env,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.recovery.chaos.outside"),
        cwd=ROOT,
        env=env,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


if __name__ == "__main__":
    main()
