"""The hub: one for each process, which knows the local sockets and talks to the channel layer."""

from .hub import Hub
from .process import ensure_hub, find_hub, get_gateway, get_hub

__all__ = ["Hub", "ensure_hub", "find_hub", "get_gateway", "get_hub"]
