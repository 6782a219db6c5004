"""Sending from processes that serve no clients, to a client of one that does."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery

from tests.cluster.conftest import Connect, Member
from tests.clusters import LAYERS, LiveCluster
from tests.conftest import ServerFactory
from tests.live import ROOT, LiveServer
from tests.valkey import Valkey

NewValkey = Callable[..., Valkey]

# What each script starts with; its first argument is the room.
PREAMBLE = """
import asyncio, os, sys, threading, time
import django
django.setup()
import realtime
room = realtime.of("/cluster").to(sys.argv[1])
"""


def environment(env: dict[str, str], database: str) -> dict[str, str]:
    """Return the environment of a process of the site."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.site.settings",
        "DATABASE_URL": database,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        **env,
    }


def of_cluster(cluster: LiveCluster, **env: str) -> dict[str, str]:
    """Return the environment of a process that belongs to a cluster."""
    return environment({**cluster.env, **env}, cluster.database)


def of_layer(valkey: Valkey, layer: str) -> dict[str, str]:
    """Return the environment of a process on a layer, with no database to speak of."""
    env = {"REDIS_URL": valkey.url, "CHANNEL_LAYER": layer, "SECRET_KEY": "s" * 50}
    return environment(env, "sqlite://:memory:")


def run(code: str, env: dict[str, str], *args: str, command: tuple[str, ...] = ("-c",)) -> str:
    """Run a script to its end, and return what it printed. It must not complain."""
    done = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", *command, PREAMBLE + code, *args],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module", params=LAYERS)
def cluster(request: pytest.FixtureRequest, valkey: Valkey) -> Iterator[LiveCluster]:
    """One server, on each layer in turn."""
    with LiveCluster(("uvicorn",), valkey, request.param) as cluster:
        yield cluster


@pytest.fixture
def room() -> str:
    """A room that no other test is in."""
    return f"Room №1 {uuid4().hex}"


@pytest.fixture
async def member(cluster: LiveCluster, join: Connect, room: str) -> Member:
    """A client in the room."""
    return await join(cluster[0], room)


async def heard(member: Member, count: int) -> list[Any]:
    """Return what the client hears next."""
    return [await member.got() for _ in range(count)]


# Scripts

SCRIPTS = {
    "many ways": """
from asgiref.sync import async_to_sync
def say(number):
    room.emit("said", number)
async def asay(number):
    room.emit("said", number)
async def await_say(number):
    await room.emit("said", number)
say(0)
thread = threading.Thread(target=say, args=(1,))
thread.start()
thread.join()
asyncio.run(asay(2))
asyncio.run(await_say(3))
async_to_sync(await_say)(4)
""",
    "fork": """
room.emit("said", 0)
room.emit("said", 1)
child = os.fork()
if not child:
    room.emit("said", 2)
    grandchild = os.fork()
    if not grandchild:
        room.emit("said", 3)
        sys.exit()
    sys.exit(os.waitpid(grandchild, 0)[1])
assert os.waitpid(child, 0)[1] == 0
room.emit("said", 4)
""",
    "multiprocessing": """
import multiprocessing
def say(*numbers):
    for number in numbers:
        room.emit("said", number)
say(0, 1)
process = multiprocessing.get_context("fork").Process(target=say, args=(2, 3))
process.start()
process.join()
assert process.exitcode == 0
say(4)
""",
    "at exit": """
import atexit
atexit.register(room.emit, "said", 4)
import realtime.broadcast  # a site's own module would load it
@atexit.register
def last():
    for number in range(4):
        room.emit("said", number)
""",
}


@pytest.mark.parametrize("kind", SCRIPTS)
async def test_script(cluster: LiveCluster, member: Member, room: str, kind: str) -> None:
    await asyncio.to_thread(run, SCRIPTS[kind], of_cluster(cluster), room)
    assert await heard(member, 5) == list(range(5))


async def test_django_shell(cluster: LiveCluster, member: Member, room: str) -> None:
    code = f'import realtime; realtime.of("/cluster").to({room!r}).emit("said", b"bytes", "№")'
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", code],
        env=of_cluster(cluster),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert await member.got() == (b"bytes", "№")


async def test_signal_handler_that_waits_for_the_commit(
    cluster: LiveCluster, member: Member, room: str
) -> None:
    code = """
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.signals import post_save

def tell(instance, **kwargs):
    room.on_commit().emit("said", instance.username)
    transaction.on_commit(lambda: room.emit("said", "by hand"))

post_save.connect(tell, sender=User)
name = sys.argv[2]
with transaction.atomic():
    User.objects.create(username=name)
    room.emit("said", "before")
try:
    with transaction.atomic():
        User.objects.create(username=name + " who never was")
        raise LookupError
except LookupError:
    pass
room.emit("said", "last")
"""
    name = uuid4().hex
    await asyncio.to_thread(run, code, of_cluster(cluster), room, name)
    assert await heard(member, 4) == ["before", name, "by hand", "last"]


async def test_many_threads(cluster: LiveCluster, member: Member, room: str) -> None:
    code = """
def work(name):
    for number in range(100):
        room.emit("said", name, number)
threads = [threading.Thread(target=work, args=(name,)) for name in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
    await asyncio.to_thread(run, code, of_cluster(cluster), room)
    said = await heard(member, 2000)
    for name in range(20):
        assert [number for who, number in said if who == name] == list(range(100))


# Commands and questions


async def test_join_leave_and_disconnect(cluster: LiveCluster, member: Member, room: str) -> None:
    code = """
inner = realtime.of("/cluster").to(sys.argv[1] + "/inner")
room.join(sys.argv[1] + "/inner")
inner.emit("said", "joined")
room.leave(sys.argv[1] + "/inner")
inner.emit("said", "left")
async def move():
    await room.join(sys.argv[1] + "/inner")
    inner.emit("said", "joined again")
asyncio.run(move())
room.emit("said", "last")
room.disconnect()
"""
    await asyncio.to_thread(run, code, of_cluster(cluster), room)
    assert await heard(member, 3) == ["joined", "joined again", "last"]
    async with asyncio.timeout(5):
        namespace, _ = await member.client.left.get()
    assert namespace == "/cluster"


async def test_questions(cluster: LiveCluster, join: Connect, member: Member, room: str) -> None:
    code = """
print(sorted(room.call("question", "ready?").items()))
async def ask():
    answers = await room.acall("question", "and now?", timeout=5)
    print(sorted(answers.items()), answers.missing)
asyncio.run(ask())
start = time.monotonic()
for sid in sys.argv[2:]:
    answers = realtime.of("/cluster").to(sid).call("question", "there?", timeout=30)
    print(dict(answers), answers.missing)
nobody = realtime.of("/cluster").to("a room without anybody").call("question", "x", timeout=30)
print(nobody, nobody.missing)
assert time.monotonic() - start < 5
"""
    other, gone = await join(cluster[0], room), await join(cluster[0])
    await gone.client.close()
    await cluster[0].logged(f"disconnect .*{gone.sid}")
    member.answer(lambda question: question)
    other.answer(lambda question: (question, 1))
    printed = await asyncio.to_thread(
        run, code, of_cluster(cluster), room, member.sid, gone.sid, "nobodyAAAAAAAAAAAAAAAAAAAA"
    )

    def answers(question: str) -> Any:
        return sorted({member.sid: question, other.sid: [question, 1]}.items())

    assert printed.splitlines() == [
        str(answers("ready?")),
        f"{answers('and now?')} []",
        f"{ {member.sid: 'there?'} } []",
        f"{{}} ['{gone.sid}']",
        "{} ['nobodyAAAAAAAAAAAAAAAAAAAA']",
        "{} []",
    ]


async def test_counting_needs_no_layer(
    cluster: LiveCluster, join: Connect, member: Member, room: str
) -> None:
    code = """
print(room.count(), asyncio.run(room.acount()), *room.sockets().values_list("sid", flat=True))
"""
    other = await join(cluster[0], room)
    no_layer = environment({"SECRET_KEY": cluster.env["SECRET_KEY"]}, cluster.database)
    printed = await asyncio.to_thread(run, code, no_layer, room)
    assert printed.split()[:2] == ["2", "2"]
    assert sorted(printed.split()[2:]) == sorted([member.sid, other.sid])


# WSGI, and ASGI beside the hub


@contextmanager
def gunicorn(cluster: LiveCluster, **env: str) -> Iterator[LiveServer]:
    """The site on a WSGI server with two forked workers."""
    with LiveServer(
        "gunicorn",
        env={**cluster.env, **env},
        database=cluster.database,
        application="tests.site.wsgi:application",
    ) as server:
        yield server


async def act(server: LiveServer, path: str, room: str, do: str, *args: Any) -> Any:
    """Let a view do something, and return its answer."""
    body = {"room": room, "do": do, "args": args}
    answer = await asyncio.to_thread(server.post, path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def exercise(server: LiveServer, path: str, member: Member, room: str) -> None:
    """Let a view do everything once."""
    for start in range(0, 40, 10):  # by any worker
        await act(server, path, room, "say", *range(start, start + 10))
    assert await heard(member, 40) == list(range(40))
    member.answer(lambda question: question)
    asked = await act(server, path, room, "call", "ready?")
    assert asked == {"answers": {member.sid: "ready?"}, "missing": []}
    await act(server, path, room, "join", room + "/inner")
    await act(server, path, member.sid, "say", "to you")
    assert await member.got() == "to you"
    await act(server, path, room, "disconnect")
    async with asyncio.timeout(5):
        await member.client.left.get()


@pytest.fixture(scope="module")
def wsgi(cluster: LiveCluster) -> Iterator[LiveServer]:
    """A WSGI server beside the cluster."""
    with gunicorn(cluster) as server:
        yield server


@pytest.mark.parametrize("path", ["/act/", "/aact/"])
async def test_views_of_a_wsgi_server(
    wsgi: LiveServer, member: Member, room: str, path: str
) -> None:
    await exercise(wsgi, path, member, room)


async def test_workers_whose_parent_has_sent(
    cluster: LiveCluster, member: Member, room: str
) -> None:
    with gunicorn(cluster, SAY_AT_START=room) as server:
        assert await member.got() == "parent"
        for number in range(10):
            await act(server, "/act/", room, "say", number)
        assert await heard(member, 10) == list(range(10))


@pytest.mark.parametrize("path", ["/act/", "/aact/"])
async def test_views_beside_a_hub(
    cluster: LiveCluster, member: Member, room: str, path: str
) -> None:
    await exercise(cluster[0], path, member, room)


async def test_count_by_a_wsgi_server(wsgi: LiveServer, member: Member, room: str) -> None:
    query = {"namespace": "/cluster", "room": room}
    answer = await asyncio.to_thread(wsgi.get, "/clients-count", params=query)
    assert (answer.status_code, answer.json()) == (200, {"count": 1})


async def test_private_message_by_a_wsgi_server(
    cluster: LiveCluster, wsgi: LiveServer, member: Member, join: Connect
) -> None:
    gone = await join(cluster[0])
    await gone.client.close()
    await cluster[0].logged(f"disconnect .*{gone.sid}")
    sent = await asyncio.to_thread(
        wsgi.post, f"/client/{member.sid}", json={"event": "said", "args": ["hi", 1]}
    )
    missing = await asyncio.to_thread(wsgi.post, f"/client/{gone.sid}")
    assert sent.status_code == 200, sent.text
    assert await member.got() == ("hi", 1)
    assert (missing.status_code, missing.json()) == (404, {"message": "Client not found"})


# Celery


async def test_celery(cluster: LiveCluster, member: Member, room: str) -> None:
    queue = uuid4().hex
    options = ["--pool", "prefork", "--concurrency", "2", "--loglevel", "WARNING"]
    worker = await asyncio.to_thread(
        subprocess.Popen,
        [sys.executable, "-m", "celery", "-A", "tests.site.tasks", "worker", *options],
        env=of_cluster(cluster, TASK_QUEUE=queue, SAY_AT_START=room),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(30):
            assert await member.client.queue("said", "/cluster").get() == ("parent",)
        with Celery(broker=cluster.valkey.url) as app:
            for start in range(0, 40, 10):
                app.send_task(
                    "tests.site.tasks.say", [room, *range(start, start + 10)], queue=queue
                )
        said = await heard(member, 44)
    finally:
        worker.terminate()
        output, _ = await asyncio.to_thread(worker.communicate, timeout=20)
    assert sorted(said)[:40] == list(range(40))
    for start in range(0, 40, 10):
        assert [n for n in said if start <= n < start + 10] == list(range(start, start + 10))
    assert worker.pid not in said
    assert "Traceback" not in output.decode()


# Connections, and the end of the process


async def test_ten_thousand_emits_and_ten_connections(new_valkey: NewValkey, layer: str) -> None:
    code = """
for number in range(2000):
    room.emit("said", number)
def work():
    for number in range(400):
        room.emit("said", number)
threads = [threading.Thread(target=work) for _ in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
try:
    room.call("question", timeout=1)
except realtime.NotRunning:
    print(time.time())
"""
    valkey = new_valkey()
    before = valkey.total_connections()
    printed = await asyncio.to_thread(run, code, of_layer(valkey, layer), "room")
    assert time.time() - float(printed) < 3  # it ends at once
    assert 1 <= valkey.total_connections() - before <= 10
    valkey.wait_connections(lambda count: count == 0)


# What fails


class Script:
    """A script that is told when to go on, and that prints a line for each step."""

    def __init__(self, code: str, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + code, "room"],
            env=env,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def step(self) -> str:
        """Let it go on, and return what it prints."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def end(self) -> tuple[int, str]:
        """Let it end; return its exit code and what it complained of."""
        _, complaints = self._process.communicate(timeout=30)
        return self._process.returncode, complaints


def test_layer_that_is_down(new_valkey: NewValkey, layer: str) -> None:
    code = """
while sys.stdin.readline():
    start = time.monotonic()
    try:
        room.emit("said", 1)
    except realtime.LayerUnavailable as error:
        print(time.monotonic() - start, error)
    else:
        print("sent")
"""
    valkey = new_valkey()
    script = Script(code, of_layer(valkey, layer))
    assert script.step() == "sent"
    valkey.stop()
    seconds, _, text = script.step().partition(" ")
    assert float(seconds) < 6
    assert text.startswith("The channel layer did not take the message: ")
    assert "CHANNEL_LAYERS['default']" in text
    valkey.start()
    assert script.step() == "sent"
    valkey.pause()
    seconds, _, text = script.step().partition(" ")
    assert 4.9 < float(seconds) < 6
    assert "it did not answer within 5 seconds" in text
    valkey.resume()
    assert script.step() == "sent"
    assert script.end() == (0, "")


def test_questions_while_the_layer_is_down(new_valkey: NewValkey, layer: str) -> None:
    code = """
while sys.stdin.readline():
    try:
        room.call("question", timeout=1)
    except (realtime.LayerUnavailable, realtime.NotRunning) as error:
        print(type(error).__name__, error)
"""
    valkey = new_valkey()
    script = Script(code, of_layer(valkey, layer))
    assert script.step().startswith("NotRunning No Realtime server has answered within 1 seconds.")
    valkey.stop()
    assert script.step().startswith("LayerUnavailable The channel layer did not take the message")
    valkey.start()
    # A connection that broke may be found broken only when it is used.
    said = [script.step() for _ in range(2)]
    assert said[-1].startswith("NotRunning No Realtime server"), said
    code_, _ = script.end()
    assert code_ == 0


async def test_questions_after_an_outage(
    new_valkey: NewValkey, new_cluster: Callable[..., LiveCluster], join: Connect, layer: str
) -> None:
    code = """
while sys.stdin.readline():
    try:
        print(list(room.call("question", timeout=5).values()))
    except (realtime.LayerUnavailable, realtime.NotRunning) as error:
        print(type(error).__name__)
"""
    valkey = new_valkey()
    cluster = new_cluster(("uvicorn",), valkey, layer=layer)
    member = await join(cluster[0], "room")
    member.answer(lambda: "yes")
    script = Script(code, of_cluster(cluster))
    assert await asyncio.to_thread(script.step) == "['yes']"
    valkey.restart()
    await cluster[0].logged("layer-back", timeout=30)
    answers = [await asyncio.to_thread(script.step) for _ in range(3)]
    assert answers[-1] == "['yes']", answers
    await asyncio.to_thread(script.end)


def test_no_layer_to_others() -> None:
    code = """
for call in (
    lambda: room.emit("said", 1),
    lambda: room.join("a"),
    lambda: room.call("question"),
    lambda: asyncio.run(room.acall("question")),
):
    start = time.monotonic()
    try:
        call()
    except realtime.NotRunning as error:
        assert time.monotonic() - start < 1
        assert "its channel layer is in memory" in str(error)
        assert "Configure channels_redis in CHANNEL_LAYERS" in str(error)
    else:
        print("no error")
"""
    assert run(code, environment({}, "sqlite://:memory:"), "room") == ""


def test_private_message_without_a_server(valkey: Valkey, new_server: ServerFactory) -> None:
    server = new_server(
        "gunicorn",
        env={"REDIS_URL": valkey.url, "SECRET_KEY": "s" * 50, "LAYER_OVERRIDES": '{"prefix":"x"}'},
        application="tests.site.wsgi:application",
    )
    answer = server.post("/client/nobodyAAAAAAAAAAAAAAAAAAAA")
    assert answer.status_code == 503
    assert "No Realtime server has answered" in answer.json()["message"]
