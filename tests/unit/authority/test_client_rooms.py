"""Rooms that clients join by themselves, as far as `may_join` lets them."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import realtime
from realtime import ClientRooms, NamespaceConsumer
from realtime.testing import Client
from tests.unit.conftest import Connect, Serve
from tests.unit.probes import Probe

OK = {"ok": True}


def error(code: str, message: str) -> dict[str, Any]:
    """Return an acknowledgement with an error."""
    return {"error": {"code": code, "message": message, "data": None}}


NOT_IN = error("forbidden", "you may not join this room")
NOT_OUT = error("forbidden", "you may not leave this room")
TOO_MANY = error("too_many_rooms", "a client may join 3 rooms")


class Chat(ClientRooms, NamespaceConsumer):
    """Lets clients into rooms with one letter; and puts them into "lobby"."""

    max_client_rooms = 3

    async def connect(self, auth: dict[str, Any]) -> None:
        if not self.recovered:
            self.join("lobby")

    async def may_join(self, room: str) -> bool:
        return len(room) == 1


class PlainChat(Chat):
    """The same, in threads."""

    def may_join(self, room: str) -> bool:
        assert threading.current_thread() is not threading.main_thread()
        return len(room) == 1


@pytest.fixture(params=[Chat, PlainChat])
def chat(request: pytest.FixtureRequest, serve: Serve) -> None:
    """One of the classes, served at "/"."""
    serve(request.param)


def rooms_of(client: Client) -> set[str]:
    """Return the rooms of a client, as its consumer sees them."""
    assert client._session is not None
    return set(client._session.sockets["/"].consumer.rooms)  # type: ignore[attr-defined]


@pytest.mark.usefixtures("chat")
async def test_a_client_joins_and_leaves(connect: Connect) -> None:
    client, other = await connect(), await connect()
    assert await client.call("join", "a") == OK
    assert rooms_of(client) == {"lobby", "a"}
    realtime.to("a").emit("said", 1)
    assert await client.receive() == ("said", 1)
    assert await client.call("leave", "a") == OK
    realtime.to("a").emit("said", 2)
    assert rooms_of(client) == {"lobby"}
    assert client.pending() == other.pending() == 0


@pytest.mark.usefixtures("chat")
@pytest.mark.parametrize(
    ("event", "args", "code"),
    [
        ("join", ["secret"], "forbidden"),
        ("join", [""], "forbidden"),
        ("join", ["lobby"], "forbidden"),
        ("leave", ["lobby"], "forbidden"),
        ("join", ["a" * 256], "invalid_name"),
        ("leave", ["a" * 256], "invalid_name"),
        ("join", ["\0user 7"], "invalid_name"),
        ("join", [], "invalid_arguments"),
        ("join", [7], "invalid_arguments"),
        ("join", [None], "invalid_arguments"),
        ("join", [["a"]], "invalid_arguments"),
        ("leave", [{"room": "a"}], "invalid_arguments"),
    ],
)
async def test_what_is_refused(connect: Connect, event: str, args: list[Any], code: str) -> None:
    client = await connect()
    answer = await client.call(event, *args)
    assert answer["error"]["code"] == code
    assert rooms_of(client) == {"lobby"}


@pytest.mark.usefixtures("chat")
async def test_leaving_is_done_where_it_was_done_before(connect: Connect) -> None:
    client = await connect()
    for room in ("a", "secret", ""):
        assert await client.call("leave", room) == OK


@pytest.mark.usefixtures("chat")
async def test_rooms_are_bounded_in_number(connect: Connect) -> None:
    client = await connect()
    for room in "abc":
        assert await client.call("join", room) == OK
    assert await client.call("join", "d") == TOO_MANY
    assert await client.call("join", "a") == OK, "it is there already"
    assert await client.call("leave", "b") == OK
    assert await client.call("join", "d") == OK
    assert rooms_of(client) == {"lobby", "a", "c", "d"}


async def test_nobody_joins_where_a_site_has_not_said_who(serve: Serve, connect: Connect) -> None:
    class Bare(ClientRooms):
        pass

    serve(Bare)
    client = await connect()
    assert await client.call("join", "a") == NOT_IN
    assert rooms_of(client) == set()


async def test_a_failure_lets_nobody_in(serve: Serve, connect: Connect) -> None:
    class Failing(ClientRooms):
        async def may_join(self, room: str) -> bool:
            raise RuntimeError("secret")

    serve(Failing)
    client = await connect()
    assert await client.call("join", "a") == error("server_error", "server error")
    assert rooms_of(client) == set()


async def test_a_room_that_is_lost_by_asking_again(serve: Serve, connect: Connect) -> None:
    allowed = {"a"}

    class Changing(ClientRooms):
        async def may_join(self, room: str) -> bool:
            return room in allowed

    serve(Changing)
    client = await connect()
    assert await client.call("join", "a") == OK
    allowed.clear()
    assert await client.call("join", "a") == NOT_IN
    assert rooms_of(client) == set()


async def test_a_site_writes_more_around_it(serve: Serve, connect: Connect, probe: Probe) -> None:
    class Noting(Chat):
        async def on_join(self, room: str) -> Any:
            answer = await super().on_join(room)
            probe.note(room)
            return answer

        on_leave = None  # type: ignore[assignment]

    serve(Noting)
    client = await connect()
    assert await client.call("join", "a") == OK
    assert await client.call("join", "secret") == NOT_IN
    assert await probe.next() == "a"
    assert await probe.empty()
    client.emit("leave", "a")
    assert await client.call("join", "b") == OK
    assert rooms_of(client) == {"lobby", "a", "b"}


async def test_a_room_of_the_sites_is_left_by_the_site(serve: Serve, connect: Connect) -> None:
    """What others make a client leave it has not joined any more, whoever puts it there again."""
    serve(Chat)
    client = await connect()
    assert await client.call("join", "a") == OK
    realtime.to(client.sid).leave("a")
    realtime.to(client.sid).join("a")
    assert rooms_of(client) == {"lobby", "a"}
    assert await client.call("leave", "a") == NOT_OUT
