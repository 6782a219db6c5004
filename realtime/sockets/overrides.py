"""What a consumer has itself, and what may stand in the place of that in a site's class."""

from __future__ import annotations

import inspect
import sys
from functools import cache, cached_property, partial
from typing import Any

from ..authority.declarations import DECLARATIONS, find_fault
from ..exceptions import InvalidConsumer

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

# Methods that the server calls with what a client has sent.
HOOKS = ("connect", "receive", "disconnect", "handle")

# And those that a consumer has, too, and a site may write in either way.
EITHER = (*HOOKS, "has_permission", "may_join")

MISSING = object()


@cache
def own_names(root: type) -> frozenset[str]:
    """Return the names that a consumer has itself, those of its instances too."""
    return frozenset([*dir(root), *inspect.get_annotations(root)])


def is_dunder(name: str) -> bool:
    """Tell whether a name is one of Python's own."""
    return name.startswith("__") and name.endswith("__")


def place_of(owner: type, name: str, value: Any = None) -> str:
    """Return where something stands: "shop.consumers.Chat.join (line 12)"."""
    line = f" (line {value.__code__.co_firstlineno})" if inspect.isfunction(value) else ""
    return f"{path_of(owner)}.{name}{line}"


def path_of(owner: type) -> str:
    """Return the dotted path of a class."""
    return f"{owner.__module__}.{owner.__qualname__}"


def definition(function: Any) -> str:
    """Return how a function like this one is defined."""
    return "async def" if inspect.iscoroutinefunction(function) else "def"


def signature_of(function: Any, *, follow_wrapped: bool = True) -> inspect.Signature:
    """Return a signature, without a look at annotations whose names may come later."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format  # noqa: PLC0415

        return inspect.signature(
            function, follow_wrapped=follow_wrapped, annotation_format=Format.FORWARDREF
        )
    return inspect.signature(function, follow_wrapped=follow_wrapped)


def stands_behind(consumer_class: type, base: type, root: type) -> bool:
    """Tell whether a base's methods never run, because the consumer's own stand before them."""
    order = consumer_class.__mro__
    return not issubclass(base, root) and order.index(root) < order.index(base)


def check_declared(consumer_class: type, base: type, name: str, value: Any, root: type) -> None:
    """Check what never runs: it may only say what there is. Raises InvalidConsumer."""
    if getattr(base, "_is_protocol", False) or hasattr(value, "__isabstractmethod__"):
        return
    raise InvalidConsumer(
        f"{place_of(base, name, value)} never runs, since {root.__name__} stands before "
        f"{base.__name__} among the bases of {consumer_class.__qualname__}.",
        f"Write class {consumer_class.__name__}({base.__name__}, ...), with mixins first.",
    )


def check_override(base: type, name: str, value: Any, root: type) -> None:
    """Check what stands in the place of something of `root`. Raises InvalidConsumer."""
    place = place_of(base, name, value)
    own = inspect.getattr_static(root, name, MISSING)
    if name.startswith("_"):
        raise InvalidConsumer(
            f"{place} replaces what {root.__name__} uses itself.", "Give it another name."
        )
    if name == "channel_layer_alias":
        if not isinstance(value, str):
            raise InvalidConsumer(f"{place} is {value!r}.", "Give the alias of a channel layer.")
    elif name == "rate_limits":
        pass  # as_asgi() may give others
    elif name in DECLARATIONS:
        check_declaration(place, name, value)
    elif own is MISSING or isinstance(own, property | cached_property):
        _check_attribute(place, name, value, own, root)
    else:
        _check_method(place, name, value, own, root)


def check_declaration(place: str, name: str, value: Any) -> None:
    """Raise InvalidConsumer for a value that says nothing of who may be in a namespace."""
    if (fault := find_fault(name, value)) is not None:
        raise InvalidConsumer(f"{place} {fault[0]}.", fault[1])


def _check_attribute(place: str, name: str, value: Any, own: Any, root: type) -> None:
    """Check what stands in the place of an attribute that each instance has for itself."""
    if own is not MISSING and hasattr(type(value), "__get__") and not _is_method(value):
        return
    if _is_method(value):
        problem = f"{place} is a method, and {root.__name__}.{name} is an attribute."
    else:
        problem = f"{place} is one value for all clients, and replaces the one of each client."
    if own is MISSING:
        hint = "Give it another name."
    else:
        hint = f"Give it another name, or write a @property {name}(self)."
    raise InvalidConsumer(problem, hint)


def _is_method(value: Any) -> bool:
    return inspect.isfunction(value) or isinstance(value, staticmethod | classmethod)


def _check_method(place: str, name: str, value: Any, own: Any, root: type) -> None:
    """Check what stands in the place of a method: it is called as that one is."""
    # Python 3.13 has given a `__get__` to `partial`, which binds nothing.
    if not hasattr(type(value), "__get__") or isinstance(
        value, property | cached_property | partial
    ):
        raise InvalidConsumer(
            f"{place} is no method, and replaces {root.__name__}.{name}().", "Give it another name."
        )
    own = getattr(own, "__func__", own)
    function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
    if not inspect.isfunction(function):
        return  # what another library makes of a method
    check_no_generator(place, function)
    parameters = list(signature_of(own).parameters.values())
    if isinstance(value, staticmethod):
        del parameters[0]
    if not _accepts(function, parameters, any_number=name in HOOKS):
        raise InvalidConsumer(
            f"{place} cannot be called as {root.__name__}.{name}() is.",
            f"Write {definition(function)} {name}({_list(parameters)}), or give it another name "
            "if it is something else.",
        )
    is_async = inspect.iscoroutinefunction(function)
    if name == "handle" and not is_async and not hasattr(function, "__wrapped__"):
        raise InvalidConsumer(
            f"{place} is a plain `def`, and would hold up all other clients.",
            "Write async def handle(self, event, args), and return await super().handle(...).",
        )
    if name not in EITHER and is_async and not inspect.iscoroutinefunction(own):
        raise InvalidConsumer(
            f"{place} has to be awaited, and {root.__name__}.{name}() is a plain call.",
            f"Write def {name}({_list(parameters)}), or give it another name if it is something "
            "else.",
        )


def _accepts(function: Any, parameters: list[inspect.Parameter], any_number: bool) -> bool:
    """Tell whether a function can be called as one with these parameters is."""
    required = [
        each.name for each in parameters if each.kind in POSITIONAL and each.default is each.empty
    ]
    rest = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    signature = signature_of(function, follow_wrapped=False)
    try:
        for more in ((0, 1, 20) if any_number else (1,)) if rest else (0,):
            signature.bind(*required, *["more"] * more)
    except TypeError:
        return False
    return True


def _list(parameters: list[inspect.Parameter]) -> str:
    return ", ".join(
        str(each.replace(annotation=each.empty, default=each.empty))
        for each in parameters
        if each.kind in (*POSITIONAL, each.VAR_POSITIONAL)
    )


def check_no_generator(place: str, function: Any) -> None:
    """Raise InvalidConsumer for a method with `yield`."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidConsumer(
            f"{place} is a generator, which nobody iterates: none of it would run.",
            "Send each value with self.emit(...) in the place of `yield`.",
        )
