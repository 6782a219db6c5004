"""What is wrong with the settings, said at start-up with a hint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router

from .conf import find_problems, get_settings
from .routing import check_routes

MIN_DAPHNE = (4, 2, 2)
MIN_CAPACITY = 1000


@register(Tags.compatibility)
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """E001: a wrong value in ``REALTIME``; E002: namespaces that cannot be loaded."""
    given = getattr(django_settings, "REALTIME", {})
    errors: list[CheckMessage] = [
        Error(problem.message, hint=problem.hint, obj="REALTIME", id="realtime.E001")
        for problem in find_problems(given)
    ]
    return errors or list(_check_namespaces())


def _check_namespaces() -> Iterator[CheckMessage]:
    try:
        check_routes()
    except (ImportError, ImproperlyConfigured) as error:
        yield Error(
            f"The namespaces cannot be loaded: {error}",
            hint='Set REALTIME["NAMESPACES"] to the dotted path of a list of routes.',
            obj="REALTIME",
            id="realtime.E002",
        )


@register(Tags.compatibility)
def check_layer(**kwargs: Any) -> Iterator[CheckMessage]:
    """E003: an alias without a layer; W001: a capacity at which a layer drops messages."""
    layers = getattr(django_settings, "CHANNEL_LAYERS", {})
    if any(find_problems(getattr(django_settings, "REALTIME", {}))):
        return
    alias = get_settings().CHANNEL_LAYER
    if layers and alias not in layers:
        yield Error(
            f"CHANNEL_LAYERS has no layer {alias!r}.",
            hint='Add it, or name another one in REALTIME["CHANNEL_LAYER"].',
            id="realtime.E003",
        )
        return
    config = layers.get(alias, {})
    capacity = config.get("CONFIG", {}).get("capacity", 100)
    is_redis = config.get("BACKEND") == "channels_redis.core.RedisChannelLayer"
    if is_redis and capacity < MIN_CAPACITY:
        yield Warning(
            f"The channel layer {alias!r} drops messages when {capacity} wait for a process.",
            hint=f'Set CONFIG["capacity"] to {MIN_CAPACITY * 10} or so.',
            id="realtime.W001",
        )


@register(Tags.compatibility)
def check_presence(**kwargs: Any) -> Iterator[CheckMessage]:
    """W003: presence without a database that the writer's thread shares with all others."""
    if any(find_problems(getattr(django_settings, "REALTIME", {}))):
        return
    if not get_settings().PRESENCE:
        return
    from .models import Socket  # noqa: PLC0415

    alias = router.db_for_write(Socket)
    config = connections[alias].settings_dict
    name = str(config["NAME"])
    if config["ENGINE"] == "django.db.backends.dummy":
        problem = "there is no database for it"
    elif connections[alias].vendor == "sqlite" and (":memory:" in name or "mode=memory" in name):
        problem = f"the database {alias!r} is in memory, where no other process finds it"
    else:
        return
    yield Warning(
        f"Presence is on, and {problem}.",
        hint='Name another one in DATABASES, or set REALTIME["PRESENCE"] to False.',
        id="realtime.W003",
    )


@register(Tags.compatibility)
def check_server(**kwargs: Any) -> Iterator[CheckMessage]:
    """E004: daphne behind other apps that take its runserver; W002: a daphne with known holes."""
    apps = list(django_settings.INSTALLED_APPS)
    if "daphne" not in apps:
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
