"""What the recipes of the how-to guides do, beyond running at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import realtime
from django.contrib.admin import AdminSite
from django.contrib.auth.models import AnonymousUser, User
from django.test import RequestFactory
from realtime.testing import Client
from shop.models import Device, Message, Order, Visit

from checks.check_blocks import BLOCKS, run
from conftest import Mount
from tests.docs.blocks import Block


def find(page: str, text: str) -> Block:
    """Return the block of a page that has this text."""
    (block,) = (each for each in BLOCKS if each.page.name == page and text in each.code)
    return block


async def define(page: str, text: str) -> dict[str, Any]:
    """Run that block in a thread, as sync code of a site runs; return what it defines."""
    return await asyncio.to_thread(run, find(page, text))


@pytest.mark.usefixtures("presence")
async def check_every_user_comes_and_goes_once(mount: Mount) -> None:
    consumer = (await define("who-is-online.md", "class ChatConsumer"))["ChatConsumer"]
    mount("talk/", consumer)
    ada = await User.objects.acreate(username="ada")
    bob = await User.objects.acreate(username="bob")
    async with Client("/talk", user=bob) as watcher:
        async with Client("/talk", user=ada) as tab:
            assert await watcher.receive() == ("came", "ada")
            async with Client("/talk", user=ada), Client("/talk"), Client("/talk"):
                pass
            assert watcher.pending() == 0, "neither for a second tab, nor for nobody in particular"
            await tab.disconnect()
        assert await watcher.receive() == ("went", "ada")


@pytest.mark.usefixtures("presence")
async def check_every_user_of_the_list_is_told_of() -> None:
    admin = (await define("who-is-online.md", "class CustomerAdmin"))["CustomerAdmin"]
    ada = await User.objects.acreate(username="ada", is_staff=True, is_superuser=True)
    await User.objects.acreate(username="bob")

    def look() -> dict[str, tuple[bool, bool]]:
        request = RequestFactory().get("/", {"o": "2.3"})
        request.user = ada
        page = admin(User, AdminSite()).changelist_view(request)
        users = page.context_data["cl"].result_list
        return {user.username: (user.is_online, user.last_seen is not None) for user in users}

    async with Client("/orders/7", user=ada):
        assert await asyncio.to_thread(look) == {"ada": (True, True), "bob": (False, False)}
    async with asyncio.timeout(10):
        while await asyncio.to_thread(look) != {"ada": (False, True), "bob": (False, False)}:
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("presence")
async def check_every_visit_is_noted(page: Client) -> None:
    await define("signals.md", "def note_visit")
    ada = await User.objects.acreate(username="ada")
    async with Client("/orders/7", user=ada):
        pass
    async with Client("/"):  # nobody in particular
        pass
    async with asyncio.timeout(10):
        while not await Visit.objects.filter(user=ada).aexists():
            await asyncio.sleep(0.01)
    assert await Visit.objects.filter(user=ada, namespace="/orders/7").acount() == 1


@pytest.mark.django_db(transaction=True)
async def check_every_device_says_who_it_is_first(monkeypatch: pytest.MonkeyPatch) -> None:
    device = await Device.objects.acreate(token="secret")
    async with Client("/meters") as known, Client("/meters") as unknown:
        refused = await unknown.call("reading", 1.5)
        assert refused["error"]["code"] == "unauthenticated"
        assert await known.call("authenticate", "secret") == {"ok": True}
        assert await known.call("reading", 1.5) == {"device": device.pk, "value": 1.5}
        realtime.of("/meters").to("meters").emit("news")
        assert await known.receive() == ("news",)
        assert unknown.pending() == 0
        unknown.emit("authenticate", "guessed")
        await unknown.closed(timeout=10)
    monkeypatch.setattr("mysite.meters.MeterConsumer.patience", 0.01)
    async with Client("/meters") as silent:
        await silent.closed(timeout=10)


@pytest.mark.django_db(transaction=True)
async def check_every_order_is_its_owners(mount: Mount) -> None:
    consumer = (await define("refuse-clients.md", "owner=self.user.pk"))["OrderConsumer"]
    mount("mine/<int:pk>/", consumer)
    ada = await User.objects.acreate(username="ada")
    order = await Order.objects.acreate(owner=ada)
    async with Client(f"/mine/{order.pk}", user=ada):
        pass
    for user in (AnonymousUser(), await User.objects.acreate(username="bob")):
        with pytest.raises(realtime.ConnectionRefused, match="no such order"):
            await Client(f"/mine/{order.pk}", user=user).connect()


@pytest.mark.django_db(transaction=True)
async def check_every_socket_of_a_user_is_closed_at_logout(mount: Mount, async_client: Any) -> None:
    page = "refuse-clients.md"
    consumer = (await define(page, 'self.emit("goodbye")'))["AccountConsumer"]
    mount("me/", consumer)
    ada = await User.objects.acreate(username="ada", is_staff=True)
    await async_client.aforce_login(ada)
    bob = await User.objects.acreate(username="bob")
    async with (
        Client("/me", cookies=async_client.cookies) as first,
        Client("/me", cookies=async_client.cookies) as second,
        Client("/me", user=bob) as other,
    ):
        await async_client.post("/admin/logout/")
        assert await first.receive(timeout=10) == ("goodbye",)
        await first.closed(timeout=10)
        await second.closed(timeout=10)
        with pytest.raises(TimeoutError):
            await other.closed(timeout=0.05)


@pytest.mark.django_db(transaction=True)
async def check_every_room_of_an_order_is_its_owners() -> None:
    ada = await User.objects.acreate(username="ada")
    bob = await User.objects.acreate(username="bob")
    order = await Order.objects.acreate(owner=ada)
    with pytest.raises(realtime.ConnectionRefused, match="log in first"):
        await Client("/orders").connect()
    async with Client("/orders", user=ada) as owner, Client("/orders", user=bob) as other:
        assert await owner.call("join", f"order {order.pk}") == {"ok": True}
        for room in (
            f"order {order.pk}",
            "order 1000",
            "order x",
            "orders",
            "order \N{SUPERSCRIPT TWO}",
        ):
            assert (await other.call("join", room))["error"]["code"] == "forbidden"


@pytest.mark.django_db(transaction=True)
async def check_every_order_is_for_those_who_may_see_it(mount: Mount) -> None:
    consumer = (await define("say-who-may-come-in.md", "order.owner == self.user"))["OrderConsumer"]
    mount("seen/<int:pk>/", consumer)
    ada = await User.objects.acreate(username="ada")
    order = await Order.objects.acreate(owner=ada)
    async with Client(f"/seen/{order.pk}", user=ada):
        pass
    for user, pk, code in (
        (AnonymousUser(), order.pk, 401),
        (await User.objects.acreate(username="bob"), order.pk, 403),
        (ada, order.pk + 1, 403),
    ):
        with pytest.raises(realtime.ConnectionRefused) as caught:
            await Client(f"/seen/{pk}", user=user).connect()
        assert caught.value.code == code


async def check_every_guarded_room(mount: Mount) -> None:
    consumer = (await define("say-who-may-come-in.md", "guard_rooms"))["TeamConsumer"]
    mount("team/", consumer)
    async with Client("/team") as guest, Client("/team", user=User(pk=1, is_staff=True)) as staff:
        realtime.of("/team").to("staff").emit("news", 1)
        realtime.of("/team").to("everybody").emit("news", 2)
        assert await staff.receive() == ("news", 1)
        assert await staff.receive() == await guest.receive() == ("news", 2)


async def check_every_board_is_for_some_only(mount: Mount) -> None:
    consumer = (await define("refuse-clients.md", "class BoardConsumer"))["BoardConsumer"]
    mount("board/", consumer)
    staff = User(pk=1, is_staff=True)
    async with Client("/board") as guest, Client("/board", user=staff) as known:
        assert (await guest.call("admin reset"))["error"]["code"] == "forbidden"
        realtime.of("/board").to(known.sid).join("editors")
        assert (await known.call("publish", 1))["error"]["code"] == "invalid_arguments"
        assert await known.call("publish", "text") is None


async def check_every_limit_holds(mount: Mount) -> None:
    consumer = (await define("limit-clients.md", "class ChatConsumer"))["ChatConsumer"]
    mount("limited/", consumer)
    async with Client("/limited") as client:
        for _ in range(5):
            client.emit("message")
        assert (await client.call("message"))["error"] == {
            "code": "rate_limited",
            "message": "more than 5/s of 'message'",
            "data": None,
        }


@pytest.mark.django_db(transaction=True)
async def check_every_change_is_told_when_it_is_committed(page: Client) -> None:
    await define("send-from-anywhere.md", "on_commit().emit")
    assert await page.receive() == ("message", "I'm server")
    await Order.objects.acreate(pk=7)
    assert await page.receive() == ("changed", "new")


async def check_every_desk_asks_and_answers() -> None:
    async with Client("/desk") as client:
        client.answer("are you sure?", True)
        client.answer("question", "yes")
        assert await client.call("confirm") == "deleted"
        assert await client.call("move", 1, 2) == (1, 2)
        assert (await client.call("move", 9, 2))["error"]["code"] == "off_board"
        assert await client.call("upload", "a", b"123") == 3
        await client.call("start")
        names = [(await client.receive())[0] for _ in range(4)]
        assert names == ["are you sure?", "preview", "question", "answered"]


@pytest.mark.usefixtures("recovery")
@pytest.mark.django_db(transaction=True)
async def check_every_list_is_sent_to_who_has_none(mount: Mount) -> None:
    consumer = (await define("let-clients-come-back.md", "class OrdersConsumer"))["OrdersConsumer"]
    mount("list/", consumer)
    async with Client("/list") as client:
        assert await client.receive() == ("orders", [])
        client.drop()
        realtime.of("/list").to("orders").emit("created", 7)
        await client.connect()
        assert client.recovered
        realtime.of("/list").to("orders").emit("created", 8)
        assert [await client.receive() for _ in range(2)] == [("created", 7), ("created", 8)]
        client.drop()
        realtime.to_client(client.sid).close()
        await client.connect()
        assert await client.receive() == ("orders", [])


@pytest.mark.usefixtures("recovery")
@pytest.mark.django_db(transaction=True)
async def check_every_snapshot_is_sent_after_a_loss_alone(mount: Mount) -> None:
    block = "class TrackingConsumer"
    consumer = (await define("let-clients-come-back.md", block))["TrackingConsumer"]
    mount("track/<int:pk>/", consumer)
    order = await Order.objects.acreate()
    async with Client(f"/track/{order.pk}") as client:
        for _ in range(2):
            realtime.of(client.namespace).to(f"order {order.pk}").emit("changed")
            assert await client.receive() == ("changed",)
            client.drop()
            await client.connect()
        client.drop()
        realtime.to_client(client.sid).close()
        await client.connect()
        assert await client.receive() == ("snapshot", {"status": "new"})


@pytest.mark.usefixtures("recovery")
@pytest.mark.django_db(transaction=True)
async def check_every_sensor_comes_back_as_itself(mount: Mount) -> None:
    consumer = (await define("let-clients-come-back.md", "class SensorConsumer"))["SensorConsumer"]
    mount("sensor/", consumer)
    await Device.objects.acreate(token="one")
    await Device.objects.acreate(token="two")
    auth = {"token": "one"}
    async with Client("/sensor", auth=auth) as client:
        client.drop()
        await client.connect()
        assert client.recovered
        client.drop()
        auth["token"] = "two"
        with pytest.raises(realtime.ConnectionRefused, match="unknown token"):
            await client.connect()
        await client.connect()
        assert not client.recovered


@pytest.mark.usefixtures("recovery")
async def check_every_point_is_kept(mount: Mount) -> None:
    consumer = (await define("let-clients-come-back.md", "class QuizConsumer"))["QuizConsumer"]
    mount("quiz/", consumer)
    async with Client("/quiz") as client:
        await client.call("right")
        client.drop()
        await client.connect()
        await client.call("right")
        assert client.recovered
        name, points = await client.receive(timeout=10)
        while points < 2:
            name, points = await client.receive(timeout=10)
        assert (name, points) == ("points", 2)


@pytest.mark.usefixtures("recovery")
@pytest.mark.django_db(transaction=True)
async def check_every_device_is_known_when_it_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    device = await Device.objects.acreate(token="secret")
    async with Client("/meters") as meter:
        await meter.call("authenticate", "secret")
        meter.drop()
        monkeypatch.setattr("mysite.meters.MeterConsumer.patience", 0.01)
        await meter.connect()
        with pytest.raises(TimeoutError):
            await meter.closed(timeout=0.1)
        assert await meter.call("reading", 1.5) == {"device": device.pk, "value": 1.5}


@pytest.mark.django_db(transaction=True)
async def check_every_order_of_the_readme() -> None:
    order = await Order.objects.acreate()
    async with Client(f"/orders/{order.pk}", user=User(pk=1)) as one:
        async with Client(f"/orders/{order.pk}", user=User(pk=2)) as two:
            assert await one.call("private message", "hello") is None
            assert (await one.call("private message", ""))["error"]["message"] == "an empty message"
            assert (await one.call("private message", 1))["error"]["code"] == "invalid_arguments"
            assert await Message.objects.aget(order=order, text="hello")
            sid = two.sid
        assert [await one.receive() for _ in range(2)] == [
            ("message", "I'm server"),
            ("left", sid),
        ]
