"""
Who clients are by now: the users of connections, and of sockets that have a user of their own,
found anew, many at a time.

A session is asked for as Django does it: it may be over, or have another key, and its user another
password. Any other user is looked up by the primary key. What else there is to ask, such as who a
token is for, is a `Find` of the login.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.apps import apps

from ..execution.calls import raise_if_cancelled
from . import outages
from .logins import AUTH, new_anonymous
from .lookups import Lookups
from .renewal import Found, Subject, note_failed

# Where middleware puts a function that returns who the client is by now, or None for nobody.
FIND_USER = "find_user"

# As many of these are asked at a time, and for so many seconds.
AT_ONCE, TIMEOUT = 32, 10.0


async def find_again(lookups: Lookups, subjects: Sequence[Subject]) -> list[Found]:
    """
    Return the user of each as it is now; AnonymousUser for who has none any more.

    Raises the database's error where it does not answer. What else fails concerns one of them.
    """
    asked = [(subject, find) for subject in subjects if (find := _find_of(subject)) is not None]
    others = [subject for subject in subjects if _find_of(subject) is None]
    slots = asyncio.Semaphore(AT_ONCE)
    answers = iter(await asyncio.gather(*(_ask(lookups, slots, *each) for each in asked)))
    known = iter(await lookups.run(find_together, others) if others else ())
    return [next(known if _find_of(subject) is None else answers) for subject in subjects]


def _find_of(subject: Subject) -> Any:
    """Return what finds a user in another way: of a login, or of a site's own middleware."""
    return subject.scope.get(FIND_USER) if subject.login is None else subject.login.find


async def _ask(lookups: Lookups, slots: asyncio.Semaphore, subject: Subject, find: Any) -> Found:
    try:
        async with slots, asyncio.timeout(TIMEOUT):
            found = await (_find_user(lookups, find) if subject.login is None else find())
    except outages.ERRORS:
        raise
    except BaseException as error:  # of a site's own authenticator, too
        raise_if_cancelled()
        return note_failed(subject.user, error)
    found = Found(new_anonymous()) if found is None else found
    return found._replace(changed=_differs(subject.user, found.user))


async def _find_user(lookups: Lookups, find: Any) -> Found | None:
    user = await (find() if iscoroutinefunction(find) else lookups.run(find))
    return None if user is None else Found(user)


def _differs(old: Any, new: Any) -> bool:
    if not apps.is_installed(AUTH):
        return bool(old != new)
    from .fresh_users import differs  # noqa: PLC0415 (it imports the user model)

    return differs(old, new)


def find_together(subjects: Sequence[Subject]) -> list[Found]:
    """Return the user of each, as `find_again` does. It blocks."""
    if not apps.is_installed(AUTH):
        return [Found(subject.user) for subject in subjects]
    from .fresh_logins import find_all  # noqa: PLC0415 (it imports the user model)

    return find_all(subjects)
