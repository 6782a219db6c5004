"""What clients do in the simulated day: each visit comes, does something and goes in its way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from realtime.asgi import Application

from .clients import QUERY, Http, Line

Visit = Callable[[Application, int], Awaitable[None]]
visits: list[Visit] = []


def visit(function: Visit) -> Visit:
    """Add a visit; it gets the application and a number of its own."""
    visits.append(function)
    return function


async def enter(app: Application, number: int) -> Line:
    """Open a WebSocket, and connect to a namespace with a room of its own and a common one."""
    line = Line(app)
    await line.receive("0")
    line.send(f'40{{"rooms":["visit {number}","room {number % 7}"]}}')
    await line.receive("40")
    return line


@visit
async def talk(app: Application, number: int) -> None:
    line = await enter(app, number)
    line.send(f'421["say","room {number % 7}","hello",{{"n":1}}]', '42["move","elsewhere"]')
    await line.receive("431")
    line.send('42["unclaimed"]', '422["block","text"]')
    assert await line.receive("432") == '432["text"]'
    line.send("41", "1")
    await line.gone()


@visit
async def answer_questions(app: Application, number: int) -> None:
    line = await enter(app, number)
    line.send('421["ask",5]')
    assert await line.receive("431") == '431["an answer"]'
    line.answers = False
    line.send('422["ask",5]')
    assert "error" in str(await line.receive("432"))
    await line.leave()


@visit
async def leave_while_handlers_wait(app: Application, number: int) -> None:
    line = await enter(app, number)
    line.answers = False
    line.send('42["say","all","bye"]', '42["ask",500]', '42["slow"]', '42["slow"]')
    await asyncio.sleep(1)
    await line.leave()


@visit
async def do_wrong(app: Application, number: int) -> None:
    line = await enter(app, number)
    line.send('421["fail"]', '422["say"]', '423["limited"]', '424["limited"]')
    assert "rate_limited" in str(await line.receive("434"))
    line.send("40/unknown,", '40/orders/1,{"refuse":1}', "40/orders/x,")
    await line.receive("44/orders/x")
    line.send("nonsense")
    await line.gone()


@visit
async def fall_silent(app: Application, number: int) -> None:
    line = await enter(app, number)
    line.answers = False
    await line.gone()


@visit
async def never_connect(app: Application, number: int) -> None:
    line = Line(app)
    await line.gone()


@visit
async def visit_many_namespaces(app: Application, number: int) -> None:
    line = await enter(app, number)
    for pk in range(5):
        line.send(f"40/orders/{number + pk},")
        await line.receive("40/orders/")
    await line.leave()


@visit
async def speak_plainly(app: Application, number: int) -> None:
    line = Line(app, f"/ws/orders/{number}/", "")
    await line.receive('{"connected"')
    line.send('{"event":"say","args":["all","plainly"],"id":1}')
    await line.receive('{"ack"')
    await line.leave()


@visit
async def poll(app: Application, number: int) -> None:
    http = Http(app)
    await http.open()
    await http.send('421["say","all",1]', '422["block","text"]')
    await http.receive("432")
    for _ in range(7):  # a ping comes and goes meanwhile
        await http.receive('42["news"')
    await http.send("1")


@visit
async def poll_and_forget(app: Application, number: int) -> None:
    await Http(app).open()


@visit
async def poll_and_hang_up(app: Application, number: int) -> None:
    http = Http(app)
    await http.open()
    while True:
        status, _ = await http.request("GET", patience=2)
        if status != 200:
            return


@visit
async def upgrade(app: Application, number: int) -> None:
    http = Http(app)
    await http.open()
    line = Line(app, query=f"{QUERY}websocket&sid={http.sid}")
    line.send("2probe")
    await line.receive("3probe")
    line.send("5", '421["say","all","moved"]')
    await line.receive("431")
    await line.leave()


@visit
async def upgrade_by_half(app: Application, number: int) -> None:
    http = Http(app)
    await http.open()
    line = Line(app, query=f"{QUERY}websocket&sid={http.sid}")
    line.send("2probe")
    await line.gone()
    await http.send("1")
