"""Clients that come in with tokens, of the real packages, by each way in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
import socketio
from websockets.exceptions import ConnectionClosed

from tests.clients.javascript import Node
from tests.clients.python import TRANSPORTS, Client, connected
from tests.clients.test_plain_websocket import Plain
from tests.clients.wire import DEADLINE, engine_path, eventually, websocket
from tests.live import KINDS, LiveServer

SETTINGS = "tests.site.tokens"
EVENT = "realtime:authenticate"

# The schemes of tokens by their kinds; one of allauth has none.
SCHEMES = {"signed": "Bearer", "drf_token": "Api-Key", "simplejwt": "Bearer", "knox": "Knox"}
LASTING = ("signed", "simplejwt", "knox", "allauth")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """A running server of a site with tokens, to which clients come back."""
    server = LiveServer(request.param, settings=SETTINGS, realtime={"RECOVERY": {"SECONDS": 120}})
    server.start()
    yield server
    server.close()
    # An authenticator fails by design, of which the log tells.
    assert server.log.count("Traceback") == server.log.count("\nRuntimeError: no"), server.log


class Token(NamedTuple):
    """A token of a kind, as a client shows it."""

    kind: str
    text: str

    @property
    def auth(self) -> dict[str, str]:
        if self.kind == "allauth":
            return {"session_token": self.text}
        return {"token": f"{SCHEMES[self.kind]} {self.text}"}

    @property
    def headers(self) -> dict[str, str]:
        if self.kind == "allauth":
            return {"X-Session-Token": self.text}
        return {"Authorization": self.auth["token"]}


class Somebody(NamedTuple):
    """A user, and who issues tokens for it."""

    issuer: Client
    name: str
    pk: int

    async def do(self, event: str, *args: Any) -> Any:
        """Have something issued, revoked or sent."""
        return await self.issuer.call(event, *args, namespace="/issuer")

    async def token(self, kind: str, seconds: float = 3600) -> Token:
        return Token(kind, await self.do("issue", kind, self.name, seconds))


@pytest.fixture
async def somebody(server: LiveServer) -> AsyncIterator[Somebody]:
    """A user whom no other test has."""
    async with connected(server, "websocket", "/issuer") as issuer:
        name = f"user-{uuid4().hex[:12]}"
        yield Somebody(issuer, name, await issuer.call("new user", name, namespace="/issuer"))


@asynccontextmanager
async def come(
    server: LiveServer, way: str, token: Token | None, *, by: str = "auth", **options: Any
) -> AsyncIterator[Client]:
    """Connect to "/members", which asks who it is."""
    shown = {} if token is None else {by: getattr(token, by)}
    async with connected(server, way, "/members", **shown, **options) as client:
        yield client


async def refusal(server: LiveServer, way: str, auth: Any, namespace: str = "/members") -> Any:
    """Return why python-socketio's client is refused."""
    client = Client()
    try:
        with pytest.raises(socketio.exceptions.ConnectionError):
            await client.io.connect(
                server.url,
                transports=TRANSPORTS[way],
                namespaces=[namespace],
                auth=auth,
                wait_timeout=DEADLINE,
            )
        return client.errors[namespace]
    finally:
        await client.close()


@pytest.mark.parametrize("kind", [*SCHEMES, "allauth"])
async def test_who_comes_in(server: LiveServer, somebody: Somebody, kind: str) -> None:
    """And that user it is everywhere: in the database, and for who sends to it."""
    token = await somebody.token(kind)
    for way, by in (("polling", "auth"), ("websocket", "headers"), ("upgrade", "auth")):
        async with come(server, way, token, by=by) as client:
            assert await client.call("whoami", namespace="/members") == somebody.name
            assert client.sid("/members") in await somebody.do("where is", somebody.pk)
            await somebody.do("tell user", somebody.pk, way)
            assert (await client.got("said", "/members"))[0] == way
    wrong = Token(kind, "signed.x" if kind == "signed" else f"x{token.text[1:]}")
    refused = await refusal(server, "websocket", wrong.auth)
    assert refused["data"] == {"code": 401}
    assert await refusal(server, "polling", wrong.auth, "/open") == refused
    assert await refusal(server, "polling", {}) == {
        "message": "log in first",
        "data": {"code": 401},
    }


@pytest.mark.parametrize(
    ("kind", "way"),
    [("drf_token", "drf_token"), ("knox", "knox"), ("signed", "password")]
    + [(kind, "user") for kind in (*SCHEMES, "allauth")],
)
async def test_what_is_revoked_lets_nobody_in(
    server: LiveServer, somebody: Somebody, kind: str, way: str
) -> None:
    token = await somebody.token(kind)
    async with come(server, "websocket", token):
        pass
    await somebody.do("revoke", way, somebody.name)
    assert (await refusal(server, "polling", token.auth))["data"] == {"code": 401}


async def test_a_sites_own(server: LiveServer, somebody: Somebody) -> None:
    """An async one, which asks the database; what it refuses with, and what it raises."""
    name = f"/members {uuid4().hex}"
    await somebody.do("new user", name)
    auth = {"token": f"Device {name.partition(' ')[2]}"}
    async with connected(server, "upgrade", "/members", auth=auth) as client:
        assert await client.call("whoami", namespace="/members") == name
    assert await refusal(server, "websocket", {"token": "Device x"}) == {
        "message": "no such device",
        "data": {"help": "/devices", "code": 401},
    }
    assert await refusal(server, "websocket", {"token": "Device broken"}) == {
        "message": "try again later",
        "data": {"code": 503, "retry_after": 5},
    }


async def test_for_one_namespace_alone(server: LiveServer, somebody: Somebody) -> None:
    token = await somebody.token("signed")
    assert (await refusal(server, "polling", token.auth, "/open"))["message"] == (
        "the token is for another namespace"
    )


async def test_auth_is_for_one_namespace(
    node: Node, server: LiveServer, somebody: Somebody
) -> None:
    other = Somebody(somebody.issuer, name := f"user-{uuid4().hex[:12]}", 0)
    await somebody.do("new user", name)
    await node.open(server, "upgrade")
    nobody = await node.socket("one", "/open")
    one = await node.socket("one", "/members", (await somebody.token("knox")).auth)
    assert await one.call("whoami") == [somebody.name]
    assert await nobody.call("whoami") == [""]
    await node.open(server, "polling", "two")
    two = await node.socket("two", "/members", (await other.token("simplejwt")).auth)
    assert await two.call("whoami") == [name]
    await somebody.do("tell user", somebody.pk, "for one")
    assert (await one.got("said"))[0] == "for one"
    refused = await node.socket("two", "/open", {"token": "Bearer x"}, fails=True)
    assert (await refused.happened("connect_error"))["data"] == {"code": 401}


async def test_the_javascript_client_shows_a_new_one(
    node: Node, server: LiveServer, somebody: Somebody
) -> None:
    await node.open(server, "upgrade")
    socket = await node.socket("one", "/members", (await somebody.token("simplejwt")).auth)
    before = time.time()
    (answer,) = await socket.call(EVENT, (await somebody.token("knox", 900)).auth)
    assert 0 < datetime.fromisoformat(answer["expires"]).timestamp() - before <= 900 + DEADLINE
    (answer,) = await socket.call(EVENT, {"token": "Bearer wrong"})
    assert answer["error"]["code"] == 401
    assert await socket.call("whoami") == [somebody.name]


async def test_subprotocols(node: Node, server: LiveServer, somebody: Somebody) -> None:
    """As a browser shows a token on a WebSocket: the answer has to name one of what it offers."""
    for kind in ("signed", "simplejwt"):
        shown = f"realtime.bearer.{(await somebody.token(kind)).text}"
        for offered, spoken in (([shown, "realtime"], "realtime"), (["other", shown], shown)):
            async with websocket(server, "/ws/members/", subprotocols=offered) as connection:
                assert connection.subprotocol == spoken
                plain = Plain(connection)
                assert "connected" in await plain.receive()
                assert await plain.call("whoami") == [somebody.name]
            async with websocket(server, engine_path(), subprotocols=offered) as connection:
                assert connection.subprotocol == spoken
                assert (await connection.recv())[:1] == "0"
                await connection.send("40/members,")
                assert str(await connection.recv()).startswith("40/members,{")
    offered = ["realtime", f"realtime.knox.{(await somebody.token('knox')).text}"]
    await node.open(server, "websocket", protocols=offered)
    assert await (await node.socket("one", "/members")).call("whoami") == [somebody.name]
    async with websocket(server, "/ws/open/", subprotocols=["other"]) as connection:
        assert connection.subprotocol is None
        assert "connected" in await Plain(connection).receive()


async def test_the_first_frame_of_plain_websockets(server: LiveServer, somebody: Somebody) -> None:
    token = await somebody.token("simplejwt")
    async with websocket(server, "/ws/members/?authenticate") as connection:
        plain = Plain(connection)
        await plain.send(authenticate=token.auth)
        await plain.send(event="whoami", id=1)
        assert "connected" in await plain.receive()
        assert await plain.receive() == {"ack": 1, "args": [somebody.name]}
        (answer,) = await plain.call(EVENT, (await somebody.token("allauth")).auth)
        assert answer["expires"]
        (answer,) = await plain.call(EVENT, {"token": "Knox x"})
        assert answer["error"]["code"] == 401
    for shown, code, reason in (
        ({}, 4401, "log in first"),
        ({"token": "Api-Key x"}, 4401, "Invalid token."),
        ({"token": "Device broken"}, 1013, "try again later"),
    ):
        async with websocket(server, "/ws/members/?authenticate") as connection:
            plain = Plain(connection)
            await plain.send(authenticate=shown)
            assert await plain.closed() == (code, reason)
    for path, frame in (
        ("/ws/open/?authenticate", {"event": "whoami"}),
        ("/ws/open/?authenticate", {"authenticate": None}),
        ("/ws/open/?authenticate", {"authenticate": {}, "recover": {}}),
    ):
        async with websocket(server, path) as connection:
            plain = Plain(connection)
            await plain.send(**frame)
            assert (await plain.closed())[0] == 4400, frame
    async with websocket(server, "/ws/open/") as connection:
        plain = Plain(connection)
        assert "connected" in await plain.receive()
        await plain.send(authenticate=token.auth)
        assert (await plain.closed())[0] == 4400


@pytest.mark.parametrize("first", ["recover", "authenticate"])
async def test_who_comes_back_by_plain_websocket_with_a_new_token(
    server: LiveServer, somebody: Somebody, first: str
) -> None:
    async def show(plain: Plain, token: Token, **session: str) -> dict[str, Any]:
        frames = {"recover": session, "authenticate": token.auth}
        for name in sorted(frames, key=lambda name: name != first):
            await plain.send(**{name: frames[name]})
        return await plain.receive()

    path = "/ws/members/?recover&authenticate"
    async with websocket(server, path) as connection:
        before = await show(Plain(connection), await somebody.token("simplejwt"))
    await somebody.do("tell user", somebody.pk, "missed")
    async with websocket(server, path) as connection:
        plain = Plain(connection)
        after = await show(plain, await somebody.token("knox"), pid=before["pid"])
        assert after == before
        assert await plain.receive() == {"event": "said", "args": ["missed"]}


async def test_who_comes_back_is_the_same_user(
    node: Node, server: LiveServer, somebody: Somebody
) -> None:
    """By a new token as well as by the old one; not with another user's, nor a revoked one."""
    other = Somebody(somebody.issuer, f"user-{uuid4().hex[:12]}", 0)
    await somebody.do("new user", other.name)
    await node.open(server, "websocket", reconnection=True, reconnectionDelay=100)
    socket = await node.socket("one", "/members", (await somebody.token("drf_token")).auth)
    await somebody.do("tell user", somebody.pk, 1)
    assert (await socket.got("said"))[0] == 1

    async def come_back(token: Token) -> dict[str, Any]:
        socket.do("auth", auth=token.auth)
        node.do("drop", manager="one")
        await socket.happened("disconnect")
        return await node.said(namespace="/members", manager="one")

    recovered = await come_back(await somebody.token("simplejwt"))
    assert (recovered["happened"], recovered["recovered"]) == ("connect", True)
    assert recovered["sid"] == socket.sid
    assert await socket.call("whoami") == [somebody.name]
    came = await come_back(await other.token("simplejwt"))
    assert (came["happened"], came["recovered"]) == ("connect", False)
    assert await socket.call("whoami") == [other.name]
    token = await other.token("knox")
    await somebody.do("revoke", "knox", other.name)
    refused = await come_back(token)
    assert (refused["happened"], refused["data"]) == ("connect_error", {"code": 401})


async def test_the_log_has_no_tokens(server: LiveServer, somebody: Somebody) -> None:
    tokens = [await somebody.token(kind) for kind in (*SCHEMES, "allauth")]
    for token in tokens:
        async with come(server, "polling", token) as client:
            await client.call(EVENT, token.auth, namespace="/members")
            sid = client.sid("/members")
        await eventually(lambda sid=sid: sid in server.log)
    for token in tokens:
        assert token.text not in server.log


# While it is there


@asynccontextmanager
async def for_a_while(
    server: LiveServer, somebody: Somebody, kind: str, way: str
) -> AsyncIterator[Client]:
    """Come with a token that ends soon: later, where the machine takes longer to come."""
    for seconds in (3, 6, 12, 24, 48):
        token = await somebody.token(kind, seconds)
        async with AsyncExitStack() as stack:
            try:
                client = await stack.enter_async_context(come(server, way, token))
            except socketio.exceptions.ConnectionError:
                continue
            yield client
            return
    pytest.fail("it took longer to come than each token lasts")


@pytest.mark.parametrize("kind", LASTING)
async def test_the_end_of_a_token(server: LiveServer, somebody: Somebody, kind: str) -> None:
    """Who has shown nothing new goes, and who has stays: by polling and WebSocket."""
    lasting = await somebody.token("drf_token")

    async def stay_until_the_end(way: str) -> None:
        async with (
            for_a_while(server, somebody, kind, way) as client,
            for_a_while(server, somebody, kind, way) as renewing,
        ):
            answer = await renewing.call(EVENT, lasting.auth, namespace="/members")
            assert answer == {"expires": None}
            # Two values: the text, and its offset, since clients come back here.
            assert (await client.got("unauthorized", "/members"))[0] == somebody.name
            async with asyncio.timeout(DEADLINE):
                namespace, _ = await client.left.get()
            assert namespace == "/members"
            assert await renewing.call("whoami", namespace="/members") == somebody.name

    async with asyncio.TaskGroup() as group:
        for way in ("polling", "websocket"):
            group.create_task(stay_until_the_end(way))


async def test_the_end_of_a_token_by_plain_websocket(
    server: LiveServer, somebody: Somebody
) -> None:
    for seconds in (3, 6, 12, 24, 48):
        async with websocket(server, "/ws/members/?authenticate") as connection:
            plain = Plain(connection)
            await plain.send(authenticate=(await somebody.token("simplejwt", seconds)).auth)
            with suppress(ConnectionClosed):
                assert "connected" in await plain.receive()
                assert await plain.receive() == {"event": "unauthorized", "args": [somebody.name]}
                assert (await plain.closed())[0] == 4401
                return
    pytest.fail("it took longer to come than each token lasts")


async def test_other_namespaces_stay(node: Node, server: LiveServer, somebody: Somebody) -> None:
    await node.open(server, "upgrade")
    open_socket = await node.socket("one", "/open")
    token = await somebody.token("knox")
    members = await node.socket("one", "/members", token.auth)
    await somebody.do("revoke", "knox", somebody.name)
    assert (await members.got("unauthorized"))[0] == somebody.name
    assert (await members.happened("disconnect"))["reason"] == "io server disconnect"
    assert await open_socket.call("whoami") == [""]


@pytest.mark.parametrize(
    ("kind", "way"),
    [("drf_token", "drf_token"), ("knox", "knox"), ("signed", "password")]
    + [(kind, "user") for kind in (*SCHEMES, "allauth")],
)
async def test_what_is_revoked_sends_away(
    server: LiveServer, somebody: Somebody, kind: str, way: str
) -> None:
    """As soon as Django tells of it; those who came in another way stay where they may."""
    token = await somebody.token(kind)
    async with (
        come(server, "polling", token) as polling,
        come(server, "websocket", token) as client,
        websocket(server, "/ws/members/?authenticate") as connection,
    ):
        plain = Plain(connection)
        await plain.send(authenticate=token.auth)
        assert "connected" in await plain.receive()
        await somebody.do("revoke", way, somebody.name)
        for each in (polling, client):
            assert (await each.got("unauthorized", "/members"))[0] == somebody.name
            async with asyncio.timeout(DEADLINE):
                assert (await each.left.get())[0] == "/members"
        assert (await plain.receive())["event"] == "unauthorized"
        # The second one where it was being asked for anyway, and its token was looked at before.
        assert (await plain.closed())[0] in (4401, 4403)
