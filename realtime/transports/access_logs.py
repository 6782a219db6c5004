"""
The access logs of web servers, without what lets their readers speak for a client.

A polling client names its session in the URL of each request, and that id is its secret. uvicorn
and daphne write whole URLs.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ..conf import get_settings

# Uvicorn logs WebSockets with the second one.
UVICORN_LOGGERS = ("uvicorn.access", "uvicorn.error")

# As much of an id as Realtime's own log lines have.
SHOWN = 12

Hide = Callable[[str], str]


def hide_session_ids() -> None:
    """Cut the session ids in what the server that runs here logs; once, whoever calls again."""
    for name in UVICORN_LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, HideSessionIds) for each in logger.filters):
            logger.addFilter(HideSessionIds())
    daphne = sys.modules.get("daphne.server")
    if daphne is not None:
        _hide_in_daphne(daphne.Server)


class HideSessionIds(logging.Filter):
    """
    Cuts the session ids of Socket.IO's URLs, wherever they stand in a record.

    It is for any logger or handler that gets URLs, by ``LOGGING`` or by hand.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self._cut(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(self._cut(each) for each in record.args)
        elif isinstance(record.args, Mapping):
            record.args = {name: self._cut(each) for name, each in record.args.items()}
        return True

    def _cut(self, value: Any) -> Any:
        return cut_session_ids(value) if isinstance(value, str) and "sid=" in value else value


def cut_session_ids(text: str) -> str:
    """Return a text with all but the start of each session id in Socket.IO's URLs cut off."""
    path = re.escape(get_settings().PATH.rstrip("/"))
    return re.sub(rf'({path}/?\?(?:[^\s"#]*&)?sid=[^\s"&#]{{{SHOWN}}})[^\s"&#]+', r"\1...", text)


def _hide_in_daphne(server: Any) -> None:
    log_action = getattr(server, "log_action", None)
    if log_action is None or hasattr(log_action, "hides_session_ids"):
        return

    def log_without_ids(self: Any, protocol: str, action: str, details: dict[str, Any]) -> None:
        path = details.get("path")
        if isinstance(path, str) and "sid=" in path:
            details = {**details, "path": cut_session_ids(path)}
        log_action(self, protocol, action, details)

    log_without_ids.hides_session_ids = True  # type: ignore[attr-defined]
    server.log_action = log_without_ids
