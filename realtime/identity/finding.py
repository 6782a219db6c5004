"""
Who clients are by now: the users of connections, and of sockets that have a user of their own,
found anew, many at a time.

A session is asked for as Django does it: it may be over, or have another key, and its user another
password. Any other user is looked up by the primary key. What else there is to ask, such as who a
token is for, is a `Find` of the login.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.apps import apps

from ..execution.calls import raise_if_cancelled
from .logins import AUTH, new_anonymous
from .lookups import Lookups
from .renewal import Find, Found, Subject, note_failed


async def find_again(lookups: Lookups, subjects: Sequence[Subject]) -> list[Found]:
    """
    Return the user of each as it is now; AnonymousUser for who has none any more.

    Raises the database's error where it does not answer. What else fails concerns one of them.
    """
    others = [subject for subject in subjects if _find_of(subject) is None]
    known = iter(await lookups.run(find_together, others) if others else ())
    return [
        next(known) if (find := _find_of(subject)) is None else await _ask(subject, find)
        for subject in subjects
    ]


def _find_of(subject: Subject) -> Find | None:
    return None if subject.login is None else subject.login.find


async def _ask(subject: Subject, find: Find) -> Found:
    try:
        found = await find()
    except BaseException as error:  # of a site's own authenticator, too
        raise_if_cancelled()
        return note_failed(subject.user, error)
    return Found(new_anonymous()) if found is None else found


def find_together(subjects: Sequence[Subject]) -> list[Found]:
    """Return the user of each, as `find_again` does. It blocks."""
    if not apps.is_installed(AUTH):
        return [Found(subject.user) for subject in subjects]
    from .fresh_logins import find_all  # noqa: PLC0415 (it imports the user model)

    return find_all(subjects)
