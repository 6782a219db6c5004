"""The settings of a site with django-guardian, which keeps permissions of objects."""

from __future__ import annotations

from tests.site.settings import *  # noqa: F403
from tests.site.settings import INSTALLED_APPS, REALTIME

INSTALLED_APPS = [*INSTALLED_APPS, "guardian"]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
REALTIME = {**REALTIME, "NAMESPACES": "tests.site.objects.namespaces"}
