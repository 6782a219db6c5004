"""What a server says about itself."""

from __future__ import annotations

import os
import platform
import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import channels
import django
from django.utils import timezone

from ..utils.version import VERSION

# Modules that only the server's own process has, and what they belong to. daphne comes last:
# its app is loaded in every process of a site.
_SOFTWARE = {
    "uvicorn.server": "uvicorn",
    "hypercorn.asyncio": "hypercorn",
    "granian.server": "granian",
    "daphne.server": "daphne",
}


class Description:
    """A server's id, name, process and versions, as they are when its hub starts."""

    def __init__(self, server_id: str) -> None:
        self.id = server_id
        self._started_at = timezone.now()

    def fields(self) -> dict[str, Any]:
        """Return the fields of `realtime.models.Server` but its heartbeat."""
        host, pid = socket.gethostname()[:200], os.getpid()
        return {
            "id": self.id,
            "name": f"{host}:{pid}",
            "host": host,
            "pid": pid,
            "software": _software()[:64],
            "versions": {
                "realtime": VERSION,
                "django": django.__version__,
                "channels": channels.__version__,
                "python": platform.python_version(),
            },
            "started_at": self._started_at,
        }


def _software() -> str:
    """Return the name and version of the server that runs this process."""
    for module, name in _SOFTWARE.items():
        if module in sys.modules:
            try:
                return f"{name} {version(name)}"
            except PackageNotFoundError:
                return name
    return ""
