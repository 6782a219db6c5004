"""
What one socket may: be in its namespace and rooms, or not, as Django and the site say now.

This is the one place that asks. A client is asked for before `connect()` runs, and when it comes
back before it is sent anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from typing import Any, NamedTuple, Protocol

from django.core.exceptions import SynchronousOnlyOperation

from ..exceptions import ConnectionRefused

# Calls a hook of a consumer, in a thread where it is a plain one, and returns what it returns.
Call = Callable[..., Awaitable[Any]]

# What clients are told, with the codes that say whether another login may help.
LOG_IN, FORBIDDEN = 401, 403


class Consumer(Protocol):
    """What a site has declared and written."""

    login_required: bool

    @property
    def user(self) -> Any:
        """The client's user."""

    def _asks_permission(self) -> bool:
        """Tell whether `has_permission` may say no."""

    @property
    def has_permission(self) -> Callable[..., Any]:
        """Tells whether the user may be in the namespace."""

    @property
    def may_join(self) -> Callable[..., Any]:
        """Tells whether the user may be in a room."""


class Decision(NamedTuple):
    """
    What a socket may not: `refusal` is why it cannot be in its namespace, `lost` are rooms in which
    it cannot be.
    """

    refusal: ConnectionRefused | None = None
    lost: frozenset[str] = frozenset()


ALLOWED = Decision()


class Standing(Enum):
    """What a user is to the site, before any permission."""

    NOBODY = "not logged in"
    INACTIVE = "logged in to an account that is not active, which has no rights"
    ACTIVE = "logged in"


async def decide(consumer: Consumer, rooms: Iterable[str], call: Call) -> Decision:
    """
    Return what a consumer's client may, in its namespace and in these rooms.

    Raises what the site's own code raises, but for ConnectionRefused of `has_permission`.
    """
    if consumer.login_required or consumer._asks_permission():
        refusal = await _find_refusal(consumer, call)
        if refusal is not None:
            return Decision(refusal)
    lost = [room for room in rooms if not await call(consumer.may_join, room)]
    return Decision(lost=frozenset(lost)) if lost else ALLOWED


async def _find_refusal(consumer: Consumer, call: Call) -> ConnectionRefused | None:
    try:
        standing = _find_standing(consumer)
    except SynchronousOnlyOperation:  # a user of a site's own middleware, who is looked up now
        standing = await call(lambda: _find_standing(consumer))
    if standing is Standing.INACTIVE:
        return ConnectionRefused("this account is not active", code=FORBIDDEN)
    if standing is Standing.NOBODY and consumer.login_required:
        return _log_in()
    try:
        if not consumer._asks_permission() or await call(consumer.has_permission):
            return None
    except ConnectionRefused as refusal:
        return refusal
    # As Django's views have it: who has not logged in may have the permission after that.
    if standing is Standing.NOBODY:
        return _log_in()
    return ConnectionRefused("permission denied", code=FORBIDDEN)


def _find_standing(consumer: Consumer) -> Standing:
    user = consumer.user
    if not getattr(user, "is_authenticated", False):
        return Standing.NOBODY
    # A user of a token need not say whether it is active.
    return Standing.ACTIVE if getattr(user, "is_active", True) else Standing.INACTIVE


def _log_in() -> ConnectionRefused:
    return ConnectionRefused("log in first", code=LOG_IN)
