"""The client for a site's own tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import Client as Browser

from realtime import ClientDisconnected, ConnectionRefused, NamespaceConsumer, event, of
from realtime.hub.hub import Hub
from realtime.sending.plain_calls import Pending
from realtime.sockets import socket as sockets
from realtime.testing import Client

from .conftest import Connect, Serve
from .logins import log_in, new_session
from .probes import DEADLINE, Probe


class Main(NamespaceConsumer):
    async def connect(self, auth: dict[str, Any]) -> None:
        if auth.get("refuse"):
            raise ConnectionRefused("not you", {"n": 1}, code=1)

    @event
    async def hang(self) -> None:
        await asyncio.Event().wait()

    @event
    async def kick(self) -> None:
        self.close()

    @event
    async def ask(self) -> Any:
        return [await self.acall("question")]


@pytest.fixture(autouse=True)
def _main(serve: Serve) -> None:
    serve(Main)


@pytest.fixture
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no last hook wait long for a handler that hangs."""
    monkeypatch.setattr(sockets, "DISCONNECT_GRACE", 0.02)


async def test_a_refusal_is_raised() -> None:
    with pytest.raises(ConnectionRefused, match="not you") as refused:
        async with Client(auth={"refuse": True}):
            pass
    assert (refused.value.data, refused.value.code) == ({"n": 1, "code": 1}, 1)


async def test_an_unknown_namespace_is_raised() -> None:
    with pytest.raises(ConnectionRefused, match="Invalid namespace"):
        await Client("/nowhere").connect()


async def test_nobody_is_logged_in_unless_that_is_said(serve: Serve, probe: Probe) -> None:
    class Noting(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            probe.note((self.user, self.session.session_key, self.scope["path"]))

    serve(Noting)
    async with Client():
        assert await probe.next() == (AnonymousUser(), None, "/socket.io/")


@pytest.mark.usefixtures("_short_grace")
async def test_what_does_not_come_in_time_is_a_timeout(connect: Connect) -> None:
    client = await connect()
    with pytest.raises(TimeoutError):
        await client.receive(timeout=0.01)
    with pytest.raises(TimeoutError):
        await client.call("hang", timeout=0.01)
    with pytest.raises(TimeoutError):
        await client.closed(timeout=0.01)


async def test_a_call_of_a_client_that_is_closed_fails(connect: Connect) -> None:
    client = await connect()
    with pytest.raises(ClientDisconnected):
        await client.call("kick")
    await client.closed(DEADLINE)


@pytest.mark.usefixtures("_short_grace")
async def test_a_client_outlives_its_pings(serve: Serve, connect: Connect) -> None:
    serve(Main, PING_INTERVAL=0.02, PING_TIMEOUT=0.03)
    client = await connect()
    with pytest.raises(TimeoutError):
        await client.closed(timeout=0.3)
    with pytest.raises(TimeoutError):
        await client.call("hang", timeout=0.3)
    assert not client.pending()


async def test_disconnect_twice(connect: Connect) -> None:
    client = await connect()
    await client.disconnect()
    await client.disconnect()


async def test_who_drops_comes_back_and_who_leaves_does_not(serve: Serve) -> None:
    serve(Main, RECOVERY={"SECONDS": 60})
    async with Client() as client:
        sid = client.sid
        client.drop()
        await client.connect()
        assert (client.recovered, client.sid) == (True, sid)
        await client.disconnect()
        await client.connect()
        assert not client.recovered
        assert client.sid != sid


async def test_answers_hold_until_they_are_changed(connect: Connect) -> None:
    client = await connect()
    client.answer("question", 1)
    assert [await client.call("ask"), await client.call("ask")] == [[1], [1]]
    client.answer("question")
    assert await client.call("ask") == [None]
    assert client.pending() == 3


# Leaving


class Leaver(NamespaceConsumer):
    """Notes how far it has come."""

    notes: list[str] = []

    @event
    async def kick(self) -> None:
        self.close()

    @event
    async def late(self) -> None:
        await asyncio.sleep(0.05)
        self.notes.append("handler")

    async def disconnect(self, reason: str) -> None:
        await asyncio.sleep(0.01)
        self.notes.append(reason)


class PlainLeaver(Leaver):
    """The same in threads."""

    @event
    def late(self) -> None:  # type: ignore[override]
        threading.Event().wait(0.05)
        self.notes.append("handler")

    def disconnect(self, reason: str) -> None:  # type: ignore[override]
        threading.Event().wait(0.01)
        self.notes.append(reason)


class RaisingLeaver(Leaver):
    """The same, and fails."""

    async def disconnect(self, reason: str) -> None:
        await super().disconnect(reason)
        raise RuntimeError("broken")


@pytest.fixture(params=[Leaver, PlainLeaver, RaisingLeaver])
def notes(request: pytest.FixtureRequest, serve: Serve) -> list[str]:
    """What each of them notes in turn."""
    request.param.notes = []
    serve(request.param)
    return request.param.notes  # type: ignore[no-any-return]


async def test_disconnect_returns_after_the_last_hook(notes: list[str]) -> None:
    async with Client():
        pass
    assert notes == ["transport close"]


async def test_what_was_sent_before_is_handled_before_the_last_hook(notes: list[str]) -> None:
    client = Client()
    await client.connect()
    client.emit("late")
    client.emit("late")
    await client.disconnect()
    assert notes == ["handler", "handler", "transport close"]


async def test_the_last_hook_of_a_client_that_the_server_closed(notes: list[str]) -> None:
    async with Client() as client:
        client.emit("kick")
        await client.closed(DEADLINE)
    assert notes == ["server namespace disconnect"]


async def test_the_last_hook_of_a_server_that_stopped(notes: list[str], hub: Hub) -> None:
    async with Client() as client:
        await hub.close(grace=1)
        await client.closed(DEADLINE)
    assert notes == ["server shutting down"]


@pytest.mark.usefixtures("_short_grace")
async def test_the_last_hook_does_not_wait_for_ever_for_a_handler(
    serve: Serve, probe: Probe
) -> None:
    class Hanging(Main):
        async def disconnect(self, reason: str) -> None:
            probe.note(reason)

    serve(Hanging)
    async with Client() as client:
        client.emit("hang")
    assert await probe.next() == "transport close"


async def test_a_last_hook_that_hangs_is_named(serve: Serve, probe: Probe) -> None:
    class Stuck(NamespaceConsumer):
        async def disconnect(self, reason: str) -> None:
            await probe.gate.wait()

    serve(Stuck)
    client = Client()
    await client.connect()
    with pytest.raises(TimeoutError, match=r"consumer at '/', disconnect\(\), has not ended"):
        await client.disconnect(timeout=0.02)
    probe.gate.set()
    await client.disconnect()


async def test_an_error_of_the_test_is_told_before_a_hook_that_hangs(
    serve: Serve, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.testing.Client.disconnect.__defaults__", (0.02,))

    class Stuck(NamespaceConsumer):
        async def disconnect(self, reason: str) -> None:
            await probe.gate.wait()

    serve(Stuck)
    with pytest.raises(ZeroDivisionError) as failed:
        async with Client():
            1 / 0  # noqa: B018
    assert "has not ended" in failed.value.__notes__[0]
    probe.gate.set()


async def test_a_client_that_was_not_let_in_leaves_nothing(serve: Serve, hub: Hub) -> None:
    class Slow(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            if auth.get("refuse"):
                raise ConnectionRefused("not you")
            await asyncio.sleep(0.05)

    serve(Slow)
    with pytest.raises(ConnectionRefused):
        await Client(auth={"refuse": True}).connect()
    late = Client()
    with pytest.raises(TimeoutError):
        await late.connect(timeout=0.01)
    assert hub.stats()["connections"] == 0
    await late.disconnect()
    await Client().disconnect()  # one that never connected


# Who it is


@pytest.fixture
def who(serve: Serve, transactional_db: None) -> Callable[..., Any]:
    """A function with the arguments of `Client` that returns the name of the consumer's user."""

    class Who(NamespaceConsumer):
        @event
        def who(self) -> list[Any]:
            cart = self.session.get("cart")
            return [self.user.username, cart, self.scope["cookies"].get("a")]

    serve(Who)

    async def ask(**options: Any) -> Any:
        async with Client(**options) as client:
            return await client.call("who")

    return ask


async def test_the_cookie_of_a_session_in_headers(who: Callable[..., Any]) -> None:
    session = await log_in(await User.objects.acreate(username="ada"), cart="3")
    cookie = f"a=1; sessionid={session.session_key}"
    expected = ["ada", "3", "1"]
    assert await who(scope={"headers": [(b"cookie", cookie.encode())]}) == expected
    assert await who(headers={"Cookie": cookie}) == expected
    assert await who(cookies={"a": "1", "sessionid": session.session_key}) == expected


async def test_the_cookies_of_djangos_client(who: Callable[..., Any]) -> None:
    browser = Browser()
    await browser.aforce_login(await User.objects.acreate(username="ada"))
    assert await who(cookies=browser.cookies) == ["ada", None, None]
    await browser.alogout()
    assert await who(cookies=browser.cookies) == ["", None, None]


async def test_a_user_wins_over_the_cookie(who: Callable[..., Any]) -> None:
    session = await log_in(await User.objects.acreate(username="ada"), cart="3")
    cookies = {"sessionid": session.session_key}
    assert await who(user=User(username="bob"), cookies=cookies) == ["bob", "3", None]
    assert await who(user=AnonymousUser(), cookies=cookies) == ["", "3", None]
    assert await who(scope={"user": User(username="bob")}, cookies=cookies) == ["bob", "3", None]


async def test_a_session_by_itself(who: Callable[..., Any]) -> None:
    session = await log_in(await User.objects.acreate(username="ada"), cart="3")
    assert await who(scope={"session": session}) == ["ada", "3", None]
    assert await who(scope={"session": new_session()}) == ["", None, None]
    assert await who(scope={"session": {"cart": 4}}) == ["", 4, None]


@pytest.mark.parametrize("key", ["", "nosuchsession", "a\0b", "é" * 40])
async def test_cookies_that_are_nobodys(key: str, who: Callable[..., Any]) -> None:
    assert await who(cookies={"sessionid": key}) == ["", None, None]


async def test_headers_are_seen(serve: Serve, probe: Probe) -> None:
    class Noting(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            probe.note(dict(self.scope["headers"])[b"user-agent"])

    serve(Noting)
    async with Client(headers={"User-Agent": "tests"}), asyncio.timeout(DEADLINE):
        assert await probe.next() == b"tests"


async def test_a_slow_client_misses_what_is_volatile_and_nothing_else(serve: Serve) -> None:
    class Greeting(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            self.emit("first")

    serve(Greeting)
    async with Client(slow=True) as slow, Client() as quick:
        of("/").volatile().emit("position", 1)
        sent = asyncio.ensure_future(_await(of("/").to(slow.sid).emit("second")))
        assert await quick.receive() == ("first",)
        assert await quick.receive() == ("position", 1)
        assert slow.pending() == 0
        slow.catch_up()
        assert [await slow.receive(), await slow.receive()] == [("first",), ("second",)]
        await asyncio.wait_for(sent, DEADLINE)
        of("/").volatile().emit("position", 2)
        assert await slow.receive() == ("position", 2)


async def test_what_a_slow_client_is_sent_can_be_waited_for(serve: Serve, probe: Probe) -> None:
    class Filling(NamespaceConsumer):
        @event
        async def fill(self) -> None:
            probe.note("begins")
            await self.emit("part")
            probe.note("ends")

    serve(Filling)
    async with Client(slow=True) as slow:
        slow.emit("fill")
        assert await probe.next() == "begins"
        assert await probe.empty()
        slow.catch_up()
        assert await probe.next() == "ends"
        assert await slow.receive() == ("part",)


async def test_a_client_that_is_too_slow_is_disconnected(
    serve: Serve, hub: Hub, probe: Probe
) -> None:
    class Leaving(NamespaceConsumer):
        async def disconnect(self, reason: str) -> None:
            probe.note(reason)

    serve(Leaving)
    async with Client(slow=True) as slow:
        of("/").emit("much", "x" * hub.settings.OUTBOX_BYTES)
        await slow.closed(DEADLINE)
        assert await probe.next() == "transport error"


async def test_only_a_slow_client_catches_up() -> None:
    async with Client() as client:
        with pytest.raises(TypeError, match="reads at once"):
            client.catch_up()


async def _await(pending: Pending) -> None:
    await pending
