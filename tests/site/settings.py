"""
The demo's settings for tests.

Environment: ``REALTIME_OVERRIDES`` (JSON) overrides keys of ``REALTIME``, ``DATABASE_PATH`` is the
SQLite file.
"""

from __future__ import annotations

import json
import os

from project.settings import *  # noqa: F403
from project.settings import DATABASES, REALTIME

ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]

REALTIME = {
    **REALTIME,
    "NAMESPACES": "tests.site.routing.namespaces",
    **json.loads(os.environ.get("REALTIME_OVERRIDES", "{}")),
}

if "DATABASE_PATH" in os.environ:
    DATABASES["default"]["NAME"] = os.environ["DATABASE_PATH"]
