"""
What it costs to ask again who clients are, and what they may.

    python -m benchmarks.authority [--users 1000] [--sockets 5000] [--idle 10000]

A storm: all users of a group lose its permission, and each of them has several sockets in a
namespace that wants it. Then idle clients, each of a user of its own with a session in the
database, gone through once, as in each REAUTHORIZE_SECONDS. It runs in one process, with SQLite or
with the database of DATABASE_URL, and prints JSON: seconds from the commit until all were dropped,
the CPU of that, the longest turn of the event loop in CPU, and queries; for idle clients queries a
minute, seconds of threads, and bytes for each that they take more once they have been asked for.
"""

# ruff: noqa: PLC0415 (Django is set up first)
from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import tempfile
import time
import tracemalloc
from datetime import timedelta
from pathlib import Path
from typing import Any

import django
from django.conf import settings

VIEW = "realtime.view_socket"


class Queries:
    """Counts the queries of all connections from now on."""

    def __init__(self) -> None:
        from django.db import connections
        from django.db.backends.signals import connection_created

        self.count = 0
        connection_created.connect(self._watch, weak=False)
        connections.close_all()

    def _watch(self, *, connection: Any, **kwargs: Any) -> None:
        connection.execute_wrappers = [self._note]

    def _note(self, execute: Any, sql: str, *args: Any) -> Any:
        self.count += 1
        return execute(sql, *args)


def configure(url: str) -> Queries:
    """Set up a site with this database, or a new SQLite file; return what counts its queries."""
    os.environ["DATABASE_URL"] = url or f"sqlite:///{Path(tempfile.mkdtemp()) / 'db.sqlite3'}"
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.site.settings"
    django.setup()
    settings.REALTIME = {"NAMESPACES": "benchmarks.authority_site.namespaces", "PRESENCE": False}
    settings.LOGGING_CONFIG = None
    logging.getLogger("realtime").setLevel(logging.ERROR)
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    return Queries()


class Stalls:
    """Notes the longest time of CPU that the event loop took for one turn."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            self.longest = max(self.longest, time.thread_time() - before)
            await asyncio.sleep(0.001)

    def stop(self) -> float:
        """Return it."""
        self._task.cancel()
        return self.longest


def make_users(count: int, group: str) -> list[tuple[Any, str]]:
    """Return users in a group, each with the key of a session."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import Group, Permission, User
    from django.contrib.sessions.backends.db import SessionStore
    from django.utils import timezone

    members, _ = Group.objects.get_or_create(name=group)
    members.permissions.add(Permission.objects.get(codename="view_socket"))
    User.objects.bulk_create(User(username=f"{group} {n}", password="!") for n in range(count))
    users = list(User.objects.filter(username__startswith=group))
    links: Any = User.groups.through
    links.objects.bulk_create(links(user=user, group=members) for user in users)
    store = SessionStore()
    expires = timezone.now() + timedelta(days=14)
    rows, made = [], []
    for user in users:
        key = store._get_new_session_key()
        data = {SESSION_KEY: str(user.pk), HASH_SESSION_KEY: user.get_session_auth_hash()}
        data[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        text = store.encode(data)
        rows.append(store.model(session_key=key, session_data=text, expire_date=expires))
        made.append((user, key))
    store.model.objects.bulk_create(rows, batch_size=500)
    return made


async def connect(users: list[tuple[Any, str]], count: int) -> list[Any]:
    """Return so many clients of these users, in turn."""
    from realtime.testing import Client

    clients: list[Any] = []
    for number in range(count):
        client = Client(cookies={"sessionid": users[number % len(users)][1]})
        clients.append(client)
    for start in range(0, count, 100):
        await asyncio.gather(*(each.connect(timeout=60) for each in clients[start : start + 100]))
    return clients


async def storm(users: int, sockets: int, queries: Queries) -> dict[str, Any]:
    """Take a permission from a group."""
    from django.contrib.auth.models import Group

    made = await asyncio.to_thread(make_users, users, "storm")
    clients = await connect(made, sockets)
    group = await Group.objects.aget(name="storm")
    stalls = Stalls()
    began, before = time.monotonic(), time.process_time()
    await group.permissions.aclear()
    commit = time.monotonic() - began
    cleared = queries.count
    await asyncio.gather(*(client.closed(timeout=120) for client in clients))
    took = time.monotonic() - began - commit
    return {
        "users": users,
        "sockets": sockets,
        "seconds": round(took, 2),
        "seconds of CPU": round(time.process_time() - before, 2),
        "longest turn": round(stalls.stop(), 3),
        "queries": queries.count - cleared,
    }


async def idle(count: int, queries: Queries) -> dict[str, Any]:
    """Go through idle clients, twice."""
    from realtime.hub import rechecks
    from realtime.outside.process import get_hub

    made = await asyncio.to_thread(make_users, count, "idle")
    await connect(made, count)
    hub = get_hub()
    await asyncio.sleep(2)
    while hub.reasking._task is not None and not hub.reasking._task.done():
        await asyncio.sleep(0.1)
    checking = rechecks.Rechecks(hub, hub.reasking)
    connections = list(hub.connections.values())
    gc.collect()
    tracemalloc.start()
    figures: dict[str, Any] = {}
    for turn in ("first", "next"):
        asked, stalls = queries.count, Stalls()
        before, began = time.process_time(), time.monotonic()
        for start in range(0, count, rechecks.AT_ONCE):
            await checking._recheck(connections[start : start + rechecks.AT_ONCE])
        figures[f"{turn}: queries a minute"] = queries.count - asked
        figures[f"{turn}: seconds"] = round(time.monotonic() - began, 2)
        figures[f"{turn}: seconds of CPU"] = round(time.process_time() - before, 2)
        figures[f"{turn}: longest turn"] = round(stalls.stop(), 3)
        if turn == "first":
            gc.collect()
            kept, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            figures["bytes more for each"] = round(kept / count)
    return {"clients": count, **figures}


async def main(options: argparse.Namespace, queries: Queries) -> None:
    """Run both."""
    print(json.dumps(await storm(options.users, options.sockets, queries), indent=2))
    print(json.dumps(await idle(options.idle, queries), indent=2))
    from realtime.outside.process import get_hub

    await get_hub().close(grace=1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--sockets", type=int, default=5_000)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--database", default="", help="the URL of a database that is empty")
    chosen = parser.parse_args()
    asyncio.run(main(chosen, configure(chosen.database)))
