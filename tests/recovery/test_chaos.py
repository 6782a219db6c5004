"""Some seconds of the random run, which `python -m tests.recovery.chaos` does for any time."""

from __future__ import annotations

import pytest

from tests.conftest import ClusterFactory
from tests.recovery.chaos.run import Plan, Run
from tests.recovery.conftest import RECOVERY


@pytest.mark.parametrize("log", ["memory", "redis"])
async def test_clients_get_what_they_were_promised(new_cluster: ClusterFactory, log: str) -> None:
    """How much is done depends on the machine, what must not be does not."""
    kinds = ("daphne", "uvicorn", "uvicorn")
    realtime = {"RECOVERY": {**RECOVERY, "LOG": log}}
    cluster = new_cluster(kinds, layer="pubsub", realtime=realtime)
    plan = Plan(seconds=15, clients=12, restart_every=4, stalls_every=0, survives=log == "redis")
    outcome = await Run(cluster, plan).go()
    assert not outcome.faults, "\n".join(outcome.lines)
    counts = outcome.counts
    assert counts["recovered"], counts
    assert counts["must come"], counts
    assert counts["SIGTERM"] + counts["SIGKILL"], counts
