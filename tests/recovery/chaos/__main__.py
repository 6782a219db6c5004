"""The command: ``python -m tests.recovery.chaos --seconds 600 --seed 1``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from realtime.utils.recovery import LOGS
from tests.clusters import LAYERS, LiveCluster
from tests.recovery.chaos.run import Plan, Run
from tests.valkey import Valkey


def main() -> int:
    """Run it; return 1 where anything was that must not be, as the last lines say."""
    parser = argparse.ArgumentParser(prog="python -m tests.recovery.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=48)
    parser.add_argument("--kills", type=float, default=0.3, help="of all ends of servers")
    parser.add_argument("--restart-every", type=float, default=8, help="seconds, about")
    parser.add_argument("--stalls-every", type=float, default=12, help="seconds, about; 0 for none")
    parser.add_argument("--layer", choices=LAYERS, default="pubsub")
    parser.add_argument("--log", choices=LOGS, default="memory", help="where events are kept")
    parser.add_argument("--servers", nargs="+", default=["daphne", "uvicorn", "uvicorn"])
    parser.add_argument("--logs", type=Path, help="a folder for what the servers have said")
    options = parser.parse_args()
    plan = Plan(
        options.seconds,
        options.seed,
        options.clients,
        restart_every=options.restart_every,
        kills=options.kills,
        stalls_every=options.stalls_every,
        survives=options.log != "memory" and options.layer == "pubsub",
    )
    realtime = {"RECOVERY": {"SECONDS": 120, "LOG": options.log}}
    with (
        Valkey() as valkey,
        LiveCluster(options.servers, valkey, options.layer, realtime=realtime) as cluster,
    ):
        run = Run(cluster, plan)
        outcome = asyncio.run(run.go())
        if options.logs:
            for server in run.servers.all:
                (options.logs / f"{server.port}.log").write_text(server.live.log)
    print("\n".join(outcome.lines))
    return bool(outcome.failures)


if __name__ == "__main__":
    sys.exit(main())
