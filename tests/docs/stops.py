"""How long a stop may take, as the code has it and as the deployment guide says it."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from typing import NamedTuple

from realtime import conf, signals
from realtime.cluster import cluster
from realtime.hub import draining, lifespan
from realtime.hub.hub import Hub
from realtime.identity import lookups
from realtime.presence import writer
from realtime.recovery import store, transfers
from realtime.transports import arrivals
from tests.docs.blocks import blocks_of
from tests.packaging.guides import GUIDES

DEPLOY = GUIDES / "deploy.md"


def step_bounds() -> list[float]:
    """Return how long each step of a stop may take, in their order (see `hub.closing`)."""
    return [
        lifespan.STOP_TIMEOUT,
        conf.OPTIONS["DRAIN_SECONDS"].default,
        arrivals.PATIENCE,
        draining.HANDLERS_TIME,
        inspect.signature(Hub.close).parameters["grace"].default,
        lookups.CLOSE_TIMEOUT,
        transfers.TIMEOUT,
        store.TIMEOUT,
        signals.CLOSE_TIMEOUT,
        writer.PATIENCE,
        cluster.CLOSE_TIMEOUT,
    ]


def table_bounds() -> list[float]:
    """Return the numbers of the guide's table."""
    return [float(number) for number in re.findall(r"^\| (\d+) s \|", DEPLOY.read_text(), re.M)]


def server_grace(line: str) -> float:
    """Return how long a server's command line lets it wait when Realtime is done."""
    words = shlex.split(line)
    option = "--timeout-graceful-shutdown"
    return float(words[words.index(option) + 1]) if option in words else 0.0


class Manifest(NamedTuple):
    """What the guide's Kubernetes manifest says of its container."""

    command: list[str]
    port: int
    ready: str
    headers: dict[str, str]
    pre_stop: list[str]
    grace: float


def manifest() -> Manifest:
    """Read the guide's Kubernetes manifest, in which each of these stands once."""
    (code,) = (
        block.code
        for block in blocks_of(DEPLOY)
        if block.language == "yaml" and "kind: Deployment" in block.code
    )

    def one(pattern: str, text: str = code) -> str:
        (found,) = re.findall(pattern, text, re.M | re.S)
        return str(found)

    container = one(r"^ +containers:\n(.*)")
    probe = one(r"^ +readinessProbe:\n(.*?)^ +livenessProbe:", container)
    port = one(r"containerPort: (\d+)", container)
    assert one(r"port: (\d+)", probe) == port
    return Manifest(
        json.loads(one(r"^ {10}command: (\[.*?\])$", container))
        + json.loads(one(r"^ {10}args: (\[.*?\])$", container)),
        int(port),
        one(r"path: (\S+)", probe),
        dict(re.findall(r"\{name: (\S+), value: (\S+)\}", probe)),
        json.loads(one(r"preStop:\n +exec:\n +command: (\[.*?\])$", container)),
        float(one(r"^ {6}terminationGracePeriodSeconds: (\d+)$")),
    )
