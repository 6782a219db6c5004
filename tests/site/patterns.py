"""The settings for tests, with origins that expressions match."""

from __future__ import annotations

import re

from tests.site.settings import *  # noqa: F403
from tests.site.settings import REALTIME

REALTIME["CORS_ORIGINS"] = [
    re.compile(r"https://pr-[0-9]+\.preview\.example"),
    re.compile(r"^http://(.+\.)?friend\.example(:[0-9]+)?$"),
]
