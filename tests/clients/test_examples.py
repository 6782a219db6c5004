"""The official Socket.IO examples, with the official JavaScript client: what their pages see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.clients.javascript import Node, NodeSocket
from tests.live import LiveServer


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """A server of each kind with the examples."""
    server = LiveServer(request.param, realtime={"NAMESPACES": "tests.site.examples.namespaces"})
    server.start()
    yield server
    server.close()


async def enter(
    node: Node, server: LiveServer, namespace: str, name: str = "", auth: Any = None
) -> NodeSocket:
    """Connect a client of its own to an example."""
    name = name or uuid4().hex
    node.do("open", manager=name, url=server.url, options={"reconnection": False})
    return await node.socket(name, namespace, auth)


async def answer(socket: NodeSocket, *args: Any) -> Any:
    """Return the one argument of an acknowledgement."""
    (only,) = await socket.call(*args)
    return only


async def test_chat(node: Node, server: LiveServer) -> None:
    ada, bob = await enter(node, server, "/chat"), await enter(node, server, "/chat")
    ada.do("emit", args=["add user", "Ada"])
    assert await ada.got("login") == [{"numUsers": 1}]
    assert await bob.got("user joined") == [{"username": "Ada", "numUsers": 1}]
    bob.do("emit", args=["add user", "Bob"])
    bob.do("emit", args=["add user", "Bob again"])
    assert await bob.got("login") == [{"numUsers": 2}]
    assert await ada.got("user joined") == [{"username": "Bob", "numUsers": 2}]
    for event in ("typing", "stop typing"):
        bob.do("emit", args=[event])
        assert await ada.got(event) == [{"username": "Bob"}]
    bob.do("emit", args=["new message", "<b>hi</b> 🙂"])
    assert await ada.got("new message") == [{"username": "Bob", "message": "<b>hi</b> 🙂"}]
    bob.do("disconnect")
    assert await ada.got("user left") == [{"username": "Bob", "numUsers": 1}]
    ada.do("disconnect")
    await server.logged(rf"disconnect namespace=/chat sid={ada.sid}")


async def test_whiteboard(node: Node, server: LiveServer) -> None:
    one, two = await enter(node, server, "/whiteboard"), await enter(node, server, "/whiteboard")
    lines = [
        {"x0": number / 50, "y0": 0, "x1": 1, "y1": 0.25, "color": "black"} for number in range(50)
    ]
    for line in lines:
        one.do("emit", args=["drawing", line])
    assert [await two.got("drawing") for _ in lines] == [[line] for line in lines]
    for bad in ({**lines[0], "x0": 2}, {"x0": 1}, "line", None):
        assert (await answer(one, "drawing", bad))["error"]["code"] == "invalid_arguments"
    one.do("emit", args=["drawing", lines[1]])
    assert await two.got("drawing") == [lines[1]]
    assert not node.has_said(**one.names, happened="event", event="drawing")


async def test_todos(node: Node, server: LiveServer) -> None:
    one, two = await enter(node, server, "/todos"), await enter(node, server, "/todos")
    key = await answer(one, "todo:create", {"title": "buy milk", "completed": False})
    todo = {"id": key, "title": "buy milk", "completed": False}
    assert await two.got("todo:created") == [todo]
    assert await answer(two, "todo:read", key) == todo
    assert todo in await answer(two, "todo:list")
    assert await two.call("todo:update", todo | {"completed": True}) == []
    assert await one.got("todo:updated") == [todo | {"completed": True}]
    for event, argument, code in (
        ("todo:create", {"title": ""}, "invalid_arguments"),
        ("todo:create", {"title": "x", "more": 1}, "invalid_arguments"),
        ("todo:read", "no id", "invalid_arguments"),
        ("todo:read", str(uuid4()), "not_found"),
        ("todo:update", todo | {"id": str(uuid4())}, "not_found"),
        ("todo:delete", str(uuid4()), "not_found"),
    ):
        assert (await answer(one, event, argument))["error"]["code"] == code
    assert await one.call("todo:delete", key) == []
    assert await two.got("todo:deleted") == [key]
    assert todo not in await answer(two, "todo:list")


async def test_private_messages(node: Node, server: LiveServer) -> None:
    tag = uuid4().hex[:6]
    stranger = "stranger" + tag
    node.do("open", manager=stranger, url=server.url, options={"reconnection": False})
    refused = await node.socket(stranger, "/messaging", {"username": ""}, fails=True)
    assert (await refused.happened("connect_error"))["message"] == "invalid username"

    ada = await enter(node, server, "/messaging", "ada" + tag, {"username": "Ada"})
    (session,) = await ada.got("session")
    bob = await enter(node, server, "/messaging", "bob" + tag, {"username": "Bob"})
    (bobs,) = await bob.got("session")
    assert await ada.got("user connected") == [
        {"userID": bobs["userID"], "username": "Bob", "connected": True, "messages": []}
    ]
    (users,) = await bob.got("users")
    assert {user["userID"]: user["connected"] for user in users}[session["userID"]] is True

    # A second tab of Ada's sees what the first one says.
    tab = await enter(node, server, "/messaging", "tab" + tag, {"sessionID": session["sessionID"]})
    assert await tab.got("session") == [session]
    ada.do("emit", args=["private message", "hello", bobs["userID"]])
    message = {"content": "hello", "from": session["userID"], "to": bobs["userID"]}
    assert await bob.got("private message") == await tab.got("private message") == [message]

    # Bob leaves, and finds what was said meanwhile when he comes back.
    bob.do("disconnect")
    assert await ada.got("user disconnected") == [bobs["userID"]]
    assert await ada.call("private message", "still there?", bobs["userID"]) == []
    back = await enter(node, server, "/messaging", "back" + tag, {"sessionID": bobs["sessionID"]})
    (users,) = await back.got("users")
    (told,) = [user["messages"] for user in users if user["userID"] == session["userID"]]
    assert [each["content"] for each in told] == ["hello", "still there?"]

    # One of two tabs closes: Ada is still there.
    tab.do("disconnect")
    await server.logged(rf"disconnect namespace=/messaging sid={tab.sid}")
    ada.do("emit", args=["private message", "last", bobs["userID"]])
    assert (await back.got("private message"))[0]["content"] == "last"
    assert not node.has_said(**back.names, happened="event", event="user disconnected")
