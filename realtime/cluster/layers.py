"""A channel layer for one user alone."""

from __future__ import annotations

import asyncio
import logging
from functools import cache
from typing import Any

from channels.layers import channel_layers, get_channel_layer
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ..conf import get_settings
from ..logs import log
from ..utils.recovery import log_lifetime, parse_recovery
from .log_support import new_log_layer, why_not

# For how much longer than in memory a log is kept: nobody says when a hub is killed.
KEPT = 1.25

# How long a layer may take to close its connections.
CLOSE_TIMEOUT = 10.0


def new_layer(alias: str) -> Any:
    """
    Return a new layer object with an alias's configuration, or None where there is none.

    The site's own code has another object, that of `get_channel_layer`. Who shares one shares more
    than a name: in channels_redis the lock under which one reads for all, with what reads under
    another prefix left unread, the queue of the process, and what a closing socket breaks off.

    A layer that was put in place of the configured one (`channel_layers.set`, as tests do) is
    returned as it is.
    """
    shared = get_channel_layer(alias)
    if shared is None or alias not in channel_layers.configs:
        return shared
    own = channel_layers.make_backend(alias)
    return own if type(own) is type(shared) else shared


def find_layer(alias: str, sender: str) -> Any:
    """
    Return a new layer object as `new_layer` does, or one that keeps a log for the hub or process
    `sender`, where ``REALTIME["RECOVERY"]`` wants that and the alias's configuration allows it.

    Raises ImproperlyConfigured where that is wanted and cannot be had.
    """
    settings = get_settings()
    options = parse_recovery(settings.RECOVERY)
    if options is not None and options.log != "memory":
        lifetime = log_lifetime(options, settings) * KEPT
        layer = new_log_layer(alias, sender, options, lifetime)
        if layer is not None:
            return layer
        if options.log == "redis":
            why = why_not(get_channel_layer(alias))
            raise ImproperlyConfigured(
                f'REALTIME["RECOVERY"]["LOG"] cannot be "redis" with the channel layer {alias!r}: '
                f'{why}. Use channels_redis.pubsub.RedisPubSubChannelLayer, or "auto".'
            )
    return new_layer(alias)


async def close_layer(layer: Any) -> None:
    """Close the connections of a layer of channels_redis; others have no way to say so."""
    close = getattr(layer, "close_pools", None)
    if close is None and _is_pubsub(layer):
        close = layer.flush  # which ends what is this process's, and touches nothing in Redis
    if close is None:
        return
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await close()
    except Exception as error:
        log(logging.DEBUG, "layer-error", error=repr(error))


def is_redis_core(layer: Any) -> bool:
    """Tell whether this is channels_redis' core layer, which keeps messages for each process."""
    return isinstance(layer, _find_classes("channels_redis.core.RedisChannelLayer"))


def _is_pubsub(layer: Any) -> bool:
    return isinstance(layer, _find_classes("channels_redis.pubsub.RedisPubSubChannelLayer"))


@cache
def _find_classes(path: str) -> tuple[type, ...]:
    """Return the class of this path, or none where its package is not installed."""
    try:
        return (import_string(path),)
    except ImportError:
        return ()
