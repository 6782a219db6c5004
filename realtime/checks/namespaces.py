"""The routes of namespaces, and the consumers that they lead to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured

from ..consumers import NamespaceConsumer
from ..exceptions import InvalidConsumer, InvalidEventName
from ..routing import check_routes, consumers
from ..sockets.contract import unhandled
from ..sockets.handlers import NAME_HINT
from .settings import usable_settings


def usable_consumers() -> Iterator[tuple[type[Any], dict[str, Any]]]:
    """Yield what `routing.consumers` does; nothing where E002 or E006 says what is wrong there."""
    try:
        check_routes()
    except Exception:  # whatever the site's modules do
        return
    yield from consumers()


@register(Tags.compatibility)
def check_namespaces(**kwargs: Any) -> Iterator[CheckMessage]:
    """E002: namespaces that cannot be loaded; E006: a consumer that cannot work."""
    if usable_settings() is None:
        return
    try:
        check_routes()
    except InvalidConsumer as error:
        yield Error(error.message, hint=error.hint, id="realtime.E006")
    except InvalidEventName as error:
        message = str(error).removesuffix(NAME_HINT).rstrip()
        yield Error(message, hint=NAME_HINT, id="realtime.E006")
    except (ImportError, ImproperlyConfigured) as error:
        yield Error(
            f"The namespaces cannot be loaded: {error}",
            hint='Set REALTIME["NAMESPACES"] to the dotted path of a list of routes.',
            obj="REALTIME",
            id="realtime.E002",
        )
    else:
        yield from _check_rate_limits()


def _check_rate_limits() -> Iterator[CheckMessage]:
    """W009: a limit for an event that no handler takes, so that it limits nothing."""
    for consumer_class, initkwargs in consumers():
        rates = initkwargs.get("rate_limits", consumer_class.rate_limits)
        for event in unhandled(consumer_class, rates, NamespaceConsumer):
            yield Warning(
                f"{consumer_class.__module__}.{consumer_class.__qualname__} limits the event "
                f"{event!r}, and has no handler for it.",
                hint='Write the event\'s name as @event has it; "*" is for all others together.',
                id="realtime.W009",
            )
