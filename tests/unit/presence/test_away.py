"""Sockets whose clients are away, and come back, here or on another server."""

from __future__ import annotations

import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from channels.layers import channel_layers
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import OperationalError, connection, connections
from django.utils import timezone
from pytest_django import Settings

import realtime
from realtime.models import Membership, Server, Socket
from realtime.presence.changes import Changes
from realtime.presence.store import Beat, Store

from .conftest import ask, named, rows, until, writer_of
from .test_interleavings import take_for_dead
from .wandering import Site, Wanderer, facts


@pytest.fixture
async def sites() -> AsyncIterator[list[Site]]:
    """Two hubs that share the database."""
    channel_layers.backends.clear()
    sites = [Site(), Site()]
    yield sites
    for site in sites:
        await site.stop()


class Gates:
    """Stands before every write of each server: closed gates are opened by the test."""

    def __init__(self) -> None:
        self._gates: dict[str, threading.Event] = {}
        self.waiting: set[str] = set()

    def close(self, site: Site) -> None:
        """Let this server write nothing until `open`."""
        self._gates[site.hub.server_id] = threading.Event()

    async def at(self, site: Site) -> None:
        """Wait until it stands before a write."""
        await until(lambda: site.hub.server_id in self.waiting)

    def open(self, site: Site) -> None:
        """Let it write."""
        self.waiting.discard(site.hub.server_id)
        self._gates.pop(site.hub.server_id).set()

    def open_all(self) -> None:
        """Let all write."""
        for gate in self._gates.values():
            gate.set()

    def pass_through(self, server: str) -> None:
        """Wait where the gate is closed."""
        if (gate := self._gates.get(server)) is not None:
            self.waiting.add(server)
            assert gate.wait(20)


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gates]:
    """What stands before every write."""
    gates, write = Gates(), Store.write

    def gated(self: Store, changes: Changes, *, beat: Beat | None) -> None:
        gates.pass_through(self._id)
        write(self, changes, beat=beat)

    monkeypatch.setattr(Store, "write", gated)
    yield gates
    gates.open_all()


async def row(sid: str) -> Socket:
    """Return the row of a socket."""
    found: Socket = await ask(lambda: Socket.objects.select_related("server", "user").get(pk=sid))
    return found


async def is_online(sid: str) -> bool:
    """Tell whether a socket counts."""
    return bool(await ask(Socket.objects.online().filter(pk=sid).exists))


async def joined_at(sid: str) -> dict[str, datetime]:
    """Return since when a socket is in its rooms, as presence has it."""
    members = Membership.objects.filter(socket=sid)
    return dict(await ask(lambda: list(members.values_list("room", "joined_at"))))


async def die(site: Site) -> None:
    """Let a server write nothing more, and be taken for dead."""
    writer_of(site.hub)._task.cancel()
    me = Server.objects.filter(pk=site.hub.server_id)
    await ask(lambda: me.update(seen_at="2020-01-01T00:00Z"))


# Away


async def test_who_is_away_counts_as_before(sites: list[Site]) -> None:
    here, _ = sites
    stays, drops = here.open("a"), here.open("a", "b")
    await here.written()
    before = timezone.now()
    here.drop(drops)
    await here.written()
    found = await row(drops.sid)
    assert found.is_away
    assert found.away_since is not None
    assert before <= found.away_since <= timezone.now()
    assert not (await row(stays.sid)).is_away
    assert await ask(Socket.objects.online().count) == 2
    assert await realtime.of().to("a").acount() == 2
    assert await realtime.of().to("b").acount() == 1
    assert [room.sockets async for room in realtime.of().rooms().order_by("name")] == [2, 1]
    sockets = realtime.of().sockets()
    assert [socket.sid async for socket in sockets.away()] == [drops.sid]
    assert [socket.sid async for socket in sockets.present()] == [stays.sid]
    assert await rows() == {stays.sid: ("/", {"a"}), drops.sid: ("/", {"a", "b"})}


async def test_rooms_of_who_is_away(sites: list[Site]) -> None:
    here, _ = sites
    socket = here.open("a", "b")
    await here.written()
    here.drop(socket)
    await here.written()
    here.join(socket, "c")
    here.leave(socket, "a")
    await here.written()
    assert await rows() == {socket.sid: ("/", {"b", "c"})}
    assert (await row(socket.sid)).is_away


async def test_who_stays_away_is_gone(sites: list[Site]) -> None:
    here, _ = sites
    socket = here.open("a")
    await here.written()
    here.drop(socket)
    await here.written()
    here.close(socket)
    await here.written()
    assert await rows() == {}


async def test_all_of_it_between_two_writes(sites: list[Site], gates: Gates) -> None:
    here, _ = sites
    await here.written()
    gates.close(here)
    first = here.open("a")
    await gates.at(here)
    drops, returns, leaves = here.open("a"), here.open("a"), here.open("a")
    for socket in (first, drops, returns, leaves):
        here.drop(socket)
    returns.facts = facts("second", transport="polling")
    here.come_back(returns)
    here.join(returns, "b")
    here.close(leaves)
    gates.open(here)
    await here.written()
    assert await rows() == {
        first.sid: ("/", {"a"}),
        drops.sid: ("/", {"a"}),
        returns.sid: ("/", {"a", "b"}),
    }
    found = [await row(socket.sid) for socket in (first, drops, returns)]
    assert [each.is_away for each in found] == [True, True, False]
    assert found[2].transport == "polling"


# Back


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
async def test_who_comes_back_has_never_left(sites: list[Site], elsewhere: bool) -> None:
    here, there = sites
    user = await ask(lambda: get_user_model().objects.create(username="ann"))
    socket = here.open("kept", "left", shared='{"name": "Ada"}', facts=facts(user=user))
    await here.written()
    first, since = await row(socket.sid), await joined_at(socket.sid)
    here.drop(socket)
    await here.written()
    site = there if elsewhere else here
    if elsewhere:
        here.give_away(socket)
    socket.rooms = {"kept", "new"}
    socket.facts = facts(
        "second", user=user, address="10.0.0.2", user_agent="Test/2", transport="polling"
    )
    site.come_back(socket)
    await site.written()
    second = await row(socket.sid)
    assert second.server_id == site.hub.server_id
    assert second.away_since is None
    assert second.connected_at == first.connected_at
    assert (second.connection, second.transport) == ("second", "polling")
    assert (second.address, second.user_agent) == ("10.0.0.2", "Test/2")
    assert (second.user, second.data) == (user, {"name": "Ada"})
    assert await rows() == {socket.sid: ("/", {"kept", "new"})}
    assert (await joined_at(socket.sid))["kept"] == since["kept"]
    assert await ask(Socket.objects.online().count) == 1
    site.join(socket, "more")
    site.leave(socket, "kept")
    await site.written()
    assert await rows() == {socket.sid: ("/", {"new", "more"})}


async def test_a_live_socket_that_is_taken_over(sites: list[Site]) -> None:
    here, there = sites
    socket = here.open("a")
    await here.written()
    here.give_away(socket)
    there.come_back(socket)
    await there.written()
    assert (await row(socket.sid)).server_id == there.hub.server_id
    assert await rows() == {socket.sid: ("/", {"a"})}


async def test_it_wanders_to_and_fro(sites: list[Site]) -> None:
    socket = sites[0].open("a")
    for turn in range(6):
        old, new = sites[turn % 2], sites[(turn + 1) % 2]
        old.drop(socket)
        old.give_away(socket)
        new.come_back(socket)
        new.join(socket, f"room {turn}")
        await new.written()
        assert (await row(socket.sid)).server_id == new.hub.server_id
    assert await rows() == {socket.sid: ("/", {"a", *(f"room {turn}" for turn in range(6))})}


async def test_many_at_once(sites: list[Site]) -> None:
    here, there = sites
    sockets = [here.open("all", f"room {number % 7}") for number in range(1200)]
    await here.written()
    for socket in sockets:
        here.drop(socket)
    await here.written()
    for socket in sockets:
        here.give_away(socket)
        there.come_back(socket)
    await there.written()
    assert await ask(Socket.objects.filter(server=there.hub.server_id).count) == 1200
    assert await rows() == {socket.sid: ("/", socket.rooms) for socket in sockets}
    assert await ask(Socket.objects.all().away().count) == 0


async def test_one_that_counted_no_more_is_new(sites: list[Site], gates: Gates) -> None:
    """The old server's removal may be late: the new row is not what it removes."""
    here, there = sites
    socket = here.open("a")
    await here.written()
    first = await row(socket.sid)
    here.drop(socket)
    await here.written()
    gates.close(here)
    here.close(socket)
    await gates.at(here)
    socket.away_since, socket.opened_at = None, timezone.now()
    there.open(socket=socket)
    await there.written()
    second = await row(socket.sid)
    assert second.server_id == there.hub.server_id
    assert second.connected_at > first.connected_at
    gates.open(here)
    await here.written()
    assert await rows() == {socket.sid: ("/", {"a"})}
    assert await is_online(socket.sid)


async def test_one_that_counted_no_more_comes_back_to_where_it_was(
    sites: list[Site], settings: Settings, records: list[Any], gates: Gates
) -> None:
    """On another server's way out: with recovery no row that is still there is in the way."""
    settings.REALTIME = {**settings.REALTIME, "RECOVERY": {"SECONDS": 120}}
    home, there = Site(), sites[0]
    socket = home.open("a")
    await home.written()
    home.give_away(socket)
    there.come_back(socket)
    await there.written()
    gates.close(there)
    there.close(socket)
    await gates.at(there)
    home.open(socket=socket)
    await home.written()
    gates.open(there)
    await there.written()
    assert (await row(socket.sid)).server_id == home.hub.server_id
    assert not named(records, "presence-lost")
    await home.stop()
    assert await rows() == {}


# What the old server does later


async def test_what_waits_to_be_written_is_not(sites: list[Site], gates: Gates) -> None:
    here, there = sites
    socket, other = here.open("a"), here.open()
    await here.written()
    gates.close(here)
    here.join(other, "busy")
    await gates.at(here)
    here.drop(socket)
    here.join(socket, "late")
    here.leave(socket, "a")
    here.give_away(socket)
    socket.rooms = {"a", "new"}
    there.come_back(socket)
    await there.written()
    gates.open(here)
    await here.written()
    assert await rows() == {socket.sid: ("/", {"a", "new"}), other.sid: ("/", {"busy"})}
    assert not (await row(socket.sid)).is_away


LATE: dict[str, Callable[[Site, Wanderer], None]] = {
    "opened": lambda site, socket: None,
    "joined": lambda site, socket: site.join(socket, "late"),
    "left": lambda site, socket: site.leave(socket, "a"),
    "away": lambda site, socket: site.drop(socket),
    "closed": lambda site, socket: site.close(socket),
    "back": lambda site, socket: (site.drop(socket), site.come_back(socket))[0],
}


@pytest.mark.parametrize("late", sorted(LATE))
async def test_what_is_being_written_is_taken_back(
    late: str, sites: list[Site], gates: Gates, records: list[Any]
) -> None:
    here, there = sites
    await here.written()
    if late == "opened":
        gates.close(here)
        socket = here.open("a")
    else:
        socket = here.open("a")
        await here.written()
        gates.close(here)
        LATE[late](here, socket)
    await gates.at(here)
    here.give_away(socket)
    socket.rooms, socket.facts = {"a", "new"}, facts("second")
    there.come_back(socket)
    await there.written()
    gates.open(here)
    await here.written()
    found = await row(socket.sid)
    assert (found.server_id, found.connection) == (there.hub.server_id, "second")
    assert not found.is_away
    assert await rows() == {socket.sid: ("/", {"a", "new"})}
    assert not named(records, "presence-lost")


@pytest.mark.parametrize("late", sorted(set(LATE) - {"opened"}))
async def test_what_is_written_and_not_committed_is_taken_back(
    late: str, sites: list[Site], monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    """
    The session moves while the old server's transaction is open: that ends before the new server's
    begins to write this row, or is made again without it.
    """
    here, there = sites
    socket, other = here.open("a"), here.open()
    await here.written()
    await there.written()
    server, original, written = here.hub.server_id, Store._write, threading.Event()
    released = threading.Event()

    def write(self: Store, changes: Changes) -> None:
        original(self, changes)
        if self._id == server and changes and not written.is_set():
            written.set()
            assert released.wait(20)

    monkeypatch.setattr(Store, "_write", write)
    LATE[late](here, socket)
    here.join(other, "kept")
    await until(written.is_set)
    here.give_away(socket)
    socket.rooms, socket.facts, socket.away_since = {"a", "new"}, facts("second"), None
    there.come_back(socket)
    here.hub.loop.call_later(0.05, released.set)  # the new server is waiting, or about to
    await there.written()
    await here.written()
    found = await row(socket.sid)
    assert (found.server_id, found.connection) == (there.hub.server_id, "second")
    assert not found.is_away
    assert await rows() == {socket.sid: ("/", {"a", "new"}), other.sid: ("/", {"kept"})}
    assert not named(records, "presence-lost")


async def test_a_late_write_is_made_again_without_what_moved(sites: list[Site]) -> None:
    """The old server writes the row after the new one has: all of that transaction is undone."""
    here, there = sites
    await here.written()
    socket, other = Wanderer(f"{here.hub.server_id}-moved"), here.open("a")
    socket.rooms = {"a"}
    there.come_back(socket)
    await here.written()
    await there.written()
    changes, attempts = Changes(), []
    changes.come_back(socket, [], timezone.now())
    changes.drop(other.sid, timezone.now())
    store, original = Store(writer_of(here.hub)._description), Store._write

    def write(self: Store, changes: Changes) -> None:
        original(self, changes)
        if self is store:
            attempts.append(sorted(changes.opened))
            changes.withdrawn.add(socket.sid)  # as the hub's loop does

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "_write", write)
        await ask(lambda: store.write(changes, beat=None))
    assert attempts == [[socket.sid], []]
    assert (await row(socket.sid)).server_id == there.hub.server_id
    assert await rows() == {socket.sid: ("/", {"a"}), other.sid: ("/", {"a"})}
    assert (await row(other.sid)).is_away


async def test_the_end_of_the_old_server(sites: list[Site]) -> None:
    here, there = sites
    moves, adopted, stays = here.open("a"), here.open("b"), here.open("c")
    here.drop(adopted)
    await here.written()
    for socket in (moves, adopted):
        here.give_away(socket)
    there.come_back(moves)
    there.adopt(adopted)
    await there.written()
    await here.stop()
    assert stays.sid not in await rows()
    assert await rows() == {moves.sid: ("/", {"a"}), adopted.sid: ("/", {"b"})}
    found = await row(adopted.sid)
    assert (found.server_id, found.away_since) == (there.hub.server_id, adopted.away_since)
    assert await ask(Socket.objects.online().count) == 2


async def test_the_death_of_the_old_server(sites: list[Site]) -> None:
    here, there = sites
    moves, dies = here.open("a"), here.open("b")
    here.drop(dies)
    await here.written()
    here.give_away(moves)
    there.come_back(moves)
    await there.written()
    writer_of(here.hub)._task.cancel()
    await ask(
        lambda: Server.objects.filter(pk=here.hub.server_id).update(seen_at="2020-01-01T00:00Z")
    )
    assert [socket.sid async for socket in realtime.of().sockets()] == [moves.sid]
    store = Store(writer_of(there.hub)._description)
    swept = await ask(store.sweep)
    assert swept == (here.hub.server_id, True)
    assert await rows() == {moves.sid: ("/", {"a"})}


async def test_one_that_comes_back_while_its_dead_server_is_swept(
    sites: list[Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = sites
    moves, dies = here.open("a"), here.open("b")
    await here.written()
    await there.written()
    writer_of(here.hub)._task.cancel()
    await ask(
        lambda: Server.objects.filter(pk=here.hub.server_id).update(seen_at="2020-01-01T00:00Z")
    )
    here.give_away(moves)
    original, entered = Store._remove_some, threading.Event()

    def remove(self: Store, *args: Any, **options: Any) -> bool:
        entered.set()
        return bool(original(self, *args, **options))

    monkeypatch.setattr(Store, "_remove_some", remove)
    store = Store(writer_of(there.hub)._description)
    sweeping = there.hub.loop.create_task(ask(store.sweep))
    await until(entered.is_set)
    there.come_back(moves)
    await there.written()
    await sweeping
    while await ask(store.sweep) is not None:
        pass
    assert await rows() == {moves.sid: ("/", {"a"})}
    assert dies.sid not in await rows()


# Writing anew


@pytest.mark.parametrize("remove", [True, False], ids=["removed", "late"])
async def test_a_writer_that_starts_anew_writes_who_is_away(
    sites: list[Site], remove: bool, records: list[Any]
) -> None:
    here, there = sites
    user = await ask(lambda: get_user_model().objects.create(username="ann"))
    present, drops = here.open("a"), here.open("a", "b", facts=facts(user=user))
    moved, came = here.open("a"), there.open("b")
    await here.written()
    here.drop(drops)
    here.give_away(moved)
    there.come_back(moved)
    there.give_away(came)
    here.come_back(came)
    for site in sites:
        await site.written()
    first = await row(drops.sid)
    await ask(lambda: take_for_dead(remove=remove))
    for site in sites:
        await writer_of(site.hub).idle()
    assert named(records, "presence-lost")
    assert await rows() == {
        present.sid: ("/", {"a"}),
        drops.sid: ("/", {"a", "b"}),
        moved.sid: ("/", {"a"}),
        came.sid: ("/", {"b"}),
    }
    second = await row(drops.sid)
    assert second.away_since == drops.away_since
    assert (second.user, second.connected_at) == (user, first.connected_at)
    assert not (await row(present.sid)).is_away
    servers = {site.hub.server_id for site in sites}
    assert {(await row(sid)).server_id for sid in (moved.sid, came.sid)} == servers


async def test_a_row_that_was_never_taken_over(
    sites: list[Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the new server could not write, its next start takes the old server's row over."""
    here, there = sites
    comes, goes = here.open("a"), here.open("a")
    await here.written()
    await there.written()
    failing, original = [True], Store.write

    def write(self: Store, changes: Changes, *, beat: Beat | None) -> None:
        if failing and self._id == there.hub.server_id and changes:
            raise OperationalError("away")
        original(self, changes, beat=beat)

    monkeypatch.setattr(Store, "write", write)
    for socket in (comes, goes):
        here.give_away(socket)
        there.come_back(socket)
    await until(lambda: writer_of(there.hub).is_down)
    assert (await row(comes.sid)).server_id == here.hub.server_id
    failing.clear()
    await writer_of(there.hub).idle()
    there.close(goes)
    await there.written()
    assert await rows() == {comes.sid: ("/", {"a"})}
    assert (await row(comes.sid)).server_id == there.hub.server_id


@pytest.mark.parametrize("end", ["it counts no more", "its server dies"])
async def test_a_row_that_is_never_taken_over(
    sites: list[Site], monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """Where the new server has no database the old one removes it, but not before its time."""
    here, there = sites
    goes, comes, again = here.open("a"), here.open("b"), here.open("c")
    here.drop(goes)
    await here.written()
    await there.written()
    failing, original = [True], Store.write

    def write(self: Store, changes: Changes, *, beat: Beat | None) -> None:
        if failing and self._id == there.hub.server_id and changes:
            raise OperationalError("away")
        original(self, changes, beat=beat)

    monkeypatch.setattr(Store, "write", write)
    for socket in (goes, comes, again):
        here.give_away(socket)
    there.adopt(goes)
    await until(lambda: writer_of(there.hub).is_down)
    there.close(goes)
    if end == "its server dies":
        await die(there)
    else:
        failing.clear()
        await writer_of(there.hub).idle()
        there.come_back(comes)
        await there.written()
    here.come_back(again)
    await writer_of(here.hub).idle()
    assert goes.sid in await rows()
    departed = writer_of(here.hub)._departed
    departed.update(dict.fromkeys(departed, -math.inf))
    await writer_of(here.hub).idle()
    left = {again.sid: ("/", {"c"})}
    if end == "it counts no more":
        left[comes.sid] = ("/", {"b"})
        assert (await row(comes.sid)).server_id == there.hub.server_id
    assert await rows() == left
    assert not departed


async def test_one_that_comes_and_goes_between_two_writes(sites: list[Site], gates: Gates) -> None:
    here, there = sites
    socket = here.open("a")
    await here.written()
    await there.written()
    gates.close(there)
    there.open()
    await gates.at(there)
    here.give_away(socket)
    there.come_back(socket)
    there.close(socket)
    gates.open(there)
    await there.written()
    assert socket.sid not in await rows()


# The table


def test_the_migration_goes_back(transactional_db: None) -> None:
    if connection.vendor == "mysql":
        pytest.skip("other tests share this database, and MariaDB's migrations are no transactions")
    call_command("migrate", "realtime", "0004", verbosity=0)
    try:
        columns = connection.introspection.get_table_description(
            connection.cursor(), Socket._meta.db_table
        )
        assert "away_since" not in [column.name for column in columns]
    finally:
        call_command("migrate", "realtime", verbosity=0)
        connections.close_all()
