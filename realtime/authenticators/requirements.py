"""What the ready authenticators need of a site, for ``manage.py check``."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver

from ..identity.authentication import find_authenticators
from .allauth_sessions import allauth
from .drf_tokens import drf_token, find_class
from .knox_tokens import knox
from .simple_jwt import simplejwt


class Requirement(NamedTuple):
    """
    What pip installs, the module that is there then, and the apps of its tables, if any.

    `has_own_tables` tells whether a site's own classes need those apps no more, `model` which table
    has the tokens that can be deleted.
    """

    package: str
    module: str
    apps: tuple[str, ...] = ()
    has_own_tables: Callable[[], bool] = lambda: False
    model: Callable[[], Any] | None = None


def _has_own_drf_model() -> bool:
    from rest_framework.authentication import TokenAuthentication  # noqa: PLC0415

    return find_class(TokenAuthentication).model is not None


def _drf_model() -> Any:
    from rest_framework.authentication import TokenAuthentication  # noqa: PLC0415

    return find_class(TokenAuthentication)().get_model()


def _knox_model() -> Any:
    from knox.models import get_token_model  # noqa: PLC0415

    return get_token_model()


REQUIREMENTS: dict[Any, Requirement] = {
    drf_token: Requirement(
        "djangorestframework",
        "rest_framework",
        ("rest_framework.authtoken",),
        _has_own_drf_model,
        _drf_model,
    ),
    simplejwt: Requirement("djangorestframework-simplejwt", "rest_framework_simplejwt"),
    knox: Requirement("django-rest-knox", "knox", ("knox",), model=_knox_model),
    allauth: Requirement("django-allauth[headless]", "allauth", ("allauth", "allauth.headless")),
}


def find_missing(authenticator: Any) -> tuple[str, str] | None:
    """Return what an authenticator lacks and what to do, or None."""
    needed = REQUIREMENTS.get(authenticator)
    if needed is None:
        return None
    if find_spec(needed.module) is None:
        return f"there is no module {needed.module!r}", f'pip install "{needed.package}"'
    missing = [app for app in needed.apps if not apps.is_installed(app)]
    if missing and not needed.has_own_tables():
        names = ", ".join(f'"{app}"' for app in missing)
        return f"INSTALLED_APPS does not have {names}", f"Add {names}."
    return None


@cache
def find_models() -> tuple[type, ...]:
    """
    Return the models of the tokens by which the site's clients come in; none of what lacks
    something, or cannot be loaded: that is for `manage.py check` to say.
    """
    try:
        functions = [each.function for each in find_authenticators()]
    except ImproperlyConfigured:
        return ()
    models = [REQUIREMENTS[each].model for each in functions if _has_model(each)]
    return tuple(model() for model in models if model is not None)


def _has_model(authenticator: Any) -> bool:
    return authenticator in REQUIREMENTS and find_missing(authenticator) is None


@receiver(setting_changed)
def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "REALTIME":
        find_models.cache_clear()
