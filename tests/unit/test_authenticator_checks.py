"""What `manage.py check` says of those who say who clients are."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from pytest_django import Settings

from realtime.asgi import get_application
from realtime.checks.installation import check_logins

from .test_checks import USERS, found, ids

HERE = __name__


def fits(credentials: Any) -> None: ...


async def fits_as_well(credentials: Any, *, more: int = 1) -> None: ...


def takes_nothing() -> None: ...


def takes_two(credentials: Any, other: Any) -> None: ...


class Class:
    def __init__(self, credentials: Any) -> None: ...


class Instance:
    def __call__(self, credentials: Any) -> None: ...


instance = Instance()


def names(settings: Settings, *paths: Any) -> None:
    settings.REALTIME = {**settings.REALTIME, "AUTHENTICATORS": list(paths)}


def test_those_that_fit(settings: Settings) -> None:
    names(
        settings,
        "realtime.authenticators.session",
        "realtime.authenticators.signed",
        "realtime.authenticators.simplejwt",
        f"{HERE}.fits",
        f"{HERE}.fits_as_well",
        f"{HERE}.instance",
    )
    assert found() == []


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere.at_all", "No module named"),
        (f"{HERE}.missing", "does not define"),
        (f"{HERE}.takes_nothing", "cannot be called with one argument"),
        (f"{HERE}.takes_two", "cannot be called with one argument"),
        (f"{HERE}.Class", "is a class"),
        (f"{HERE}.HERE", "which is a str and no function"),
        ("realtime.authenticators.drf_token", 'does not have "rest_framework.authtoken"'),
        ("realtime.authenticators.knox", 'does not have "knox"'),
        ("realtime.authenticators.allauth", 'does not have "allauth", "allauth.headless"'),
    ],
)
def test_those_that_do_not(settings: Settings, path: str, said: str) -> None:
    names(settings, "realtime.authenticators.session", path)
    (message,) = found()
    assert message.id == "realtime.E016"
    assert path in message.msg
    assert said in message.msg
    assert message.hint


def test_a_package_that_is_missing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.authenticators.requirements.find_spec", lambda name: None)
    names(settings, "realtime.authenticators.simplejwt")
    (message,) = found()
    assert "there is no module 'rest_framework_simplejwt'" in message.msg
    assert message.hint == 'pip install "djangorestframework-simplejwt"'


@pytest.mark.parametrize(
    "value", [[], "realtime.authenticators.session", None, [7], ["session"], ["a.b", "a.b"]]
)
def test_what_is_no_list_of_them(settings: Settings, value: Any) -> None:
    settings.REALTIME = {**settings.REALTIME, "AUTHENTICATORS": value}
    messages = found()
    assert ids(messages) == ["realtime.E001"]
    assert "dotted paths" in (messages[0].hint or "")


def test_a_server_does_not_start_with_them(settings: Settings) -> None:
    names(settings, "nowhere.at_all")
    with pytest.raises(ImproperlyConfigured, match=r"nowhere\.at_all"):
        get_application()


def test_users_who_come_with_tokens_alone(settings: Settings) -> None:
    """Where there are no sessions nobody is known by default, and somebody is by a token."""
    for authenticator, warned in (("realtime.authenticators.session", 1), (f"{HERE}.fits", 0)):
        names(settings, authenticator)
        with override_settings(INSTALLED_APPS=USERS):
            assert ids(check_logins()) == ["realtime.W010"] * warned


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["nowhere.at_all", "realtime.authenticators.knox"])
def test_they_keep_nobody_from_deleting_anything(settings: Settings, path: str) -> None:
    names(settings, path)
    LogEntry.objects.create(user=User.objects.create_user("ann"), action_flag=1).delete()
