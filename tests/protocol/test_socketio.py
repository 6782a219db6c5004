"""Socket.IO v5: packets, attachments and the decoder of a connection."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from socketio.packet import Packet as ReferencePacket

from realtime.exceptions import (
    EmptyPacket,
    InvalidAckId,
    InvalidAttachments,
    InvalidEventName,
    InvalidJSON,
    InvalidNamespace,
    InvalidPayload,
    InvalidPlaceholder,
    MissingBinary,
    ProtocolError,
    TooLarge,
    UnexpectedBinary,
    UnknownPacketType,
)
from realtime.protocol.socketio import (
    ACK,
    CONNECT,
    CONNECT_ERROR,
    DISCONNECT,
    EVENT,
    MAX_ACK_ID,
    RESERVED_EVENTS,
    Decoder,
    Packet,
    PacketType,
    check_event_name,
    check_namespace,
    encode,
)

from . import arguments, arguments_with_bytes, attempt, blobs, keys, mutations, texts, values

MAX_ATTACHMENTS = 4
MAX_BYTES = 40


def make_decoder() -> Decoder:
    return Decoder(max_attachments=MAX_ATTACHMENTS, max_bytes=MAX_BYTES)


def decode(*frames: str | bytes, decoder: Decoder | None = None) -> Packet | None:
    """Return the packet of these frames, or None where they do not complete one."""
    decoder = decoder or Decoder(max_attachments=1000, max_bytes=1_000_000)
    packet = None
    for frame in frames:
        assert packet is None, "a packet was complete before its last frame"
        packet = decoder.add(frame)
    return packet


def placeholder(num: Any) -> dict[str, Any]:
    return {"_placeholder": True, "num": num}


TEXT_PACKETS: list[tuple[str, Packet]] = [
    ("0", Packet(CONNECT)),
    ('0{"token":"123"}', Packet(CONNECT, data={"token": "123"})),
    ("0/admin,", Packet(CONNECT, "/admin")),
    (
        '0/admin,{"sid":"oSO0OpakMV_3jnilAAAA"}',
        Packet(CONNECT, "/admin", {"sid": "oSO0OpakMV_3jnilAAAA"}),
    ),
    ("0/admin?token=1&b=?,{}", Packet(CONNECT, "/admin", {}, query="token=1&b=?")),
    ("0/?token=1,", Packet(CONNECT, query="token=1")),
    ("1", Packet(DISCONNECT)),
    ("1/admin,", Packet(DISCONNECT, "/admin")),
    ('2["foo"]', Packet(EVENT, data=["foo"])),
    ('2[""]', Packet(EVENT, data=[""])),
    ('2/admin,["bar"]', Packet(EVENT, "/admin", ["bar"])),
    ('212["foo"]', Packet(EVENT, data=["foo"], id=12)),
    ('20["foo"]', Packet(EVENT, data=["foo"], id=0)),
    (f'2{MAX_ACK_ID}["foo"]', Packet(EVENT, data=["foo"], id=MAX_ACK_ID)),
    ('2/admin,1["tellme"]', Packet(EVENT, "/admin", ["tellme"], 1)),
    (
        '2["message",1,"2",{"3":[true]},null]',
        Packet(EVENT, data=["message", 1, "2", {"3": [True]}, None]),
    ),
    ('2/orders/7,["№ 🙂"]', Packet(EVENT, "/orders/7", ["№ 🙂"])),
    ('2/1-2,3["a"]', Packet(EVENT, "/1-2", ["a"], 3)),
    # Without attachments a placeholder is the sender's own data.
    (
        '2["a",{"_placeholder":true,"num":0}]',
        Packet(EVENT, data=["a", placeholder(0)]),
    ),
    ('3/admin,13["bar"]', Packet(ACK, "/admin", ["bar"], 13)),
    ("312[]", Packet(ACK, data=[], id=12)),
    ('4{"message":"Not authorized"}', Packet(CONNECT_ERROR, data={"message": "Not authorized"})),
    ('4/admin,"Not authorized"', Packet(CONNECT_ERROR, "/admin", "Not authorized")),
]

BINARY_PACKETS: list[tuple[list[str | bytes], Packet]] = [
    (
        ['51-["baz",{"_placeholder":true,"num":0}]', b"\x01\x02\x03\x04"],
        Packet(EVENT, data=["baz", b"\x01\x02\x03\x04"]),
    ),
    (
        [
            '52-/admin,["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
            b"\x01\x02",
            b"\x03\x04",
        ],
        Packet(EVENT, "/admin", ["baz", b"\x01\x02", b"\x03\x04"]),
    ),
    (
        ['51-14["foo",{"_placeholder":true,"num":0}]', b""],
        Packet(EVENT, data=["foo", b""], id=14),
    ),
    (
        ['61-15["bar",{"_placeholder":true,"num":0}]', b"\x01\x02\x03\x04"],
        Packet(ACK, data=["bar", b"\x01\x02\x03\x04"], id=15),
    ),
    (
        ['61-/admin,1[{"_placeholder":true,"num":0}]', b"a"],
        Packet(ACK, "/admin", [b"a"], 1),
    ),
    (
        [
            '52-["a",{"b":[{"c":{"_placeholder":true,"num":0}}]},[[{"_placeholder":true,"num":1}]]]',
            b"",
            b"d",
        ],
        Packet(EVENT, data=["a", {"b": [{"c": b""}]}, [[b"d"]]]),
    ),
]

# Accepted, though this server writes it differently.
LENIENT: list[tuple[list[str | bytes], Packet]] = [
    (["0/admin"], Packet(CONNECT, "/admin")),
    (["0/admin?a=1"], Packet(CONNECT, "/admin", query="a=1")),
    (["0/admin?,"], Packet(CONNECT, "/admin")),
    (["0/,"], Packet(CONNECT)),
    (["0/"], Packet(CONNECT)),
    (["1/admin"], Packet(DISCONNECT, "/admin")),
    (['2/,["a"]'], Packet(EVENT, data=["a"])),
    (['2 ["a"] '], Packet(EVENT, data=["a"])),
    (['2007["a"]'], Packet(EVENT, data=["a"], id=7)),
    # Names that are numbers: JavaScript's emit(1) and on("1") fit.
    (["2[1,2]"], Packet(EVENT, data=["1", 2])),
    (["2[-0.5]"], Packet(EVENT, data=["-0.5"])),
    (['51-[1,{"_placeholder":true,"num":0}]', b"a"], Packet(EVENT, data=["1", b"a"])),
    # Binary types with nothing binary in them.
    (['50-["a"]'], Packet(EVENT, data=["a"])),
    (["60-1[]"], Packet(ACK, data=[], id=1)),
    # Attachments that no placeholder asks for, or in another order.
    (['51-["a"]', b"b"], Packet(EVENT, data=["a"])),
    (
        ['52-["a",{"num":1,"_placeholder":true},{"num":0,"_placeholder":true}]', b"b", b"c"],
        Packet(EVENT, data=["a", b"c", b"b"]),
    ),
    # Placeholders only where "_placeholder" is true itself.
    (
        ['51-["a",{"_placeholder":1,"num":0},{"_placeholder":false},{"num":5}]', b"b"],
        Packet(
            EVENT, data=["a", {"_placeholder": 1, "num": 0}, {"_placeholder": False}, {"num": 5}]
        ),
    ),
]

MALFORMED: list[tuple[str, type[ProtocolError]]] = [
    ("", EmptyPacket),
    ("7", UnknownPacketType),
    ("999", UnknownPacketType),
    ("abc", UnknownPacketType),
    ('["a"]', UnknownPacketType),
    (" 0", UnknownPacketType),
    ("-1", UnknownPacketType),
    ("٢", UnknownPacketType),
    ("\ud800", UnknownPacketType),
    # Attachments
    ("5", InvalidAttachments),
    ("51", InvalidAttachments),
    ("5-", InvalidAttachments),
    ('5["a"]', InvalidAttachments),
    ('5-["a"]', InvalidAttachments),
    ('5a-["a"]', InvalidAttachments),
    ('51.5-["a"]', InvalidAttachments),
    ('5-1-["a"]', InvalidAttachments),
    ('5+1-["a"]', InvalidAttachments),
    ('51e0-["a"]', InvalidAttachments),
    ('5٣-["a"]', InvalidAttachments),
    ('5²-["a"]', InvalidAttachments),
    ('5 1-["a"]', InvalidAttachments),
    (f'5{MAX_ATTACHMENTS + 1}-["a"]', InvalidAttachments),
    ('5999999999999-["a"]', InvalidAttachments),
    ("5" + "1" * 100_000 + '-["a"]', InvalidAttachments),
    ('51/admin,-["a"]', InvalidAttachments),
    ("6[]", InvalidAttachments),
    # JSON
    ('2["a"', InvalidJSON),
    ('2["a"]]', InvalidJSON),
    ('2abc["a"]', InvalidJSON),
    ('2admin,["a"]', InvalidJSON),
    ('21-["a"]', InvalidJSON),
    ('2-1["a"]', InvalidJSON),
    ('2٣["a"]', InvalidJSON),
    ('2"a', InvalidJSON),
    ('2/["a","b"]', InvalidJSON),
    ("0{", InvalidJSON),
    ('2["\ud800"]', InvalidJSON),
    ("2" + "[" * 101 + "]" * 101, InvalidJSON),
    # Payloads
    ("0null", InvalidPayload),
    ("0[]", InvalidPayload),
    ('0"a"', InvalidPayload),
    ('0/admin,"invalid"', InvalidPayload),
    ("0true", InvalidPayload),
    ("01", InvalidPayload),
    ("01{}", InvalidPayload),
    ("1null", InvalidPayload),
    ("1{}", InvalidPayload),
    ("1/admin,{}", InvalidPayload),
    ("11", InvalidPayload),
    ("2", InvalidPayload),
    ("21", InvalidPayload),
    ("2/admin,", InvalidPayload),
    ("2/admin", InvalidPayload),
    ('2/["a"]', InvalidPayload),
    ("2null", InvalidPayload),
    ("2{}", InvalidPayload),
    ("2[]", InvalidPayload),
    ('2"a"', InvalidPayload),
    ("2/admin,{}", InvalidPayload),
    ("51-", InvalidPayload),
    ("51-{}", InvalidPayload),
    ("51-[]", InvalidPayload),
    ("31", InvalidPayload),
    ("31null", InvalidPayload),
    ("31{}", InvalidPayload),
    ('31"a"', InvalidPayload),
    ("61-1{}", InvalidPayload),
    ("4", InvalidPayload),
    ("4[]", InvalidPayload),
    ("4null", InvalidPayload),
    ('41"a"', InvalidPayload),
    ('442["some","data"]', InvalidPayload),
    # Names of events
    ('2[null,"bar"]', InvalidEventName),
    ('2[true,"foo"]', InvalidEventName),
    ('2[["a"]]', InvalidEventName),
    ('2[{"toString":"foo"}]', InvalidEventName),
    ('51-[{"_placeholder":true,"num":0}]', InvalidEventName),
    *((f'2["{name}"]', InvalidEventName) for name in sorted(RESERVED_EVENTS)),
    ('51-["connect",{"_placeholder":true,"num":0}]', InvalidEventName),
    # Acknowledgement ids
    ("3[]", InvalidAckId),
    ("3", InvalidAckId),
    ("60-[]", InvalidAckId),
    (f'2{MAX_ACK_ID + 1}["a"]', InvalidAckId),
    (f"3{MAX_ACK_ID + 1}[]", InvalidAckId),
    ("2" + "0" * 17 + '["a"]', InvalidAckId),
    ("2" + "1" * 1000 + '["a"]', InvalidAckId),
    ("3" + "1" * 1000, InvalidAckId),
    # Placeholders
    ('50-["a",{"_placeholder":true,"num":0}]', InvalidPlaceholder),
]

MALFORMED_PLACEHOLDERS = [
    '["a",{"_placeholder":true}]',
    '["a",{"_placeholder":true,"num":null}]',
    '["a",{"_placeholder":true,"num":"0"}]',
    '["a",{"_placeholder":true,"num":true}]',
    '["a",{"_placeholder":true,"num":0.0}]',
    '["a",{"_placeholder":true,"num":-1}]',
    '["a",{"_placeholder":true,"num":1}]',
    '["a",{"_placeholder":true,"num":[]}]',
    '["a",{"_placeholder":true,"num":18446744073709551616}]',
    '["a",{"b":[{"_placeholder":true,"num":7}]}]',
    '["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]',
]


# Encoding


@pytest.mark.parametrize(("text", "packet"), TEXT_PACKETS)
def test_text_packets(text: str, packet: Packet) -> None:
    assert decode(text) == packet
    assert encode(packet) == (text, ())


@pytest.mark.parametrize(("frames", "packet"), BINARY_PACKETS)
def test_binary_packets(frames: list[str | bytes], packet: Packet) -> None:
    assert decode(*frames) == packet
    assert encode(packet) == (frames[0], tuple(frames[1:]))


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


TestDecoderMachine = DecoderMachine.TestCase
TestDecoderMachine.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


# python-socketio, the official client and server for Python


def from_reference(packet: Any) -> Packet:
    kind = {5: EVENT, 6: ACK}.get(packet.packet_type, packet.packet_type)
    return Packet(kind, packet.namespace or "/", packet.data, packet.id)


sendable = packets.map(lambda packet: packet._replace(query=""))


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
