"""What a site keeps about a client, where that outlives the connection: JSON, not much of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from ..protocol.jsontext import dumps, is_plain, replace_bytes

# Of all of it as JSON.
MAX_BYTES = 16_384

_NOTHING = "{}"


class RecoverableData(dict[str, Any]):
    """
    A dict whose values have a JSON form, since a client that comes back has them again.

    Setting one that has none raises TypeError; one with which there would be too much, ValueError.
    """

    __slots__ = ("_sizes",)

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._sizes: dict[str, int] = {}
        self.update(values or {})

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

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._sizes.pop(name, None)

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
        return value

    def popitem(self) -> tuple[str, Any]:
        """Take out the value that was set last."""
        name, value = super().popitem()
        self._sizes.pop(name, None)
        return name, value

    def clear(self) -> None:
        """Take all out."""
        super().clear()
        self._sizes.clear()


def dump_data(data: Any) -> str:
    """
    Return what a consumer keeps, as JSON; an empty object for None.

    Raises TypeError or ValueError where something inside has changed into what JSON cannot hold, or
    is too much.
    """
    if not data:
        return _NOTHING
    text = _dumps("data", data)
    if len(text.encode()) > 2 * MAX_BYTES:
        raise ValueError(f"self.data has grown to {len(text)} characters of JSON")
    return text


def load_data(text: str) -> RecoverableData:
    """Return what was kept as JSON."""
    return RecoverableData(json.loads(text))


def _measure(name: str, value: Any) -> int:
    if not isinstance(name, str):
        raise TypeError(
            f"self.data has texts for keys, since a client that comes back has it again: {name!r} "
            f"is {type(name).__name__}"
        )
    return len(_dumps(f"data[{name!r}]", value).encode()) + len(name) + 4


def _dumps(what: str, value: Any) -> str:
    try:
        if not is_plain(value):
            value = replace_bytes(_with_texts(value), _refuse, _refuse)
        return dumps(value)
    except RecursionError:
        raise ValueError(f"self.{what} is nested too deeply, or stands in itself") from None
    except TypeError as error:
        raise TypeError(
            f"self.{what} cannot be kept for a client that comes back: {error}. Keep what JSON can "
            "hold there, such as a primary key, and the rest in an attribute of the consumer."
        ) from error


def _with_texts(value: Any) -> Any:
    """Return a value in which all keys are texts. Raises TypeError where one is not."""
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"JSON has texts for keys, and {key!r} is {type(key).__name__}")
        return {key: _with_texts(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_texts(item) for item in value]
    return value


def _refuse(value: Any) -> NoReturn:
    raise TypeError(f"JSON has no form for {type(value).__name__}")
