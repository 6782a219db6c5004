"""
The settings for tests, with a replica that all reads go to.

It is the same database by another name, so it is never late.
"""

from __future__ import annotations

from typing import Any

from tests.site.settings import *  # noqa: F403
from tests.site.settings import DATABASES

DATABASES["replica"] = dict(DATABASES["default"])

DATABASE_ROUTERS = ["tests.site.replica.Router"]


class Router:
    """Sends reads to the replica, and writes to the other."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "replica"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_relation(self, *objects: Any, **hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == "default"
