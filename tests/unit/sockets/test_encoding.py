"""Django's and Python's types as JSON."""

from __future__ import annotations

import datetime
import enum
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.utils.translation import gettext_lazy

from realtime.protocol import socketio
from realtime.sockets.encoding import default


@dataclass
class Point:
    x: int
    at: datetime.date
    raw: bytes


class Name(msgspec.Struct):
    first: str
    price: Decimal


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Word(enum.StrEnum):
    YES = "yes"


UTC = datetime.UTC
DAY = datetime.date(2024, 5, 6)


@pytest.mark.parametrize(
    ("value", "json"),
    [
        (gettext_lazy("Yes"), '"Yes"'),
        (Decimal("1.10"), '"1.10"'),
        (uuid.UUID(int=5), '"00000000-0000-0000-0000-000000000005"'),
        (datetime.datetime(2024, 5, 6, 7, 8, 9, 123456, UTC), '"2024-05-06T07:08:09.123Z"'),
        (DAY, '"2024-05-06"'),
        (datetime.time(7, 8), '"07:08:00"'),
        (datetime.timedelta(days=1, seconds=2), '"P1DT00H00M02S"'),
        (Colour.RED, '"red"'),
        (Level.HIGH, "3"),
        (Word.YES, '"yes"'),
        ({1}, "[1]"),
        ((1, (2,)), "[1,[2]]"),
        (Name("Ada", Decimal("2.50")), '{"first":"Ada","price":"2.50"}'),
        ({uuid.UUID(int=5): DAY}, '{"00000000-0000-0000-0000-000000000005":"2024-05-06"}'),
        ([{"deep": [Decimal(1)]}], '[{"deep":["1"]}]'),
        (float("inf"), "null"),
    ],
)
def test_values(value: Any, json: str) -> None:
    packet = socketio.Packet(socketio.EVENT, data=["x", value])
    assert socketio.encode(packet, default) == (f'2["x",{json}]', ())


def test_bytes_within_a_class_are_attached() -> None:
    packet = socketio.Packet(socketio.EVENT, data=["x", Point(1, DAY, b"raw")])
    text, attachments = socketio.encode(packet, default)
    assert text == '51-["x",{"x":1,"at":"2024-05-06","raw":{"_placeholder":true,"num":0}}]'
    assert attachments == (b"raw",)


@pytest.mark.parametrize("value", [object(), 1j, lambda: None, Exception("secret")])
def test_what_cannot_be_sent_is_named(value: Any) -> None:
    packet = socketio.Packet(socketio.EVENT, data=["x", {"deep": [value]}])
    with pytest.raises(TypeError, match=type(value).__name__):
        socketio.encode(packet, default)
