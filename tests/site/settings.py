"""
The demo's settings for tests.

Environment, beside the demo's own: ``REALTIME_OVERRIDES`` and ``LAYER_OVERRIDES`` (JSON) override
keys of ``REALTIME`` and of the channel layer's ``CONFIG``.
"""

from __future__ import annotations

import json
import os

from project.settings import *  # noqa: F403
from project.settings import CHANNEL_LAYERS, REALTIME

ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]

ROOT_URLCONF = "tests.site.urls"

REALTIME = {
    **REALTIME,
    "NAMESPACES": "tests.site.routing.namespaces",
    **json.loads(os.environ.get("REALTIME_OVERRIDES", "{}")),
}

if "LAYER_OVERRIDES" in os.environ:
    CHANNEL_LAYERS["default"].setdefault("CONFIG", {}).update(
        json.loads(os.environ["LAYER_OVERRIDES"])
    )
