"""Sockets that wander between three servers, whatever the database does: the rows follow."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from channels.layers import channel_layers
from django.db import IntegrityError, OperationalError
from django.utils import timezone

from realtime.models import Server, Socket
from realtime.presence import writer as writer_module
from realtime.presence.changes import Changes
from realtime.presence.store import Beat, Lost, Store
from tests.unit.probes import DEADLINE

from .conftest import ask, read_rows, writer_of
from .test_interleavings import take_for_dead
from .wandering import Site, Wanderer

ERRORS = [OperationalError("away"), IntegrityError("a row is there already"), Lost()]
ROOMS = ["a", "b", "Room №1"]
STEPS = 120


class Walk:
    """Sockets, the site that each is at, if it counts, and what happens to them next."""

    def __init__(self, seed: int, sites: list[Site]) -> None:
        self.random = random.Random(seed)
        self.sites = sites
        self.at: dict[Wanderer, Site] = {}
        self.gone: list[tuple[Wanderer, Site]] = []
        self.errors: list[Exception] = []

    async def step(self) -> None:
        """Let something happen."""
        what = self.random.choices(*zip(*self.weights(), strict=True))[0]
        done: Any = what()
        if done is not None:
            await done

    def weights(self) -> list[tuple[Callable[[], Any], int]]:
        """Return what may happen, and how likely it is."""
        always = [(self.open, 3), (self.fail, 1), (self.rest, 4), (self.die, 1)]
        if not self.at:
            return always
        each = [(self.drop, 4), (self.go_back, 6), (self.adopt, 2), (self.close, 1)]
        return [*always, *each, (self.join, 3), (self.leave, 3), (self.reopen, 1)]

    def pick(self, *, away: bool | None = None) -> tuple[Wanderer, Site] | tuple[None, None]:
        """Return a socket and where it is."""
        fits = [each for each in self.at if away is None or away == (each.away_since is not None)]
        socket = self.random.choice(fits) if fits else None
        return (socket, self.at[socket]) if socket else (None, None)

    def open(self) -> None:
        site = self.random.choice(self.sites)
        self.at[site.open(*self.random.sample(ROOMS, self.random.randint(0, 2)))] = site

    def drop(self) -> None:
        socket, site = self.pick(away=False)
        if socket and site:
            site.drop(socket)

    def go_back(self) -> None:
        """Come back from being away or, as one who takes over its own old connection, at once."""
        socket, site = self.pick()
        if socket and site:
            self.at[socket] = new = self.random.choice(self.sites)
            if new is site:
                site.hub.registry.remove(socket)  # type: ignore[arg-type]
            else:
                site.give_away(socket)
            new.come_back(socket)

    def adopt(self) -> None:
        socket, site = self.pick(away=True)
        if socket and site:
            site.give_away(socket)
            self.at[socket] = heir = self.random.choice([s for s in self.sites if s is not site])
            heir.adopt(socket)

    def close(self) -> None:
        socket, site = self.pick()
        if socket and site:
            site.close(socket)
            del self.at[socket]
            self.gone.append((socket, site))

    def reopen(self) -> None:
        """Come back later than the socket counts, to any server."""
        if self.gone:
            socket, old = self.gone.pop(self.random.randrange(len(self.gone)))
            self.at[socket] = site = self.random.choice(self.sites)
            if site is not old:
                old.give_away(socket)
            socket.away_since, socket.opened_at = None, timezone.now()
            site.open(socket=socket)

    def join(self) -> None:
        socket, site = self.pick()
        room = self.random.choice(ROOMS)
        if socket and site and room not in socket.rooms:
            site.join(socket, room)

    def leave(self) -> None:
        socket, site = self.pick()
        if socket and site and socket.rooms:
            site.leave(socket, self.random.choice(sorted(socket.rooms)))

    def fail(self) -> None:
        """Let a write fail, before or after it is done."""
        self.errors.append(self.random.choice(ERRORS))

    async def die(self) -> None:
        """Let all servers be taken for dead."""
        remove = self.random.random() < 0.5
        await ask(lambda: take_for_dead(remove=remove))

    async def rest(self) -> None:
        await asyncio.sleep(self.random.random() / 200)

    def write(self, store: Store, changes: Changes, beat: Beat | None) -> None:
        """Write, and fail before or after that where it is due."""
        error = self.errors.pop() if self.errors else None
        if error is not None and len(changes.opened) % 2:
            raise error
        _write(store, changes, beat=beat)
        if error is not None:
            raise error

    def expected(self) -> dict[str, Any]:
        """Return what the rows are to tell of each socket."""
        return {
            socket.sid: (site.hub.server_id, socket.away_since, frozenset(socket.rooms))
            for socket, site in self.at.items()
        }


_write = Store.write


def read_all() -> dict[str, Any]:
    """Return what the rows tell of each socket."""
    rooms = read_rows()
    fields = Socket.objects.online().values_list("sid", "server", "away_since")
    return {sid: (server, since, rooms[sid][1]) for sid, server, since in fields}


@pytest.mark.parametrize("seed", range(6))
async def test_the_rows_follow(seed: int, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.REALTIME = {**settings.REALTIME, "RECOVERY": {"SECONDS": 120} if seed % 2 else None}
    monkeypatch.setattr(writer_module, "MAX_RETRY", 0.005)
    monkeypatch.setattr(writer_module, "BATCH", 3)
    channel_layers.backends.clear()
    sites = [Site() for _ in range(3)]
    walk = Walk(seed, sites)

    def write(self: Store, changes: Changes, *, beat: Beat | None) -> None:
        walk.write(self, changes, beat)

    monkeypatch.setattr(Store, "write", write)
    try:
        for _ in range(STEPS):
            await walk.step()
        walk.errors.clear()
        deadline = asyncio.get_running_loop().time() + DEADLINE
        while True:  # what one server starts anew with may be another's to write after
            for site in sites:
                async with asyncio.timeout_at(deadline):
                    await writer_of(site.hub).idle()
            rows, expected = await ask(read_all), walk.expected()
            if rows == expected or asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.01)
        assert rows == expected
        assert await ask(Socket.objects.count) == len(walk.at)
    finally:
        for site in sites:
            await site.stop()
    assert await ask(read_rows) == {}
    assert await ask(Server.objects.count) == 0
