"""The forms: what can be sent, and what is said about what cannot."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.admin.counting import Number
from realtime.admin.forms import LeaveForm, OperationForm, RoomForm, SendForm
from realtime.admin.selection import ChosenSockets
from realtime.cluster.sids import new_sid

from .conftest import make_server, make_socket


def fill(
    form_class: type[OperationForm], number: int = 1, *, more: bool = False, **values: Any
) -> OperationForm:
    """Return a form with these values."""
    data = {f"do-{name}": value for name, value in values.items()}
    return form_class(data, selection=ChosenSockets([]), number=Number(number, more))


def error_of(form: OperationForm, field: str) -> str:
    """Return what is wrong with a field."""
    (error,) = form.errors[field]
    return str(error)


@pytest.mark.parametrize(
    ("text", "args"),
    [
        ("", []),
        ("  \n", []),
        ("[]", []),
        ('["hi", 1, null, true, {"n": [1.5]}]', ["hi", 1, None, True, {"n": [1.5]}]),
        ('[\n  "Зал №1 🎉"\n]', ["Зал №1 🎉"]),
    ],
)
def test_arguments(text: str, args: list[Any]) -> None:
    form = fill(SendForm, event="news", args=text)
    assert form.is_valid(), form.errors
    assert form.cleaned_data == {"event": "news", "args": args}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('["a" "b"]', "Line 1, column 6: Expecting ',' delimiter"),
        ("[\n1,\n'two']", "Line 3, column 1: Expecting value"),
        ("[1", "Line 1, column 3: Expecting ',' delimiter"),
        ('"hi"', 'This is no list. Put it into brackets: ["hi"]'),
        ('{"n": 1}', 'This is no list. Put it into brackets: [{"n": 1}]'),
        ("[NaN]", "NaN is no number in JSON."),
        ("[-Infinity]", "-Infinity is no number in JSON."),
        ('["\\ud800"]', "This cannot be sent"),
        ("[" * 100_000, "This is nested too deeply."),
        ("[" * 5000 + "]" * 5000, "This is nested too deeply."),
        ("[" + '{"a": ' * 5000 + "1" + "}" * 5000 + "]", "This is nested too deeply."),
        ("[" + "9" * 5000 + "]", "Exceeds the limit"),
        ('["' + "x" * 1_000_000 + '"]', "This is longer than 1000000 characters."),
    ],
)
def test_arguments_that_cannot_be_sent(text: str, error: str) -> None:
    assert error in error_of(fill(SendForm, event="news", args=text), "args")


@pytest.mark.parametrize("name", ["connect", "disconnect", "connect_error", "newListener"])
def test_events_that_are_reserved(name: str) -> None:
    form = fill(SendForm, event=name)
    assert error_of(form, "event") == f"“{name}” is a name that Socket.IO keeps for itself."


@pytest.mark.parametrize("name", ["private message", "№1", "message"])
def test_events(name: str) -> None:
    assert fill(SendForm, event=name).is_valid()


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 256])
def test_what_is_no_event(name: str) -> None:
    assert not fill(SendForm, event=name).is_valid()


@pytest.mark.parametrize("name", ["Room №1", " a ", "/", "x" * 255, "nobodyAAAAAAAAAAAAAAAAAAAA"])
def test_rooms(name: str) -> None:
    form = fill(RoomForm, room=name)
    assert form.is_valid(), form.errors
    assert form.cleaned_data == {"room": name}


def test_what_is_no_room() -> None:
    server = make_server()
    for name in ("", "a\0b", "x" * 256):
        assert not fill(RoomForm, room=name).is_valid()
    error = error_of(fill(RoomForm, room=new_sid(server.pk)), "room")
    assert error == "This is the id of a socket, and cannot be a room's name."


@pytest.mark.parametrize(
    ("number", "more", "question"),
    [
        (0, False, None),
        (100, False, None),
        (101, False, "Yes, all 101 sockets"),
        (10_000, True, "Yes, all 10,000+ sockets"),
    ],
)
def test_many_sockets_have_to_be_meant(number: int, more: bool, question: str | None) -> None:
    form = fill(OperationForm, number, more=more)
    assert form.is_valid() is (question is None)
    if question is not None:
        assert form.fields["confirm"].label == question
        assert error_of(form, "confirm") == "Say that so many are meant."
        assert fill(OperationForm, number, more=more, confirm="on").is_valid()


def test_rooms_to_leave_are_suggested() -> None:
    server = make_server()
    chosen = [make_socket(server, "b", "a"), make_socket(server, "b", namespace="/users")]
    make_socket(server, "c")
    form = LeaveForm(selection=ChosenSockets(chosen), number=Number(2, more=False))
    assert form.suggestions == ["a", "b"]
