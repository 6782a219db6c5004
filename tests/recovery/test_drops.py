"""Clients that drop and come back to their server: nothing is missing, and nothing comes twice."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from tests.clients.javascript import Node
from tests.conftest import ServerFactory
from tests.live import LiveServer
from tests.recovery.travellers import NAMESPACE, Driver, Travels, driver_at

BINARY = b"\x00\x01\xfe\xff"


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "unnoticed"])
async def test_a_drop(
    server: LiveServer, travel: Travels, driver: Driver, room: str, noticed: bool
) -> None:
    """One that the server does not notice ends as the client is back: it takes over."""
    client = await travel(server, room)
    await driver.count([room], 0, 3)
    async with client.away(noticed=noticed):
        await driver.count([room], 3, 6)
    await driver.count([room], 6, 9)
    await client.got(*range(9))
    assert (await client.state())["recovered"] is True


async def test_a_client_that_ends_its_engine(
    server: LiveServer, node: Node, travel: Travels, driver: Driver, room: str
) -> None:
    client = await travel(server, room)
    client.line.hold_back()
    node.do("break", manager=client.manager)
    await client.lose_connection()
    await driver.count([room], 0, 3)
    await client.come_back()
    client.has_recovered()
    await client.got(0, 1, 2)


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "unnoticed"])
async def test_a_client_that_has_had_no_event(
    server: LiveServer, travel: Travels, driver: Driver, room: str, noticed: bool
) -> None:
    client = await travel(server, room)
    assert "offset" not in await client.session()
    async with client.away(noticed=noticed):
        await driver.count([room], 0, 3)
    await client.got(0, 1, 2)


async def test_nothing_was_missed(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    client = await travel(server, room)
    for _ in range(2):
        async with client.away():
            pass
    await driver.emit([room], 1)
    async with client.away():
        pass
    await driver.emit([room], 2)
    await client.got(1, 2)


async def test_ten_drops_in_a_row(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    client = await travel(server, room)
    for number in range(0, 40, 4):
        await driver.emit([room], number)
        async with client.away(noticed=number % 8 == 0):
            await driver.count([room], number + 1, number + 4)
    await client.got(*range(40))


async def test_drops_with_nothing_between_them_but_what_was_missed(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    client = await travel(server, room)
    for number in range(0, 40, 4):
        async with client.away(noticed=number % 8 == 0):
            await driver.count([room], number, number + 4)
    await client.got(*range(40))


@pytest.mark.parametrize("mark", [b'"sid"', b"42/recovery,", b'"n",7'])
async def test_a_drop_during_the_replay(
    server: LiveServer, travel: Travels, driver: Driver, room: str, mark: bytes
) -> None:
    """The client has only some of what it missed, and was perhaps told that it is back."""
    client = await travel(server, room)
    await driver.emit([room], 0)
    await client.drop()
    await driver.count([room], 1, 20)
    client.line.cut_after(mark, 2 if mark == b'"sid"' else 1)  # Engine.IO's own is the first
    client.line.mend()
    await client.line.was_cut.wait()
    await driver.count([room], 20, 25)
    await client.come_back()
    await driver.emit([room], 25)
    await client.got(*range(26))
    assert (await client.state())["recovered"] is True


async def test_a_process_of_clients_that_stands_still(
    new_server: ServerFactory, kind: str, node: Node, travel: Travels, room: str
) -> None:
    """What lies in its socket when the server gives it up is not sent once more."""
    timing = {"PING_INTERVAL": 1, "PING_TIMEOUT": 1}
    server = new_server(kind, realtime={"RECOVERY": {"SECONDS": 120}, **timing})
    async with driver_at(server) as driver:
        client = await travel(server, room)
        await driver.emit([room], 0)
        node.process.send_signal(signal.SIGSTOP)
        try:
            await driver.count([room], 1, 4)
            await server.logged(rf'recovery left sid={client.sid} reason="ping timeout"')
            await driver.count([room], 4, 7)
        finally:
            node.process.send_signal(signal.SIGCONT)
        await client.lose_connection()
        await client.be_back()
        client.has_recovered()
        await driver.emit([room], 7)
        await client.got(*range(8))


async def test_the_last_event_is_older_than_the_window(
    shared_server: ServerFactory, kind: str, travel: Travels, room: str
) -> None:
    """A connection that stayed, with nothing to say, recovers as any other."""
    short = {"SECONDS": 5, "PRESENCE_SECONDS": 1}
    timing = {"PING_INTERVAL": 1, "PING_TIMEOUT": 1}
    server = shared_server(kind, RECOVERY=short, **timing)
    async with driver_at(server) as driver:
        client = await travel(server, room)
        await driver.emit([room], 0)
        await asyncio.sleep(7.5)  # longer than anything is kept for
        async with client.away():
            await driver.emit([room], 1)
        await client.got(0, 1)


async def test_a_volatile_event_that_ends_in_a_text(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    """The official client takes the last text of any event for its offset."""
    client = await travel(server, room)
    await driver.emit([room], 0)
    await driver.do("emit_volatile", NAMESPACE, [room], [], "n", 1, "a text")
    await client.got(0, 1)
    async with client.away():
        await driver.do("emit_volatile", NAMESPACE, [room], [], "n", "nobody gets it", "a text")
        await driver.emit([room], 2, "another text")
    await client.got(2)


async def test_an_event_that_asks_for_an_acknowledgement(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    """It is not kept, and moves no offset."""
    client = await travel(server, room)
    client.socket.do("answer", event="question", args=["yes"])
    await client.session()  # it knows by now what to answer
    await driver.emit([room], 0)
    answers = await driver.do("ask", NAMESPACE, [room], "really?", "a text")
    assert answers == {client.sid: "yes"}
    async with client.away():
        await driver.emit([room], 1)
    await client.got(0, 1)


async def test_binary_and_texts(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    client = await travel(server, room)
    await driver.emit([room], 0, BINARY)
    things: list[Any] = [BINARY, b"", {"deep": [BINARY, "Ünïcödé 🙂"]}, None, [], "last"]
    async with client.away():
        for number, thing in enumerate(things, 1):
            await driver.emit([room], number, thing)
        await driver.emit([room], 7, *things)
    arrived = [await client.socket.got("n") for _ in range(8)]
    assert [args[0] for args in arrived] == list(range(8))
    assert [args[1] for args in arrived[1:-1]] == things
    assert arrived[-1][1:-1] == things, "and an offset"
    async with client.away():
        await driver.emit([room], 8)
    await client.got(8)


async def test_several_rooms_and_namespaces(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    """Each socket gets its own, in the order in which it was sent, and once where it fits twice."""
    client = await travel(server, room, room + "b")
    await client.enter("/recovery/other", rooms=[room])
    for away in (False, True):
        if away:
            await client.drop()
        await driver.emit([room], 1)
        await driver.emit([room + "b"], 2)
        await driver.do("emit_to", "/recovery/other", [room], [], "n", 3)
        await driver.emit([room, room + "b"], 4)
        await driver.emit([client.sid], 5)
        await driver.emit([client.sid, room], 6)
        await driver.emit([room + "c"], "nobody is there")
        await driver.emit([], 7)  # all of the namespace
        await driver.do("emit_to", "/recovery/other", [], [], "n", 8)
    await client.come_back()
    client.has_recovered()
    await client.got(*(1, 2, 4, 5, 6, 7) * 2)
    await client.got(*(3, 8) * 2, namespace="/recovery/other")


async def test_excluding(server: LiveServer, travel: Travels, driver: Driver, room: str) -> None:
    client = await travel(server, room, room + "muted")
    other = await travel(server, room)
    async with client.away():
        await driver.emit([room], 1, excluded=(client.sid,))
        await driver.emit([room], 2, excluded=(room + "muted",))
        await driver.emit([room], 3, excluded=(other.sid, "nobody"))
        await other.socket.call("say to others", room, 4)
        await other.socket.call("say", room, 5)
    await client.got(3, 4, 5)
    await other.got(1, 2, 5)
    async with client.away():
        # By what it was when that was sent, not by what it is now.
        await driver.emit([room], 6, excluded=(room + "muted",))
        await driver.do("move", NAMESPACE, [client.sid], "leave", room + "muted")
        await driver.emit([room], 7, excluded=(room + "muted",))
    await client.got(7)


async def test_joins_and_leaves_right_before_the_drop(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    client = await travel(server, room)
    await client.socket.call("join", room + "b")
    await client.socket.call("leave", room)
    async with client.away():
        await driver.emit([room], "not for it")
        await driver.emit([room + "b"], 1)
    assert (await client.state())["rooms"] == [room + "b"]
    await client.socket.call("join", room)
    async with client.away():
        await driver.emit([room], 2)
    await client.got(1, 2)


async def test_what_came_before_a_join_and_after_a_leave_is_not_replayed(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    client = await travel(server)
    await driver.emit([room], "too early")
    await client.socket.call("join", room)
    client.line.go_silent()  # the server goes on writing: nothing of that arrives
    await driver.emit([room], 1)
    await driver.do("move", NAMESPACE, [client.sid], "leave", room)
    await driver.emit([room], "between")
    await driver.do("move", NAMESPACE, [client.sid], "join", room)
    await driver.emit([room], 2)
    await client.lose_connection()
    await client.come_back()
    client.has_recovered()
    await client.got(1, 2)


async def test_remote_joins_and_leaves_while_it_is_away(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    client = await travel(server, room)
    async with client.away():
        await driver.emit([room + "b"], "too early")
        await driver.do("move", NAMESPACE, [room], "join", room + "b")
        await driver.emit([room + "b"], 1)
        await driver.do("move", NAMESPACE, [client.sid], "leave", room)
        await driver.emit([room], "too late")
        await driver.do("move", NAMESPACE, [room + "b"], "leave", room + "b")
        await driver.emit([room + "b"], "too late")
        await driver.emit([client.sid], 2)
        await driver.do("move", NAMESPACE, [client.sid], "join", room + "c")
    assert (await client.state())["rooms"] == [room + "c"]
    await driver.emit([room + "c"], 3)
    await client.got(1, 2, 3)


async def test_closed_while_it_is_away(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    """Who disconnects it ends its session."""
    client = await travel(server, room)
    await client.drop()
    await driver.emit([room], "lost with the session")
    await driver.do("end", NAMESPACE, [room])
    await client.come_back()
    client.has_lost()
    assert (await client.state())["lost"] is True
    await driver.emit([room], 1)
    await client.got(1)


@pytest.mark.parametrize("who", ["client", "server"])
async def test_a_socket_that_was_ended_is_not_recovered(
    server: LiveServer, travel: Travels, driver: Driver, room: str, who: str
) -> None:
    client = await travel(server, room)
    await driver.emit([room], 0)
    await client.got(0)
    if who == "server":
        await driver.do("end", NAMESPACE, [client.sid])
    else:
        client.socket.do("disconnect")
    await client.lose_connection()
    await driver.emit([room], "lost with the session")
    client.socket.do("reconnect")
    await client.be_back()
    client.has_lost()
    await driver.emit([room], 1)
    await client.got(1)


async def test_after_a_loss_the_old_offset_says_nothing(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    """The official client keeps it beside its new pid, until it has an event."""
    client = await travel(server, room)
    await driver.emit([room], 0)
    await client.got(0)
    await client.drop()
    await driver.emit([room], "lost with the session")
    await driver.do("end", NAMESPACE, [room])
    await client.come_back()
    client.has_lost()
    async with client.away():
        await driver.emit([room], 1)
    await client.got(1)


async def test_emits_at_a_commit(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    client = await travel(server, room)
    async with client.away():
        await driver.do("emit_at_commit", NAMESPACE, [room], [], "n", 1)
    await driver.emit([room], 2)
    await client.got(1, 2)


async def test_what_the_consumer_says_to_its_own_client(
    server: LiveServer, travel: Travels, driver: Driver, room: str
) -> None:
    """Whether it got through is for the client to say: what came stays, what did not follows."""
    client = await travel(server, room)
    client.line.cut_after(b'"n",30,')
    client.socket.do("emit", args=["count for me", 0, 100])
    await client.lose_connection()
    await client.come_back()
    client.has_recovered()
    await driver.emit([client.sid], 100)
    await client.got(*range(101))


async def test_its_data(server: LiveServer, travel: Travels) -> None:
    client = await travel(server, greet=True)
    await client.socket.got("state")
    cart = {"items": [1, 2], "name": "№1"}
    await client.socket.call("remember", "cart", cart)
    async with client.away():
        pass
    greeted = (await client.socket.got("state"))[0]
    assert greeted == {"recovered": True, "lost": False, "rooms": [], "data": {"cart": cart}}
    assert (await client.state()) == greeted
