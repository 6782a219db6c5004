"""The background thread of a process that serves no clients, with a layer that a test steers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from channels.exceptions import ChannelFull
from channels.layers import channel_layers

from realtime.cluster.envelopes import Command, Emit, group_name, open_parcel, server_group, unpack
from realtime.cluster.targets import Target
from realtime.exceptions import LayerUnavailable, NotRunning, WouldDeadlock
from realtime.outside import process
from realtime.outside.background import Background
from realtime.outside.sender import RemoteGateway
from realtime.sockets.messages import Message
from tests.unit.probes import DEADLINE


class Layer:
    """
    Keeps what is sent, and its ids. It takes nothing while `gate` is closed, and raises `error`.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.asked = threading.Semaphore(0)
        self.sent: list[tuple[str, list[Any]]] = []
        self.ids: list[str] = []

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.asked.release()
        while not self.gate.is_set():
            await asyncio.sleep(0.002)
        if self.error is not None:
            raise self.error
        envelopes: list[Any] = list(unpack(open_parcel(message)))
        for envelope in envelopes:
            self.ids.append(envelope.id)
            envelope.id = ""  # which no test can know
        self.sent.append((group, envelopes))

    async def new_channel(self) -> str:
        raise self.error or AssertionError


@pytest.fixture
def layer() -> Layer:
    return Layer()


@pytest.fixture
def outside(layer: Layer) -> Iterator[RemoteGateway]:
    outside = RemoteGateway(lambda: layer)
    yield outside
    outside.close()


def emit(outside: RemoteGateway, text: str, *rooms: str) -> None:
    outside.emit(Target("/", rooms), Message("/", "said", (text,)))


def said(*texts: str) -> list[Emit]:
    """Return what is sent for these."""
    return [Emit("/", ("a",), (), False, f'42["said","{text}"]', ()) for text in texts]


def test_what_is_sent(outside: RemoteGateway, layer: Layer) -> None:
    emit(outside, "hi", "a")
    outside.command(Target("/", ("a",)), "join", ("b",))
    emit(outside, "to those who are about to join", "b")
    emit(outside, "to all")
    sid = "anyoneAAAAAAAAAAAAAAAAAAAA"
    emit(outside, "to one", sid)
    assert layer.sent[:2] == [
        (group_name("/", "a"), said("hi")),
        (group_name("/", "a"), [Command("/", ("a",), (), "join", ("b",))]),
    ]
    assert [group for group, _ in layer.sent[2:4]] == [group_name("/"), group_name("/")]
    assert {group for group, _ in layer.sent[4:]} == {
        server_group("anyone"),
        group_name("/", sid),
    }
    assert len(set(layer.ids)) == 5, "both ways to one lead to the same event"
    assert all(id.startswith(f"{outside._id}.") for id in layer.ids)


def test_what_threads_send_meanwhile_is_gathered(outside: RemoteGateway, layer: Layer) -> None:
    layer.gate.clear()
    with ThreadPoolExecutor(30) as threads:
        sending = [threads.submit(emit, outside, str(number), "a") for number in range(30)]
        for _ in range(4):
            assert layer.asked.acquire(timeout=DEADLINE)
        while sum(future.running() for future in sending) < 30:
            pass
        layer.gate.set()
        for future in sending:
            future.result(DEADLINE)
    assert len(layer.sent) < 15
    texts = [emitted for _, envelopes in layer.sent for emitted in envelopes]
    assert sorted(texts, key=str) == sorted(said(*map(str, range(30))), key=str)


def test_each_thread_keeps_its_order(outside: RemoteGateway, layer: Layer) -> None:
    def work(name: int) -> None:
        for number in range(50):
            emit(outside, f"{name} {number}", "a")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    texts = [emitted.text for _, envelopes in layer.sent for emitted in envelopes]
    assert len(set(layer.ids)) == len(texts) == 400
    for name in range(8):
        own = [text for text in texts if text.startswith(f'42["said","{name} ')]
        assert own == [f'42["said","{name} {number}"]' for number in range(50)]


def test_large_messages_are_not_gathered(
    outside: RemoteGateway, layer: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.outside.sender.MESSAGE_BYTES", 10)
    layer.gate.clear()
    with ThreadPoolExecutor(10) as threads:
        sending = [threads.submit(emit, outside, str(number), "a") for number in range(10)]
        assert layer.asked.acquire(timeout=DEADLINE)
        layer.gate.set()
        for future in sending:
            future.result(DEADLINE)
    assert len(layer.sent) == 10


def test_what_is_sent_to_one_client(outside: RemoteGateway, layer: Layer) -> None:
    sid = "anyoneAAAAAAAAAAAAAAAAAAAA"
    for namespace in ("", "/users"):
        remote = Target(namespace, (sid,), client=True)
        outside.emit(remote, Message("/", "said", ("hi",), volatile=True))
        outside.command(remote, "close", ())
        assert layer.sent == [
            (
                server_group("anyone"),
                [Emit(namespace, (sid,), (), True, '42["said","hi"]', (), True)],
            ),
            (server_group("anyone"), [Command(namespace, (sid,), (), "close", (), True)]),
        ]
        layer.sent.clear()
    outside.emit(Target("", ("no sid",), client=True), Message("/", "said", ()))
    assert layer.sent == []


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionError("connection refused"), r"ConnectionError\('connection refused'\)"),
        (ChannelFull(), r"ChannelFull\(\)"),
        (TimeoutError("of the layer's own"), "of the layer's own"),
    ],
    ids=["down", "full", "slow"],
)
def test_what_the_layer_does_not_take(
    outside: RemoteGateway, layer: Layer, error: Exception, text: str
) -> None:
    layer.error = error
    with pytest.raises(LayerUnavailable, match=text) as raised:
        emit(outside, "hi", "a")
    assert raised.value.__cause__ is error
    assert "CHANNEL_LAYERS['default']" in str(raised.value)
    with pytest.raises(LayerUnavailable, match=text):
        outside.wait(lambda: outside.send_to_client("x", None, "said", ()))
    layer.error = None
    emit(outside, "hi again", "a")
    assert layer.sent == [(group_name("/", "a"), said("hi again"))]


def test_a_layer_that_hangs(
    outside: RemoteGateway, layer: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.outside.sender.PUBLISH_TIMEOUT", 0.05)
    layer.gate.clear()
    with ThreadPoolExecutor(10) as threads:  # some of them wait for the others
        for future in [threads.submit(emit, outside, "hi", "a") for _ in range(10)]:
            with pytest.raises(LayerUnavailable, match=r"did not answer within 0\.05 seconds"):
                future.result(DEADLINE)
    layer.gate.set()
    monkeypatch.setattr("realtime.outside.sender.PUBLISH_TIMEOUT", DEADLINE)
    emit(outside, "hi again", "a")
    assert layer.sent == [(group_name("/", "a"), said("hi again"))]


# The thread


def test_after_the_end(outside: RemoteGateway) -> None:
    outside.close()
    with pytest.raises(NotRunning, match="about to end"):
        emit(outside, "hi", "a")


def test_waiting_on_the_loops_own_thread() -> None:
    background = Background("test")

    async def wait() -> None:
        with pytest.raises(WouldDeadlock, match="twin whose name starts with a"):
            background.wait(wait)

    background.wait(wait)
    background.close()
    assert background.loop.is_closed()


def test_what_is_at_work_at_the_end_is_cancelled() -> None:
    background = Background("test")
    started, ended = threading.Event(), threading.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    background.loop.call_soon_threadsafe(lambda: background.loop.create_task(work()))
    assert started.wait(DEADLINE)
    background.close()
    assert ended.wait(DEADLINE)


# Which layers lead out


def test_a_layer_that_is_not_there(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_outside", {})
    settings.REALTIME = {**settings.REALTIME, "CHANNEL_LAYER": "other"}
    with pytest.raises(NotRunning, match="layer 'other' is not in CHANNEL_LAYERS"):
        process.get_outside()


def test_one_for_each_process_and_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_outside", {})
    monkeypatch.setitem(channel_layers.backends, "default", Layer())
    with ThreadPoolExecutor(8) as threads:
        [outside] = {threads.submit(process.get_outside).result() for _ in range(8)}
    monkeypatch.setattr(process.os, "getpid", lambda: 1)  # as in a fork that nobody told of
    child = process.get_outside()
    assert child is not outside
    assert process._of_parents[-1] is outside
    monkeypatch.undo()
    outside.close()
    child.close()
