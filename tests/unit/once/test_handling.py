"""`@event(once="key")`: a handler runs once for each key, and all tries get its acknowledgement."""

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.urls import path

from realtime import EventError, NamespaceConsumer, event
from realtime.models import HandledEvent
from realtime.sockets import claims, stored_answers
from realtime.testing import Client

from ..conftest import Connect, Serve
from ..presence.conftest import ask
from ..probes import Probe

ANN, BOB = User(pk=1, username="ann"), User(pk=2, username="bob")


class Shop(NamespaceConsumer):
    """Its handlers leave a note whenever they run."""

    probe: Probe

    @event(once="key")
    async def pay(self, key: str, amount: int) -> dict[str, Any]:
        self.probe.note((key, amount))
        return {"paid": amount, "price": Decimal("1.50")}

    @event(once="key")
    async def slow(self, key: str) -> str:
        self.probe.note(key)
        await self.probe.gate.wait()
        self.probe.note(f"{key} ended")
        return "slept"

    @event(once="key", concurrent=True)
    async def beside(self, key: str) -> str:
        return await self.slow(key)

    @event(once="key")
    async def fail(self, key: str) -> None:
        self.probe.note(key)
        raise KeyError(key)

    @event(once="key")
    async def refuse(self, key: str, data: Any) -> None:
        self.probe.note(key)
        raise EventError("no money", data, code="declined")


@pytest.fixture
def shop(serve: Serve, probe: Probe) -> None:
    Shop.probe = probe
    serve(Shop)


@pytest.mark.usefixtures("shop")
async def test_a_try_again_gets_the_first_ones_answer(connect: Connect, probe: Probe) -> None:
    first, second = await connect(user=ANN), await connect(user=ANN)
    answer = await first.call("pay", "k", 5)
    assert answer == {"paid": 5, "price": "1.50"}
    assert await first.call("pay", "k", 5) == answer
    assert await second.call("pay", "k", 5) == answer
    second.emit("pay", "k", 5)
    assert await second.call("pay", "another", 5) == answer
    assert [await probe.next(), await probe.next()] == [("k", 5), ("another", 5)]
    assert await probe.empty()


@pytest.mark.usefixtures("shop")
async def test_after_a_drop_too(probe: Probe) -> None:
    async with Client(user=ANN) as client:
        client.emit("pay", "k", 5)
        assert await probe.next() == ("k", 5)
    async with Client(user=ANN) as client:
        assert await client.call("pay", "k", 5) == {"paid": 5, "price": "1.50"}
    assert await probe.empty()


RESULTS = [
    None,
    [],
    (),
    (None,),
    (1, None),
    [1, 2],
    ([1, 2],),
    "text",
    b"bytes",
    {"a": [b"\x00\xff", {"b": b""}]},
    (b"1", b"2"),
    False,
    0,
]


@pytest.mark.parametrize("plain", [False, True], ids=["async def", "def"])
async def test_any_answer_is_the_same_again(
    serve: Serve, connect: Connect, probe: Probe, plain: bool
) -> None:
    class Answering(NamespaceConsumer):
        @event("answer", once="key")
        async def answer(self, key: int) -> Any:
            probe.note(key)
            return RESULTS[key]

        @event("plain", once="key")
        def plain(self, key: int) -> Any:
            probe.note(key)
            return RESULTS[key]

        @event
        async def bare(self, key: int) -> Any:
            return RESULTS[key]

    serve(Answering)
    client = await connect(user=ANN)
    for number in range(len(RESULTS)):
        name = "plain" if plain else "answer"
        expected = await client.call("bare", number)
        assert await client.call(name, number) == expected
        assert await client.call(name, number) == expected
        assert await probe.next() == number
    assert await probe.empty()


@pytest.mark.parametrize("event_name", ["slow", "beside"])
@pytest.mark.usefixtures("shop")
async def test_a_second_try_waits_for_the_first(
    connect: Connect, probe: Probe, event_name: str
) -> None:
    clients = [await connect(user=ANN) for _ in range(3)]
    tries = [asyncio.create_task(each.call(event_name, "k")) for each in clients]
    assert await probe.next() == "k"
    probe.gate.set()
    assert await asyncio.gather(*tries) == ["slept"] * 3
    assert await probe.next() == "k ended"
    assert await probe.empty()


@pytest.mark.parametrize("event_name", ["slow", "beside"])
@pytest.mark.usefixtures("shop")
async def test_what_has_begun_goes_on_without_its_client(
    probe: Probe, connect: Connect, monkeypatch: pytest.MonkeyPatch, event_name: str
) -> None:
    monkeypatch.setattr("realtime.sockets.socket.DISCONNECT_GRACE", 0.02)
    async with Client(user=ANN) as first:
        first.emit(event_name, "k")
        assert await probe.next() == "k"
    second = await connect(user=ANN)
    answer = asyncio.create_task(second.call(event_name, "k"))
    probe.gate.set()
    assert await answer == "slept"
    assert await probe.next() == "k ended"
    assert await probe.empty()


@pytest.mark.usefixtures("shop")
async def test_a_failure_leaves_the_key_to_the_next_try(connect: Connect, probe: Probe) -> None:
    client = await connect(user=ANN)
    for _ in range(2):
        answer = await client.call("fail", "k")
        assert answer["error"]["code"] == "server_error"
        assert await probe.next() == "k"
    assert not await ask(HandledEvent.objects.exists)


@pytest.mark.usefixtures("shop")
async def test_after_a_failure_one_of_those_who_wait_is_the_next(
    serve: Serve, connect: Connect, probe: Probe
) -> None:
    class Failing(NamespaceConsumer):
        times = 0

        @event(once="key")
        async def pay(self, key: str) -> int:
            Failing.times += 1
            probe.note("runs")
            await probe.gate.wait()
            if Failing.times == 1:
                raise KeyError
            return Failing.times

    serve(Failing)
    clients = [await connect(user=ANN) for _ in range(3)]
    tries = [asyncio.create_task(client.call("pay", "k")) for client in clients]
    assert await probe.next() == "runs"
    probe.gate.set()
    answers = await asyncio.gather(*tries)
    assert answers.count(2) == 2
    assert await probe.next() == "runs"
    assert await probe.empty()


@pytest.mark.parametrize("data", [None, {"left": 3}, b"bytes"])
@pytest.mark.usefixtures("shop")
async def test_a_refusal_is_an_answer(connect: Connect, probe: Probe, data: Any) -> None:
    client = await connect(user=ANN)
    expected = {"error": {"code": "declined", "message": "no money", "data": data}}
    assert await client.call("refuse", "k", data) == expected
    assert await client.call("refuse", "k", data) == expected
    assert await probe.next() == "k"
    assert await probe.empty()


async def test_an_answer_that_cannot_be_sent_is_a_failure_that_stays(
    serve: Serve, connect: Connect, probe: Probe, records: list[Any]
) -> None:
    class Wrong(NamespaceConsumer):
        @event(once="key")
        async def pay(self, key: str) -> object:
            probe.note(key)
            return object()

        @event(once="key")
        async def refuse(self, key: str) -> None:
            probe.note(key)
            raise EventError("no", object(), code="declined")

    serve(Wrong)
    client = await connect(user=ANN)
    for _ in range(2):
        assert (await client.call("pay", "k"))["error"]["code"] == "server_error"
        refused = (await client.call("refuse", "k"))["error"]
        assert (refused["code"], refused["data"]) == ("declined", None)
    assert [await probe.next(), await probe.next()] == ["k", "k"]
    assert await probe.empty()
    assert any("object cannot be sent" in str(each.exc_info) for each in records)


async def test_an_answer_that_is_too_large_is_not_kept(
    serve: Serve, connect: Connect, probe: Probe, records: list[Any]
) -> None:
    class Large(NamespaceConsumer):
        @event(once="key")
        async def pay(self, key: str) -> bytes:
            probe.note(key)
            return b"x" * stored_answers.MAX_ANSWER

    serve(Large)
    client = await connect(user=ANN)
    assert len(await client.call("pay", "k")) == stored_answers.MAX_ANSWER
    assert (await client.call("pay", "k"))["error"]["code"] == "answer_lost"
    assert await probe.next() == "k"
    assert await probe.empty()
    (line,) = [each for each in records if each.args[0] == "once-too-large"]
    assert line.realtime["event"] == "pay"


# Whose a key is


@pytest.mark.usefixtures("shop")
async def test_nobody_meets_another_ones_keys(connect: Connect, probe: Probe) -> None:
    for user in (ANN, BOB, None, None):
        client = await connect(user=user)
        for _ in range(2):
            await client.call("pay", "k", 5)
        assert await probe.next() == ("k", 5)
    assert await probe.empty()


async def test_a_key_is_of_its_namespace_and_event(
    serve: Serve, connect: Connect, probe: Probe
) -> None:
    class Orders(Shop):
        @event("pay all", once="key")
        async def pay_all(self, key: str, amount: int) -> None:
            self.probe.note(("all", key, amount))

    Orders.probe = probe
    serve(routes=[path("orders/<int:pk>/", Orders.as_asgi())])
    one, two = await connect("/orders/1", user=ANN), await connect("/orders/2", user=ANN)
    for client in (one, two, one, two):
        await client.call("pay", "k", 5)
        await client.call("pay all", "k", 5)
    notes = [await probe.next() for _ in range(4)]
    assert notes == [("k", 5), ("all", "k", 5)] * 2
    assert await probe.empty()


@pytest.mark.usefixtures("shop")
async def test_an_anonymous_client_with_a_session_has_its_keys(
    connect: Connect, probe: Probe
) -> None:
    def new_session() -> str:
        session = SessionStore()
        session["cart"] = [1]
        session.save()
        return str(session.session_key)

    one, two = await ask(new_session), await ask(new_session)
    for key in (one, one, two):
        client = await connect(cookies={"sessionid": key})
        await client.call("pay", "k", 5)
    assert [await probe.next(), await probe.next()] == [("k", 5)] * 2
    assert await probe.empty()


class Nameless:
    """A user of a site's own, who cannot be asked who it is."""

    is_authenticated = True

    @property
    def pk(self) -> Any:
        raise RuntimeError


class Stateless:
    """A user of a site's own, made of a token."""

    is_authenticated = True

    def __init__(self, pk: Any) -> None:
        self.pk = pk


@pytest.mark.usefixtures("shop")
async def test_users_of_the_sites_own(connect: Connect, probe: Probe) -> None:
    for user in (Stateless("a"), Stateless("a"), Stateless("b"), Stateless(1), ANN):
        await (await connect(user=user)).call("pay", "k", 5)
    assert [await probe.next() for _ in range(4)] == [("k", 5)] * 4
    for _ in range(2):
        await (await connect(user=Nameless())).call("pay", "k", 5)
        assert await probe.next() == ("k", 5)
    assert await probe.empty()


# Keys


@pytest.mark.usefixtures("shop")
async def test_other_arguments_are_refused(connect: Connect, probe: Probe) -> None:
    client = await connect(user=ANN)
    await client.call("pay", "k", 5)
    assert (await client.call("pay", "k", 6))["error"]["code"] == "key_reused"
    assert await client.call("pay", "k", 5, "which nobody takes")
    assert await probe.next() == ("k", 5)
    assert await probe.empty()


@pytest.mark.usefixtures("shop")
async def test_other_arguments_are_refused_while_the_first_try_runs(
    serve: Serve, connect: Connect, probe: Probe
) -> None:
    class Slow(NamespaceConsumer):
        @event(once="key")
        async def pay(self, key: str, amount: int) -> int:
            probe.note(amount)
            await probe.gate.wait()
            return amount

    serve(Slow)
    one, two = await connect(user=ANN), await connect(user=ANN)
    first = asyncio.create_task(one.call("pay", "k", 5))
    assert await probe.next() == 5
    assert (await two.call("pay", "k", 6))["error"]["code"] == "key_reused"
    probe.gate.set()
    assert await first == 5


@pytest.mark.parametrize("key", ["", "x" * 201, 5, None, ["k"], {}, b"k"])
@pytest.mark.usefixtures("shop")
async def test_what_is_no_key(connect: Connect, probe: Probe, key: Any) -> None:
    client = await connect(user=ANN)
    answer = await client.call("pay", key, 5)
    assert answer["error"]["code"] == "invalid_arguments"
    assert (await client.call("pay"))["error"]["code"] == "invalid_arguments"
    assert await probe.empty()


@pytest.mark.parametrize("key", ["x" * 200, "☃", "\0", " ", "' OR 1=1 --", "\ufffd"])
@pytest.mark.usefixtures("shop")
async def test_any_text_is_a_key(connect: Connect, probe: Probe, key: str) -> None:
    client = await connect(user=ANN)
    for _ in range(2):
        assert (await client.call("pay", key, 5))["paid"] == 5
    assert await probe.next() == (key, 5)
    assert await probe.empty()


async def test_keys_of_other_types(serve: Serve, connect: Connect, probe: Probe) -> None:
    class Typed(NamespaceConsumer):
        @event(once="number")
        async def by_number(self, amount: int, number: int) -> int:
            probe.note(number)
            return amount

        @event(once="number")
        async def by_uuid(self, number: UUID) -> str:
            probe.note(number)
            return str(number)

    serve(Typed)
    client = await connect(user=ANN)
    name = "6c1f8a4e-2a9b-4f5e-9d0f-0a6f4f2f6a11"
    for _ in range(2):
        assert await client.call("by_number", 1, -(2**53)) == 1
        assert await client.call("by_uuid", name) == name
        assert await client.call("by_uuid", name.upper()) == name
    assert [await probe.next(), await probe.next()] == [-(2**53), UUID(name)]
    assert await probe.empty()


# With the other parts of a handler


async def test_what_stands_around_every_event_sees_each_try_alike(
    serve: Serve, connect: Connect, probe: Probe
) -> None:
    class Around(Shop):
        async def handle(self, event: str, args: list[Any]) -> Any:
            return [event, await super().handle(event, args)]

    Around.probe = probe
    serve(Around)
    client = await connect(user=ANN)
    for _ in range(2):
        assert await client.call("pay", "k", 5) == ["pay", {"paid": 5, "price": "1.50"}]
    assert await probe.next() == ("k", 5)
    assert await probe.empty()


async def test_in_a_room_and_inherited(serve: Serve, connect: Connect, probe: Probe) -> None:
    class Base(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            if auth.get("vip"):
                self.join("vip")

        @event("pay", once="key", room="vip", concurrent=True)
        def pay_vip(self, key: str) -> str:
            probe.note(("vip", threading.current_thread() is threading.main_thread()))
            return "vip"

        @event
        async def pay(self, key: str) -> str:
            return "plain"

    class Derived(Base):
        def pay_vip(self, key: str) -> str:
            return super().pay_vip(key).upper()

    serve(Derived)
    vip, other = await connect(user=ANN, auth={"vip": 1}), await connect(user=ANN)
    for _ in range(2):
        assert await vip.call("pay", "k") == "VIP"
        assert await other.call("pay", "k") == "plain"
    assert await probe.next() == ("vip", False)
    assert await probe.empty()


# What takes long


@pytest.mark.usefixtures("shop")
async def test_nobody_waits_for_ever(
    connect: Connect, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "WAIT", 0.05)
    one, two = await connect(user=ANN), await connect(user=ANN)
    first = asyncio.create_task(one.call("slow", "k"))
    assert await probe.next() == "k"
    assert (await two.call("slow", "k"))["error"]["code"] == "still_running"
    probe.gate.set()
    assert await first == "slept"
    assert await two.call("slow", "k") == "slept"
