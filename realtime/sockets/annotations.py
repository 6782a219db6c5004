"""The annotations of handlers: whether they can be resolved, and fit what a client can send."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

from ..exceptions import InvalidConsumer
from .handlers import Method, find_methods, parameters_of
from .keys import check_once
from .overrides import place_of

# What a client's values are, once its JSON is read.
_SENT = (type(None), bool, int, float, str, bytes, list, dict)

# JSON's keys are texts, and none of these is made of one.
_NO_KEYS = (inspect.IntType, inspect.FloatType, inspect.BoolType)


def check_annotations(consumer_class: type, *, patient: bool = False) -> None:
    """
    Raise InvalidConsumer for the first annotation of a handler that cannot be used.

    With `patient`, names that are missing while their module is still imported may come later.
    """
    for method in find_methods(consumer_class):
        place = place_of(method.holder, method.name, method.value)
        try:
            parameters = parameters_of(method.value)
        except Exception as error:  # whatever the text of an annotation does
            if patient and isinstance(error, NameError) and _is_being_imported(method):
                return
            raise InvalidConsumer(
                f"{place}: an annotation cannot be resolved: "
                f"{_culprit(method, error)}{type(error).__name__}: {error}.",
                "Import its names where the program runs, and not under TYPE_CHECKING alone.",
            ) from error
        for parameter in parameters:
            if (
                parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD)
                or parameter.annotation is parameter.empty
                or parameter.annotation is Any
            ):
                continue
            if (fault := _find_fault(parameter.annotation)) is not None:
                raise InvalidConsumer(
                    f"{place}: its parameter {parameter.name!r} fits "
                    f"nothing that a client can send: {fault[0]}.",
                    fault[1],
                )
        check_once(method)


def _is_being_imported(method: Method) -> bool:
    module = sys.modules.get(method.value.__module__)
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _culprit(method: Method, error: Exception) -> str:
    """Return which annotation it is, where that is to be seen."""
    name = getattr(error, "name", None)
    try:
        annotations = dict(method.value.__annotations__)
    except Exception:  # which Python 3.14 resolves here, and not before
        return ""
    for parameter, annotation in annotations.items():
        if isinstance(name, str) and isinstance(annotation, str) and name in annotation:
            what = "what it returns" if parameter == "return" else f"its parameter {parameter!r}"
            return f"{what}, {annotation!r}: "
    return ""


def _find_fault(annotation: Any) -> tuple[str, str] | None:
    """Return what is wrong with a type, and what to do; or None."""
    try:
        msgspec.convert(None, annotation)
    except msgspec.ValidationError:
        pass
    except Exception as error:  # msgspec's own, and those of the types that it looks at
        return (
            f"{annotation!r} ({type(error).__name__}: {error})",
            "Write a type that msgspec converts.",
        )
    for each in _walk(inspect.type_info(annotation), set()):
        if isinstance(each, inspect.CustomType) and not _may_be_sent(each.cls):
            return _say(each.cls)
        if isinstance(each, inspect.DictType) and isinstance(each.key_type, _NO_KEYS):
            return (
                f"the keys of {annotation!r} are no texts, as those of JSON are",
                "Write dict[str, ...], and convert the keys in the handler.",
            )
    return None


def _walk(node: Any, seen: set[int]) -> Iterator[Any]:
    """Yield a type and the types in it, but for fields that a client may leave out."""
    if id(node) in seen:
        return
    seen.add(id(node))
    yield node
    if isinstance(node, inspect.Field):
        inner: Any = (node.type,) if node.required else ()
    elif isinstance(node, inspect.Type | inspect.Metadata):
        inner = [getattr(node, name) for name in node.__struct_fields__]
    elif isinstance(node, tuple):
        inner = node
    else:
        inner = ()
    for each in inner:
        if isinstance(each, inspect.Type | inspect.Field | tuple):
            yield from _walk(each, seen)


def _may_be_sent(custom: type) -> bool:
    """Tell whether anything that a client sends is an instance of a class."""
    return any(issubclass(kind, custom) for kind in _SENT)


def _say(custom: type) -> tuple[str, str]:
    name = f"{custom.__module__}.{custom.__qualname__}"
    if hasattr(custom, "_meta") and hasattr(custom, "objects"):
        return (
            f"{name} is a model, and comes from no JSON",
            "Take its primary key, like pk: int, and look the object up.",
        )
    return (
        f"msgspec makes no {name} of JSON",
        "Take plain values, a dataclass or a msgspec.Struct, and make it in the handler.",
    )
