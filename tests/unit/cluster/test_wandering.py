"""
Clients that wander between hubs that come and go get each event once, or are told.

What befalls them is chance, but the same again with the same seed and PYTHONHASHSEED. Who looks for
faults, as with `tests.recovery.chaos`, tries more seeds:
`WANDERING_SEEDS=1-100 pytest tests/unit/cluster/test_wandering.py`.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
from collections.abc import Callable

import pytest

from realtime.hub.hub import Hub
from tests.recovery.chaos import model
from tests.unit.conftest import Serve

from .layer import Layer
from .wandering import Loop, Roaming, Run, arriving_at, tell_faults, tell_losses

FIRST, _, LAST = os.environ.get("WANDERING_SEEDS", "1-2").partition("-")
SEEDS = range(int(FIRST), int(LAST or FIRST) + 1)
SECONDS = 20.0  # which nobody waits for

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", SEEDS)
def test_who_wanders_gets_what_was_promised(
    seed: int, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(Roaming, RECOVERY={"SECONDS": 600})
    monkeypatch.setattr(model, "SLACK", 1.0)
    monkeypatch.setattr("realtime.testing.ensure_hub", arriving_at.get)
    monkeypatch.setattr("secrets.token_urlsafe", new_token)
    monkeypatch.setattr("realtime.cluster.router.time", LoopTime)
    random.seed(seed)

    def new_hub(layer: Layer) -> Hub:
        monkeypatch.setattr("realtime.hub.hub.find_layer", lambda alias, sender: layer)
        return Hub()

    with asyncio.Runner(loop_factory=Loop) as runner:
        run = runner.run(go(seed, new_hub))
    assert run.model.counts["must come"]
    lines = [*tell_faults(run), *tell_losses(run)]
    assert not lines, "\n".join(lines)


class LoopTime:
    """The time of the loop that runs."""

    @staticmethod
    def monotonic() -> float:
        return asyncio.get_running_loop().time()


async def go(seed: int, new_hub: Callable[[Layer], Hub]) -> Run:
    """Do a run, and return it."""
    run = Run(seed, SECONDS, new_hub)
    await run.go()
    return run


def new_token(size: int) -> str:
    """Return a name that is the same in each run of a seed."""
    return base64.urlsafe_b64encode(random.randbytes(size)).rstrip(b"=").decode()
