"""The layer as a process beside the hubs finds it: its connections, and its outages."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Callable

from tests.cluster.conftest import Connect, Member
from tests.clusters import LiveCluster
from tests.processes import ROOT

from .conftest import PREAMBLE, NewValkey, environment, of_cluster, of_layer, run

# So many connections a process may open.
CONNECTIONS = 10

# How long a layer that is back may be taken for down.
BACK_DEADLINE = 30.0


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
    assert time.time() - float(printed) < 5  # it ends at once, and waits for no message till then
    assert 1 <= valkey.total_connections() - before <= CONNECTIONS
    valkey.wait_connections(lambda count: count == 0)


class Script:
    """A script that is told when to go on, and that prints a line for each step."""

    def __init__(self, code: str, env: dict[str, str], room: str = "room", *args: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + code, room, *args],
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


def steps_until(script: Script, enough: Callable[[str], bool]) -> list[str]:
    """
    Let a script go on until it says what is `enough`, and return all that it said.

    That takes a while: connections that broke are found broken when they are used, and whether the
    layer is back is asked from time to time.
    """
    said: list[str] = []
    deadline = time.monotonic() + BACK_DEADLINE
    while not said or not enough(said[-1]):
        assert time.monotonic() < deadline, said[-1]
        said.append(script.step())
    return said


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
    assert float(seconds) < 20
    assert text.startswith("The channel layer did not take the message: ")
    assert "CHANNEL_LAYERS['default']" in text
    valkey.start()
    steps_until(script, lambda said: said == "sent")
    valkey.pause()
    seconds, _, text = script.step().partition(" ")
    assert 4.9 < float(seconds) < 20
    assert "it did not answer within 5 seconds" in text
    for _ in range(100):  # nobody else waits as long
        seconds, _, text = script.step().partition(" ")
        assert float(seconds) < 4
        assert "it did not answer within 5 seconds" in text
    valkey.resume()
    steps_until(script, lambda said: said == "sent")
    code, complaints = script.end()
    assert code == 0
    assert re.findall("layer-down|layer-back", complaints)[-2:] == ["layer-down", "layer-back"]


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
    said = steps_until(script, lambda said: not said.startswith("LayerUnavailable"))
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
    answers = await asyncio.to_thread(steps_until, script, lambda said: said == "['yes']")
    assert set(answers[:-1]) <= {"LayerUnavailable", "NotRunning"}, answers
    await asyncio.to_thread(script.end)


async def test_questions_of_a_process_that_hears_nothing(
    cluster: LiveCluster, member: Member, room: str
) -> None:
    """Its layer object is beyond help: whoever asks after the one who finds that out is heard."""
    code = """
from realtime.outside.process import get_outside
async def break_layer():
    layer = get_outside()._layer
    if hasattr(layer, "receive_single"):
        async def receive_single(channel):
            await asyncio.Event().wait()
        layer.receive_single = receive_single
        await layer.send(get_outside()._channel, {})  # what is under way ends
    else:
        for shard in layer._shards:
            shard._receive_task.cancel()
while sys.stdin.readline():
    try:
        print(list(room.call("question", timeout=5).values()))
    except realtime.NotRunning:
        print("NotRunning")
    if sys.argv.pop() == "broken":
        get_outside().wait(break_layer)
"""
    member.answer(lambda: "yes")
    script = Script(code, of_cluster(cluster), room, "", "", "", "", "broken")
    said = [await asyncio.to_thread(script.step) for _ in range(3)]
    assert said == ["['yes']", "NotRunning", "['yes']"]
    code_, complaints = await asyncio.to_thread(script.end)
    assert code_ == 0
    assert "layer-replaced" in complaints


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
        assert time.monotonic() - start < 4  # and not the timeout of a call
        assert "its channel layer is in memory" in str(error)
        assert "Configure channels_redis in CHANNEL_LAYERS" in str(error)
    else:
        print("no error")
"""
    assert run(code, environment({}, "sqlite://:memory:"), "room") == ""
