"""
The objects that a server keeps for each connection, made to take less memory.

Most of what is in them serves the handshake, or what hardly ever comes once frames are read and
written past them: all that is to be there again as soon as somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from django.utils.version import get_version_tuple

# Names of packages, each with the first two numbers of a version.
Packages = tuple[tuple[str, tuple[int, int]], ...]

_CONSTANTS = (type(None), bool, int, float, str, bytes)


class Diet(NamedTuple):
    """
    How the objects of a class are made lighter.

    `packages` are those that use them, each with the newest version of which that is known: beside
    newer ones objects stay as they are. `shared` are attributes in which those of one server have
    the same object, `needless` those that nobody reads any more: they become None. `made` are those
    that are made again when they are asked for, each by a function of the object.
    """

    packages: Packages
    shared: Collection[str]
    needless: Collection[str]
    made: Mapping[str, Callable[[Any], Any]]


class _Light(NamedTuple):
    """A class, what its objects have in common, and all that they need not have themselves."""

    kind: type
    common: dict[str, Any]
    gone: frozenset[str]


_light: dict[type, _Light] = {}


def lighten(thing: Any, diet: Diet) -> None:
    """
    Let an object keep only what it has alone.

    What is the same in all of them is kept in a class, of which the first one is the pattern: where
    another one has a different value, that is in its own `__dict__`, and hides the common one.
    """
    if not are_known(diet.packages):
        return
    own = vars(thing)
    own.update(dict.fromkeys(diet.needless))
    light = _light.get(type(thing)) or _make_light(type(thing), own, diet)
    common = light.common
    kept = {name: value for name, value in own.items() if name not in light.gone}
    if not common.items() <= own.items():
        if not common.keys() <= own.keys():  # what one does not have must not come from the class
            return
        kept.update((name, own[name]) for name in common if own[name] is not common[name])
    thing.__class__, thing.__dict__ = light.kind, kept


@cache
def are_known(packages: Packages) -> bool:
    """Tell whether none of the packages is newer than that."""
    try:
        return all(get_version_tuple(version(name))[:2] <= newest for name, newest in packages)
    except PackageNotFoundError:
        return False


def _make_light(kind: type, own: Mapping[str, Any], diet: Diet) -> _Light:
    common = {
        name: value
        for name, value in own.items()
        if name not in diet.made
        and (isinstance(value, _CONSTANTS) or name in diet.shared)
        and not hasattr(value, "__get__")  # in a class, a function would become a method
    }
    made = {name: cached_property(make) for name, make in diet.made.items()}
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    light_kind = type(kind.__name__, (kind,), names | common | made)
    light = _light[kind] = _Light(light_kind, common, frozenset((*common, *made)))
    return light
