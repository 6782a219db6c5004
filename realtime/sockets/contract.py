"""
What a consumer's class may look like, checked when it is created.

Its handlers, hooks and attributes share one class with what a consumer has itself. What replaces
that by accident is refused here, before any client meets it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from ..authority.declarations import DECLARATIONS
from ..exceptions import InvalidConsumer
from ..utils.limits import ANY, check_rates
from .handlers import CLAIMS, Method, find_methods, mark_of
from .keys import check_once
from .overrides import (
    HOOKS,
    MISSING,
    POSITIONAL,
    check_declaration,
    check_declared,
    check_no_generator,
    check_override,
    definition,
    is_dunder,
    own_names,
    path_of,
    place_of,
    signature_of,
    stands_behind,
)

# Attributes that a class, or as_asgi(), sets to values of its own.
OPTIONS = ("channel_layer_alias", "rate_limits", *DECLARATIONS)


def check_class(consumer_class: type, root: type) -> None:
    """
    Check a subclass of `root`, which is NamespaceConsumer.

    Raises InvalidConsumer for the first thing that cannot work.
    """
    bases = [base for base in consumer_class.__mro__ if base not in root.__mro__]
    for base in bases:
        _check_claims(base)
    for method in find_methods(consumer_class):
        _check_handler(method, root)
    _check_events(consumer_class)
    for base in bases:
        for name, value in vars(base).items():
            _check_nested(base, name, value, root)
            if name in own_names(root) and not is_dunder(name):
                if stands_behind(consumer_class, base, root):
                    check_declared(consumer_class, base, name, value, root)
                else:
                    check_override(base, name, value, root)


# Handlers


def _check_claims(base: type) -> None:
    """Find handlers that the class has lost: redefined, or hidden by another decorator."""
    kept = [mark_of(value) for value in vars(base).values()]
    for claim in vars(base).get(CLAIMS, ()):
        if claim.method not in vars(base) or any(claim is mark for mark in kept):
            continue
        place = f"{place_of(base, claim.method)} (line {claim.line})"
        value = vars(base)[claim.method]
        if (
            inspect.isfunction(value)
            and value.__qualname__ == f"{base.__qualname__}.{claim.method}"
        ):
            raise InvalidConsumer(
                f"{place} is lost: the class defines {claim.method} again in line "
                f"{value.__code__.co_firstlineno}.",
                "Give each method a name of its own.",
            )
        raise InvalidConsumer(
            f"{place} is no handler: what stands above its @event hides it.",
            "Write @event first, above all other decorators.",
        )


def _check_handler(method: Method, root: type) -> None:
    name, value = method.name, method.value
    place = place_of(method.holder, name, value)
    if name in own_names(root):
        raise _not_yours(method, root)
    if not inspect.isfunction(value):
        raise InvalidConsumer(
            f"{place} handles the event {method.event!r}, and is a {type(value).__name__}.",
            "Write a plain method: `async def`, or `def`, which runs in a thread as it is. None "
            "in its place removes a handler.",
        )
    check_no_generator(place, value)
    parameters = list(signature_of(value).parameters.values())
    first = parameters[0] if parameters else None
    takes_self = first is not None and (
        first.kind is first.VAR_POSITIONAL
        or (first.kind in POSITIONAL and _may_be_self(first.name, name, value))
    )
    if not takes_self:
        raise InvalidConsumer(
            f"{place} has no `self`.",
            f"Write {definition(value)} {name}(self{''.join(f', {each}' for each in parameters)}).",
        )
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            raise InvalidConsumer(
                f"{place}: nobody gives its parameter {parameter.name!r}, which stands behind a *.",
                "A client's arguments are positional: put it before the *, or give it a default.",
            )
    check_once(method)


def _may_be_self(first: str, name: str, function: Any) -> bool:
    """Tell whether a first parameter is no argument: wrappers may call it as they like."""
    written_here = function.__qualname__.endswith(f".{name}") and function.__name__ == name
    return not written_here or first == "self" or first.startswith("_")


def _not_yours(method: Method, root: type) -> InvalidConsumer:
    name, value = method.name, vars(method.owner)[method.name]
    place, kind = place_of(method.owner, name, value), definition(value)
    if name in HOOKS:
        return InvalidConsumer(
            f"{place} is a hook, which the server calls itself, and no handler.",
            f'Write it without @event; or, for an event, @event("...") {kind} '
            f"on_{name}(self, ...).",
        )
    return InvalidConsumer(
        f"{place} handles the event {method.event!r}, and replaces {root.__name__}.{name}.",
        f'Give the method another name: @event("{method.event}") {kind} '
        f"on_{name.strip('_')}(self, ...).",
    )


def _check_events(consumer_class: type) -> None:
    """Find two handlers of one event; one of a subclass stands before one of its base."""
    first: dict[tuple[str, str | None], Method] = {}
    for method in find_methods(consumer_class):
        other = first.setdefault((method.event, method.mark.room), method)
        if other is method or (
            other.owner is not method.owner and issubclass(other.owner, method.owner)
        ):
            continue
        room = f" in the room {method.mark.room!r}" if method.mark.room is not None else ""
        raise InvalidConsumer(
            f"{place_of(other.holder, other.name, other.value)} and "
            f"{place_of(method.holder, method.name, method.value)} both handle the event "
            f"{method.event!r}{room}, and only the first would get it.",
            "Leave one of them.",
        )


def _check_nested(base: type, name: str, value: Any, root: type) -> None:
    if (
        inspect.isclass(value)
        and not issubclass(value, root)
        and value.__qualname__.startswith(f"{base.__qualname__}.")
    ):
        for inner in vars(value).values():
            if (mark := mark_of(inner)) is not None:
                raise InvalidConsumer(
                    f"{place_of(value, mark.method)} (line {mark.line}) is a handler of no "
                    f"consumer: its class is no {root.__name__}.",
                    f"Write it as a method of {base.__qualname__}.",
                )


# What as_asgi() is given


def check_initkwargs(consumer_class: type, initkwargs: dict[str, Any], root: type) -> None:
    """Raise InvalidConsumer for attributes that ``as_asgi()`` cannot set on instances."""
    handlers = {method.name for method in find_methods(consumer_class)}
    for name in initkwargs:
        own = inspect.getattr_static(consumer_class, name, MISSING)
        if own is MISSING:
            problem = f"{consumer_class.__name__} has no such attribute"
        elif name in own_names(root) and name not in OPTIONS:
            problem = "that is the consumer's own"
        elif name in handlers:
            problem = "it is a handler"
        elif isinstance(own, property) and own.fset is None:
            problem = "it is a property that cannot be set"
        else:
            continue
        raise InvalidConsumer(
            f"as_asgi() cannot set {name!r}: {problem}.",
            f"It sets attributes of the class, like page_size = 20 in {consumer_class.__name__}.",
        )
    for name in DECLARATIONS:
        if name in initkwargs:
            check_declaration(f"as_asgi(): {name}", name, initkwargs[name])
    rates = initkwargs.get("rate_limits", getattr(consumer_class, "rate_limits", None))
    try:
        check_rates(rates)
    except ValueError as error:
        raise InvalidConsumer(
            f"The rate_limits of {path_of(consumer_class)}: {error}.",
            'Write them like {"message": "5/s", "*": "100/m"}.',
        ) from None
    try:
        signature_of(consumer_class).bind(**initkwargs)
    except TypeError as error:
        raise InvalidConsumer(
            f"{place_of(consumer_class, '__init__')} does not take what as_asgi() is given: "
            f"{error}.",
            "A consumer is made with these alone: write def __init__(self, **initkwargs).",
        ) from None


def unhandled(consumer_class: type, rates: Any, root: type) -> Iterator[str]:
    """Yield the events of rate limits that a class without a `receive` of its own never takes."""
    if any(
        inspect.getattr_static(consumer_class, hook) is not inspect.getattr_static(root, hook)
        for hook in ("receive", "handle")
    ):
        return
    events = {method.event for method in find_methods(consumer_class)}
    yield from (event for event in rates if event not in events and event != ANY)
