"""
Who a client is: the site's authenticators, asked one after the other until one knows.

With the default ones nobody is asked: the client's session was looked up before.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, Protocol

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import Error as DatabaseFailure
from django.dispatch import receiver
from django.utils import timezone
from django.utils.module_loading import import_string

from ..conf import Settings, get_settings
from ..exceptions import ConnectionRefused
from ..execution.calls import raise_if_cancelled, raise_if_signalled
from . import outages
from .credentials import Credentials
from .lookups import LookupGivenUp, Lookups

SESSION = "realtime.authenticators.session"

# Calls a function of the site's, and closes the database connections of an async one.
Call = Callable[..., Awaitable[Any]]


class Authenticator(NamedTuple):
    """A function that says who a client is, and its dotted path."""

    path: str
    function: Callable[[Credentials], Any]

    @property
    def is_session(self) -> bool:
        """Whether it is that of Django's sessions, for which the connection's user is asked."""
        return self.path == SESSION


class Authenticated(NamedTuple):
    """A user, until when (Unix time), and by what that was found."""

    user: Any
    expires: float | None
    authenticator: Authenticator
    credentials: Credentials


class Unanswered(ConnectionRefused):
    """It cannot be told now who a client is: nobody is let in for that, nor sent away."""


class Hub(Protocol):
    """The hub that a client comes to."""

    settings: Settings
    lookups: Lookups


@cache
def find_authenticators() -> tuple[Authenticator, ...]:
    """
    Return those whom a client's credentials are shown; none where only its session counts.

    Raises ImproperlyConfigured for one that cannot be loaded.
    """
    paths = get_settings().AUTHENTICATORS
    return () if asks_sessions_alone() else tuple(map(load_authenticator, paths))


def asks_sessions_alone() -> bool:
    """Tell whether nothing but its session says who a client is, as by default."""
    return tuple(get_settings().AUTHENTICATORS) == (SESSION,)


def asks_sessions() -> bool:
    """Tell whether a client's session says who it is, among others."""
    return SESSION in get_settings().AUTHENTICATORS


def load_authenticator(path: str) -> Authenticator:
    """Return the authenticator of a dotted path. Raises ImproperlyConfigured."""
    try:
        function = import_string(path)
    except Exception as error:  # a module of the site, which may fail in any way
        raise ImproperlyConfigured(
            f"REALTIME['AUTHENTICATORS'] names {path!r}, which cannot be loaded: {error}."
        ) from error
    if not callable(function):
        raise ImproperlyConfigured(
            f"REALTIME['AUTHENTICATORS'] names {path!r}, which is a {type(function).__name__} and "
            "no function."
        )
    return Authenticator(path, function)


async def authenticate(
    hub: Hub, credentials: Credentials, call: Call, authenticators: Sequence[Authenticator]
) -> Authenticated | None:
    """
    Return who a client is by its credentials, as the first says who knows; None for nobody.

    Raises ConnectionRefused where one says that they are wrong, Unanswered where one cannot say.
    """
    path = "-"
    try:
        async with asyncio.timeout(hub.settings.LOOKUP_TIMEOUT):
            for authenticator in authenticators:
                path = authenticator.path
                answer = await _ask(hub, authenticator, credentials, call)
                found = None if answer is None else _read(authenticator, credentials, answer)
                if found is not None:
                    return found
    except ConnectionRefused:
        raise
    except BaseException as error:  # of the database, or of a site's own code
        raise_if_cancelled()
        raise_if_signalled(error)
        is_code = not isinstance(error, (DatabaseFailure, TimeoutError, LookupGivenUp))
        outages.lines.note(
            outages.name_timeout(error, hub.settings.LOOKUP_TIMEOUT),
            step="authenticate",
            exc_info=is_code,
            authenticator=path,
        )
        raise Unanswered(outages.MESSAGE, outages.DATA) from error
    return None


async def _ask(hub: Hub, authenticator: Authenticator, credentials: Credentials, call: Call) -> Any:
    function = authenticator.function
    if authenticator.is_session:
        return function(credentials)  # it looks up nothing
    if iscoroutinefunction(function):
        return await call(function, credentials)
    return await hub.lookups.run(function, credentials)


def _read(
    authenticator: Authenticator, credentials: Credentials, answer: Any
) -> Authenticated | None:
    """Return what an authenticator has answered. Raises TypeError for what is no answer."""
    user, expires = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, None)
    if not hasattr(user, "is_authenticated"):
        raise TypeError(
            f"{authenticator.path} returned {answer!r}, which is neither None, nor a user, nor a "
            "user and when that ends"
        )
    if not user.is_authenticated:
        return None
    return Authenticated(user, _as_seconds(authenticator, expires), authenticator, credentials)


def _as_seconds(authenticator: Authenticator, expires: Any) -> float | None:
    """Return a time as seconds since 1970; one without a time zone is in the site's own."""
    if expires is None:
        return None
    if isinstance(expires, datetime):
        aware = timezone.make_aware(expires) if timezone.is_naive(expires) else expires
        return aware.timestamp()
    if (
        isinstance(expires, int | float)
        and not isinstance(expires, bool)
        and not math.isnan(expires)
    ):
        return None if expires == math.inf else float(expires)
    raise TypeError(
        f"{authenticator.path} returned {expires!r} as the end, which is neither a datetime nor "
        "seconds since 1970"
    )


@receiver(setting_changed)
def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "REALTIME":
        find_authenticators.cache_clear()
