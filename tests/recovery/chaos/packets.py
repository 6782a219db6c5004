"""Socket.IO packets, as a client writes and reads them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tests.recovery.chaos.links import Frame


class Packet(NamedTuple):
    """A packet whose attachments are not in it yet."""

    kind: str
    namespace: str
    id: int | None
    data: Any
    attachments: int


def read(frame: str) -> Packet:
    """Return the packet of a text frame."""
    kind, rest = frame[0], frame[1:]
    attachments = 0
    if kind in "56":
        count, _, rest = rest.partition("-")
        attachments = int(count)
    namespace = "/"
    if rest.startswith("/"):
        namespace, _, rest = rest.partition(",")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    body = rest[len(digits) :]
    data = json.loads(body) if body else None
    return Packet(kind, namespace, int(digits) if digits else None, data, attachments)


def fill(args: list[Any], attachments: list[bytes]) -> list[Any]:
    """Return arguments with the attachments where they belong."""
    return [
        attachments[arg["num"]] if isinstance(arg, dict) and "_placeholder" in arg else arg
        for arg in args
    ]


def write_event(namespace: str, id: int, args: tuple[Any, ...]) -> list[Frame]:
    """Return the frames of an event that asks for an acknowledgement."""
    attachments: list[Frame] = [arg for arg in args if isinstance(arg, bytes)]
    numbers = iter(range(len(attachments)))
    told = [
        {"_placeholder": True, "num": next(numbers)} if isinstance(arg, bytes) else arg
        for arg in args
    ]
    kind = f"5{len(attachments)}-" if attachments else "2"
    return [f"{kind}{namespace},{id}{json.dumps(told)}", *attachments]
