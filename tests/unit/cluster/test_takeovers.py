"""A client whose WebSocket comes to another hub than its polling: that one takes it over."""

from __future__ import annotations

import asyncio
import copy
import datetime
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
)
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.contrib.sessions.models import Session as SessionModel
from django.urls import path
from pytest_django import Settings

from realtime import event
from realtime.cluster.envelopes import Upgrade
from realtime.hub import asking
from realtime.transports import arrivals
from realtime.transports.departures import SPARE_TIME
from tests.unit.consumers import RoomsConsumer

from .conftest import Server, until
from .upgrading import Mover

Three = tuple[Server, Server, Server]
RECOVERY = {"plain": None, "recovery": {"SECONDS": 60}}

pytestmark = pytest.mark.slow


class Wanderer(RoomsConsumer):
    """Keeps much, does what it is asked for, and notes its end."""

    ends: list[tuple[str, str]] = []
    gates: dict[str, asyncio.Event] = {}

    async def connect(self, auth: dict[str, Any]) -> None:
        await super().connect(auth)
        self.began = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
        self.share(name="Ann")
        if "odd" in auth:
            self.odd = object()

    async def disconnect(self, reason: str) -> None:
        self.ends.append((self.sid, reason))

    @event
    async def remember(self, value: Any) -> None:
        self.data["value"] = value

    @event
    async def kept(self) -> list[Any]:
        return [self.data.get("value"), str(self.began), self.shared, sorted(self.rooms)]

    @event
    async def wait(self, gate: str) -> str:
        await self.gates[gate].wait()
        return "done"

    @event
    async def work(self) -> None:
        self.spawn(asyncio.sleep(60))

    @event
    async def ask(self) -> None:
        self.emit("question", callback=self.answered)

    async def answered(self, answer: str) -> None:
        self.data["value"] = answer

    @event
    async def number(self, number: int, *more: bytes) -> None:
        self.data.setdefault("numbers", []).append(number)

    @event
    async def numbers(self) -> list[int]:
        return self.data.get("numbers", [])


namespaces = [path("", Wanderer.as_asgi())]


@pytest.fixture(params=RECOVERY)
def _recovery(request: pytest.FixtureRequest, settings: Settings) -> None:
    settings.REALTIME = {**settings.REALTIME, "RECOVERY": RECOVERY[request.param]}


@pytest.fixture(autouse=True)
def _site(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REALTIME = {**settings.REALTIME, "NAMESPACES": f"{__name__}.namespaces"}
    monkeypatch.setattr(Wanderer, "ends", [])
    monkeypatch.setattr(Wanderer, "gates", {})


async def goes_on(mover: Mover, at: Server) -> None:
    """See that a client is at a hub, hears all others, and is heard."""
    assert mover.session.hub is at.hub
    assert at.hub.connections[mover.session.sid] is mover.session
    mover.home.emit((mover.sid,), "to you")
    assert await mover.next() == ["to you"]


# What moves


@pytest.mark.usefixtures("_recovery")
async def test_all_of_it_moves(three: Three) -> None:
    one, two, _ = three
    mover = await Mover.come(one, {"rooms": ["a", "№1"]})
    await mover.post('42["remember",{"deep":[1,null,"x"]}]')
    before = dict(one.hub.connections)
    socket = mover.session.sockets["/"]
    opened = socket.opened_at
    await mover.move(two)
    assert not one.hub.connections
    assert not one.hub.registry.sockets
    assert before.keys() == two.hub.connections.keys()
    moved = two.hub.registry.sockets[mover.sid]
    assert (moved.opened_at, moved.pid) == (opened, socket.pid)
    mover.send('421["kept"]')
    kept = [{"deep": [1, None, "x"]}, "2026-01-02 00:00:00+00:00", {"name": "Ann"}, ["a", "№1"]]
    assert await mover.next() == [1, kept]
    for server in three:
        for room in ("a", "№1", mover.sid):
            server.emit((room,), room)
            assert await mover.next() == [room]
    mover.session.close("transport close")
    await until(lambda: Wanderer.ends == [(mover.sid, "transport close")])


async def test_values_keep_their_types(three: Three) -> None:
    mover = await Mover.come(three[0])
    values = {
        "tuple": (1, (2, "x")),
        "set": {1, 2},
        "frozen": frozenset(("a",)),
        "bytes": b"\x00\xff",
        "date": datetime.date(2026, 2, 3),
        "uuid": UUID(int=7),
        "keys": {1: "one", (2, 3): "two"},
        "tag": {"\0tuple": [1]},
    }
    consumer: Any = mover.session.sockets["/"].consumer
    consumer.data.update(values)
    await mover.move(three[1])
    moved: Any = mover.session.sockets["/"].consumer
    assert moved is not consumer
    assert moved.data == values
    assert {name: type(value) for name, value in moved.data.items()} == {
        name: type(value) for name, value in values.items()
    }


@pytest.mark.usefixtures("_recovery")
async def test_what_waited_goes_out_first(three: Three) -> None:
    one, two, _ = three
    mover = await Mover.come(one, {"rooms": ["a"]})
    running = mover.begin(two)
    await mover.probed()
    for number in range(20):
        one.emit(("a",), number)
    mover.send("5")
    mover.session = await running  # type: ignore[assignment]
    for number in range(20, 40):
        two.emit(("a",), number)
    assert [await mover.next() for _ in range(40)] == [[number] for number in range(40)]


@pytest.mark.usefixtures("_recovery")
async def test_nothing_is_lost_or_doubled(three: Three) -> None:
    """Events of all hubs, to a room and to the client, in each moment of several moves."""
    movers = [await Mover.come(three[0], {"rooms": ["a"]}) for _ in range(4)]
    first = movers[0].sid
    over = False
    last = dict.fromkeys(range(3), -1)

    async def send(place: int) -> None:
        while not over:
            last[place] += 1
            three[place].emit(("a",), "room", place, last[place])
            three[place].emit((first,), "sid", place, last[place])
            await asyncio.sleep(0.002)

    senders = [asyncio.ensure_future(send(place)) for place in range(3)]
    for place, mover in enumerate(movers):
        await mover.move(three[1 + place % 2])
    over = True
    await asyncio.gather(*senders)
    for mover in movers:
        got: dict[tuple[str, int], list[int]] = {}
        kinds = 6 if mover is movers[0] else 3
        while [numbers[-1] for numbers in got.values()] != [last[place] for _, place in got] or len(
            got
        ) < kinds:
            kind, place, number = await mover.next()
            got.setdefault((kind, place), []).append(number)
        for (_, place), numbers in got.items():
            assert numbers == list(range(numbers[0], last[place] + 1))
        assert all(numbers[0] == 0 for numbers in got.values())


async def test_what_the_client_sends_keeps_its_order(three: Three) -> None:
    mover = await Mover.come(three[0])
    gate = Wanderer.gates["slow"] = asyncio.Event()
    await mover.post('421["wait","slow"]')
    await mover.post(*(f'42["number",{number}]' for number in range(10)))
    running = mover.begin(three[1])
    await until(lambda: mover.session.upgrading)
    await mover.post(*(f'42["number",{number}]' for number in range(10, 20)))
    gate.set()
    await mover.probed()
    await mover.post('451-["number",20,{"_placeholder":true,"num":0}]', b"x")
    await mover.post('451-["number",21,{"_placeholder":true,"num":0}]')
    mover.poll()
    mover.send("5", b"y", '42["number",22]', '422["numbers"]')
    assert await running is not None
    mover.session = running.result()  # type: ignore[assignment]
    assert await mover.next() == [1, "done"]
    assert await mover.next() == [2, list(range(23))]


@pytest.mark.parametrize("held", [(), (b"x",)], ids=["none held", "held"])
async def test_half_a_packet_that_was_read_already(three: Three, held: tuple[bytes, ...]) -> None:
    mover = await Mover.come(three[0])
    places = ",".join(f'{{"_placeholder":true,"num":{number}}}' for number in range(2))
    await mover.post(f'452-["number",1,{places}]')
    running = mover.begin(three[1])
    await mover.probed()
    for attachment in held:
        await mover.post(attachment)
    rest = (b"x", b"y")[len(held) :]
    mover.send("5", *rest, '42["number",2]', '422["numbers"]')
    assert await running is not None
    mover.session = running.result()  # type: ignore[assignment]
    assert await mover.next() == [2, [1, 2]]


async def test_a_client_without_a_namespace_yet(two: tuple[Server, Server]) -> None:
    """python-socketio's moves before it enters any."""
    mover = await Mover.come(two[0])
    await mover.post("41")
    await mover.move(two[1])
    mover.send('40{"rooms":["a"]}')
    await until(lambda: mover.session.connected)
    connect = str(await mover.frame())
    assert connect.startswith("40{")
    two[0].emit(("a",), 1)
    assert await mover.next() == [1]


async def test_the_heartbeat_goes_on(two: tuple[Server, Server]) -> None:
    mover = await Mover.come(two[0])
    mover.session._due = mover.session.hub.timers.after(1000)
    seconds = mover.session.seconds_left()
    await mover.move(two[1])
    assert abs(mover.session.seconds_left() - seconds) < 100
    mover = await Mover.come(two[0])
    mover.session.ping()
    mover.session._await_pong()
    await mover.move(two[1])
    assert mover.session.pinged
    mover.send("3")
    await until(lambda: not mover.session.pinged)


# Questions


async def test_acknowledgements_of_what_was_asked_before(three: Three) -> None:
    one, two, other = three
    mover = await Mover.come(one, {"rooms": ["a"]})
    asked = [asyncio.ensure_future(server.call(("a",))) for server in (one, other)]
    questions = [await mover.frame() for _ in asked]
    await mover.move(two)
    later = asyncio.ensure_future(two.call(("a",)))
    questions.append(await mover.frame())
    for number, question in enumerate(questions):
        id = str(question)[2:].partition("[")[0]
        mover.send(f'43{id}["answer {number}"]')
    answers = [await call for call in (*asked, later)]
    assert sorted(answer[mover.sid] for answer in answers) == ["answer 0", "answer 1", "answer 2"]


async def test_who_asked_is_told_that_the_client_has_gone(three: Three) -> None:
    mover = await Mover.come(three[0], {"rooms": ["a"]})
    asked = asyncio.ensure_future(three[2].call(("a",)))
    await mover.frame()
    await mover.move(three[1])
    mover.session.close("transport close")
    assert (await asked).missing == [mover.sid]


@pytest.mark.slow
async def test_who_asked_is_told_that_the_other_hub_has_died(three: Three) -> None:
    mover = await Mover.come(three[0], {"rooms": ["a"]})
    asked = asyncio.ensure_future(three[0].call((mover.sid,), timeout=60))
    await mover.frame()
    await mover.move(three[1])
    three[1].kill()
    assert (await asked).missing == [mover.sid]


# Commands, and code that goes on at the old hub


@pytest.mark.usefixtures("_recovery")
async def test_commands_on_the_way(three: Three) -> None:
    one, two, other = three
    mover = await Mover.come(one, {"rooms": ["a"]})
    running = mover.begin(two)
    await mover.probed()
    other.command(("a",), "join", "b")
    mover.send("5")
    other.command((mover.sid,), "join", "c")
    other.command(("a",), "leave", "a")
    assert await running is not None
    mover.session = running.result()  # type: ignore[assignment]
    moved = two.hub.registry.sockets[mover.sid]
    await until(lambda: moved.rooms == {"b", "c"})
    for server in three:
        for room in ("b", "c"):
            server.emit((room,), room)
            assert await mover.next() == [room]
    one.command((mover.sid,), "close")
    await until(lambda: not two.hub.registry.sockets)


@pytest.mark.usefixtures("_recovery")
async def test_an_old_consumer_reaches_its_client(two: tuple[Server, Server]) -> None:
    mover = await Mover.come(two[0])
    consumer: Any = mover.session.sockets["/"].consumer
    await mover.move(two[1])
    consumer.emit("said", "from there")
    assert await mover.next() == ["from there"]
    consumer.join("a")
    moved = two[1].hub.registry.sockets[mover.sid]
    await until(lambda: moved.rooms == {"a"})
    consumer.leave("a")
    await until(lambda: not moved.rooms)
    consumer.close()
    await until(lambda: not two[1].hub.registry.sockets)
    assert len(Wanderer.ends) == 1


async def test_sids_are_found(three: Three) -> None:
    mover = await Mover.come(three[0])
    await mover.move(three[1])
    for server in three:
        name = server.hub.server_id
        assert await asking.send_to_client(server.hub, mover.sid, None, "said", (name,))
        assert await mover.next() == [name]
    mover.session.close("transport close")
    await until(lambda: three[0].hub.moves.where(mover.sid) is None)
    assert not await asking.send_to_client(three[2].hub, mover.sid, None, "said", ())


# Where it cannot be done


def set_timeout(server: Server, seconds: float) -> None:
    """Give one hub a time for upgrades of its own."""
    server.hub.settings = copy.copy(server.hub.settings)
    server.hub.settings.UPGRADE_TIMEOUT = seconds


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.transports.departure.SETTLE_TIME", 0.1)


async def stays(mover: Mover, to: Server, because: str, records: list[Any], **scope: Any) -> None:
    """See that a client is refused, for a reason that is logged and counted, and goes on."""
    await mover.stay(to, **scope)
    (told,) = [each.realtime for each in records if each.args[0] == "not-upgraded"]
    assert because in told["message"], told
    assert to.hub.report()["not_upgraded"] == 1
    await until(lambda: not mover.session.upgrading)
    assert not mover.home.hub.crossings
    assert not to.hub.crossings
    await mover.post('427["echo","as before"]')
    while await mover.next() != [7, "as before"]:
        pass
    await goes_on(mover, mover.home)


@pytest.mark.usefixtures("_quick")
async def test_a_server_that_does_not_answer(three: Three, records: list[Any]) -> None:
    mover = await Mover.come(three[0])
    three[2].layer.hang("send")
    await stays(mover, three[1], "other servers, or the channel layer", records)


async def test_a_task_that_was_spawned(two: tuple[Server, Server], records: list[Any]) -> None:
    mover = await Mover.come(two[0])
    await mover.post('42["work"]')
    await stays(mover, two[1], "Wanderer has spawned a task", records)


async def test_an_attribute_of_any_type(two: tuple[Server, Server], records: list[Any]) -> None:
    mover = await Mover.come(two[0], {"odd": True})
    await stays(mover, two[1], "self.odd of", records)


async def test_data_of_any_type(two: tuple[Server, Server], records: list[Any]) -> None:
    mover = await Mover.come(two[0])
    consumer: Any = mover.session.sockets["/"].consumer
    consumer.data["x"] = [object()]
    await stays(mover, two[1], "self.data of", records)


@pytest.mark.usefixtures("_quick")
async def test_a_handler_that_takes_long(two: tuple[Server, Server], records: list[Any]) -> None:
    mover = await Mover.come(two[0])
    gate = Wanderer.gates["slow"] = asyncio.Event()
    await mover.post('421["wait","slow"]')
    running = mover.begin(two[1])
    await until(lambda: mover.session.upgrading)
    await mover.post('42["number",1]')
    assert await running is None
    gate.set()
    assert await mover.next() == [1, "done"]
    await mover.post('422["numbers"]')
    assert await mover.next() == [2, [1]]
    (told,) = [each.realtime for each in records if each.args[0] == "not-upgraded"]
    assert "at work" in told["message"]


@pytest.mark.usefixtures("_quick")
async def test_a_callback_that_waits(two: tuple[Server, Server], records: list[Any]) -> None:
    mover = await Mover.come(two[0])
    await mover.post('42["ask"]')
    question = str(await mover.frame())
    await mover.stay(two[1])
    await mover.post(f'43{question[2:].partition("[")[0]}["late"]')
    consumer: Any = mover.session.sockets["/"].consumer
    await until(lambda: consumer.data.get("value") == "late")
    await mover.move(two[1])


async def test_another_user(two: tuple[Server, Server], records: list[Any]) -> None:
    mover = await Mover.come(two[0])
    scope = {"user": mover.session.scope["user"], "session": SessionStore("another one")}
    await stays(mover, two[1], "not of the same user", records, **scope)


@pytest.mark.usefixtures("transactional_db")
@pytest.mark.parametrize("brings", [True, False], ids=["cookie", "no cookie"])
async def test_the_same_login(two: tuple[Server, Server], brings: bool) -> None:
    """A WebSocket need not bring the cookie of the first request, which is known."""
    user, cookie = await log_in("ann")
    mover = await Mover.come(two[0], headers=[(b"cookie", cookie), (b"x-own", b"1")])
    assert mover.session.scope["user"] == user
    await mover.move(two[1], headers=[(b"cookie", cookie)] if brings else [])
    consumer: Any = mover.session.sockets["/"].consumer
    assert consumer.user == user
    assert await consumer.session.aget("cart") == 3
    assert (consumer.headers["x-own"], consumer.query["transport"]) == ("1", "polling")
    assert mover.session.scope["client"] == ("203.0.113.7", 4711)


@pytest.mark.usefixtures("transactional_db")
async def test_a_login_that_is_over(two: tuple[Server, Server], records: list[Any]) -> None:
    _, cookie = await log_in("ann")
    mover = await Mover.come(two[0], headers=[(b"cookie", cookie)])
    await SessionModel.objects.all().adelete()
    await stays(mover, two[1], "not of the same user", records, headers=[(b"cookie", cookie)])


async def log_in(name: str) -> tuple[Any, bytes]:
    """Return a new user, and the cookie of a session."""
    user = await get_user_model().objects.acreate(username=name)
    session = DatabaseStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session["cart"] = 3
    await session.asave()
    return user, f"sessionid={session.session_key}".encode()


async def test_what_middleware_knew(two: tuple[Server, Server], records: list[Any]) -> None:
    mover = await Mover.come(two[0], tenant="acme")
    await stays(mover, two[1], "'tenant'", records)
    await mover.move(two[1], tenant="acme")
    assert mover.session.scope["tenant"] == "acme"


async def test_more_connections_than_may_be(
    two: tuple[Server, Server], records: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(two[1].hub.limits._limits, "address", 1)
    await Mover.come(two[1])
    mover = await Mover.come(two[0])
    await stays(mover, two[1], "connections", records)


@pytest.mark.parametrize("place", [0, 1])
async def test_a_process_that_is_about_to_stop(
    two: tuple[Server, Server], records: list[Any], place: int
) -> None:
    mover = await Mover.come(two[0])
    two[place].hub.draining = True
    await stays(mover, two[1], "about to stop", records)


async def test_an_owner_that_does_not_answer(
    two: tuple[Server, Server], records: list[Any]
) -> None:
    set_timeout(two[1], 0.1)
    mover = await Mover.come(two[0])
    two[0].layer.hang("receive")
    running = mover.begin(two[1])
    assert await running is None
    two[0].layer.resume()
    await until(lambda: not mover.session.upgrading and not two[0].hub.departures._open)
    (told,) = [each.realtime for each in records if each.args[0] == "not-upgraded"]
    assert told["server"] == two[0].hub.server_id
    await goes_on(mover, two[0])


@pytest.mark.parametrize("ending", [None, "4", "2probe"], ids=["hangs up", "a message", "a ping"])
async def test_a_client_that_does_not_move_after_all(
    three: Three, records: list[Any], ending: str | None
) -> None:
    mover = await Mover.come(three[0], {"rooms": ["a"]})
    running = mover.begin(three[1])
    await mover.probed()
    await mover.post('42["number",1]')
    three[2].emit(("a",), 1)
    assert mover.line is not None
    mover.line.sent.put_nowait(ending)
    assert await running is None
    await until(lambda: not mover.session.upgrading)
    assert await mover.next() == [1]
    await mover.post('422["numbers"]')
    assert await mover.next() == [2, [1]]
    await goes_on(mover, three[0])
    assert not [each for each in records if each.args[0] == "not-upgraded"]
    await until(lambda: not three[1].hub.moves._stays)
    await mover.move(three[1])
    await goes_on(mover, three[1])


async def test_two_at_a_time(three: Three) -> None:
    mover = await Mover.come(three[0])
    running = mover.begin(three[1])
    await mover.probed()
    first, mover.line = mover.line, None
    second = mover.begin(three[2])
    assert await second is None
    mover.line = first
    mover.send("5")
    mover.session = await running  # type: ignore[assignment]
    await goes_on(mover, three[1])


async def test_a_session_that_ends_while_it_is_to_move(two: tuple[Server, Server]) -> None:
    mover = await Mover.come(two[0])
    running = mover.begin(two[1])
    await mover.probed()
    mover.session.close("transport close")
    mover.send("5")
    assert await running is None
    await until(lambda: not two[0].hub.departures._open and not two[0].hub.crossings)
    await until(lambda: Wanderer.ends == [(mover.sid, "transport close")])


async def test_a_hub_that_dies_before_it_says_that_it_has_the_client(
    two: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old owner knows by then that nobody has it, and its last hook runs there."""
    mover = await Mover.come(two[0])

    async def take(server: str, question: Upgrade) -> bytes | None:
        if question.step == "take":
            set_timeout(two[0], 0.1 - SPARE_TIME)
            await taken(server, question)
            two[1].kill()
            await asyncio.Event().wait()
        return await taken(server, question)

    taken = two[1].hub.take
    monkeypatch.setattr(two[1].hub, "take", take)
    running = mover.begin(two[1])
    await mover.probed()
    mover.send("5")
    await until(lambda: Wanderer.ends == [(mover.sid, "transport error")])
    running.cancel()
    assert two[0].hub.moves.where(mover.sid) is None


@pytest.mark.usefixtures("_recovery")
async def test_a_process_that_is_told_to_stop_as_the_client_comes(
    two: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no way back by then. The client is told to go when it is here, as all others."""
    mover = await Mover.come(two[0])
    here = two[1].hub
    stopping: list[asyncio.Task[None]] = []

    async def take(server: str, question: Upgrade) -> bytes | None:
        body = await taken(server, question)
        if question.step == "take":
            stopping.append(asyncio.ensure_future(here.drain.finish()))
            await until(lambda: here.draining)
        return body

    taken = here.take
    monkeypatch.setattr(here, "take", take)
    await mover.move(two[1])
    await stopping[0]
    assert Wanderer.ends == [(mover.sid, "server shutting down")]
    assert not here.connections
    if here.recovery is not None:
        assert here.recovery.sessions.of_sid(mover.sid) is not None


async def test_a_client_that_comes_too_late_to_a_process_that_stops(
    two: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told of by its old owner, where its last hook runs."""
    mover = await Mover.come(two[0])
    monkeypatch.setattr(arrivals, "PATIENCE", 0.0)

    async def take(server: str, question: Upgrade) -> bytes | None:
        body = await taken(server, question)
        if question.step == "take":
            await two[1].hub.drain.finish()
        return body

    taken = two[1].hub.take
    monkeypatch.setattr(two[1].hub, "take", take)
    running = mover.begin(two[1])
    await mover.probed()
    mover.send("5")
    assert await running is None
    await until(lambda: Wanderer.ends == [(mover.sid, "transport error")])
    assert not two[1].hub.connections


@pytest.mark.slow
async def test_the_owner_stops_after_the_client_has_left_polling(three: Three) -> None:
    mover = await Mover.come(three[0])
    running = mover.begin(three[1])
    await mover.probed()
    three[0].kill()
    mover.send("5")
    assert await running is None
    assert three[1].hub.report()["not_upgraded"] == 1
    await until(lambda: not three[1].hub.moves._stays)
