"""Clients on polling whose requests come to another hub for good: that one takes them over."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from django.urls import path
from pytest_django import Settings

from realtime import event
from realtime.cluster.envelopes import HttpRequest
from realtime.hub import asking
from realtime.identity.scopes import identify
from realtime.transports import courses, departure, wanderers, websocket
from tests.unit.consumers import RoomsConsumer
from tests.unit.probes import DEADLINE

from .conftest import Server, Start, until
from .pollers import Poller, gone, serve
from .upgrading import SCOPE

Three = tuple[Server, Server, Server]
Come = Callable[..., Awaitable[Poller]]
RECOVERY = {"plain": None, "recovery": {"SECONDS": 60}}

pytestmark = pytest.mark.slow


class Traveller(RoomsConsumer):
    """Keeps numbers, does what it is asked for, and notes its end."""

    ends: list[tuple[str, str]] = []
    gates: dict[str, asyncio.Event] = {}

    async def connect(self, auth: dict[str, Any]) -> None:
        await super().connect(auth)
        if "odd" in auth:
            self.odd = object()

    async def disconnect(self, reason: str) -> None:
        self.ends.append((self.sid, reason))

    @event
    async def number(self, number: int) -> None:
        self.data.setdefault("numbers", []).append(number)

    @event
    async def numbers(self) -> list[Any]:
        return [self.data.get("numbers", []), sorted(self.rooms)]

    @event
    async def wait(self, gate: str) -> str:
        await self.gates[gate].wait()
        return "done"

    @event
    async def size(self, text: str) -> int:
        return len(text)


namespaces = [path("", Traveller.as_asgi())]


@pytest.fixture(params=RECOVERY)
def _recovery(request: pytest.FixtureRequest, settings: Settings) -> None:
    settings.REALTIME = {**settings.REALTIME, "RECOVERY": RECOVERY[request.param]}


@pytest.fixture(autouse=True)
def _site(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REALTIME = {**settings.REALTIME, "NAMESPACES": f"{__name__}.namespaces"}
    monkeypatch.setattr(Traveller, "ends", [])
    monkeypatch.setattr(Traveller, "gates", {})
    monkeypatch.setattr(courses, "REQUESTS", 4)
    monkeypatch.setattr(courses, "SECONDS", 0.0)


@pytest.fixture
async def come() -> AsyncIterator[Come]:
    """A function ``(home, auth, **scope)`` that returns a client, which is stopped in the end."""
    pollers: list[Poller] = []

    async def come(home: Server, auth: Any = None, **scope: Any) -> Poller:
        pollers.append(await Poller.come(home, auth, **scope))
        return pollers[-1]

    yield come
    for poller in pollers:
        await poller.stop()


@pytest.fixture(autouse=True)
def _serving(three: Three) -> None:
    serve(*three)


# What moves


@pytest.mark.usefixtures("_recovery")
async def test_all_of_it_moves(three: Three, come: Come) -> None:
    one, two, _ = three
    poller = await come(one, {"rooms": ["a", "№1"]})
    await poller.post('42["number",1]', '42["number",2]')
    await poller.wander(two)
    assert poller.session(one) is None
    assert not one.hub.registry.sockets
    session = poller.session(two)
    assert session is not None
    assert (session.transport, session.proven, session.upgrading) == ("polling", True, False)
    assert await poller.call(1, "numbers") == [[[1, 2], ["a", "№1"]]]
    for server in three:
        for room in ("a", "№1", poller.sid):
            server.emit((room,), room)
            assert await poller.next() == [room]
        assert await asking.send_to_client(server.hub, poller.sid, None, "said", ("asked",))
        assert await poller.next() == ["asked"]
    assert not Traveller.ends
    await poller.post("1")
    await until(lambda: Traveller.ends == [(poller.sid, "transport close")])
    await gone(poller, *three)


async def test_after_the_least_time(
    three: Three, come: Come, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clock of the hubs, which goes on by what the test says."""
    monkeypatch.setattr(courses, "SECONDS", 10.0)
    loop, real = asyncio.get_running_loop(), asyncio.get_running_loop().time
    poller = await come(three[0])
    poller.way = three[1]
    for _ in range(20):
        await poller.post("3")
    session = poller.session(three[0])
    assert session is not None
    assert not three[1].hub.wanderers._coming
    monkeypatch.setattr(loop, "time", lambda: real() + 10.0)
    await poller.wander(three[1])


@pytest.mark.usefixtures("_recovery")
async def test_nothing_is_lost_or_doubled(three: Three, come: Come) -> None:
    """Events of all hubs, to a room and to the client, and of the client, all the time."""
    poller = await come(three[0], {"rooms": ["a"]})
    over, last, sent = False, dict.fromkeys(range(3), -1), 0

    async def send(place: int) -> None:
        while not over:
            last[place] += 1
            three[place].emit(("a",), "room", place, last[place])
            three[place].emit((poller.sid,), "sid", place, last[place])
            await asyncio.sleep(0.002)

    async def post() -> None:
        nonlocal sent
        while not over:
            await poller.post(f'42["number",{sent}]', f'42["number",{sent + 1}]')
            sent += 2

    tasks = [asyncio.ensure_future(send(place)) for place in range(3)]
    tasks.append(asyncio.ensure_future(post()))
    for place in (1, 2, 0, 1, 0, 2):
        await poller.wander(three[place])
    over = True
    await asyncio.gather(*tasks)
    got: dict[tuple[str, int], list[int]] = {}
    expected = {(kind, place) for kind in ("room", "sid") for place in range(3)}
    while got.keys() != expected or any(
        numbers[-1] != last[place] for (_, place), numbers in got.items()
    ):
        kind, place, number = await poller.next()
        got.setdefault((kind, place), []).append(number)
    for (_, place), numbers in got.items():
        assert numbers == list(range(last[place] + 1))
    assert (await poller.call(1, "numbers"))[0][0] == list(range(sent))
    assert not poller.ends
    await poller.post("1")
    await gone(poller, *three)


async def test_many_at_a_time(three: Three, come: Come, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than so many; the others go on, and come later."""
    monkeypatch.setattr(wanderers, "MAX_COMING", 2)
    pollers = [await come(three[0], {"rooms": ["a"]}) for _ in range(8)]
    moving = [asyncio.ensure_future(poller.wander(three[1])) for poller in pollers]
    most = 0
    while not all(task.done() for task in moving):
        most = max(most, len(three[1].hub.wanderers._coming))
        await asyncio.sleep(0)
    await asyncio.gather(*moving)
    assert 0 < most <= 2
    three[2].emit(("a",), "all")
    assert [await poller.next() for poller in pollers] == [["all"]] * 8


async def test_requests_in_turn_move_nobody(three: Three, come: Come) -> None:
    poller = await come(three[0], {"rooms": ["a"]})
    for number in range(60):
        poller.way = three[number % 3]
        assert await poller.call(number, "echo", number) == [number]
    assert poller.session(three[0]) is not None
    for server in three:
        assert not server.hub.counters.not_moved


async def test_requests_that_still_come_elsewhere(three: Three, come: Come) -> None:
    """At the old owner, and at one that knows only it; a client that goes on from there."""
    poller = await come(three[0], {"rooms": ["a"]})
    for to in (three[1], three[2], three[0], three[2]):
        await poller.wander(to)
        for number, at in enumerate((*three, *three)):
            await poller.post(f'42{number}["echo",{number}]', at=at)
            assert await poller.next() == [number, number]
            poller.way = at
            three[number % 3].emit(("a",), number)
            assert await poller.next() == [number]
        assert poller.session(to) is not None
    await poller.post("1")
    await gone(poller, *three)


# At the moment of the move


class Gate:
    """Lets a hub that takes a session over wait, when all is prepared, until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
        self._open, self._fence = asyncio.Event(), server.cluster.fence
        self.reached = False
        monkeypatch.setattr(server.cluster, "fence", self._wait)

    async def _wait(self) -> None:
        await self._fence()
        self.reached = True
        await self._open.wait()

    def open(self) -> None:
        """Let it go on."""
        self._open.set()


async def ready(poller: Poller, to: Server, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Let requests go to another hub, until that could ask for the session, and may not yet."""
    poller.way, gate = to, Gate(monkeypatch, to)
    while not gate.reached:
        await poller.post("3")
    return gate


@pytest.mark.usefixtures("_recovery")
async def test_a_poll_that_waits_at_the_old_owner(
    three: Three, come: Come, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came there straight, and is answered with nothing when the session goes."""
    poller = await come(three[0], {"rooms": ["a"]})
    session = poller.session(three[0])
    assert session is not None
    await until(lambda: session.polling is not None and session.polling.polled)
    gate = await ready(poller, three[1], monkeypatch)
    polls = poller.polls
    gate.open()
    await until(lambda: poller.session(three[1]))
    await until(lambda: poller.polls > polls)
    three[2].emit(("a",), 1)
    assert await poller.next() == [1]
    assert not poller.ends


@pytest.mark.usefixtures("_recovery")
async def test_what_comes_and_goes_while_it_is_held(
    three: Three, come: Come, monkeypatch: pytest.MonkeyPatch
) -> None:
    poller = await come(three[0], {"rooms": ["a"]})
    gate = await ready(poller, three[1], monkeypatch)
    for number in range(10):
        await poller.post(f'42["number",{number}]', at=three[number % 2])
        three[number % 3].emit(("a",), number)
    assert sorted([(await poller.next())[0] for _ in range(10)]) == list(range(10))
    gate.open()
    await until(lambda: poller.session(three[1]))
    assert (await poller.call(1, "numbers"))[0][0] == list(range(10))


@pytest.mark.parametrize("straight", [True, False], ids=["at the owner", "at the other"])
@pytest.mark.parametrize("size", [1_000, 200_000], ids=["small", "large"])
async def test_a_post_under_way(
    three: Three, come: Come, monkeypatch: pytest.MonkeyPatch, straight: bool, size: int
) -> None:
    """Its body comes while the session goes: that waits, or the body is led to where it went."""
    monkeypatch.setattr(departure, "POLLING_SETTLE_TIME", 20.0)
    poller = await come(three[0])
    gate = await ready(poller, three[1], monkeypatch)
    body = f'421["size","{"x" * size}"]'.encode()
    rest, asked = asyncio.Event(), asyncio.Event()

    async def parts() -> AsyncIterator[tuple[bytes, bool]]:
        yield body[:100], True
        asked.set()
        await rest.wait()
        yield body[100:], False

    at = three[0] if straight else three[1]
    posting = asyncio.create_task(poller.request("POST", parts=parts(), at=at))
    await asked.wait()
    gate.open()
    if straight:
        going = three[0].hub.departures._open[poller.id]
        await until(lambda: three[1].hub.arrivals)
        assert going.state is departure.HELD
    else:
        await until(lambda: poller.session(three[1]))
    rest.set()
    assert await posting == (200, "ok")
    assert await poller.next() == [1, size]
    await until(lambda: poller.session(three[1]))
    assert not poller.ends


async def test_a_post_that_takes_long(
    three: Three, come: Come, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    monkeypatch.setattr(departure, "POLLING_SETTLE_TIME", 0.1)
    poller = await come(three[0])
    gate = await ready(poller, three[1], monkeypatch)
    rest, asked = asyncio.Event(), asyncio.Event()

    async def parts() -> AsyncIterator[tuple[bytes, bool]]:
        yield b'421["echo"', True
        asked.set()
        await rest.wait()
        yield b",1]", False

    posting = asyncio.create_task(poller.request("POST", parts=parts(), at=three[0]))
    await asked.wait()
    gate.open()
    await until(lambda: three[1].hub.counters.not_moved)
    assert poller.session(three[0]) is not None
    rest.set()
    assert await posting == (200, "ok")
    assert await poller.next() == [1, 1]
    await poller.wander(three[1])
    assert "does not give it" in reason(records)


def reason(records: list[Any]) -> str:
    """Return why the only client that stayed has done so."""
    (told,) = [each.realtime for each in records if each.args[0] == "not-moved"]
    return str(told["message"])


# A WebSocket that comes meanwhile


class Upgrade:
    """The WebSocket of a client, at a hub: `got` has what it is sent."""

    def __init__(self, poller: Poller, at: Server) -> None:
        self.got: asyncio.Queue[str] = asyncio.Queue()
        self.closed = asyncio.Event()
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._sent.put_nowait({"type": "websocket.connect"})
        self._poller = poller
        query = b"EIO=4&transport=websocket&sid=" + poller.id.encode()
        headers = [(b"host", b"testserver")]
        scope = {**SCOPE, "type": "websocket", "query_string": query, "headers": headers}
        hub = at.hub
        self.serving = asyncio.ensure_future(
            websocket.serve(hub, scope, self._sent.get, self._send, identify)
        )

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            self.got.put_nowait(message["text"])
        elif message["type"] != "websocket.accept":
            self.closed.set()

    def send(self, text: str) -> None:
        """Send a frame."""
        self._sent.put_nowait({"type": "websocket.receive", "text": text, "bytes": None})

    async def complete(self) -> None:
        """Upgrade, as a client does that was let in, and see that it hears and is heard."""
        self.send("2probe")
        async with asyncio.timeout(DEADLINE):
            assert await self.got.get() == "3probe"
            await self._poller.stop()
            self.send("5")
            self.send('429["echo","on it"]')
            while await self.got.get() != '439["on it"]':
                pass
        assert await self.serving is not None


@pytest.mark.usefixtures("_recovery")
@pytest.mark.parametrize("place", range(3), ids=["old owner", "new owner", "a third one"])
async def test_a_websocket_while_the_client_is_to_move(
    three: Three, come: Come, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """It waits until the client is there, and then takes it to where it is itself."""
    poller = await come(three[0], {"rooms": ["a"]})
    gate = await ready(poller, three[1], monkeypatch)
    upgrade = Upgrade(poller, three[place])
    completing = asyncio.ensure_future(upgrade.complete())
    await poller.post('42["number",1]')
    gate.open()
    await completing
    session = poller.session(three[place])
    assert session is not None
    assert session.transport == "websocket"
    three[2].emit(("a",), "all")
    async with asyncio.timeout(DEADLINE):
        assert (await upgrade.got.get()).startswith('42["said","all"')
    upgrade.send('425["numbers"]')
    async with asyncio.timeout(DEADLINE):
        assert await upgrade.got.get() == '435[[[1],["a"]]]'
    assert not [server for server in three if server.hub.counters.not_upgraded]


@pytest.mark.parametrize("place", range(2), ids=["owner", "other"])
async def test_nobody_moves_whose_websocket_is_there(three: Three, come: Come, place: int) -> None:
    poller = await come(three[0])
    upgrade = Upgrade(poller, three[place])
    await until(lambda: three[place].hub.wanderers.approached(poller.id))
    poller.way = three[1]
    for _ in range(20):
        await poller.post("3")
    assert not three[1].hub.wanderers._coming
    assert not three[1].hub.counters.not_moved
    await upgrade.complete()
    session = poller.session(three[place])
    assert session is not None
    assert session.transport == "websocket"
    assert not three[place].hub.wanderers.approached(poller.id)


# Where it cannot be done


async def goes_on(poller: Poller, *servers: Server) -> None:
    """See that a client hears all others, and is heard."""
    assert await poller.call(7, "echo", "as before") == ["as before"]
    for server in servers:
        server.emit((poller.sid,), "to you")
        assert await poller.next() == ["to you"]
    assert not poller.ends


async def test_an_attribute_of_any_type(three: Three, come: Come, records: list[Any]) -> None:
    poller = await come(three[0], {"odd": True})
    await poller.stay(three[1])
    assert "self.odd of" in reason(records)
    assert three[1].hub.report()["not_moved"] == 1
    await goes_on(poller, *three)
    assert not three[0].hub.crossings
    assert not three[1].hub.crossings


async def test_it_is_not_tried_again_at_once(
    three: Three, come: Come, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courses, "SECONDS", 0.2)
    poller = await come(three[0], {"odd": True})
    await poller.stay(three[1])
    session = poller.session(three[0])
    assert session is not None
    assert session.course is not None
    assert session.course._seconds == 0.4
    await poller.stay(three[1])
    assert session.course._seconds == 0.8


async def test_a_handler_that_takes_long(
    three: Three, come: Come, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    """Its acknowledgement comes, and what was held meanwhile is handled; then the client moves."""
    monkeypatch.setattr(departure, "POLLING_SETTLE_TIME", 0.1)
    poller = await come(three[0])
    gate = Traveller.gates["slow"] = asyncio.Event()
    await poller.post('421["wait","slow"]')
    await poller.post('42["number",1]')
    await poller.stay(three[1])
    assert "at work" in reason(records)
    gate.set()
    assert await poller.next() == [1, "done"]
    assert (await poller.call(2, "numbers"))[0][0] == [1]
    await poller.wander(three[1])


async def test_an_answer_under_way(three: Three, come: Come) -> None:
    poller = await come(three[0])
    gate = Traveller.gates["slow"] = asyncio.Event()
    await poller.post('421["wait","slow"]')
    moving = asyncio.ensure_future(poller.wander(three[1]))
    await until(lambda: three[0].hub.departures._open)
    gate.set()
    await moving
    assert await poller.next() == [1, "done"]


async def test_questions_that_were_asked_before(three: Three, come: Come) -> None:
    poller = await come(three[0], {"rooms": ["a"]})
    asked = [asyncio.ensure_future(server.call(("a",))) for server in (three[0], three[2])]
    questions = [await poller.got.get() for _ in asked]
    await poller.wander(three[1])
    for number, question in enumerate(questions):
        id = str(question)[2:].partition("[")[0]
        await poller.post(f'43{id}["answer {number}"]')
    answers = [(await call)[poller.sid] for call in asked]
    assert sorted(answers) == ["answer 0", "answer 1"]


async def test_middleware_that_knew_more(three: Three, come: Come, records: list[Any]) -> None:
    poller = await come(three[0], tenant="acme")
    poller._scope = {}
    await poller.stay(three[1])
    assert "'tenant'" in reason(records)
    poller._scope = {"tenant": "acme"}
    await poller.wander(three[1])
    session = poller.session(three[1])
    assert session is not None
    assert session.scope["tenant"] == "acme"


# Processes that stop


async def test_a_process_that_is_about_to_stop_takes_nobody(three: Three, come: Come) -> None:
    poller = await come(three[0])
    three[1].hub.draining = True
    poller.way = three[1]
    for number in range(20):
        assert await poller.call(number, "echo", number) == [number]
    assert poller.session(three[0]) is not None
    assert not three[1].hub.counters.not_moved
    three[1].hub.draining = False
    await poller.wander(three[1])


@pytest.mark.usefixtures("_recovery")
async def test_an_owner_that_begins_to_stop(
    three: Three, come: Come, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    """What it has kept is handled before the client is told to go."""
    poller = await come(three[0])
    gate = await ready(poller, three[1], monkeypatch)
    await poller.post('42["number",1]', '423["numbers"]')
    three[0].hub.drain.begin()
    assert await poller.next() == [3, [[1], []]]
    gate.open()
    await until(lambda: three[1].hub.counters.not_moved)
    assert "does not give it" in reason(records)
    assert poller.session(three[0]) is not None


@pytest.mark.usefixtures("_recovery")
async def test_a_new_owner_that_begins_to_stop(
    three: Three, come: Come, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has asked for the session already: that comes, and its client is told as all others."""
    poller = await come(three[0])
    give = three[0].hub.departures._give
    gate, asked = asyncio.Event(), asyncio.Event()

    async def wait(departure: Any) -> bytes | None:
        asked.set()
        await gate.wait()
        return await give(departure)

    monkeypatch.setattr(three[0].hub.departures, "_give", wait)
    moving = asyncio.ensure_future(poller.wander(three[1]))
    await asked.wait()
    moving.cancel()
    stopping = asyncio.ensure_future(three[1].hub.drain.finish())
    await until(lambda: three[1].hub.draining)
    gate.set()
    await stopping
    await until(lambda: Traveller.ends == [(poller.sid, "server shutting down")])
    assert not three[1].hub.connections
    assert not three[1].hub.counters.not_moved


async def test_an_owner_that_dies_before_it_gives_the_client(
    three: Three, come: Come, monkeypatch: pytest.MonkeyPatch
) -> None:
    poller = await come(three[0])
    gate = await ready(poller, three[1], monkeypatch)
    three[0].kill()
    monkeypatch.setattr("realtime.hub.handing.TIMEOUT", 0.1)
    gate.open()
    await until(lambda: three[1].hub.counters.not_moved)
    await until(lambda: not three[1].hub.moves._stays)
    assert not three[1].hub.arrivals
    assert not three[1].hub.connections


@pytest.mark.usefixtures("_recovery")
async def test_an_owner_that_dies_when_it_has_given_the_client(three: Three, come: Come) -> None:
    """The client is at the other one for good, though its sid names the dead one."""
    poller = await come(three[0], {"rooms": ["a"]})
    await poller.wander(three[1])
    polls = poller.polls
    three[1].emit((poller.sid,), "poll again")
    assert await poller.next() == ["poll again"]
    await until(lambda: poller.polls > polls)
    three[0].kill()
    await goes_on(poller, three[1])
    three[2].emit(("a",), "all")
    assert await poller.next() == ["all"]


@pytest.mark.expiry
async def test_a_new_owner_that_dies_before_it_has_the_client(
    three: Three, come: Come, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one keeps it as soon as that is known, and handles what it has held."""
    poller = await come(three[0])
    await ready(poller, three[1], monkeypatch)
    three[1].kill()
    poller.way = three[0]
    await poller.post('42["number",1]', '423["numbers"]', at=three[0])
    session = poller.session(three[0])
    assert session is not None
    await until(lambda: not session.upgrading)
    await until(lambda: not session.require_inbox().unread)
    consumer: Any = session.sockets["/"].consumer
    await until(lambda: consumer.data.get("numbers") == [1])


async def test_a_new_owner_that_loses_the_client(
    three: Three, come: Come, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    """Nobody has it then, no request is led in circles, and its last hook has run."""
    poller = await come(three[0])

    def fail(*args: Any) -> None:
        raise RuntimeError("it cannot be")

    monkeypatch.setattr("realtime.transports.arrivals.Arrival.settle", fail)
    poller.way = three[1]
    async with asyncio.timeout(DEADLINE):
        while not poller.ends:
            await poller.post("3")
    assert {(status, json.loads(body)["code"]) for _, status, body in poller.ends} == {(400, 1)}
    await until(lambda: Traveller.ends == [(poller.sid, "transport error")])
    assert "cannot be opened" in reason(records)
    await gone(poller, *three)


# Servers of older versions


async def test_one_that_does_not_say_who_it_is(three: Three, come: Come) -> None:
    """Its request is led to where the session has gone, and it does not learn of that."""
    poller = await come(three[0])
    await poller.wander(three[1])
    query = b"EIO=4&transport=polling&sid=" + poller.id.encode()
    for number in itertools.count(10):
        body = f'42{number}["echo",{number}]'.encode()
        question = HttpRequest(poller.id, "POST", query, (), body)
        told: list[Any] = []
        ask = three[2].hub.cluster.ask
        status, _, text = await ask(three[0].hub.server_id, question, 20.0, told.append)
        assert (status, text) == (200, b"ok")
        assert told == [None]
        assert await poller.next() == [number, number]
        if number > 20:
            break


async def test_two_hubs_that_both_lead_to_each_other(start: Start, three: Three) -> None:
    """A request goes in circles for a while only."""
    one, two, _ = three
    sid = one.hub.new_sid()
    two.hub.moves.adopt(sid)
    await until(lambda: one.hub.moves.where(sid) == two.hub.server_id)
    two.hub.moves.note(sid, one.hub.server_id)
    poller = Poller(three[2])
    poller.id = sid
    for way in three:
        poller.way = way
        status, body = await poller.request("GET")
        assert (status, json.loads(body)["code"]) == (400, 1)
        status, body = await poller.request("POST", b"4" * 80_000)
        assert (status, json.loads(body)["code"]) == (400, 1)
