"""The apps that are installed, and for whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured

from ..identity.authentication import asks_sessions_alone
from ..identity.logins import find_anonymity, has_user_model, session_store
from .settings import usable_settings


@register(Tags.compatibility)
def check_logins(**kwargs: Any) -> Iterator[CheckMessage]:
    """E007: no engine of sessions; E008: no users for presence; W010: nobody is known."""
    if not has_user_model():
        yield Error(
            f"Who is connected cannot be kept: its table refers to AUTH_USER_MODEL, and "
            f"{django_settings.AUTH_USER_MODEL} is not installed.",
            hint='Add "django.contrib.auth" and "django.contrib.contenttypes" to INSTALLED_APPS, '
            "or the app of your own user model.",
            id="realtime.E008",
        )
    try:
        session_store()
    except ImproperlyConfigured as error:
        yield Error(
            str(error),
            hint='Django\'s own engine is "django.contrib.sessions.backends.db".',
            id="realtime.E007",
        )
        return
    knows_others = usable_settings() is not None and not asks_sessions_alone()
    if not knows_others and (anonymity := find_anonymity()) is not None:
        yield Warning(
            f"All clients are anonymous, whatever they log in as: {anonymity.reason}.",
            hint=anonymity.hint,
            id="realtime.W010",
        )


@register(Tags.compatibility)
def check_tenants(**kwargs: Any) -> Iterator[CheckMessage]:
    """E009: tables of django-tenants' single tenants, in the place of one for all servers."""
    config = apps.get_app_config("realtime")
    names = {config.name, f"{type(config).__module__}.{type(config).__qualname__}"}
    for place, installed in _of_tenants():
        if names & set(installed):
            yield Error(
                f"{config.name!r} is in {place}, so each tenant has tables of its own for who is "
                "connected, which servers and tenants do not find.",
                hint="Put it into SHARED_APPS alone: one table serves the whole cluster.",
                id="realtime.E009",
            )


def _of_tenants() -> Iterator[tuple[str, Any]]:
    """Yield the lists of apps that are for single tenants, with the settings' names for them."""
    yield "TENANT_APPS", getattr(django_settings, "TENANT_APPS", ())
    public = getattr(django_settings, "PUBLIC_SCHEMA_NAME", "public")
    for name, kind in getattr(django_settings, "TENANT_TYPES", {}).items():
        if name != public:
            yield f"TENANT_TYPES[{name!r}]", kind.get("APPS", ())
