"""What handlers may do, and what it does to their own client and to others."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.clients.wire import DEADLINE, Wire, http_client, open_socket
from tests.conftest import ServerFactory
from tests.live import LiveServer

LAB = "/lab"


async def call(wire: Wire, event: str, *args: Any) -> Any:
    """Emit an event in the lab and return its acknowledgement."""
    return await wire.call(LAB, event, *args)


async def ask(wire: Wire, number: int, event: str, *args: Any) -> None:
    """Emit an event in the lab with this ack id, and wait for nothing."""
    await wire.send(f"42/lab,{number}" + json.dumps([event, *args]))


def ack(number: int, *args: Any) -> str:
    """Return the acknowledgement's frame."""
    return f"43/lab,{number}" + json.dumps(args, separators=(",", ":"))


async def question(wire: Wire, text: str) -> int:
    """Take the server's question from the wire; return the id that it wants acknowledged."""
    frame = str(await wire.receive())
    head, tail = "42/lab,", f'["question","{text}"]'
    assert frame.startswith(head), frame
    assert frame.endswith(tail), frame
    return int(frame.removeprefix(head).removesuffix(tail))


# Waiting


async def test_asyncio_timeout(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        assert await call(wire, "timeout") == "timed out"
        assert await call(wire, "echo", "goes on") == "goes on"


async def test_awaits_an_ack_of_its_own_client(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        await ask(wire, 1, "ask", "who?")
        await wire.send(f"43/lab,{await question(wire, 'who?')}" + '["me",{"too":true}]')
        assert await wire.receive() == ack(1, "me", {"too": True})


async def test_ack_with_binary(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        await ask(wire, 1, "ask", "bytes?")
        number = await question(wire, "bytes?")
        await wire.send(f"461-/lab,{number}" + '[{"_placeholder":true,"num":0}]', b"\x00\xff")
        head = '461-/lab,1[{"_placeholder":true,"num":0}]'
        assert await wire.receive_many(2) == [head, b"\x00\xff"]


async def test_ack_that_does_not_come(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        assert await call(wire, "ask unanswered") == "AckTimeout"
        assert await call(wire, "echo", "goes on") == "goes on"


async def test_ack_that_nobody_asked_for(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        await wire.send("43/lab,77[]", '43/lab,0["x"]')
        assert await call(wire, "echo", "goes on") == "goes on"


async def test_client_leaves_a_question_open(server: LiveServer) -> None:
    async with open_socket(server) as (wire, sid):
        await ask(wire, 1, "ask", "will you stay?")
        await question(wire, "will you stay?")
    await server.logged(rf"lab unanswered sid={sid} error=ClientDisconnected")
    await server.logged(rf'lab left sid={sid} reason="transport close"')


async def test_question_with_a_callback(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        await wire.send('42/lab,["ask with callback"]')
        await wire.send(f"43/lab,{await question(wire, 'call me back')}" + '["first","second"]')
        assert await wire.receive() == '42/lab,["answered","first","second"]'


async def hold(wire: Wire, number: int, gate: str, way: str = "hold") -> None:
    """Let a handler block with this ack id, and return when it does."""
    await ask(wire, number, way, gate)
    assert await wire.receive() == '42/lab,["held"]'


async def test_slow_handlers_beside_a_fast_client(server: LiveServer) -> None:
    async with open_socket(server) as (slow, sid), open_socket(server) as (fast, _):
        await hold(slow, 1, sid)
        for number in range(20):
            assert await call(fast, "echo", number) == number
        await call(fast, "open gate", sid)
        assert await slow.receive() == ack(1, True)


async def test_slow_handlers_beside_each_other(server: LiveServer) -> None:
    async with open_socket(server) as (one, sid), open_socket(server) as (two, _):
        assert await asyncio.gather(call(one, "meet", sid), call(two, "meet", sid)) == [True, True]


async def test_slow_handler_beside_http_requests(server: LiveServer) -> None:
    async with (
        open_socket(server) as (slow, sid),
        open_socket(server) as (other, _),
        http_client(server) as http,
    ):
        await hold(slow, 1, sid)
        assert (await http.get("/clients-count")).status_code == 200
        await call(other, "open gate", sid)
        assert await slow.receive() == ack(1, True)


@pytest.mark.parametrize("way", ["hold", "hold in the loop"])
async def test_slow_handler_beside_the_heartbeat(
    kind: str, shared_server: ServerFactory, way: str
) -> None:
    server = shared_server(kind, PING_INTERVAL=0.3, PING_TIMEOUT=DEADLINE)
    async with open_socket(server, pong=False) as (slow, sid), open_socket(server) as (other, _):
        await ask(slow, 1, way, sid)
        frames = []
        while frames.count("2") < 4:  # each comes for the answer to the one before
            frames.append(await slow.receive())
            if frames[-1] == "2":
                await slow.send("3")
        assert [frame for frame in frames if frame != "2"] == ['42/lab,["held"]']
        await call(other, "open gate", sid)
        while (frame := await slow.receive()) == "2":
            pass
        assert frame == ack(1, True)


async def test_slow_handler_beside_another_namespace(server: LiveServer) -> None:
    async with open_socket(server) as (wire, sid), open_socket(server) as (other, _):
        await wire.join_namespace("/orders")
        await wire.join_namespace("/typed/3")
        assert await wire.receive() == '42/typed/3,["kwargs",{"pk":3}]'
        await hold(wire, 1, sid, "hold in the loop")
        await wire.send('42/typed/3,2["kwargs"]')
        assert await wire.receive() == '43/typed/3,2[{"pk":3}]'
        await call(other, "open gate", sid)
        assert await wire.receive() == ack(1, True)


# Order


async def test_events_of_one_socket_are_handled_in_order(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        await ask(wire, 1, "note", "slow", 0.3)
        await ask(wire, 2, "blocking note", "blocking", 0.2)
        await ask(wire, 3, "note", "fast")
        expected = [["slow"], ["slow", "blocking"], ["slow", "blocking", "fast"]]
        answers = await wire.receive_many(3)
        assert answers == [ack(number + 1, notes) for number, notes in enumerate(expected)]


async def test_events_that_wait_are_handled_after_a_question(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        await ask(wire, 1, "ask", "first?")
        await ask(wire, 2, "note", "second")
        number = await question(wire, "first?")
        await wire.send(f"43/lab,{number}" + '["yes"]')
        assert await wire.receive_many(2) == [ack(1, "yes"), ack(2, ["second"])]


async def test_events_before_the_connect_answer_wait_for_it(server: LiveServer) -> None:
    async with open_socket(server, "/orders") as (wire, sid):
        wait = {"wait": 0.3, "tag": f"early-{sid}", "say": "hello"}
        await wire.send(f"40/lab,{json.dumps(wait)}", '42/lab,1["note","early"]')
        assert str(await wire.receive()).startswith('40/lab,{"sid":')
        assert await wire.receive_many(2) == ['42/lab,["said","hello"]', ack(1, ["early"])]


async def test_client_leaves_while_connect_runs(server: LiveServer) -> None:
    async with open_socket(server, "/orders") as (wire, sid):
        tag = f"gone-{sid}"
        await wire.send(f"40/lab,{json.dumps({'wait': 0.5, 'tag': tag})}")
        await server.logged(f"lab connecting tag={tag}")
    await server.logged(f"lab gone tag={tag}")


async def test_client_leaves_while_a_handler_runs(server: LiveServer) -> None:
    async with open_socket(server) as (wire, sid):
        await ask(wire, 1, "note", "last", 0.3)
        assert await leave_and_wait(wire, server, sid)


async def leave_and_wait(wire: Wire, server: LiveServer, sid: str) -> bool:
    """Close the connection and wait until the consumer was told."""
    await wire.connection.close()
    await server.logged(rf'lab left sid={sid} reason="transport close"')
    return True


# Errors


@pytest.mark.parametrize(
    ("event", "code", "message", "data"),
    [
        ("boom", "server_error", "server error", None),
        ("refuse", "error", "no", {"why": "test"}),
    ],
)
async def test_handler_that_raises(
    server: LiveServer, event: str, code: str, message: str, data: Any
) -> None:
    async with open_socket(server) as (other, _), open_socket(server) as (wire, sid):
        answer = await call(wire, event)
        assert answer == {"error": {"code": code, "message": message, "data": data}}
        assert "secret detail" not in json.dumps(answer)
        await server.logged(rf"namespace=/lab sid={sid} .*event={event}\b")
        assert await call(wire, "echo", "goes on") == "goes on"
        assert await call(other, "echo", "goes on") == "goes on"
    await server.logged(rf"lab left sid={sid}")


async def test_unexpected_error_is_logged_with_its_detail(server: LiveServer) -> None:
    async with open_socket(server) as (wire, sid):
        since = len(server.log)
        await wire.send('42/lab,["boom"]')
        assert await call(wire, "echo", "goes on") == "goes on"
        await server.logged(rf"error .*sid={sid} .*event=boom", since=since)
        await server.logged("RuntimeError: secret detail", since=since)


@pytest.mark.parametrize(
    ("args", "wrong"),
    [
        ([], "name"),
        ([1], "name"),
        ([None], "name"),
        (["text", "not a number"], "n"),
        (["text", 1.5], "n"),
        (["text", None], "n"),
    ],
)
async def test_arguments_that_do_not_fit(server: LiveServer, args: list[Any], wrong: str) -> None:
    async with open_socket(server) as (wire, _):
        error = (await call(wire, "typed", *args))["error"]
        assert error["code"] == "invalid_arguments"
        assert f"'{wrong}'" in error["message"]
        assert await call(wire, "typed", "fits") == {"name": "fits", "n": 1}


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["a"], {"name": "a", "n": 1}),
        (["a", 2], {"name": "a", "n": 2}),
        (["a", 2, "too many", {"are": "ignored"}], {"name": "a", "n": 2}),
    ],
)
async def test_arguments_that_fit(server: LiveServer, args: list[Any], expected: Any) -> None:
    async with open_socket(server) as (wire, _):
        assert await call(wire, "typed", *args) == expected


async def test_event_that_nobody_handles(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        await wire.send('42/lab,["no such event",1,"two"]')
        assert await wire.receive() == '42/lab,["unclaimed","no such event",1,"two"]'


@pytest.mark.parametrize(
    "name", ["__init__", "connect_", "emit", "_socket", "receive", "handle", "_attach", "scope"]
)
async def test_event_named_like_an_attribute(server: LiveServer, name: str) -> None:
    async with open_socket(server) as (wire, _):
        await wire.send(f'42/lab,["{name}"]')
        assert await wire.receive() == f'42/lab,["unclaimed","{name}"]'


# Rooms


async def test_handler_for_the_members_of_a_room(server: LiveServer) -> None:
    async with open_socket(server) as (wire, _):
        await wire.send('42/lab,["x"]')
        assert await wire.receive() == '42/lab,["unclaimed","x"]'
        assert await call(wire, "join", "members") == ["members"]
        assert await call(wire, "x") == "member"
        assert await call(wire, "leave", "members") == []
        await wire.send('42/lab,["x"]')
        assert await wire.receive() == '42/lab,["unclaimed","x"]'


async def test_a_socket_in_several_rooms_gets_a_message_once(server: LiveServer) -> None:
    async with open_socket(server) as (one, sid), open_socket(server) as (two, _):
        rooms = [f"{sid} {name}" for name in ("a", "b", "ü №/%")]
        for room in rooms:
            await call(one, "join", room)
            await call(two, "join", room)
        await call(one, "say", rooms, "once")
        await call(one, "say", rooms[:1], "then")
        assert await two.receive_many(2) == ['42/lab,["said","once"]', '42/lab,["said","then"]']
        await one.send('42/lab,9["echo"]')
        assert await one.receive() == ack(9), "self.to() leaves out the sender"


async def test_message_to_one_sid_and_to_all_others(server: LiveServer) -> None:
    async with (
        open_socket(server) as (one, _),
        open_socket(server) as (two, second),
        open_socket(server) as (three, _),
    ):
        await call(one, "say", [second], "only you")
        assert await two.receive() == '42/lab,["said","only you"]'
        await one.send('42/lab,["say to others","all of you"]')
        for wire in (two, three):
            assert await wire.receive() == '42/lab,["said","all of you"]'
