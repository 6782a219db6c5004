"""
What others see of a client beside its rooms: a small JSON object, which its consumer shares and
presence keeps.
"""

from __future__ import annotations

import json
import threading
from typing import Any

from ..protocol.jsontext import dumps, replace_bytes
from ..protocol.nesting import is_deeper_than
from ..protocol.surrogates import REPLACEMENT, mend_value
from .encoding import default

NOTHING = "{}"

# Of the whole object as JSON: a row of a table that is read for lists, and no place for documents.
MAX_BYTES = 4_096
# MariaDB takes no JSON that is nested 32 deep.
MAX_DEPTH = 20

# For what threads of one client share at the same time.
lock = threading.Lock()


def add_shared(shared: str, values: dict[str, Any]) -> str:
    """
    Return the JSON text of what is shared, with more values or other ones of the same names.

    Raises TypeError for a value that JSON has no form for, and ValueError for too much.
    """
    added = {_without_nul(mend_value(name)): _plain(name, value) for name, value in values.items()}
    merged = json.loads(shared) | added
    size = len(dumps(merged).encode())
    if size > MAX_BYTES:
        raise ValueError(
            f"what a client shares would be {size} bytes of JSON, and may be {MAX_BYTES}. Share a "
            "key, and keep the rest in a table of your own."
        )
    return json.dumps(merged)  # as Django writes it, which MariaDB compares by its text


def read_shared(text: str) -> dict[str, Any]:
    """Return the object of a JSON text, which nobody else has."""
    shared: dict[str, Any] = json.loads(text)
    return shared


def _plain(name: str, value: Any) -> Any:
    """Return a value as every database keeps it: JSON, without NUL and halves of pairs."""
    try:
        text = dumps(mend_value(replace_bytes(value, _refuse_bytes, default)))
    except RecursionError:
        raise ValueError(
            f"{name!r} cannot be shared: it is nested too deeply, or stands in itself"
        ) from None
    except TypeError as error:
        raise TypeError(f"{name!r} cannot be shared: {error}") from error
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name!r} cannot be shared: {error}") from error
    if is_deeper_than(text, MAX_DEPTH):
        raise ValueError(f"{name!r} cannot be shared: it is nested more than {MAX_DEPTH} deep")
    plain = json.loads(text)
    return _without_nul(plain) if r"\u0000" in text else plain


def _refuse_bytes(value: bytes) -> Any:
    raise TypeError("JSON has no form for bytes")


def _without_nul(value: Any) -> Any:
    """Return a plain value with U+FFFD for each NUL: PostgreSQL has none."""
    if isinstance(value, str):
        return value.replace("\0", REPLACEMENT)
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value
