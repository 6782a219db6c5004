"""Structured log lines: ``connect namespace=/ sid=... user=...``, and the same as fields."""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger("realtime")


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


def _quote(value: Any) -> str:
    text = str(value)[:200]
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
