"""What a site keeps about a client, where that outlives the connection: JSON, not much of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from ..protocol.jsontext import dumps
from ..protocol.nesting import is_deeper_than
from ..protocol.parsing import MAX_DEPTH

# Of all of it as JSON; what changes inside of it may make it so many times as large.
MAX_BYTES = 16_384
GROWTH = 2

_NOTHING = "{}"


def _tell_nobody() -> None:
    pass


class RecoverableData(dict[str, Any]):
    """
    A dict whose values have a JSON form, since a client that comes back has them again.

    Setting one that has none raises TypeError; one with which there would be too much, ValueError.
    Both name the key. What is changed inside of a value is looked at when the client drops, or
    another one is set. `changed` is called for each value that is set or taken out.
    """

    __slots__ = ("_sizes", "changed")

    def __init__(
        self,
        values: Mapping[str, Any] | None = None,
        changed: Callable[[], object] = _tell_nobody,
    ) -> None:
        super().__init__()
        self._sizes: dict[str, int] = {}
        self.changed: Callable[[], object] = _tell_nobody
        self.update(values or {})
        self.changed = changed

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return type(self), (dict(self),)

    def __setitem__(self, name: str, value: Any) -> None:
        size = _measure(name, value)
        known = sum(self._sizes.values()) - self._sizes.get(name, 0)
        if known + size > MAX_BYTES:
            raise ValueError(
                f"self.data[{name!r}] makes it {known + size} bytes of JSON, and it may be "
                f"{MAX_BYTES}, since a client that comes back has it again. Keep a key there, and "
                "the rest in a table or a cache of your own."
            )
        self._sizes[name] = size
        super().__setitem__(name, value)
        self.changed()

    def restore(self, name: str, value: Any) -> None:
        """Set what was there before, however large it had become."""
        self._sizes[name] = _measure(name, value)
        super().__setitem__(name, value)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._sizes.pop(name, None)
        self.changed()

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Return a value, which is set where there is none."""
        if name not in self:
            self[name] = default
        return self[name]

    def update(self, *given: Any, **named: Any) -> None:
        """Set several values."""
        for name, value in dict(*given, **named).items():
            self[name] = value

    def __ior__(self, other: Any) -> RecoverableData:  # type: ignore[override,misc]
        self.update(other)
        return self

    def pop(self, name: str, *default: Any) -> Any:
        """Take a value out."""
        value = super().pop(name, *default)
        self._sizes.pop(name, None)
        self.changed()
        return value

    def popitem(self) -> tuple[str, Any]:
        """Take out the value that was set last."""
        name, value = super().popitem()
        self._sizes.pop(name, None)
        self.changed()
        return name, value

    def clear(self) -> None:
        """Take all out."""
        super().clear()
        self._sizes.clear()
        self.changed()


def dump_data(data: Any) -> str:
    """
    Return what a consumer keeps, as JSON; an empty object for None.

    Raises TypeError or ValueError where something inside has changed into what JSON cannot hold, or
    is too much.
    """
    if not data:
        return _NOTHING
    text = _dumps("data", data)
    if len(text.encode()) > GROWTH * MAX_BYTES:
        raise ValueError(f"self.data has grown to {len(text.encode())} bytes of JSON")
    return text


def load_data(text: str) -> RecoverableData:
    """Return what was kept as JSON."""
    data = RecoverableData()
    for name, value in json.loads(text).items():
        data.restore(name, value)
    return data


def _measure(name: Any, value: Any) -> int:
    """Return how many bytes a key and its value take, with what stands between."""
    if not isinstance(name, str):
        raise TypeError(
            f"self.data has texts for keys, since a client that comes back has it again: {name!r} "
            f"is {type(name).__name__}"
        )
    what = f"data[{name!r}]"
    return len(_dumps(what, name).encode()) + len(_dumps(what, value).encode()) + 2


def _dumps(what: str, value: Any) -> str:
    """Return a value as JSON. Raises TypeError or ValueError, which say `what` it is."""
    try:
        text = dumps(_plain(value))
        if is_deeper_than(text, MAX_DEPTH):
            raise RecursionError
    except RecursionError:
        raise ValueError(f"self.{what} is nested too deeply, or stands in itself") from None
    except Exception as error:  # of a site's own objects, too
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(
            f"self.{what} cannot be kept for a client that comes back: {error}. Keep what JSON can "
            "hold there, such as a primary key, and the rest in an attribute of the consumer."
        ) from error
    return text


def _plain(value: Any) -> Any:
    """Return a value as JSON has it. Raises TypeError or ValueError for what has no form there."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)  # an enum's text, not its name
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"JSON has no form for {value}")
        return float(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        # A copy: a handler in a thread may add something meanwhile.
        return {_key(key): _plain(item) for key, item in dict(value).items()}
    raise TypeError(f"JSON has no form for {type(value).__name__}")


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"JSON has texts for keys, and {key!r} is {type(key).__name__}")
    return str.__str__(key)
