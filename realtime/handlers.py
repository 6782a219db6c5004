"""Event handlers: the `event` decorator, and arguments checked against annotations."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, overload

import msgspec
from asgiref.sync import iscoroutinefunction

from .exceptions import InvalidArguments
from .protocol.socketio import check_event_name

Function = TypeVar("Function", bound=Callable[..., Any])

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@overload
def event(name: Function, /) -> Function: ...
@overload
def event(
    name: str | None = None, /, *, room: str | None = None
) -> Callable[[Function], Function]: ...
def event(name: Any = None, /, *, room: str | None = None) -> Any:
    """
    Make a consumer's method the handler of an event.

    `name` is the event's name, the method's own by default. With `room` the handler is only for
    sockets in that room. Handlers with a room are asked first; at most one handler gets an event.
    """
    if inspect.isfunction(name):
        return event()(name)

    def mark(function: Function) -> Function:
        event_name = function.__name__ if name is None else name
        check_event_name(event_name)
        function._realtime_event = (event_name, room)  # type: ignore[attr-defined]
        return function

    return mark


class Handler:
    """A handler method of a consumer's class, with the types of its parameters."""

    __slots__ = (
        "_converters",
        "_plain",
        "_rest",
        "_takes_rest",
        "_typed",
        "function",
        "is_async",
        "names",
        "required",
        "room",
    )

    def __init__(self, function: Callable[..., Any], room: str | None) -> None:
        self.function = function
        self.is_async = iscoroutinefunction(function)
        self.room = room
        parameters = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        positional = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
        self.names = [parameter.name for parameter in positional]
        self.required = sum(parameter.default is parameter.empty for parameter in positional)
        self._converters = [_converter(parameter) for parameter in positional]
        rest = [each for each in parameters if each.kind is inspect.Parameter.VAR_POSITIONAL]
        self._takes_rest = bool(rest)
        self._rest = _converter(rest[0]) if rest else None
        self._typed = any(self._converters) or self._rest is not None
        # So many arguments are given to the function as they are.
        self._plain = None if self._typed else len(self.names)

    def bind(self, args: list[Any]) -> list[Any]:
        """
        Return the arguments for the call: too many are dropped, annotated ones are converted.

        Raises InvalidArguments, which names the argument and what was expected of it.
        """
        if len(args) == self._plain:
            return args
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


def _converter(parameter: inspect.Parameter) -> Callable[[Any], Any] | None:
    """Return what converts a value to the parameter's annotation; None where there is none."""
    annotation = parameter.annotation
    if annotation is parameter.empty or annotation is Any:
        return None
    return lambda value: msgspec.convert(value, annotation)


def find_handlers(consumer_class: type) -> dict[str, list[Handler]]:
    """
    Return a class's handlers by event, those with a room first.

    A method that overrides a handler without the decorator stays the handler of that event.
    """
    handlers: dict[str, list[Handler]] = {}
    for name in dict.fromkeys(name for base in consumer_class.__mro__ for name in vars(base)):
        function = getattr(consumer_class, name, None)
        mark = next(
            (
                vars(base)[name]._realtime_event
                for base in consumer_class.__mro__
                if hasattr(vars(base).get(name), "_realtime_event")
            ),
            None,
        )
        if mark is not None and callable(function):
            event_name, room = mark
            handlers.setdefault(event_name, []).append(Handler(function, room))
    for choices in handlers.values():
        choices.sort(key=lambda handler: handler.room is None)
    return handlers
