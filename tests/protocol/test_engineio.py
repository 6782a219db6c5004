"""Engine.IO v4: packets, payloads and the handshake."""

from __future__ import annotations

import json

import pytest
from engineio.packet import Packet as ReferencePacket
from engineio.payload import Payload as ReferencePayload
from hypothesis import given
from hypothesis import strategies as st

from realtime.exceptions import (
    EmptyPacket,
    InvalidBase64,
    InvalidText,
    ProtocolError,
    UnknownPacketType,
)
from realtime.protocol.engineio import (
    MESSAGE,
    PACKETS_PER_PAYLOAD,
    SEPARATOR,
    Packet,
    PacketType,
    decode_packet,
    decode_payload,
    encode_packet,
    encode_payload,
    open_packet,
    payload_part,
)

from . import attempt, blobs, mutations

CLOSE, PING, PONG = PacketType.CLOSE, PacketType.PING, PacketType.PONG
UPGRADE, NOOP = PacketType.UPGRADE, PacketType.NOOP

FRAMES: list[tuple[str | bytes, Packet]] = [
    ('0{"sid":"abc"}', Packet(PacketType.OPEN, '{"sid":"abc"}')),
    ("1", Packet(CLOSE)),
    ("2", Packet(PING)),
    ("2probe", Packet(PING, "probe")),
    ("3", Packet(PONG)),
    ("3probe", Packet(PONG, "probe")),
    ("4", Packet(MESSAGE)),
    ("4hello", Packet(MESSAGE, "hello")),
    ("4€ 🙂", Packet(MESSAGE, "€ 🙂")),
    ("44", Packet(MESSAGE, "4")),
    ("4b", Packet(MESSAGE, "b")),
    ("4a\x1e2", Packet(MESSAGE, "a\x1e2")),
    ("5", Packet(UPGRADE)),
    ("6", Packet(NOOP)),
    (b"", Packet(MESSAGE, b"")),
    (b"\x01\x02\x03\x04", Packet(MESSAGE, b"\x01\x02\x03\x04")),
    (b"2probe", Packet(MESSAGE, b"2probe")),
]

PAYLOADS: list[tuple[str, list[Packet]]] = [
    ("4hello", [Packet(MESSAGE, "hello")]),
    (
        "4hello\x1e2\x1e4world",
        [Packet(MESSAGE, "hello"), Packet(PING), Packet(MESSAGE, "world")],
    ),
    ("4hello\x1ebAQIDBA==", [Packet(MESSAGE, "hello"), Packet(MESSAGE, b"\x01\x02\x03\x04")]),
    ("b\x1eb\x1e6", [Packet(MESSAGE, b""), Packet(MESSAGE, b""), Packet(NOOP)]),
    ("b+/+/", [Packet(MESSAGE, b"\xfb\xff\xbf")]),
    ("4№ 🙂\x1e1", [Packet(MESSAGE, "№ 🙂"), Packet(CLOSE)]),
    ("\x1e".join(["2"] * 100), [Packet(PING)] * 100),
]


# Packets


@pytest.mark.parametrize(("frame", "packet"), FRAMES)
def test_packets(frame: str | bytes, packet: Packet) -> None:
    assert decode_packet(frame) == packet
    assert encode_packet(packet) == frame


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        ("", EmptyPacket),
        ("7", UnknownPacketType),
        ("9hello", UnknownPacketType),
        ("abc", UnknownPacketType),
        (" 4", UnknownPacketType),
        ("-1", UnknownPacketType),
        ("bAQIDBA==", UnknownPacketType),
        ("\x1e", UnknownPacketType),
        ("٤", UnknownPacketType),
        ("４", UnknownPacketType),
        ("\ud800", UnknownPacketType),
    ],
)
def test_malformed_packets(frame: str, error: type[ProtocolError]) -> None:
    with pytest.raises(error):
        decode_packet(frame)


def test_an_unknown_type_is_quoted() -> None:
    with pytest.raises(UnknownPacketType, match="'x'"):
        decode_packet("x" * 1000)


# Payloads


@pytest.mark.parametrize(("body", "packets"), PAYLOADS)
def test_payloads(body: str, packets: list[Packet]) -> None:
    assert list(decode_payload(body.encode())) == packets
    assert encode_payload(encode_packet(packet) for packet in packets) == body


def test_no_frames_make_an_empty_payload() -> None:
    assert encode_payload([]) == ""


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", EmptyPacket),
        (b"\x1e", EmptyPacket),
        (b"\x1e2", EmptyPacket),
        (b"2\x1e", EmptyPacket),
        (b"2\x1e\x1e2", EmptyPacket),
        (b"2\x1e7", UnknownPacketType),
        (b"2\n2\x1e\n", UnknownPacketType),
        (b"10:4hello", None),
        (b"\xff", InvalidText),
        (b"4\xed\xa0\x80", InvalidText),
        (b"4\xe2\x82", InvalidText),
        (b"bA", InvalidBase64),
        (b"bAQ", InvalidBase64),
        (b"bAQ=", InvalidBase64),
        (b"bAQ==AQ==", InvalidBase64),
        (b"bAQID\n", InvalidBase64),
        (b"b AQID", InvalidBase64),
        (b"b=", InvalidBase64),
        (b"b====", InvalidBase64),
        (b"b-_-_", InvalidBase64),
        ("bАQID".encode(), InvalidBase64),  # a Cyrillic letter
        (b"b4AQIDBA==", InvalidBase64),  # the form of Engine.IO v3
    ],
)
def test_malformed_payloads(body: bytes, error: type[ProtocolError] | None) -> None:
    if error is None:  # no length stands before a packet of v4: this is a CLOSE
        assert list(decode_payload(body)) == [Packet(CLOSE, "0:4hello")]
        return
    with pytest.raises(error):
        list(decode_payload(body))


def test_packets_before_a_malformed_one_are_yielded() -> None:
    packets = decode_payload(b"4a\x1e4b\x1e!\x1e4c")
    assert next(packets) == Packet(MESSAGE, "a")
    assert next(packets) == Packet(MESSAGE, "b")
    with pytest.raises(UnknownPacketType):
        next(packets)


@pytest.mark.parametrize(
    ("frame", "part"),
    [("4a", "4a"), (b"", "b"), (b"\x00", "bAA=="), (b"a" * 60, "b" + "YWFh" * 20)],
)
def test_payload_part(frame: str | bytes, part: str) -> None:
    assert payload_part(frame) == part


# The handshake


def test_open_packet() -> None:
    frame = open_packet(
        "lv_VI97HAXpY6yYWAAAC",
        upgrades=("websocket",),
        ping_interval=25,
        ping_timeout=0.0204,
        max_payload=1_000_000,
    )
    assert frame[0] == "0"
    assert json.loads(frame[1:]) == {
        "sid": "lv_VI97HAXpY6yYWAAAC",
        "upgrades": ["websocket"],
        "pingInterval": 25000,
        "pingTimeout": 20,
        "maxPayload": 1000000,
    }
    assert "." not in frame


def test_open_packet_without_upgrades() -> None:
    frame = open_packet("a", upgrades=[], ping_interval=1, ping_timeout=1, max_payload=1)
    assert json.loads(frame[1:])["upgrades"] == []


# Properties

packets = st.builds(Packet, st.sampled_from(PacketType), st.text()) | st.builds(
    Packet, st.just(MESSAGE), blobs
)
polling_packets = packets.filter(
    lambda packet: isinstance(packet.data, bytes) or SEPARATOR not in packet.data
)


def to_body(packets: list[Packet]) -> bytes:
    return encode_payload(map(encode_packet, packets)).encode()


@given(packets)
def test_packets_round_trip(packet: Packet) -> None:
    assert decode_packet(encode_packet(packet)) == packet


@given(st.lists(polling_packets, min_size=1))
def test_payloads_round_trip(packets: list[Packet]) -> None:
    assert list(decode_payload(to_body(packets))) == packets


@given(st.text() | st.text("0123456b\x1e"))
def test_garbage_packets(frame: str) -> None:
    result = attempt(decode_packet, frame)
    if isinstance(result, Packet):
        assert encode_packet(result) == frame
    else:
        assert type(result) in {EmptyPacket, UnknownPacketType}


@given(
    st.binary()
    | st.text("0123456b\x1eAQ=+/ ").map(str.encode)
    | mutations(
        st.lists(polling_packets, min_size=1).map(to_body).map(bytes.decode),
        "0123456b\x1eA=",
    ).map(str.encode)
)
def test_garbage_payloads(body: bytes) -> None:
    result = attempt(lambda: list(decode_payload(body)))
    if isinstance(result, list):
        assert list(decode_payload(to_body(result))) == result
    else:
        assert type(result) in {EmptyPacket, UnknownPacketType, InvalidBase64, InvalidText}


# python-engineio, which reads a text that is JSON as its value: these texts are not.

reference_data = st.text("abc№ 🙂").map("x".__add__) | blobs


@given(st.lists(reference_data, min_size=1, max_size=PACKETS_PER_PAYLOAD))
def test_payloads_are_those_of_python_engineio(data: list[str | bytes]) -> None:
    ours = encode_payload(encode_packet(Packet(MESSAGE, item)) for item in data)
    theirs = ReferencePayload([ReferencePacket(4, item) for item in data]).encode()
    assert ours == theirs
    assert [packet.data for packet in ReferencePayload(encoded_payload=ours).packets] == data
    assert [packet.data for packet in decode_payload(theirs.encode())] == data


def test_python_engineio_reads_a_full_payload_and_no_more() -> None:
    frames = ["2"] * PACKETS_PER_PAYLOAD
    assert len(ReferencePayload(encoded_payload=encode_payload(frames)).packets) == len(frames)
    with pytest.raises(ValueError, match="Too many packets"):
        ReferencePayload(encoded_payload=encode_payload([*frames, "2"]))
