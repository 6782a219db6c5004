"""
Clients that wander between hubs that come and go get each event once, or are told.

By chance, so they are for who looks for faults, as `tests.recovery.chaos` is, and not for each run
of the tests: `WANDERING_SEEDS=100 pytest tests/unit/cluster/test_wandering.py`.
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

SEEDS = range(int(os.environ.get("WANDERING_SEEDS", "0")))
SECONDS = 20.0  # which nobody waits for


@pytest.mark.parametrize("seed", SEEDS)
def test_who_wanders_gets_what_was_promised(
    seed: int, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(Roaming, RECOVERY={"SECONDS": 600})
    monkeypatch.setattr(model, "SLACK", 1.0)
    monkeypatch.setattr("realtime.testing.ensure_hub", arriving_at.get)
    monkeypatch.setattr("secrets.token_urlsafe", new_token)
    random.seed(seed)

    def new_hub(layer: Layer) -> Hub:
        monkeypatch.setattr("realtime.hub.hub.new_layer", lambda alias: layer)
        return Hub()

    with asyncio.Runner(loop_factory=Loop) as runner:
        run = runner.run(go(seed, new_hub))
    assert run.model.counts["must come"]
    lines = [*tell_faults(run), *tell_losses(run)]
    assert not lines, "\n".join(lines)


async def go(seed: int, new_hub: Callable[[Layer], Hub]) -> Run:
    """Do a run, and return it."""
    run = Run(seed, SECONDS, new_hub)
    await run.go()
    return run


def new_token(size: int) -> str:
    """Return a name that is the same in each run of a seed."""
    return base64.urlsafe_b64encode(random.randbytes(size)).rstrip(b"=").decode()
