"""Shapes of error acknowledgements, of a site's own."""

from __future__ import annotations

from typing import Any

from realtime import EventError


def node_style(error: EventError) -> Any:
    """Answer as a Node callback is called: the error first."""
    return {"status": error.code, "reason": error.message, "more": error.data}, None


def failing(error: EventError) -> Any:
    """Fail for some errors."""
    if error.code == "error":
        raise LookupError("no text for that")
    return [error.code]
