"""Socket.IO v5: round trips, garbage, and the decoder of a connection beside a model of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs
from socketio.packet import Packet as ReferencePacket

from realtime.exceptions import InvalidAttachments, MissingBinary, TooLarge, UnexpectedBinary
from realtime.protocol import decoding
from realtime.protocol.decoding import Decoder
from realtime.protocol.socketio import (
    ACK,
    CONNECT,
    CONNECT_ERROR,
    DISCONNECT,
    EVENT,
    MAX_ACK_ID,
    RESERVED_EVENTS,
    Packet,
    PacketType,
    encode,
)

from . import arguments, arguments_with_bytes, attempt, blobs, keys, mutations, texts, values
from .socketio_examples import MALFORMED, MAX_ATTACHMENTS, MAX_BYTES, decode, make_decoder

# Properties

namespaces = st.just("/") | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=",?"), max_size=12
).map("/".__add__)
names = texts.filter(lambda name: name not in RESERVED_EVENTS)
ids = st.integers(0, MAX_ACK_ID)
objects = st.dictionaries(keys, values, max_size=4)
queries = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=","), max_size=12)


def packets_of(kind: PacketType, *fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Packet]:
    """Packets of one type with these fields, in the order that they have in a packet."""
    return st.tuples(st.just(kind), *fields).map(lambda values: Packet(*values))


def events(args: st.SearchStrategy[list[Any]]) -> st.SearchStrategy[Packet]:
    data = st.tuples(names, args).map(lambda event: [event[0], *event[1]])
    return packets_of(EVENT, namespaces, data, st.none() | ids)


def acks(args: st.SearchStrategy[list[Any]]) -> st.SearchStrategy[Packet]:
    return packets_of(ACK, namespaces, args, ids)


connects = packets_of(CONNECT, namespaces, st.none() | objects, st.none(), queries)
disconnects = packets_of(DISCONNECT, namespaces)
connect_errors = packets_of(CONNECT_ERROR, namespaces, objects | texts)
text_packets = connects | disconnects | connect_errors | events(arguments) | acks(arguments)
binary_packets = events(arguments_with_bytes) | acks(arguments_with_bytes)
packets = text_packets | binary_packets


@given(packets)
def test_packets_round_trip(packet: Packet) -> None:
    text, attachments = encode(packet)
    assert decode(text, *attachments) == packet
    assert (text[0] in "56") == bool(attachments)


@given(st.lists(packets, max_size=4))
def test_packets_follow_one_another(sent: list[Packet]) -> None:
    decoder = Decoder(max_attachments=1000, max_bytes=1_000_000)
    frames = [
        frame for packet in sent for text, more in [encode(packet)] for frame in (text, *more)
    ]
    assert [packet for frame in frames if (packet := decoder.add(frame))] == sent


ALPHABET = '0123456789-/,?[]{}":aul_'
garbage = st.text() | st.text(ALPHABET) | mutations(packets.map(lambda p: encode(p)[0]), ALPHABET)


@given(st.lists(garbage | blobs, max_size=4))
def test_garbage(frames: list[str | bytes]) -> None:
    """Only a ProtocolError comes out, or a packet that could have been sent as it is."""
    decoder = make_decoder()
    for frame in frames:
        result = attempt(decoder.add, frame)
        if isinstance(result, Packet):
            text, attachments = encode(result)
            assert decode(text, *attachments) == result


@given(garbage | mutations(events(arguments).map(lambda p: encode(p)[0]), ALPHABET))
def test_events_are_what_the_general_way_makes_of_them(text: str) -> None:
    usual = attempt(make_decoder().add, text)
    with pytest.MonkeyPatch.context() as patch:
        for way in ("_match_text_list", "_match_binary_list"):
            patch.setattr(decoding, way, re.compile("(?!)").match)
        decoder = make_decoder()
        decoder._usual = "no event"
        general = attempt(decoder.add, text)
    assert repr(usual) == repr(general)


@given(events(arguments), mutations(events(arguments).map(lambda p: encode(p)[0]), ALPHABET))
def test_events_are_the_same_after_others(before: Packet, text: str) -> None:
    decoder = make_decoder()
    decoder.add(encode(before)[0])
    assert repr(attempt(decoder.add, text)) == repr(attempt(make_decoder().add, text))


@given(mutations(binary_packets.map(lambda p: encode(p)[0]), ALPHABET), st.lists(blobs))
def test_garbage_with_attachments(text: str, attachments: list[bytes]) -> None:
    decoder = make_decoder()
    for frame in (text, *attachments):
        if attempt(decoder.add, frame) is not None:
            break


# A connection's decoder, beside a model of it


class DecoderMachine(RuleBasedStateMachine):
    """
    Texts and attachments in any order.

    The model: the packet that is due, which of its attachments are to come, and the bytes that
    they may have.
    """

    def __init__(self) -> None:
        super().__init__()
        self.start()

    def start(self) -> None:
        self.decoder = make_decoder()
        self.due: Packet | None = None
        self.attachments: list[bytes] = []

    def complete(self) -> Packet | None:
        """Forget the packet that was due, and return it."""
        packet, self.due, self.attachments = self.due, None, []
        return packet

    @rule(packet=text_packets)
    def text(self, packet: Packet) -> None:
        text, _ = encode(packet)
        if self.due:
            with pytest.raises(MissingBinary):
                self.decoder.add(text)
        else:
            assert self.decoder.add(text) == packet

    @rule(text=st.sampled_from([text for text, _ in MALFORMED]))
    def malformed(self, text: str) -> None:
        with pytest.raises(MissingBinary if self.due else dict(MALFORMED)[text]):
            self.decoder.add(text)

    @rule(packet=binary_packets)
    def announce(self, packet: Packet) -> None:
        text, attachments = encode(packet)
        if self.due:
            with pytest.raises(MissingBinary):
                self.decoder.add(text)
        elif len(attachments) > MAX_ATTACHMENTS:
            with pytest.raises(InvalidAttachments):
                self.decoder.add(text)
        elif not attachments:
            assert self.decoder.add(text) == packet
        else:
            assert self.decoder.add(text) is None
            self.due, self.attachments, self.room = packet, list(attachments), MAX_BYTES

    @precondition(lambda self: self.due)
    @rule()
    def attach(self) -> None:
        """The next attachment comes, and the packet with the last one."""
        data = self.attachments.pop(0)
        self.room -= len(data)
        if self.room < 0:
            with pytest.raises(TooLarge):
                self.decoder.add(data)
            self.start()
        elif self.attachments:
            assert self.decoder.add(data) is None
        else:
            assert self.decoder.add(data) == self.complete()

    @precondition(lambda self: not self.due)
    @rule(data=blobs)
    def attach_to_nothing(self, data: bytes) -> None:
        with pytest.raises(UnexpectedBinary):
            self.decoder.add(data)

    @precondition(lambda self: self.due)
    @rule(more=st.integers(1, 10))
    def attach_too_much(self, more: int) -> None:
        with pytest.raises(TooLarge):
            self.decoder.add(bytes(self.room + more))
        self.start()

    @invariant()
    def a_packet_is_due_as_long_as_attachments_are(self) -> None:
        assert bool(self.due) == bool(self.attachments)


TestDecoderMachine = pytest.mark.slow(DecoderMachine.TestCase)
TestDecoderMachine.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


# python-socketio, the official client and server for Python


def from_reference(packet: Any) -> Packet:
    kind = {5: EVENT, 6: ACK}.get(packet.packet_type, packet.packet_type)
    return Packet(kind, packet.namespace or "/", packet.data, packet.id)


sendable = packets.map(lambda packet: structs.replace(packet, query=""))


@given(sendable)
def test_python_socketio_decodes_what_is_encoded(packet: Packet) -> None:
    text, attachments = encode(packet)
    theirs = ReferencePacket(encoded_packet=text)
    completed = [theirs.add_attachment(attachment) for attachment in attachments]
    assert completed == [False] * (len(attachments) - 1) + [True] * bool(attachments)
    assert from_reference(theirs) == packet


@given(sendable)
def test_what_python_socketio_encodes_is_decoded(packet: Packet) -> None:
    frames = ReferencePacket(
        int(packet.type), data=packet.data, namespace=packet.namespace, id=packet.id
    ).encode()
    assert decode(*([frames] if isinstance(frames, str) else frames)) == packet
