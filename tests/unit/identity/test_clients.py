"""Users of clients that another process has told of."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser, User

from realtime.identity.clients import absent_user


async def test_an_absent_user_is_somebody_without_being_looked_up() -> None:
    """No database is there, nor would the event loop be let wait for it."""
    user = absent_user("7", "ann")
    assert user.pk == "7"
    assert user.get_username() == "ann"
    assert user.is_authenticated
    assert not user.is_anonymous


def test_nobody_is_nobody() -> None:
    assert absent_user(None, "") == AnonymousUser()


def test_more_of_an_absent_user_is_looked_up(db: None) -> None:
    ann = User.objects.create(username="ann", email="ann@example.com")
    assert absent_user(str(ann.pk), "ann").email == "ann@example.com"
