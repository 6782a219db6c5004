"""The app."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _


class RealtimeConfig(AppConfig):
    """Realtime, as ``INSTALLED_APPS`` knows it."""

    name = "realtime"
    label = "realtime"
    verbose_name = _("Realtime")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks, routing  # noqa: F401, PLC0415
        from .hub import observers  # noqa: PLC0415

        observers.register("realtime.signals.observe")
        observers.register("realtime.presence.observe")
        observers.register("realtime.once.attach")
        if apps.is_installed("django.contrib.auth"):
            from .sending import logouts  # noqa: PLC0415

            logouts.connect()
        if apps.is_installed("django.contrib.admin"):
            observers.register("realtime.admin.activity_feed.observe")
            routing.include("realtime.admin.live.namespaces")
