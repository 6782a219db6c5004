"""What namespaces and rooms may be called: any text that a database can hold."""

from __future__ import annotations

from ..exceptions import InvalidName

# Characters in the name of a namespace or a room.
MAX_LENGTH = 255


def find_fault(name: str) -> str | None:
    """Return what is wrong with the name of a namespace or a room, or None."""
    if len(name) > MAX_LENGTH:
        return f"has {len(name)} characters, and may have {MAX_LENGTH}"
    if "\0" in name:
        return "has a NUL character"
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            return "has half a surrogate pair, which is no character"
    return None


def check_rooms(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of rooms. Raises InvalidName for what is no text, and for a bad one."""
    for name in names:
        if not isinstance(name, str):
            raise InvalidName(f"a room's name is a text, not {type(name).__name__}")
        if (fault := find_fault(name)) is not None:
            raise InvalidName(f"the room's name {name[:40]!r} {fault}")
    return names
