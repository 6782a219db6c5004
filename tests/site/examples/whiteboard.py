"""The whiteboard: every line that one draws is drawn by all others."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from realtime import NamespaceConsumer, event

Share = Annotated[float, Meta(ge=0, le=1)]


class Line(Struct):
    """A line, in shares of the board's width and height."""

    x0: Share
    y0: Share
    x1: Share
    y1: Share
    color: Annotated[str, Meta(max_length=20)]


class WhiteboardConsumer(NamespaceConsumer):
    """The namespace "/whiteboard"."""

    rate_limits = {"drawing": "200/s"}

    @event
    async def drawing(self, line: Line) -> None:
        self.broadcast.emit("drawing", line)
