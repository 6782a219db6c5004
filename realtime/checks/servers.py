"""The servers that are installed: daphne and uvicorn."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register

from ..webservers.adapters import find_unknown
from ..webservers.detect import ADAPTERS
from .settings import usable_settings

MIN_DAPHNE = (4, 2, 2)


@register(Tags.compatibility)
def check_server(**kwargs: Any) -> Iterator[CheckMessage]:
    """E004: daphne behind other apps that take its runserver; W002: a daphne with known holes."""
    apps = list(django_settings.INSTALLED_APPS)
    if "daphne" not in apps:
        yield from _check_uvicorn()
        return
    if "django.contrib.staticfiles" in apps[: apps.index("daphne")]:
        yield Error(
            "daphne stands behind django.contrib.staticfiles in INSTALLED_APPS, "
            "so runserver speaks no WebSocket.",
            hint='Put "daphne" first.',
            id="realtime.E004",
        )
    import daphne  # noqa: PLC0415

    version = tuple(int(part) for part in daphne.__version__.split(".")[:3] if part.isdigit())
    if version < MIN_DAPHNE:
        yield Warning(
            f"daphne {daphne.__version__} accepts messages of any size and smuggled headers "
            "(CVE-2026-44545, CVE-2026-44546).",
            hint="Install daphne 4.2.2 or newer.",
            id="realtime.W002",
        )


def _check_uvicorn() -> Iterator[CheckMessage]:
    """W008: a uvicorn that speaks no WebSocket."""
    if not _is_installed("uvicorn") or any(map(_is_installed, ("daphne", "websockets", "wsproto"))):
        return
    yield Warning(
        "uvicorn has no library for WebSockets: plain ones are refused, and Socket.IO clients "
        "stay on polling.",
        hint='Install "uvicorn[standard]", or websockets or wsproto beside it.',
        id="realtime.W008",
    )


@register(Tags.compatibility)
def check_versions(**kwargs: Any) -> Iterator[CheckMessage]:
    """I002: a server of a version that is not known, which is used through ASGI."""
    settings = usable_settings()
    if settings is None or not settings.DIRECT_IO:
        return
    told: set[str] = set()
    for adapter in ADAPTERS:
        unknown = find_unknown(adapter.packages)
        if adapter.packages[0].installed is None or unknown is None:
            continue
        if unknown.installed is None or unknown.name in told:  # one of two that it may have
            continue
        told.add(unknown.name)
        yield Info(
            f"{unknown.name} {unknown.installed} is not known, so frames come and go through ASGI "
            f"where {adapter.server} is used with it: every client takes twice the memory, and "
            "every message several times the time.",
            hint=f"Known are {unknown}. Install one of these, or a newer Realtime; or set "
            'REALTIME["DIRECT_IO"] to False, if ASGI is what you want.',
            id="realtime.I002",
        )


def _is_installed(module: str) -> bool:
    return find_spec(module) is not None
