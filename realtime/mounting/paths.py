"""
Where a site is mounted: which part of a path is the site's own, and how clients get there.

The rule is that of Django's ASGI handler, for all that Realtime serves: the prefix is
``FORCE_SCRIPT_NAME``, or else the server's ``root_path``; where a path starts with it, as whole
words, it is taken off once. A proxy may have taken it off before.
"""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.urls import get_script_prefix
from django.utils.encoding import escape_uri_path

from ..conf import get_settings


def script_prefix(scope: dict[str, Any]) -> str:
    """Return where the site of a request is mounted; an empty text for the host's root."""
    return settings.FORCE_SCRIPT_NAME or scope.get("root_path") or ""


def path_info(scope: dict[str, Any]) -> str:
    """Return a request's path below where the site is mounted, as ``HttpRequest.path_info``."""
    return remove_prefix(cast(str, scope["path"]), script_prefix(scope))


def remove_prefix(path: str, prefix: str) -> str:
    """Return a path without a prefix, whose last slash does not count, where it starts with it."""
    prefix = prefix.rstrip("/")
    # "/application/" does not start with the word "/app".
    return path[len(prefix) :] if f"{path}/".startswith(f"{prefix}/") else path


def client_path() -> str:
    """Return the path at which clients of this request's site find Socket.IO, for a URL."""
    return escape_uri_path(get_script_prefix().rstrip("/") + get_settings().PATH)
