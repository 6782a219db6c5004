"""
The demo's settings for tests.

Environment: ``REALTIME_OVERRIDES`` (JSON) overrides keys of ``REALTIME``.
"""

from __future__ import annotations

import json
import os

from project.settings import *  # noqa: F403
from project.settings import REALTIME

ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]

REALTIME = {
    **REALTIME,
    "NAMESPACES": "tests.site.routing.namespaces",
    **json.loads(os.environ.get("REALTIME_OVERRIDES", "{}")),
}
