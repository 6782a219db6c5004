"""What hubs send each other is understood, or refused without harm."""

from __future__ import annotations

import re
import string
from typing import Any

import msgspec
import pytest
from channels.layers import BaseChannelLayer
from hypothesis import given
from hypothesis import strategies as st

from realtime.cluster.envelopes import (
    LAYER_MESSAGE,
    VERSION,
    Answer,
    AnyEnvelope,
    Ask,
    Beat,
    Call,
    Cancel,
    Command,
    Deliver,
    Emit,
    Flush,
    HttpRequest,
    encode,
    group_name,
    open_parcel,
    pack,
    server_group,
    unpack,
)
from realtime.cluster.sids import new_server_id

NAMES = st.text(max_size=200)
TEXTS = st.tuples(st.text(), st.text())
BYTES = st.tuples(st.binary())
INTEGERS = st.integers(0, 2**63)
TIMEOUTS = st.none() | st.floats(0, 1e6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
QUESTIONS = st.one_of(
    st.builds(Call, st.text(), TEXTS, TEXTS, st.text(), BYTES, TIMEOUTS),
    st.builds(Deliver, st.text(), st.none() | st.text(), st.text(), BYTES),
    st.builds(Flush),
    st.builds(
        HttpRequest,
        st.text(),
        st.text(),
        st.binary(),
        st.tuples(st.tuples(st.binary(), st.binary())),
        st.binary(),
    ),
)
ENVELOPES: st.SearchStrategy[AnyEnvelope] = st.one_of(
    st.builds(Emit, st.text(), TEXTS, TEXTS, st.booleans(), st.text(), BYTES),
    st.builds(Command, st.text(), TEXTS, TEXTS, st.text(), TEXTS),
    st.builds(
        Beat,
        NAMES,
        NAMES,
        st.text(),
        st.text(),
        st.booleans(),
        st.dictionaries(st.text(), st.tuples(INTEGERS, INTEGERS)),
        st.dictionaries(st.text(), JSON),
    ),
    st.builds(Ask, st.text(), st.text(), QUESTIONS),
    st.builds(Answer, st.text(), st.text(), st.booleans(), JSON, TEXTS),
    st.builds(Cancel, st.text()),
)


def through_a_layer(message: dict[str, Any]) -> Any:
    """Return a message as a layer that serialises gives it to the receiver."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(message))


@given(st.lists(ENVELOPES, max_size=3), NAMES, NAMES, INTEGERS, INTEGERS)
def test_what_is_packed_is_unpacked(
    envelopes: list[AnyEnvelope], server: str, lane: str, number: int, place: int
) -> None:
    message = through_a_layer(pack(server, lane, number, place, list(map(encode, envelopes))))
    assert message["type"] == LAYER_MESSAGE
    parcel = open_parcel(message)
    assert (parcel.server, parcel.lane, parcel.number, parcel.place) == (
        server,
        lane,
        number,
        place,
    )
    assert list(unpack(parcel)) == envelopes


@given(st.lists(st.binary()))
def test_garbage_is_an_error_in_its_place(bodies: list[bytes]) -> None:
    good = encode(Cancel("good"))
    parcel = open_parcel(pack("server", "lane", 1, 1, [b for body in bodies for b in (body, good)]))
    unpacked = list(unpack(parcel))
    assert len(unpacked) == 2 * len(bodies)
    assert unpacked[1::2] == [Cancel("good")] * len(bodies)


@given(ENVELOPES, st.data())
def test_damaged_envelopes_are_errors_or_envelopes(envelope: AnyEnvelope, data: Any) -> None:
    body = bytearray(encode(envelope))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    [unpacked] = unpack(open_parcel(pack("server", "lane", 1, 1, [bytes(body)])))
    assert isinstance(unpacked, (Exception, msgspec.Struct))


@pytest.mark.parametrize(
    "body",
    [
        msgspec.msgpack.encode(["beacon", 1, 2]),  # a tag of a newer version
        msgspec.msgpack.encode(["emit", 1]),
        msgspec.msgpack.encode(["answer", "id", "server", True]) + b"more",
        b"\x95\xa6answer\xa2id\xa6server\xc3" + b"\x91" * 10_000 + b"\xc0",  # nested too deeply
        b"\x92\xa6cancel\xa2\xff\xfe",  # no UTF-8
        b"\x95\xa6answer\xa2id\xa6server\xc3\xc7\x0c\xff\0\0\0\0" + b"\x7f" * 8,  # the far future
        b"\x95\xa6answer\xa2id\xa6server\xc3\xdf\xff\xff\xff\xff",  # a map larger than memory
    ],
    ids=["tag", "field", "trailing", "deep", "text", "timestamp", "map"],
)
def test_what_is_no_envelope(body: bytes) -> None:
    [error] = unpack(open_parcel(pack("server", "lane", 1, 1, [body])))
    assert isinstance(error, Exception)


def test_fields_that_a_newer_version_adds_are_ignored() -> None:
    body = msgspec.msgpack.encode(["cancel", "id", "a new field"])
    assert list(unpack(open_parcel(pack("server", "lane", 1, 1, [body])))) == [Cancel("id")]
    assert open_parcel(pack("server", "lane", 1, 1, []) | {"news": 1}).server == "server"


@given(JSON)
def test_no_message_of_others_does_harm(message: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        open_parcel(message)


@given(
    st.fixed_dictionaries(
        {"type": st.just(LAYER_MESSAGE), "version": st.just(VERSION)},
        optional=dict.fromkeys(("server", "lane", "number", "place", "bodies"), JSON),
    )
)
def test_a_message_of_ours_with_anything_in_it(message: dict[str, Any]) -> None:
    try:
        parcel = open_parcel(message)
    except msgspec.ValidationError:
        return
    assert all(isinstance(one, (Exception, msgspec.Struct)) for one in unpack(parcel))


@pytest.mark.parametrize("change", [{"version": VERSION + 1}, {"type": "chat.message"}])
def test_other_versions_and_other_messages(change: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        open_parcel(pack("server", "lane", 1, 1, []) | change)


ALLOWED = re.compile(rf"[{string.ascii_letters}{string.digits}\-_.]+")


@given(st.text(), st.none() | st.text(), st.text(), st.none() | st.text())
def test_names_of_groups(one: str, room: str | None, other: str, another: str | None) -> None:
    name = group_name(one, room)
    assert ALLOWED.fullmatch(name)
    assert len(name) < 100
    assert BaseChannelLayer().require_valid_group_name(name)
    assert (name == group_name(other, another)) == ((one, room) == (other, another))


def test_the_group_of_a_server() -> None:
    names = {server_group(new_server_id()) for _ in range(100)}
    assert len(names) == 100
    assert all(ALLOWED.fullmatch(name) for name in names)
