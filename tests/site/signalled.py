"""The site, which tells in its log of the clients of "/recovery" that signals tell of."""

from __future__ import annotations

import logging
from typing import Any

from django.apps import apps
from django.dispatch import receiver

from realtime.signals import socket_connected, socket_disconnected

from .asgi import application
from .recovery import RecoveryConsumer

__all__ = ["application"]

logger = logging.getLogger("realtime.signalled")


@receiver(socket_connected, sender=RecoveryConsumer)
def note_connected(sid: str, **kwargs: Any) -> None:
    logger.info("signal connected sid=%s", sid)


@receiver(socket_disconnected, sender=RecoveryConsumer)
def note_disconnected(sid: str, reason: str, **kwargs: Any) -> None:
    present = apps.get_model("realtime", "Socket").objects.filter(sid=sid).exists()
    logger.info('signal disconnected sid=%s reason="%s" present=%s', sid, reason, present)
