"""Scripts, the shell and signal handlers: what they send, ask and count."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any
from uuid import uuid4

import pytest

from tests.clients.wire import DEADLINE, open_socket
from tests.cluster.conftest import Connect, Member
from tests.clusters import LiveCluster
from tests.processes import ROOT

from .conftest import environment, heard, of_cluster, run

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


async def test_a_script_ends_whole_connections(cluster: LiveCluster, room: str) -> None:
    async with open_socket(cluster[0], "/cluster", {"rooms": [room]}) as (wire, _):
        await wire.join_namespace("/lab")
        await asyncio.to_thread(run, "room.close(connection=True)", of_cluster(cluster), room)
        code, frames = await wire.closed()
    assert (code, sorted(map(str, frames))) == (1000, ["41/cluster,", "41/lab,"])


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
room.close()
"""
    await asyncio.to_thread(run, code, of_cluster(cluster), room)
    assert await heard(member, 3) == ["joined", "joined again", "last"]
    async with asyncio.timeout(DEADLINE):
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
assert time.monotonic() - start < 20  # and not the timeout of one of them
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
        return sorted({member.sid: question, other.sid: (question, 1)}.items())

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
