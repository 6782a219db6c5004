"""Which channel layers can keep a log in their Redis, and the layer that does with theirs."""

from __future__ import annotations

from typing import Any

from channels.layers import get_channel_layer

from ..utils.recovery import RecoveryOptions
from .log_layer import LogLayer


def why_not(layer: Any) -> str:
    """Return why a layer's Redis cannot keep the log; an empty text where it can."""
    try:
        from channels_redis.pubsub import RedisPubSubChannelLayer  # noqa: PLC0415
        from channels_redis.serializers import MsgPackSerializer  # noqa: PLC0415
    except ImportError:
        return "channels_redis is not installed"
    if type(layer) is not RedisPubSubChannelLayer:
        return f"it is a {type(layer).__name__}"
    serializer = layer._serializer
    if type(serializer) is not MsgPackSerializer or serializer.random_prefix_length:
        return "its serializer is not that of MessagePack"
    if serializer.crypter is not None:
        return "it encrypts its messages, and a log would keep them in the clear"
    if len(_hosts(layer)) > 1:
        return "it has several hosts, and the log has one order"
    return ""


def _hosts(layer: Any) -> list[dict[str, Any]]:
    from channels_redis.utils import decode_hosts  # noqa: PLC0415

    hosts = layer._args[0] if layer._args else layer._kwargs.get("hosts")
    return decode_hosts(hosts)  # type: ignore[no-any-return]


def new_log_layer(
    alias: str, sender: str, options: RecoveryOptions, lifetime: float
) -> LogLayer | None:
    """Return a layer that keeps a log, with an alias's configuration; None where it cannot be."""
    layer = get_channel_layer(alias)
    if layer is None or why_not(layer):
        return None
    from channels_redis.utils import create_pool  # noqa: PLC0415

    pool = create_pool({**_hosts(layer)[0], "protocol": 2})
    prefix = layer._kwargs.get("prefix", "asgi")
    return LogLayer(pool.make_connection, prefix, sender, options, lifetime)
