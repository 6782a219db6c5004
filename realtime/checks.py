"""What is wrong with the settings, said at start-up with a hint."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from channels.layers import channel_layers
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router

from .conf import find_problems, get_settings
from .models import Socket
from .routing import check_routes

MIN_DAPHNE = (4, 2, 2)

IN_MEMORY = "channels.layers.InMemoryChannelLayer"

# Layer messages that may wait for one process, of which each may carry many events.
MIN_CAPACITY = 1000

# Seconds that a message has to survive, and a membership.
MIN_EXPIRY = 30
MIN_GROUP_EXPIRY = 60


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
def check_mount(**kwargs: Any) -> Iterator[CheckMessage]:
    """W009: a prefix of the site that takes no whole words off a path, or is there twice."""
    prefix = django_settings.FORCE_SCRIPT_NAME
    if not prefix or any(find_problems(getattr(django_settings, "REALTIME", {}))):
        return
    words = prefix.strip("/")
    if not words or prefix != f"/{words}":
        yield Warning(
            f"FORCE_SCRIPT_NAME is {prefix!r}, which Django takes off no path as it should.",
            hint=f'Give it a slash in front and none behind, like "/{words or "app"}".',
            id="realtime.W009",
        )
    for name in ("PATH", "PLAIN_PATH"):
        path = getattr(get_settings(), name)
        if words and isinstance(path, str) and path.startswith(f"/{words}/"):
            rest = path.removeprefix(f"/{words}")
            yield Warning(
                f"REALTIME[{name!r}] starts with FORCE_SCRIPT_NAME, so clients have to ask for "
                f"/{words}{path}.",
                hint=f'Settings of Realtime stand below it: give "{rest}".',
                id="realtime.W009",
            )


@register(Tags.compatibility)
def check_layer(**kwargs: Any) -> Iterator[CheckMessage]:
    """E003: an alias without a layer; E005: a layer that cannot be made; and what Redis loses."""
    if any(find_problems(getattr(django_settings, "REALTIME", {}))):
        return
    layers = getattr(django_settings, "CHANNEL_LAYERS", {})
    alias = get_settings().CHANNEL_LAYER
    if alias not in layers:
        if layers:
            yield Error(
                f"CHANNEL_LAYERS has no layer {alias!r}.",
                hint='Add it, or name another one in REALTIME["CHANNEL_LAYER"].',
                id="realtime.E003",
            )
        return
    try:
        layer = channel_layers.make_backend(alias)
    except Exception as error:  # whatever its class makes of its CONFIG
        yield Error(
            f"The channel layer {alias!r} cannot be made: {error}",
            hint="Install its package, and give it the CONFIG that its documentation shows.",
            id="realtime.E005",
        )
        return
    if _is_redis_core(layer):
        yield from _check_redis_core(alias, layer)


def _is_redis_core(layer: Any) -> bool:
    try:
        from channels_redis.core import RedisChannelLayer  # noqa: PLC0415
    except ImportError:
        return False
    return isinstance(layer, RedisChannelLayer)


def _check_redis_core(alias: str, layer: Any) -> Iterator[CheckMessage]:
    """W001, W004, W005, W006: settings of channels_redis' core layer that lose messages."""
    capacity = layer.get_capacity(f"realtime.{layer.client_prefix}!")
    if capacity < MIN_CAPACITY:
        yield Warning(
            f"The channel layer {alias!r} drops messages when {capacity} wait for a process.",
            hint=f'Set CONFIG["capacity"] to {MIN_CAPACITY * 10} or so.',
            id="realtime.W001",
        )
    if layer.expiry < MIN_EXPIRY:
        yield Warning(
            f"The channel layer {alias!r} drops messages that a process has not read within "
            f"{layer.expiry} seconds, and those of machines whose clocks differ by more.",
            hint=f'Set CONFIG["expiry"] to {MIN_EXPIRY} or more; 60 is its default.',
            id="realtime.W004",
        )
    if layer.group_expiry < MIN_GROUP_EXPIRY:
        yield Warning(
            f"The channel layer {alias!r} forgets who is in a room after {layer.group_expiry} "
            "seconds, which a process in a short trouble may not renew in time.",
            hint=f'Set CONFIG["group_expiry"] to {MIN_GROUP_EXPIRY} or more; a day is its default.',
            id="realtime.W005",
        )
    timeout = layer.create_pool(0).make_connection().socket_timeout
    if timeout is not None and timeout <= layer.brpop_timeout:
        yield Warning(
            f"The channel layer {alias!r} gives up a request to Redis after {timeout:g} seconds, "
            f"and waits up to {layer.brpop_timeout} for a message: it loses its connection while "
            "nothing happens, and may lose a message with it.",
            hint='Set a longer one: CONFIG["hosts"] = [{"address": "redis://...", '
            '"socket_timeout": 15}].',
            id="realtime.W006",
        )


@register(Tags.compatibility, deploy=True)
def check_processes(**kwargs: Any) -> Iterator[CheckMessage]:
    """W007: a layer in memory; I001: presence in a file, which machines cannot share."""
    if any(find_problems(getattr(django_settings, "REALTIME", {}))):
        return
    settings = get_settings()
    layers = getattr(django_settings, "CHANNEL_LAYERS", {})
    if layers.get(settings.CHANNEL_LAYER, {}).get("BACKEND", IN_MEMORY) == IN_MEMORY:
        yield Warning(
            "The channel layer is in memory, so processes do not reach each other's clients.",
            hint="Use channels_redis, or silence this check if one process serves the site and "
            "nothing else sends to its clients.",
            id="realtime.W007",
        )
    elif settings.PRESENCE and connections[router.db_for_write(Socket)].vendor == "sqlite":
        yield Info(
            "Who is connected is kept in SQLite, which only processes of one machine can share.",
            hint="Use PostgreSQL for several machines.",
            id="realtime.I001",
        )


@register(Tags.compatibility)
def check_presence(**kwargs: Any) -> Iterator[CheckMessage]:
    """W003: presence without a database that the writer's thread shares with all others."""
    if any(find_problems(getattr(django_settings, "REALTIME", {}))):
        return
    if not get_settings().PRESENCE:
        return
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


def _is_installed(module: str) -> bool:
    return find_spec(module) is not None
