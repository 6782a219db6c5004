"""What one server sends reaches the clients of another, once and in order."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import pytest

from tests.clients.wire import DEADLINE, open_socket
from tests.cluster.conftest import Connect
from tests.clusters import LiveCluster

BINARY = b"\x00\xff"


@pytest.fixture
def room() -> str:
    """A room that no other test is in."""
    return f"Room №1 {uuid4().hex}"


async def test_a_room_across_servers(pair: LiveCluster, join: Connect, room: str) -> None:
    one, two, stranger = await join(pair[0], room), await join(pair[1], room), await join(pair[1])
    await one.call("emit to", [room], [], "hi", BINARY, {"deep": [BINARY]})
    expected = ("hi", BINARY, {"deep": [BINARY]})
    assert await one.got() == expected
    assert await two.got() == expected
    await one.call("emit to", [stranger.sid], [], "last")
    assert await stranger.got() == "last"


async def test_a_union_of_rooms_arrives_once(pair: LiveCluster, join: Connect, room: str) -> None:
    one, both = await join(pair[0]), await join(pair[1], room, room + "b")
    await one.call("emit to", [room, room + "b"], [], "once")
    await one.call("emit to", [room], [], "last")
    assert [await both.got(), await both.got()] == ["once", "last"]
    assert both.pending() == 0


async def test_excluding_rooms_and_sids(pair: LiveCluster, join: Connect, room: str) -> None:
    one = await join(pair[0], room)
    left_out, muted, two = (
        await join(pair[1], room),
        await join(pair[1], room, room + "muted"),
        await join(pair[1], room),
    )
    await one.call("emit to", [room], [left_out.sid, room + "muted"], "hi")
    await one.call("emit to", [room], [], "last")
    assert [await two.got(), await two.got()] == ["hi", "last"]
    assert await left_out.got() == await muted.got() == "last"


async def test_others_are_all_but_the_sender(pair: LiveCluster, join: Connect, room: str) -> None:
    one, two = await join(pair[0], room), await join(pair[1], room)
    await one.call("say to others", room, "hi")
    assert await two.got() == "hi"
    assert one.pending() == 0


async def test_one_client_of_another_server(pair: LiveCluster, join: Connect, room: str) -> None:
    one, two, other = await join(pair[0], room), await join(pair[1], room), await join(pair[1])
    await one.call("emit to", [two.sid], [], "for you")
    assert await two.got() == "for you"
    assert one.pending() == other.pending() == 0


async def test_a_room_named_like_a_client_of_another_server(
    pair: LiveCluster, join: Connect
) -> None:
    one, two = await join(pair[0]), await join(pair[1])
    eve = await join(pair[0], two.sid)
    await one.call("emit to", [two.sid], [], "secret")
    assert await two.got() == "secret"
    await one.call("emit to", [eve.sid], [], "last")
    assert await eve.got() == "last"


async def test_order_of_many_messages(pair: LiveCluster, join: Connect, room: str) -> None:
    one, two = await join(pair[0]), await join(pair[1], room)
    await asyncio.gather(
        *(one.call("burst", room, first, first + 1000) for first in range(0, 10_000, 1000))
    )
    assert await two.read_numbers(10_000) == list(range(10_000))
    assert await two.call("lost") == 0


async def test_order_of_a_room_and_of_a_union_with_it(
    pair: LiveCluster, join: Connect, room: str
) -> None:
    one, two = await join(pair[0]), await join(pair[1], room)
    for number in range(50):
        rooms = [room, room + "b"] if number % 2 else [room]
        await one.client.io.emit("emit to", (rooms, [], number), namespace="/cluster")
    assert [await two.got() for _ in range(50)] == list(range(50))


async def test_remote_join_and_leave(pair: LiveCluster, join: Connect, room: str) -> None:
    one, two = await join(pair[0]), await join(pair[1], room)
    await one.call("move", [room], "join", room + "new")
    await one.call("emit to", [room + "new"], [], "joined")
    assert await two.got() == "joined"
    await one.call("move", [two.sid], "leave", room + "new")
    await one.call("emit to", [room + "new"], [], "nobody hears it")
    await one.call("emit to", [room], [], "last")
    assert await two.got() == "last"


async def test_a_message_right_after_a_remote_join(
    pair: LiveCluster, join: Connect, room: str
) -> None:
    one, two = await join(pair[0]), await join(pair[1], room)
    await one.call("move and say", room, room + "new", "you are in")
    assert await two.got() == "you are in"


async def test_remote_close(pair: LiveCluster, join: Connect, room: str) -> None:
    one, two = await join(pair[0]), await join(pair[1], room)
    await one.call("move", [room], "close")
    async with asyncio.timeout(DEADLINE):
        namespace, _ = await two.client.left.get()
    assert namespace == "/cluster"


async def test_ending_the_whole_connection_of_another_server(
    pair: LiveCluster, join: Connect, room: str
) -> None:
    one, other = await join(pair[0]), await join(pair[1])
    async with open_socket(pair[1], "/cluster", {"rooms": [room]}) as (wire, _):
        await wire.join_namespace("/lab")
        await one.call("end", [room])
        code, frames = await wire.closed()
    assert (code, sorted(map(str, frames))) == (1000, ["41/cluster,", "41/lab,"])
    assert await other.call("lost") == 0, "it is still there"


# Questions


async def test_call_collects_every_answer(pair: LiveCluster, join: Connect, room: str) -> None:
    one, two, three = (
        await join(pair[0], room),
        await join(pair[1], room),
        await join(pair[1], room),
    )
    one.answer(lambda question: question)
    two.answer(lambda question: (question, BINARY))
    three.answer(lambda question: None)
    answers, missing = await one.call("ask room", [room], "ready?", 15)
    assert answers == {one.sid: "ready?", two.sid: ["ready?", BINARY], three.sid: None}
    assert missing == []


async def test_call_names_who_did_not_answer(pair: LiveCluster, join: Connect, room: str) -> None:
    one, two = await join(pair[0], room), await join(pair[1], room)
    silent = [await join(pair[0], room), await join(pair[1], room)]
    one.answer(lambda question: 1)
    two.answer(lambda question: 2)
    over = asyncio.Event()

    async def hesitate(question: str) -> None:
        await over.wait()

    for each in silent:
        each.answer(hesitate)
    answers, missing = await one.call("ask room", [room], "ready?", 2)
    over.set()
    assert answers == {one.sid: 1, two.sid: 2}
    assert missing == sorted(each.sid for each in silent)


async def test_call_to_a_client_that_is_gone_returns_at_once(
    pair: LiveCluster, join: Connect, room: str
) -> None:
    one, two = await join(pair[0]), await join(pair[1])
    await two.client.close()
    start = time.monotonic()
    assert await one.call("ask room", [two.sid], "ready?", 30) == ({}, [two.sid])
    assert time.monotonic() - start < 20  # and not the call's timeout


# HTTP


async def test_private_message_by_any_server(pair: LiveCluster, join: Connect) -> None:
    two = await join(pair[1])
    answer = await asyncio.to_thread(
        pair[0].post, f"/client/{two.sid}", json={"event": "said", "args": ["hi", 1]}
    )
    assert answer.status_code == 200, answer.text
    assert await two.got() == ("hi", 1)
    await two.client.close()
    await pair[1].logged(f"disconnect .*{two.sid}")
    answer = await asyncio.to_thread(pair[0].post, f"/client/{two.sid}")
    assert (answer.status_code, answer.json()) == (404, {"message": "Client not found"})


async def test_private_message_to_a_server_that_never_was(pair: LiveCluster, join: Connect) -> None:
    answer = await asyncio.to_thread(pair[0].post, "/client/nobodyAAAAAAAAAAAAAAAAAAAA")
    assert answer.status_code == 404
