"""What ``REALTIME["RECOVERY"]`` says: how long, and how much, is kept for clients that drop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

# The least that bounds in bytes may be.
LEAST = {"BYTES": 10_000, "AWAY_BYTES": 100_000}


class RecoveryOptions(NamedTuple):
    """
    `seconds` is how long a client may be away; `events` and `bytes` bound what each room keeps for
    those who are, and the process 16 times that. `presence_seconds` is how long a client that is
    away still counts as there. `log` is one of LOGS. `away_bytes` bounds what the process keeps of
    who they are.
    """

    seconds: float
    events: int = 10_000
    bytes: int = 4 * 1024 * 1024
    presence_seconds: float = 15
    log: str = "memory"
    away_bytes: int = 128 * 1024 * 1024


# Where events are kept for who drops: in the hubs' memory, in Redis, or there where that can be.
LOGS = ("auto", "memory", "redis")


def log_lifetime(options: RecoveryOptions, settings: Any) -> float:
    """Return for how many seconds an event is kept: as long as anybody may need it."""
    return float(options.seconds + settings.PING_INTERVAL + settings.PING_TIMEOUT)


def parse_recovery(value: Mapping[str, Any] | None) -> RecoveryOptions | None:
    """Return what a value that fits says; None where there is no recovery."""
    if not value:
        return None
    return RecoveryOptions(**{name.lower(): given for name, given in value.items()})


def explain_recovery(value: Any) -> str:
    """Return what would fit in the place of a value, or an empty text where it fits."""
    if value is None or value == {}:
        return ""
    if not isinstance(value, Mapping):
        return 'Give a dict, like {"SECONDS": 120}, or None for no recovery.'
    known = [name.upper() for name in RecoveryOptions._fields]
    unknown = [name for name in value if name not in known]
    if unknown:
        return f"It has no {unknown[0]!r}: there is {', '.join(known)}."
    if "SECONDS" not in value:
        return 'It needs "SECONDS": how long a client may be away, like {"SECONDS": 120}.'
    return next(filter(None, (_explain_part(name, value[name]) for name in value)), "")


def _explain_part(name: str, part: Any) -> str:
    if name == "LOG":
        return "" if part in LOGS else 'Give "LOG" one of "auto", "memory" and "redis".'
    if name in ("SECONDS", "PRESENCE_SECONDS"):
        lowest = 0 if name == "PRESENCE_SECONDS" else 1
        if type(part) in (int, float) and lowest <= part <= 86_400:
            return ""
        return f"Give {name!r} a number of seconds from {lowest} to 86400 (a day)."
    least = LEAST.get(name, 1)
    if type(part) is int and part >= least:
        return ""
    return f"Give {name!r} a whole number of {least} or more."
