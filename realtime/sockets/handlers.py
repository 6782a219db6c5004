"""Event handlers: the `event` decorator, and arguments checked against annotations."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from functools import cache, cached_property, partial, partialmethod
from typing import Any, NamedTuple, TypeVar, overload

import msgspec
from asgiref.sync import iscoroutinefunction

from ..exceptions import InvalidArguments, InvalidConsumer, InvalidEventName, InvalidName
from ..protocol.names import check_rooms
from ..protocol.socketio import check_event_name
from .once import handled_once

Function = TypeVar("Function", bound=Callable[..., Any])

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

# Where a function keeps what `event` says of it, and a class's body all that it said there.
_MARK = "_realtime_event"
CLAIMS = "_realtime_claims"

# Names of events that begin so are Realtime's own.
OWN_PREFIX = "realtime:"

NAME_HINT = (
    "Give the event another name, a text; the hooks connect(self, auth) and "
    "disconnect(self, reason) are written without @event."
)


class Mark(NamedTuple):
    """
    What `event` says of a method: its event (None: its own name), its room, whether it runs beside
    other handlers, the argument that names a try, and its place.
    """

    event: str | None
    room: str | None
    concurrent: bool = False
    once: str | None = None
    method: str = ""
    line: int = 0


@overload
def event(name: Function, /) -> Function: ...
@overload
def event(
    name: str | None = None,
    /,
    *,
    room: str | None = None,
    concurrent: bool = False,
    once: str | None = None,
) -> Callable[[Function], Function]: ...
def event(
    name: Any = None,
    /,
    *,
    room: str | None = None,
    concurrent: bool = False,
    once: str | None = None,
) -> Any:
    """
    Make a consumer's method the handler of an event.

    `name` is the event's name, the method's own by default. With `room` the handler is only for
    sockets in that room. Handlers with a room are asked first; at most one handler gets an event.
    With `concurrent` the client's next events are handled without waiting for its end. `once` names
    the argument that is a key of the client's: an event that comes again with the same key is
    acknowledged as it was, and the method does not run again.

    Raises InvalidEventName for a name that is reserved or no text, InvalidConsumer for a room that
    is none, for a `concurrent` that is no bool, for a `once` that is no text, and for what is no
    plain method.
    """
    if inspect.isfunction(name):
        return _mark(name, Mark(None, None), sys._getframe(1).f_locals)
    if callable(name) or hasattr(name, "__get__"):
        raise _not_a_method(name)
    mark = Mark(name, room, concurrent, once)
    return lambda function: _mark(function, mark, sys._getframe(1).f_locals)


def _mark(function: Any, mark: Mark, body: dict[str, Any]) -> Any:
    """Mark a function, and note that in the body of the class that it stands in."""
    if not inspect.isfunction(function):
        raise _not_a_method(function)
    line = function.__code__.co_firstlineno
    place = f"{function.__module__}.{function.__qualname__} (line {line})"
    if _MARK in vars(function):
        raise InvalidConsumer(
            f"{place} has @event twice, and a method handles one event.",
            "Write a second method for the other event, which calls this one.",
        )
    try:
        _check_name(function.__name__ if mark.event is None else mark.event)
    except InvalidEventName as error:
        raise InvalidEventName(f"{place}: {error}. {NAME_HINT}") from None
    try:
        check_rooms(() if mark.room is None else (mark.room,))
    except InvalidName as error:
        raise InvalidConsumer(
            f"{place}: {error}.",
            'Name one room, like @event("message", room="Room №1"), in a handler for each room.',
        ) from None
    if not isinstance(mark.concurrent, bool):
        raise InvalidConsumer(
            f"{place}: concurrent is {mark.concurrent!r}.",
            "Write concurrent=True for a handler that others do not wait for, or leave it out. "
            'How many run at a time is for REALTIME["CONCURRENT_EVENTS"] to say.',
        )
    if not isinstance(mark.once, str | None):
        raise InvalidConsumer(
            f"{place}: once is {mark.once!r}.",
            'Name the argument that is the client\'s key, like @event(once="key").',
        )
    mark = mark._replace(method=function.__name__, line=line)
    function._realtime_event = mark  # type: ignore[attr-defined]
    if function.__qualname__ == f"{body.get('__qualname__')}.{function.__name__}":
        body.setdefault(CLAIMS, []).append(mark)
    return function


def _check_name(name: Any) -> None:
    check_event_name(name)
    if name.startswith(OWN_PREFIX):
        raise InvalidEventName(
            f"the event name {name!r} is reserved: those that begin with {OWN_PREFIX!r} are "
            "Realtime's own"
        )


def _not_a_method(value: Any) -> InvalidConsumer:
    return InvalidConsumer(
        f"@event stands on a plain method of a consumer, not on {_describe(value)}.",
        "Write @event above `async def name(self, ...)`, or above `def name(self, ...)`, which "
        "runs in a thread as it is.",
    )


def _describe(value: Any) -> str:
    kind = value if inspect.isclass(value) else type(value)
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if inspect.isclass(value):
        return f"the class {kind.__qualname__}"
    return f"a {kind.__name__}" + (f" ({name})" if isinstance(name, str) else "")


def mark_of(value: Any) -> Mark | None:
    """Return what `event` says of an attribute of a class, or of what that wraps; or None."""
    while value is not None:
        mark = getattr(value, "__dict__", {}).get(_MARK)
        if isinstance(mark, Mark):
            return mark
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        elif isinstance(value, property):
            value = value.fget
        elif isinstance(value, cached_property | partial | partialmethod):
            value = value.func
        else:
            return None
    return None


class Method(NamedTuple):
    """
    A handler as it stands in a class.

    `holder` is the class whose body has its `value`; `owner` the one that says `@event` of it.
    """

    name: str
    value: Any
    event: str
    mark: Mark
    holder: type
    owner: type


def find_methods(consumer_class: type) -> Iterator[Method]:
    """
    Yield a class's handlers as they are written, those of subclasses before those of their bases.

    A method that overrides a handler without the decorator stays the handler of that event; None
    in its place removes it.
    """
    bases = consumer_class.__mro__
    for name in dict.fromkeys(name for base in bases for name in vars(base)):
        holders = [base for base in bases if name in vars(base)]
        value = vars(holders[0])[name]
        for owner in holders:
            mark = mark_of(vars(owner)[name])
            if mark is not None:
                if value is not None:
                    event_name = name if mark.event is None else mark.event
                    yield Method(name, value, event_name, mark, holders[0], owner)
                break


class Handler:
    """A handler method of a consumer's class, with the types of its parameters."""

    __slots__ = (
        "_converters",
        "_rest",
        "_takes_rest",
        "_typed",
        "concurrent",
        "function",
        "is_async",
        "names",
        "plain",
        "required",
        "room",
    )

    def __init__(self, function: Callable[..., Any], mark: Mark) -> None:
        self.function = function
        self.concurrent = mark.concurrent
        self.is_async = iscoroutinefunction(function)
        self.room = mark.room
        parameters = parameters_of(function)
        positional = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
        self.names = [parameter.name for parameter in positional]
        self.required = sum(parameter.default is parameter.empty for parameter in positional)
        self._converters = [_converter(parameter) for parameter in positional]
        rest = [each for each in parameters if each.kind is inspect.Parameter.VAR_POSITIONAL]
        self._takes_rest = bool(rest)
        self._rest = _converter(rest[0]) if rest else None
        self._typed = any(self._converters) or self._rest is not None
        # So many arguments are given to the function as they are: there is nothing to bind.
        self.plain = None if self._typed else len(self.names)

    def run_once(self, event: str, key: str) -> None:
        """Let the method run once for each key of a client, which the argument `key` is."""
        position = self.names.index(key)
        self.function, self.is_async = handled_once(self.function, event, key, position), True

    def bind(self, args: list[Any]) -> list[Any]:
        """
        Return the arguments for the call: too many are dropped, annotated ones are converted.

        Raises InvalidArguments, which names the argument and what was expected of it.
        """
        if len(args) < self.required:
            missing = ", ".join(repr(name) for name in self.names[len(args) : self.required])
            raise InvalidArguments(f"missing argument {missing}")
        if not self._takes_rest and len(args) > len(self.names):
            args = args[: len(self.names)]
        if not self._typed:
            return args
        return [self._convert(position, value) for position, value in enumerate(args)]

    def _convert(self, position: int, value: Any) -> Any:
        known = position < len(self.names)
        converter = self._converters[position] if known else self._rest
        if converter is None:
            return value
        try:
            return converter(value)
        except msgspec.ValidationError as error:
            name = repr(self.names[position]) if known else f"number {position + 1}"
            raise InvalidArguments(f"argument {name}: {error}") from None


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """
    Return a method's parameters without `self`, and with annotations that are resolved.

    Raises whatever an annotation raises that cannot be.
    """
    first, *others = inspect.signature(function, eval_str=True).parameters.values()
    if first.kind is inspect.Parameter.VAR_POSITIONAL:  # a decorator's "*args, **kwargs"
        return [first, *others]
    return others


def _converter(parameter: inspect.Parameter) -> Callable[[Any], Any] | None:
    """Return what converts a value to the parameter's annotation; None where there is none."""
    annotation = parameter.annotation
    if annotation is parameter.empty or annotation is Any:
        return None
    return lambda value: msgspec.convert(value, annotation)


def find_handlers(consumer_class: type) -> dict[str, list[Handler]]:
    """Return a class's handlers by event, those with a room first."""
    handlers: dict[str, list[Handler]] = {}
    for method in find_methods(consumer_class):
        handler = Handler(getattr(consumer_class, method.name), method.mark)
        if method.mark.once is not None:
            handler.run_once(method.event, method.mark.once)
        handlers.setdefault(method.event, []).append(handler)
    for choices in handlers.values():
        choices.sort(key=lambda handler: handler.room is None)
    return handlers


@cache
def find_concurrent(consumer_class: type) -> dict[str, list[Handler]]:
    """Return a class's handlers of the events for which one of them runs beside the others."""
    return {
        event: handlers
        for event, handlers in find_handlers(consumer_class).items()
        if any(handler.concurrent for handler in handlers)
    }
