"""
The demo's settings for tests.

Environment, beside the demo's own: ``REALTIME_OVERRIDES`` and ``LAYER_OVERRIDES`` (JSON) override
keys of ``REALTIME`` and of the channel layer's ``CONFIG``; ``FORCE_SCRIPT_NAME`` is the setting, as
are those of ``DJANGO_OVERRIDES`` (JSON); ``WITHOUT_APPS`` are not installed; ``LOG_LEVEL`` is what
the server's log begins with.
"""

from __future__ import annotations

import json
import os

from project.settings import *  # noqa: F403
from project.settings import CHANNEL_LAYERS, INSTALLED_APPS, LOGGING, REALTIME

ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]

_without = os.environ.get("WITHOUT_APPS", "").split()
INSTALLED_APPS = [app for app in INSTALLED_APPS if app not in _without]

ROOT_URLCONF = "tests.site.urls"

# The default takes half a second for each password, by design.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGGING["loggers"]["realtime"]["level"] = os.environ.get("LOG_LEVEL", "INFO")

FORCE_SCRIPT_NAME = os.environ.get("FORCE_SCRIPT_NAME")

REALTIME = {
    **REALTIME,
    "NAMESPACES": "tests.site.routing.namespaces",
    "RECOVERY": None,  # those that test it ask for it
    **json.loads(os.environ.get("REALTIME_OVERRIDES", "{}")),
}

if "LAYER_OVERRIDES" in os.environ:
    CHANNEL_LAYERS["default"].setdefault("CONFIG", {}).update(
        json.loads(os.environ["LAYER_OVERRIDES"])
    )

globals().update(json.loads(os.environ.get("DJANGO_OVERRIDES", "{}")))
