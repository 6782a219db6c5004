"""Whether this app is installed."""

from __future__ import annotations

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured


def require_installed() -> None:
    """Raise ImproperlyConfigured where ``INSTALLED_APPS`` does not have this app."""
    if not apps.is_installed("realtime"):
        raise ImproperlyConfigured('Realtime is not installed. Add "realtime" to INSTALLED_APPS.')
