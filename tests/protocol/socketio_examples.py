"""Socket.IO packets by example: the right ones, and what is wrong with the others."""

from __future__ import annotations

from typing import Any

from realtime.exceptions import (
    EmptyPacket,
    InvalidAckId,
    InvalidAttachments,
    InvalidEventName,
    InvalidJSON,
    InvalidPayload,
    InvalidPlaceholder,
    ProtocolError,
    UnknownPacketType,
)
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
)

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
