"""A cluster with a client, and the processes beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests import live
from tests.cluster.conftest import Connect, Member
from tests.clusters import LAYERS, LiveCluster
from tests.processes import ROOT
from tests.valkey import Valkey

NewValkey = Callable[..., Valkey]

# What each script starts with; its first argument is the room.
PREAMBLE = """
import asyncio, os, sys, threading, time
import django
django.setup()
import realtime
room = realtime.of("/cluster").to(sys.argv[1])
"""


def environment(env: dict[str, str], database: str) -> dict[str, str]:
    """Return the environment of a process of the site, with further variables."""
    return {**live.environment("tests.site.settings", database), **env}


def of_cluster(cluster: LiveCluster, **env: str) -> dict[str, str]:
    """Return the environment of a process that belongs to a cluster."""
    shared = {"REALTIME_OVERRIDES": json.dumps(cluster.realtime)}
    return environment({**shared, **cluster.env, **env}, cluster.database)


def of_layer(valkey: Valkey, layer: str) -> dict[str, str]:
    """Return the environment of a process on a layer, with no database to speak of."""
    env = {"REDIS_URL": valkey.url, "CHANNEL_LAYER": layer, "SECRET_KEY": "s" * 50}
    return environment(env, "sqlite://:memory:")


def run(code: str, env: dict[str, str], *args: str, command: tuple[str, ...] = ("-c",)) -> str:
    """Run a script to its end, and return what it printed. It must not complain."""
    done = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", *command, PREAMBLE + code, *args],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module", params=LAYERS)
def cluster(request: pytest.FixtureRequest, valkey: Valkey) -> Iterator[LiveCluster]:
    """One server, on each layer in turn."""
    with LiveCluster(("uvicorn",), valkey, request.param) as cluster:
        yield cluster


@pytest.fixture
def room() -> str:
    """A room that no other test is in."""
    return f"Room №1 {uuid4().hex}"


@pytest.fixture
async def member(cluster: LiveCluster, join: Connect, room: str) -> Member:
    """A client in the room."""
    return await join(cluster[0], room)


async def heard(member: Member, count: int) -> list[Any]:
    """Return what the client hears next."""
    return [await member.got() for _ in range(count)]
