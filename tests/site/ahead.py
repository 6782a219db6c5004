"""The site in a process whose clock is two days ahead."""

from __future__ import annotations

import time
from typing import Any

AHEAD = 2 * 86_400

_right = time.time


def _ahead() -> float:
    return _right() + AHEAD


time.time = _ahead


def __getattr__(name: str) -> Any:
    from tests.site import asgi

    return getattr(asgi, name)
