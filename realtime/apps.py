"""The app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RealtimeConfig(AppConfig):
    """Realtime, as ``INSTALLED_APPS`` knows it."""

    name = "realtime"
    label = "realtime"
    verbose_name = _("Realtime")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks, observers  # noqa: F401, PLC0415

        observers.register("realtime.signals.observe")
        observers.register("realtime.presence.observe")
