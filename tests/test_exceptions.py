"""The tree of errors."""

from __future__ import annotations

import inspect
import re

import pytest

from realtime import exceptions
from realtime.exceptions import ConnectionRefused, EventError, HandshakeError, InvalidArguments

CLASSES = {
    name: member
    for name, member in vars(exceptions).items()
    if inspect.isclass(member) and member.__module__ == exceptions.__name__
}


def documented_parents() -> dict[str, str]:
    """Return each error that the module's docstring draws, with the one that it hangs from."""
    assert exceptions.__doc__
    tree = exceptions.__doc__.partition("::")[2]
    parents: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in tree.splitlines():
        drawn = list(re.finditer(r"[├└]── (\w+)", line))
        if not drawn:
            if line.strip():
                path = [(len(line) - len(line.lstrip()), line.strip())]
            continue
        while path[-1][0] > drawn[0].start():
            path.pop()
        for match in drawn:
            assert match[1] not in parents, f"{match[1]} is drawn twice"
            parents[match[1]] = path[-1][1]
        path.append((drawn[0].start(1), drawn[0][1]))
    return parents


def test_the_documented_tree_is_the_real_one() -> None:
    real = {name: cls.__bases__[0].__name__ for name, cls in CLASSES.items()}
    assert real.pop("RealtimeError") == "Exception"
    assert documented_parents() == real


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES.keys())
def test_every_error_says_when_it_is_raised(cls: type[Exception]) -> None:
    assert issubclass(cls, exceptions.RealtimeError)
    assert cls.__dict__.get("__doc__")


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("AckTimeout", TimeoutError),
        ("UnknownNamespace", LookupError),
        ("NotRunning", RuntimeError),
        ("WouldDeadlock", RuntimeError),
        ("ProtocolError", ValueError),
    ],
)
def test_errors_that_are_built_in_ones_too(name: str, builtin: type[Exception]) -> None:
    assert issubclass(CLASSES[name], builtin)


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        (HandshakeError.UNKNOWN_TRANSPORT, 400, "Transport unknown"),
        (HandshakeError.UNKNOWN_SID, 400, "Session ID unknown"),
        (HandshakeError.BAD_METHOD, 400, "Bad handshake method"),
        (HandshakeError.BAD_REQUEST, 400, "Bad request"),
        (HandshakeError.FORBIDDEN, 403, "Forbidden"),
        (HandshakeError.UNSUPPORTED_VERSION, 400, "Unsupported protocol version"),
    ],
)
def test_handshake_errors(code: int, status: int, message: str) -> None:
    error = HandshakeError(code)
    assert (error.code, error.status, error.message, str(error)) == (code, status, message, message)


def test_handshake_errors_have_the_codes_0_to_5() -> None:
    assert list(HandshakeError.MESSAGES) == list(range(6))
    assert HandshakeError.UNKNOWN_TRANSPORT == 0
    assert HandshakeError.UNSUPPORTED_VERSION == 5


def test_connection_refused() -> None:
    error = ConnectionRefused()
    assert (error.message, error.data, str(error)) == ("Connection refused", None, error.message)
    error = ConnectionRefused("log in first", {"code": 401})
    assert (error.message, error.data, str(error)) == ("log in first", {"code": 401}, error.message)


def test_event_error() -> None:
    error = EventError("too late", {"until": 5})
    assert (error.code, error.message, error.data) == ("error", "too late", {"until": 5})
    assert str(error) == "too late"
    assert EventError("too late", code="closed").code == "closed"
    assert InvalidArguments().code == "invalid_arguments"
