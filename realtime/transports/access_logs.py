"""
The access logs of web servers, without what lets their readers speak for a client.

A polling client names its session in the URL of each request, and that id is its secret. A plain
WebSocket may have a secret there by which it comes back. uvicorn and daphne write whole URLs.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from ..logs import HideSessionIds, cut_secrets

# Uvicorn logs WebSockets with the second one.
UVICORN_LOGGERS = ("uvicorn.access", "uvicorn.error")


def hide_session_ids() -> None:
    """Cut the session ids in what the server that runs here logs; once, whoever calls again."""
    for name in UVICORN_LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, HideSessionIds) for each in logger.filters):
            logger.addFilter(HideSessionIds())
    daphne = sys.modules.get("daphne.server")
    if daphne is not None:
        _hide_in_daphne(daphne.Server)


def _hide_in_daphne(server: Any) -> None:
    log_action = getattr(server, "log_action", None)
    if log_action is None or hasattr(log_action, "hides_session_ids"):
        return

    def log_without_ids(self: Any, protocol: str, action: str, details: dict[str, Any]) -> None:
        path = details.get("path")
        if isinstance(path, str) and "id=" in path:
            details = {**details, "path": cut_secrets(path)}
        log_action(self, protocol, action, details)

    log_without_ids.hides_session_ids = True  # type: ignore[attr-defined]
    server.log_action = log_without_ids
