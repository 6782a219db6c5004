"""Forked workers: WSGI servers and Celery."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery

from tests.clients.wire import DEADLINE, eventually
from tests.cluster.conftest import Connect, Member
from tests.clusters import LiveCluster
from tests.conftest import ServerFactory
from tests.live import LiveServer
from tests.processes import ROOT
from tests.valkey import Valkey

from .conftest import NewValkey, heard, of_cluster


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
    await exercise_client(server, path, member)
    await act(server, path, room, "close")
    async with asyncio.timeout(DEADLINE):
        await member.client.left.get()


async def exercise_client(server: LiveServer, path: str, member: Member) -> None:
    """Let a view do everything with one client, whose namespace it does not know."""
    is_async = path == "/aact/"
    questions = ("adeliver", "acall") if is_async else ("deliver", "call")

    async def do(call: str, *args: Any, sid: str = member.sid) -> Any:
        body = {"sid": sid, "do": call, "args": args}
        answer = await asyncio.to_thread(server.post, path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json().get("result")

    for number in range(5):
        await do("emit", "said", number)
    assert await heard(member, 5) == list(range(5))
    assert await do(questions[0], "said", "are you there?") is True
    assert await member.got() == "are you there?"
    assert await do(questions[0], "said", sid="nobodyAAAAAAAAAAAAAAAAAAAA") is False
    assert await do(questions[1], "question", "ready?") == "ready?"
    await do("join", "of one client")

    async def hears_the_room() -> bool:
        """Another process of the server may say it, which knows nothing of the join."""
        await act(server, path, "of one client", "say", "you are in")
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                return await member.got() == "you are in"
        return False

    await eventually(hears_the_room, timeout=DEADLINE)


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


async def test_views_that_wait_for_the_commit(
    cluster: LiveCluster, wsgi: LiveServer, member: Member
) -> None:
    for server in (cluster[0], wsgi):
        name = uuid4().hex
        answer = await asyncio.to_thread(server.post, "/save/", json={"name": name})
        assert answer.status_code == 200, answer.text
        assert await member.client.got("saved", "/cluster") == name


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


def test_private_message_without_a_server(valkey: Valkey, new_server: ServerFactory) -> None:
    server = new_server(
        "gunicorn",
        env={"REDIS_URL": valkey.url, "SECRET_KEY": "s" * 50, "LAYER_OVERRIDES": '{"prefix":"x"}'},
        application="tests.site.wsgi:application",
    )
    answer = server.post("/client/nobodyAAAAAAAAAAAAAAAAAAAA")
    assert answer.status_code == 503
    assert "No Realtime server has answered" in answer.json()["message"]


def test_a_layer_that_is_down_after_the_commit(
    new_valkey: NewValkey, new_server: ServerFactory
) -> None:
    valkey = new_valkey()
    server = new_server(
        "gunicorn",
        env={"REDIS_URL": valkey.url, "SECRET_KEY": "s" * 50},
        application="tests.site.wsgi:application",
    )
    names = []
    for do in (lambda: None, valkey.stop, valkey.start):
        do()
        for number in range(3):
            answer = server.post("/save/", json={"name": f"{len(names)} {number}"})
            assert answer.status_code == 200, answer.text
            assert answer.json() == {"names": names}
            names += [f"{len(names)} {number}", f"{len(names)} {number}, hooked"]
    server.wait_log("unsent namespace=/cluster call=emit event=saved")
    assert "Traceback" not in server.log


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
        async with asyncio.timeout(90):  # it starts three processes
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
