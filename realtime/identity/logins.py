"""Whether this site knows its clients: its engine of sessions, and the apps for them and users."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver

AUTH = "django.contrib.auth"
SESSIONS = "django.contrib.sessions"


class Anonymity(NamedTuple):
    """Why nobody is known, and what to do."""

    reason: str
    hint: str


def user_key(user: Any) -> Any:
    """
    Return the primary key of a client's user, or None.

    It never fails, whatever a site's own middleware has taken for a user.
    """
    try:
        return getattr(user, "pk", None)
    except Exception:  # such as that of a lazy user, who cannot be looked up here
        return None


@cache
def session_store() -> Any:
    """Return the class of the site's sessions. Raises ImproperlyConfigured where there is none."""
    engine = settings.SESSION_ENGINE
    try:
        return import_module(engine).SessionStore
    except (ImportError, AttributeError, ValueError) as error:
        raise ImproperlyConfigured(
            f"SESSION_ENGINE is {engine!r}, which cannot be loaded: {error}. Name a module with a "
            f'SessionStore, like "{SESSIONS}.backends.db".'
        ) from error


@cache
def find_anonymity() -> Anonymity | None:
    """Return why all clients are anonymous, whatever they bring, or None."""
    if not apps.is_installed(AUTH):
        return Anonymity(
            f"{AUTH} is not in INSTALLED_APPS", f'Add "{AUTH}" and "django.contrib.contenttypes".'
        )
    if not has_sessions():
        return Anonymity(
            f"{SESSIONS} is not in INSTALLED_APPS, and SESSION_ENGINE keeps sessions in its table",
            f'Add "{SESSIONS}", or choose an engine without a table, like '
            f'"{SESSIONS}.backends.signed_cookies".',
        )
    return None


@cache
def has_sessions() -> bool:
    """Tell whether the table is there in which the engine keeps sessions, if it does."""
    get_model_class = getattr(session_store(), "get_model_class", None)
    if get_model_class is None or apps.is_installed(SESSIONS):
        return True
    try:
        app = get_model_class()._meta.app_label
    except RuntimeError:  # so Django says of a model whose app is not installed
        return False
    return app in apps.app_configs


def has_user_model() -> bool:
    """Tell whether the model of AUTH_USER_MODEL is there, to which the tables of presence refer."""
    try:
        get_user_model()
    except ImproperlyConfigured:
        return False
    return True


def new_anonymous() -> Any:
    """Return somebody who is nobody. Without Django's app for users that is no AnonymousUser."""
    if not apps.is_installed(AUTH):
        return Nobody()
    from django.contrib.auth.models import AnonymousUser  # noqa: PLC0415

    return AnonymousUser()


class Nobody:
    """An AnonymousUser for sites without Django's users."""

    id = pk = None
    username = ""
    is_anonymous = True
    is_authenticated = is_active = is_staff = is_superuser = False

    def __str__(self) -> str:
        return "AnonymousUser"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Nobody)

    def __hash__(self) -> int:
        return 1

    def get_username(self) -> str:
        """Return no name."""
        return self.username


@receiver(setting_changed)
def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting in ("SESSION_ENGINE", "INSTALLED_APPS"):
        for known in (session_store, find_anonymity, has_sessions):
            known.cache_clear()
