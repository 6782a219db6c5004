"""Socket.IO v5: packets and attachments, by example."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import pytest

from realtime.exceptions import (
    InvalidEventName,
    InvalidJSON,
    InvalidNamespace,
    InvalidPlaceholder,
    MissingBinary,
    ProtocolError,
    TooLarge,
    UnexpectedBinary,
)
from realtime.protocol.decoding import Decoder
from realtime.protocol.socketio import (
    CONNECT,
    CONNECT_ERROR,
    EVENT,
    RESERVED_EVENTS,
    Packet,
    PacketType,
    check_event_name,
    check_namespace,
    encode,
)

from .socketio_examples import (
    BINARY_PACKETS,
    LENIENT,
    MALFORMED,
    MALFORMED_PLACEHOLDERS,
    MAX_ATTACHMENTS,
    MAX_BYTES,
    TEXT_PACKETS,
    decode,
    make_decoder,
    placeholder,
)

# Encoding


@pytest.mark.parametrize(("text", "packet"), TEXT_PACKETS)
def test_text_packets(text: str, packet: Packet) -> None:
    assert decode(text) == packet
    assert encode(packet) == (text, ())


@pytest.mark.parametrize(("frames", "packet"), BINARY_PACKETS)
def test_binary_packets(frames: list[str | bytes], packet: Packet) -> None:
    assert decode(*frames) == packet
    assert encode(packet) == (frames[0], tuple(frames[1:]))


@pytest.mark.parametrize("before", ["", "4", "№"])
def test_a_packet_begins_where_another_layer_ends(before: str) -> None:
    start = len(before)
    for text, packet in TEXT_PACKETS:
        assert make_decoder().add(before + text, start) == packet
    for frames, packet in BINARY_PACKETS:
        decoder = make_decoder()
        head, *attachments = frames
        assert decoder.add(before + str(head), start) is None
        assert [decoder.add(each, start) for each in attachments][-1] == packet
    for text, error in MALFORMED:
        with pytest.raises(error):
            make_decoder().add(before + text, start)


@pytest.mark.parametrize(("frames", "packet"), LENIENT)
def test_what_else_is_accepted(frames: list[str | bytes], packet: Packet) -> None:
    assert decode(*frames) == packet


@pytest.mark.parametrize("data", [bytearray(b"ab"), memoryview(b"ab"), (b"ab",)])
def test_other_kinds_of_bytes_are_attached_as_bytes(data: Any) -> None:
    _, attachments = encode(Packet(EVENT, data=["a", data]))
    assert attachments == (b"ab",)
    assert type(attachments[0]) is bytes


@pytest.mark.parametrize("kind", [CONNECT, CONNECT_ERROR])
def test_bytes_are_refused_where_no_binary_type_is(kind: PacketType) -> None:
    with pytest.raises(TypeError, match=f"bytes cannot be sent in a {kind.name} packet"):
        encode(Packet(kind, data={"message": "no", "data": [b""]}))


def test_encode_asks_default_for_a_plainer_value() -> None:
    packet = Packet(EVENT, data=["a", Decimal(1)])
    assert encode(packet, str) == ('2["a","1"]', ())
    assert encode(packet, lambda value: str(value).encode())[1] == (b"1",)
    with pytest.raises(TypeError, match="Decimal"):
        encode(packet)


def test_encode_leaves_the_data_as_it_was() -> None:
    data = ["a", {"b": [b"c"]}]
    encode(Packet(EVENT, data=data))
    assert data == ["a", {"b": [b"c"]}]


# Malformed packets


@pytest.mark.parametrize(("text", "error"), MALFORMED)
def test_malformed_packets(text: str, error: type[ProtocolError]) -> None:
    decoder = make_decoder()
    with pytest.raises(error) as caught:
        decoder.add(text)
    assert type(caught.value) is error
    assert len(str(caught.value)) < 200
    assert decoder.add("0") == Packet(CONNECT), "a malformed packet leaves nothing behind"


@pytest.mark.parametrize("data", MALFORMED_PLACEHOLDERS)
def test_malformed_placeholders(data: str) -> None:
    decoder = make_decoder()
    assert decoder.add("51-" + data) is None
    with pytest.raises(InvalidPlaceholder):
        decoder.add(b"b")
    assert decoder.add("0") == Packet(CONNECT)


def test_an_attachment_that_nothing_announced() -> None:
    decoder = make_decoder()
    with pytest.raises(UnexpectedBinary):
        decoder.add(b"")
    decoder.add('51-["a",{"_placeholder":true,"num":0}]')
    decoder.add(b"")
    with pytest.raises(UnexpectedBinary):
        decoder.add(b"")


@pytest.mark.parametrize("text", ['2["a"]', "0", "", "garbage", '51-["a"]'])
def test_a_text_where_an_attachment_was_due(text: str) -> None:
    decoder = make_decoder()
    decoder.add('52-["a",{"_placeholder":true,"num":0}]')
    with pytest.raises(MissingBinary, match="2 attachments"):
        decoder.add(text)
    decoder.add(b"")
    with pytest.raises(MissingBinary, match="1 attachments"):
        decoder.add(text)


def test_attachments_up_to_the_bounds() -> None:
    decoder = make_decoder()
    for _ in range(2):  # each packet has the whole room
        args = [b"x" * (MAX_BYTES - 2), b"", b"y", b"z"]
        assert len(args) == MAX_ATTACHMENTS
        text, attachments = encode(Packet(EVENT, data=["a", *args]))
        assert decode(text, *attachments, decoder=decoder) == Packet(EVENT, data=["a", *args])


@pytest.mark.parametrize("attachments", [[b"x" * (MAX_BYTES + 1)], [b"x" * MAX_BYTES, b"", b"y"]])
def test_attachments_over_the_bound(attachments: list[bytes]) -> None:
    decoder = make_decoder()
    decoder.add(f'5{len(attachments)}-["a"]')
    for attachment in attachments[:-1]:
        assert decoder.add(attachment) is None
    with pytest.raises(TooLarge, match=f"{MAX_BYTES} bytes"):
        decoder.add(attachments[-1])
    for frame in (b"", b"y"):  # and so it stays
        with pytest.raises(TooLarge):
            decoder.add(frame)


def test_long_packets_are_parsed_in_linear_time() -> None:
    digits, commas = "1" * 1_000_000, "/" + "a" * 1_000_000
    start = time.process_time()
    for text in ("2" + digits, "5" + digits, "3" + digits + "[]", "2" + commas, "51-" + commas):
        with pytest.raises(ProtocolError):
            make_decoder().add(text)
    assert time.process_time() - start < 1


def test_a_long_binary_packet_is_parsed_once_it_is_complete() -> None:
    decoder = Decoder(max_attachments=2, max_bytes=10)
    data = ["a", placeholder(1), [{"b": placeholder(0)}] + [{}] * 1000]
    assert decoder.add("52-" + json.dumps(data)) is None
    assert decoder.add(b"x") is None
    packet = decoder.add(b"y")
    assert packet == Packet(EVENT, data=["a", b"y", [{"b": b"x"}] + [{}] * 1000])
    assert decoder.completed == ("52-" + json.dumps(data), (b"x", b"y"))
    decoder.add('51-["a",' + "[]," * 1000)
    with pytest.raises(InvalidJSON):
        decoder.add(b"x")


def test_the_frames_of_a_packet_that_is_not_whole_yet() -> None:
    frames = ["452-/lab,1" + json.dumps(["a", placeholder(0), placeholder(1)]), b"x"]
    decoder = make_decoder()
    assert decoder.unfinished() == []
    for count, frame in enumerate(frames, 1):
        assert decoder.add(frame, 1 if isinstance(frame, str) else 0) is None
        assert decoder.unfinished() == frames[:count]
    assert decoder.add(b"y") is not None
    assert decoder.unfinished() == []


# Names


@pytest.mark.parametrize("name", ["", "message", "№", "Connect", "connect ", "connecting", "0"])
def test_names_of_events(name: str) -> None:
    check_event_name(name)


@pytest.mark.parametrize("name", [*sorted(RESERVED_EVENTS), None, 1, b"a", ["a"], True])
def test_what_is_no_name_of_an_event(name: Any) -> None:
    with pytest.raises(InvalidEventName):
        check_event_name(name)


@pytest.mark.parametrize("name", ["/", "/users", "/orders/7", "/№ 1", "//"])
def test_namespaces(name: str) -> None:
    check_namespace(name)


@pytest.mark.parametrize("name", ["", "users", "/a,b", "/a?b", " /", None, b"/", 1])
def test_what_is_no_namespace(name: Any) -> None:
    with pytest.raises(InvalidNamespace):
        check_namespace(name)
