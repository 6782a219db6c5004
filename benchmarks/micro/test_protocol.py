"""Encoding and decoding of packets and frames."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from realtime.protocol import decoding, engineio, plain, socketio
from realtime.protocol.frames import Frames, websocket_frame
from realtime.sockets.encoding import default

TEXT = "x" * 100
ORDER = {"id": 7, "name": "Ada's order", "paid": True, "lines": [{"n": 1, "price": 9.5}] * 5}
VALUES = {"text": TEXT, "object": ORDER, "16k": "x" * 16_384, "bytes": b"x" * 100}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_encode_event(benchmark: BenchmarkFixture, value: Any) -> None:
    packet = socketio.Packet(socketio.EVENT, "/", ["news", value])
    text, attachments = benchmark(socketio.encode, packet, default)
    assert text.startswith("51-" if attachments else '2["news",')


@pytest.mark.parametrize("value", [TEXT, ORDER], ids=["text", "object"])
def test_encode_plain_event(benchmark: BenchmarkFixture, value: Any) -> None:
    assert benchmark(plain.encode_event, "news", [value], None, default)


@pytest.mark.parametrize("value", [TEXT, ORDER, "x" * 16_384], ids=["text", "object", "16k"])
def test_decode_event(benchmark: BenchmarkFixture, value: Any) -> None:
    text, _ = socketio.encode(socketio.Packet(socketio.EVENT, "/", ["news", value], 12))
    decoder = decoding.Decoder(max_attachments=100, max_bytes=1_000_000)
    packet = benchmark(decoder.add, text)
    assert packet.data == ["news", value]


def test_decode_binary_event(benchmark: BenchmarkFixture) -> None:
    text, attachments = socketio.encode(socketio.Packet(socketio.EVENT, "/", ["news", b"x" * 100]))
    decoder = decoding.Decoder(max_attachments=100, max_bytes=1_000_000)

    def decode() -> socketio.Packet | None:
        decoder.add(text)
        return decoder.add(attachments[0])

    packet = benchmark(decode)
    assert packet is not None


def test_decode_ack(benchmark: BenchmarkFixture) -> None:
    decoder = decoding.Decoder(max_attachments=100, max_bytes=1_000_000)
    assert benchmark(decoder.add, "312[true]").id == 12


def test_decode_plain_event(benchmark: BenchmarkFixture) -> None:
    frame = plain.encode_event("news", [ORDER], 12)
    assert benchmark(plain.decode, frame).id == 12


def test_decode_payload(benchmark: BenchmarkFixture) -> None:
    body = engineio.encode_payload([f'42["news","{TEXT}"]'] * 16).encode()
    assert len(benchmark(lambda: list(engineio.decode_payload(body)))) == 16


@pytest.mark.parametrize("size", [100, 16_384])
def test_websocket_frame(benchmark: BenchmarkFixture, size: int) -> None:
    assert len(benchmark(websocket_frame, "x" * size)) > size


def test_frames_of_a_message(benchmark: BenchmarkFixture) -> None:
    assert benchmark(lambda: Frames(f'42["news","{TEXT}"]').make_wire())
