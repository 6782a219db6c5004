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
from .logins import AUTH, new_anonymous, user_key
from .lookups import Lookups
from .renewal import Found, Login, Subject, note_failed

# Where middleware puts a function that returns who the client is by now, or None for nobody.
FIND_USER = "find_user"

# As many of these are asked at a time, and for so many seconds.
AT_ONCE, TIMEOUT = 32, 10.0


async def find_again(lookups: Lookups, subjects: Sequence[Subject]) -> list[Found]:
    """
    Return the user of each as it is now; AnonymousUser for who has none any more.

    Whose login is shown once more, and good still, is looked up by the primary key after that.
    Raises the database's error where it does not answer. What else fails concerns one of them.
    """
    slots = asyncio.Semaphore(AT_ONCE)
    asked = [(subject, find) for subject in subjects if (find := _find_of(subject)) is not None]
    told = iter(await asyncio.gather(*(_ask(lookups, slots, *each) for each in asked)))
    answers = [None if _find_of(subject) is None else next(told) for subject in subjects]
    rows = [
        subject if answer is None else Subject(subject.scope, Login(subject.user))
        for subject, answer in zip(subjects, answers, strict=True)
        if _is_looked_up(subject, answer)
    ]
    known = iter(await lookups.run(find_together, rows) if rows else ())
    return [
        _join(answer, next(known) if _is_looked_up(subject, answer) else None)
        for subject, answer in zip(subjects, answers, strict=True)
    ]


def _is_looked_up(subject: Subject, answer: Found | None) -> bool:
    """Tell whether a user is to be looked up here, whom no answer says to be elsewhere."""
    return answer is None or (
        subject.login is not None
        and answer.holds
        and "presence_user" not in subject.scope
        and user_key(answer.user) == user_key(subject.user)
    )


def _join(answer: Found | None, known: Found | None) -> Found:
    """Return the user that is known, with the end of which the login has told; one of these is."""
    if known is None:
        assert answer is not None
        return answer
    return known if answer is None else known._replace(expires=answer.expires)


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
