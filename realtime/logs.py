"""Structured log lines: ``connect namespace=/ sid=... user=...``, and the same as fields."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from .conf import get_settings

logger = logging.getLogger("realtime")

# As much of a session's id as log lines have: all of it is a secret.
SHOWN = 12


def log(
    level: int, what: str, *, exc_info: bool | BaseException | None = False, **fields: Any
) -> None:
    """
    Log `what` with its fields, as text and as ``record.realtime`` (a dict) for other formatters.

    Values with spaces or line breaks are quoted, so that no client can forge a line.
    """
    if not logger.isEnabledFor(level):
        return
    text = " ".join(f"{name}={_quote(value)}" for name, value in fields.items())
    logger.log(level, "%s %s", what, text, exc_info=exc_info, extra={"realtime": fields})


def describe(error: BaseException) -> str:
    """Return an error as a log line has it, which never fails."""
    return f"{type(error).__name__}: {_text(error)}"


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:  # a site's own class, whose fault must not become another's
        return f"<{type(value).__name__}, whose text raises {type(error).__name__}>"


def _quote(value: Any) -> str:
    text = _text(value)[:200]
    plain = text.isprintable() and text and " " not in text and '"' not in text
    if plain:
        return text
    return '"' + text.translate(_ESCAPES).encode(errors="backslashreplace").decode() + '"'


_ESCAPES = {code: f"\\x{code:02x}" for code in [*range(32), *range(127, 160), 0x2028, 0x2029]} | {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
    ord("\n"): "\\n",
    ord("\r"): "\\r",
}


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
