"""The channel layer: whether there is one, and what it loses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from channels.layers import channel_layers
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from ..cluster.layers import is_redis_core
from ..cluster.log_support import why_not
from ..conf import Settings
from ..utils.recovery import parse_recovery
from .settings import usable_settings

IN_MEMORY = "channels.layers.InMemoryChannelLayer"

# Layer messages that may wait for one process, of which each may carry many events.
MIN_CAPACITY = 1000

# Seconds that a message has to survive, and a membership.
MIN_EXPIRY = 30
MIN_GROUP_EXPIRY = 60


@register(Tags.compatibility)
def check_layer(**kwargs: Any) -> Iterator[CheckMessage]:
    """
    E003: an alias without a layer; E005: a layer that cannot be made; E015: one that keeps no log;
    and what Redis loses.
    """
    settings = usable_settings()
    if settings is None:
        return
    layers, alias = _layers(), settings.CHANNEL_LAYER
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
    yield from _check_log(alias, layer, settings)
    if is_redis_core(layer):
        # Some of what tells that is channels_redis' own: another version may have it otherwise.
        with suppress(AttributeError, TypeError):
            yield from _check_redis_core(alias, layer)


def _check_log(alias: str, layer: Any, settings: Settings) -> Iterator[CheckMessage]:
    """E015: a log that is wanted in Redis, with a layer that keeps none there."""
    options = parse_recovery(settings.RECOVERY)
    if options is None or options.log != "redis" or not (why := why_not(layer)):
        return
    yield Error(
        f'REALTIME["RECOVERY"]["LOG"] is "redis", and the channel layer {alias!r} cannot keep a '
        f"log there: {why}.",
        hint="Use channels_redis.pubsub.RedisPubSubChannelLayer with one host, without encryption. "
        'Or give "memory", where clients of a process that is killed are told of a loss.',
        id="realtime.E015",
    )


def _check_redis_core(alias: str, layer: Any) -> Iterator[CheckMessage]:
    """W001, W004, W005, W006: settings of channels_redis' core layer that lose messages."""
    capacity = layer.get_capacity(f"specific.{layer.client_prefix}!")
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
    """W007: a layer in memory, which several processes cannot share."""
    settings = usable_settings()
    if settings is not None and is_in_memory(settings.CHANNEL_LAYER):
        yield Warning(
            "The channel layer is in memory, so processes do not reach each other's clients.",
            hint="Use channels_redis, or silence this check if one process serves the site and "
            "nothing else sends to its clients.",
            id="realtime.W007",
        )


def is_in_memory(alias: str) -> bool:
    """Tell whether a channel layer is in the memory of one process."""
    return bool(_layers().get(alias, {}).get("BACKEND", IN_MEMORY) == IN_MEMORY)


def _layers() -> Any:
    return getattr(django_settings, "CHANNEL_LAYERS", {})
