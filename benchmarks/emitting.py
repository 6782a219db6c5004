"""What the scripts that emit from outside share: numbered payloads, for a time, and the rate."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

SIZE = 100
FILLER = "".join(chr(ord("a") + index % 26) for index in range(SIZE))


def payload(number: int) -> str:
    """Return the payload that the load generator expects as its message of this number."""
    head = f"#{number:08}#"
    return head + FILLER[len(head) :]


def emit_for(seconds: float, emit: Callable[[str], Any]) -> None:
    """Emit as fast as `emit` returns, then print how many there were and in what time."""
    count, start = 0, time.perf_counter()
    cpu = time.process_time()
    while (elapsed := time.perf_counter() - start) < seconds:
        emit(payload(count))
        count += 1
    used = (time.process_time() - cpu) * 1e6
    json.dump(
        {
            "emitted": count,
            "per_second": count / elapsed,
            "cpu_us_each": used / count,
        },
        sys.stdout,
    )
