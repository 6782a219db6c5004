"""The JSON frames of the plain WebSocket."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.exceptions import (
    InvalidAckId,
    InvalidBase64,
    InvalidEventName,
    InvalidJSON,
    InvalidPayload,
    ProtocolError,
)
from realtime.protocol.jsontext import dumps
from realtime.protocol.plain import (
    AckFrame,
    AuthenticateFrame,
    EventFrame,
    RecoverFrame,
    decode,
    encode_ack,
    encode_connected,
    encode_event,
)
from realtime.protocol.socketio import MAX_ACK_ID, RESERVED_EVENTS

from . import arguments_with_bytes, attempt, mutations, texts, values

EVENTS: list[tuple[str, EventFrame]] = [
    ('{"event":"message","args":["hi"]}', EventFrame("message", ["hi"])),
    ('{"event":"message","args":["hi"],"id":1}', EventFrame("message", ["hi"], 1)),
    ('{"event":"","args":[],"id":0}', EventFrame("", [], 0)),
    ('{"event":"№","args":[null],"id":9007199254740991}', EventFrame("№", [None], MAX_ACK_ID)),
    ('{"event":"a","args":[{"$bytes":"AQIDBA=="}]}', EventFrame("a", [b"\x01\x02\x03\x04"])),
    ('{"event":"a","args":[{"b":[{"$bytes":""}]}]}', EventFrame("a", [{"b": [b""]}])),
]

ACKS: list[tuple[str, AckFrame]] = [
    ('{"ack":1,"args":[]}', AckFrame(1, [])),
    ('{"ack":0,"args":[true,{"$bytes":"/w=="}]}', AckFrame(0, [True, b"\xff"])),
]

RECOVERIES: list[tuple[str, RecoverFrame]] = [
    ('{"recover":{"pid":"a","offset":"b"}}', RecoverFrame({"pid": "a", "offset": "b"})),
    ('{"recover":{"offset":""}}', RecoverFrame({"offset": ""})),
    ('{"recover":{"pid":"№","offset":null}}', RecoverFrame({"pid": "№"})),
    (' {"recover" : {}} ', RecoverFrame({})),
]

LENIENT: list[tuple[str, EventFrame | AckFrame]] = [
    ('{"event":"a"}', EventFrame("a", [])),
    ('{"ack":7}', AckFrame(7, [])),
    (' {"id" : 2, "args" : [ ], "event" : "a"} ', EventFrame("a", [], 2)),
    # More than the one key: the client's own data.
    (
        '{"event":"a","args":[{"$bytes":"!","name":"b"}]}',
        EventFrame("a", [{"$bytes": "!", "name": "b"}]),
    ),
    # No placeholders in this format.
    (
        '{"event":"a","args":[{"_placeholder":true,"num":0}]}',
        EventFrame("a", [{"_placeholder": True, "num": 0}]),
    ),
]

MALFORMED: list[tuple[str, type[ProtocolError]]] = [
    ("", InvalidJSON),
    ("hello", InvalidJSON),
    ('{"event":"a"', InvalidJSON),
    ('{"event":"a","args":[%s]}' % ("[" * 99 + "]" * 99), InvalidJSON),
    ("null", InvalidPayload),
    ("1", InvalidPayload),
    ('"event"', InvalidPayload),
    ('["a"]', InvalidPayload),
    ("{}", InvalidPayload),
    ('{"args":[]}', InvalidPayload),
    ('{"id":1}', InvalidPayload),
    ('{"connected":"abc"}', InvalidPayload),
    ('{"Event":"a"}', InvalidPayload),
    ('{"event":"a","args":null}', InvalidPayload),
    ('{"event":"a","args":{}}', InvalidPayload),
    ('{"event":"a","args":"b"}', InvalidPayload),
    ('{"event":"a","args":{"$bytes":""}}', InvalidPayload),
    ('{"event":"a","ack":1}', InvalidPayload),
    ('{"event":"a","namespace":"/"}', InvalidPayload),
    ('{"ack":1,"id":1}', InvalidPayload),
    ('{"event":null}', InvalidEventName),
    ('{"event":1}', InvalidEventName),
    ('{"event":true}', InvalidEventName),
    ('{"event":["a"]}', InvalidEventName),
    ('{"event":{"$bytes":""}}', InvalidEventName),
    *((dumps({"event": name}), InvalidEventName) for name in sorted(RESERVED_EVENTS)),
    ('{"event":"a","id":null}', InvalidAckId),
    ('{"event":"a","id":"1"}', InvalidAckId),
    ('{"event":"a","id":true}', InvalidAckId),
    ('{"event":"a","id":1.0}', InvalidAckId),
    ('{"event":"a","id":-1}', InvalidAckId),
    ('{"event":"a","id":9007199254740992}', InvalidAckId),
    ('{"ack":null}', InvalidAckId),
    ('{"ack":-1}', InvalidAckId),
    ('{"ack":false}', InvalidAckId),
    ('{"event":"a","args":[{"$bytes":null}]}', InvalidBase64),
    ('{"event":"a","args":[{"$bytes":1}]}', InvalidBase64),
    ('{"event":"a","args":[{"$bytes":{"$bytes":""}}]}', InvalidBase64),
    ('{"event":"a","args":[{"$bytes":"AQ"}]}', InvalidBase64),
    ('{"event":"a","args":[{"$bytes":"-_-_"}]}', InvalidBase64),
    ('{"event":"a","args":[{"$bytes":" AQI="}]}', InvalidBase64),
    ('{"event":"a","args":[{"$bytes":"№"}]}', InvalidBase64),
    ('{"ack":1,"args":[[{"$bytes":"="}]]}', InvalidBase64),
    ('{"recover":null}', InvalidPayload),
    ('{"recover":"a"}', InvalidPayload),
    ('{"recover":["a"]}', InvalidPayload),
    ('{"recover":{"pid":1}}', InvalidPayload),
    ('{"recover":{"pid":"a","offset":{}}}', InvalidPayload),
    ('{"recover":{"pid":{"$bytes":""}}}', InvalidPayload),
    ('{"recover":{"$bytes":""}}', InvalidPayload),
    ('{"recover":{"pid":"a","sid":"b"}}', InvalidPayload),
    ('{"recover":{},"args":[]}', InvalidPayload),
    ('{"recover":{},"id":1}', InvalidPayload),
    ('{"recover":{},"event":"a"}', InvalidPayload),
    ('{"recover":{},"ack":1}', InvalidPayload),
    ('{"recover":{},"authenticate":{}}', InvalidPayload),
    ('{"authenticate":null}', InvalidPayload),
    ('{"authenticate":"a"}', InvalidPayload),
    ('{"authenticate":["a"]}', InvalidPayload),
    ('{"authenticate":{"$bytes":""}}', InvalidPayload),
    ('{"authenticate":{},"args":[]}', InvalidPayload),
    ('{"authenticate":{},"event":"a"}', InvalidPayload),
]


@pytest.mark.parametrize(("text", "event"), EVENTS)
def test_events(text: str, event: EventFrame) -> None:
    assert decode(text) == event
    assert encode_event(event.event, event.args, event.id) == text


@pytest.mark.parametrize(("text", "ack"), ACKS)
def test_acks(text: str, ack: AckFrame) -> None:
    assert decode(text) == ack
    assert encode_ack(ack.id, ack.args) == text


@pytest.mark.parametrize(("text", "frame"), RECOVERIES)
def test_what_clients_come_back_to(text: str, frame: RecoverFrame) -> None:
    decoded = decode(text)
    assert decoded == frame
    assert isinstance(decoded, RecoverFrame)


def test_what_clients_show() -> None:
    for auth in ({"token": "a", "n": [1]}, {}):
        decoded = decode(dumps({"authenticate": auth}))
        assert decoded == AuthenticateFrame(auth)
        assert isinstance(decoded, AuthenticateFrame)


@pytest.mark.parametrize(("text", "frame"), LENIENT)
def test_what_else_is_accepted(text: str, frame: EventFrame | AckFrame) -> None:
    decoded = decode(text)
    assert decoded == frame
    assert type(decoded) is type(frame)


@pytest.mark.parametrize(("text", "error"), MALFORMED)
def test_malformed_frames(text: str, error: type[ProtocolError]) -> None:
    with pytest.raises(error) as caught:
        decode(text)
    assert type(caught.value) is error


def test_unknown_keys_are_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidPayload, match="args, event, id"):
        decode(dumps({"event": "a", "x" * 10_000: 1}))


def test_encode_connected() -> None:
    assert encode_connected("abc") == '{"connected":"abc"}'
    assert encode_connected("abc", "def") == '{"connected":"abc","pid":"def"}'


def test_encoding_asks_default_for_a_plainer_value() -> None:
    assert encode_event("a", [Decimal(1)], default=str) == '{"event":"a","args":["1"]}'
    assert encode_ack(1, [Decimal(1)], default=str) == '{"ack":1,"args":["1"]}'
    with pytest.raises(TypeError, match="Decimal"):
        encode_event("a", [Decimal(1)])
    with pytest.raises(TypeError, match="Decimal"):
        encode_ack(1, [Decimal(1)])


# Properties

names = texts.filter(lambda name: name not in RESERVED_EVENTS)
ids = st.integers(0, MAX_ACK_ID)
events = st.builds(EventFrame, names, arguments_with_bytes, st.none() | ids)
acks = st.builds(AckFrame, ids, arguments_with_bytes)


@given(events)
def test_events_round_trip(event: EventFrame) -> None:
    decoded = decode(encode_event(event.event, event.args, event.id))
    assert decoded == event
    assert isinstance(decoded, EventFrame)


@given(acks)
def test_acks_round_trip(ack: AckFrame) -> None:
    decoded = decode(encode_ack(ack.id, ack.args))
    assert decoded == ack
    assert isinstance(decoded, AckFrame)


def encode(frame: EventFrame | AckFrame | RecoverFrame | AuthenticateFrame) -> str:
    if isinstance(frame, AuthenticateFrame):
        return dumps({"authenticate": frame.auth})
    if isinstance(frame, RecoverFrame):
        return dumps({"recover": frame.session})
    if isinstance(frame, EventFrame):
        return encode_event(frame.event, frame.args, frame.id)
    return encode_ack(frame.id, frame.args)


objects = st.dictionaries(st.sampled_from(["event", "ack", "args", "id", "$bytes"]), values)


@given(
    st.text()
    | values.map(dumps)
    | objects.map(dumps)
    | mutations((events | acks).map(encode), '{}[]",:$bytesack0=')
)
def test_garbage(text: str) -> None:
    result = attempt(decode, text)
    if not isinstance(result, ProtocolError):
        assert decode(encode(result)) == result


def test_arguments_are_lists_of_their_own() -> None:
    args: list[Any] = [{"a": [b"b"]}]
    encode_event("a", args)
    assert args == [{"a": [b"b"]}]
