"""
What hubs tell of themselves, for the admin's live page and for each other, and what is believed.

It comes through the channel layer: others than hubs may be able to write there, and hubs of other
versions do. A page must show whatever is left.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

import msgspec

from .sids import SERVER_ID_LENGTH

# Connects, disconnects and the like of the last seconds that one hub tells, at most.
MAX_ITEMS = 20

# Servers that one hub tells of, at most: of whose clients it has some, and whose heir it is.
MAX_SERVERS = 1_000

# Characters of each text that comes from clients or users; hubs cut theirs.
MAX_TEXT = 200

# Exact in JavaScript, and within its dates.
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=2.0**36)]
Kind = Literal["connect", "disconnect", "away", "back"]
_Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


_Servers = Annotated[
    list[Annotated[str, msgspec.Meta(min_length=SERVER_ID_LENGTH, max_length=SERVER_ID_LENGTH)]],
    msgspec.Meta(max_length=MAX_SERVERS),
]


class Item(TypedDict):
    """What a client did: `number` counts them from the hub's start, `at` is Unix time."""

    number: _Count
    at: _Seconds
    kind: Kind
    sid: _Text
    namespace: _Text
    user: _Text
    address: _Text
    transport: _Text
    reason: _Text


class _Problem(TypedDict):
    problem: _Text


class Problem(_Problem, total=False):
    """What is wrong with a hub: see `health.problems`."""

    service: _Text
    times: _Count
    server: _Text
    ahead: Annotated[float, msgspec.Meta(ge=-(2.0**36), le=2.0**36)]


class _Needed(TypedDict):
    """What the page cannot do without."""

    host: _Text
    pid: _Count
    uptime: _Seconds
    connections: _Count
    rooms: _Count
    events_in: _Count
    events_out: _Count


class Report(_Needed, total=False):
    """What `Hub.describe` tells; what others add is left out."""

    sockets: _Count
    away: _Count
    namespaces: _Count
    tasks: _Count
    dropped: _Count
    cut: _Count
    limited: _Count
    unsent: _Count
    unlogged: _Count
    not_upgraded: _Count
    not_moved: _Count
    lost: _Count
    problems: Annotated[list[Problem], msgspec.Meta(max_length=MAX_ITEMS)]
    news: Annotated[list[Item], msgspec.Meta(max_length=MAX_ITEMS)]
    recovery: bool  # it can be handed sessions
    draining: bool  # it is about to stop
    scattered: bool  # other hubs may have clients of it
    adopted: _Servers  # it has clients of these
    heir_of: _Servers  # it was handed the sessions of these


def check_report(report: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of a report. Raises msgspec.ValidationError where it cannot be true."""
    known: dict[str, Any] = msgspec.convert(report, Report)
    return known
