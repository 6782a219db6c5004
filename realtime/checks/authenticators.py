"""Those whom ``REALTIME["AUTHENTICATORS"]`` names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured

from ..authenticators.requirements import find_missing
from ..identity.authentication import load_authenticator
from ..sockets.overrides import signature_of
from .settings import usable_settings

HINT = (
    "Write def known(credentials), or async def, which returns None, a user, or a user and when "
    'that ends, and give its dotted path, like "realtime.authenticators.session".'
)


@register(Tags.compatibility)
def check_authenticators(**kwargs: Any) -> Iterator[CheckMessage]:
    """E016: an authenticator that cannot be called as it will be, or lacks what it needs."""
    settings = usable_settings()
    if settings is None:
        return
    for path in settings.AUTHENTICATORS:
        fault = _find_fault(path)
        if fault is not None:
            problem, hint = fault
            yield Error(
                f"REALTIME['AUTHENTICATORS'] names {path!r}: {problem}.",
                hint=hint,
                obj="REALTIME",
                id="realtime.E016",
            )


def _find_fault(path: str) -> tuple[str, str] | None:
    """Return what is wrong with an authenticator and what to do, or None."""
    try:
        function = load_authenticator(path).function
    except ImproperlyConfigured as error:
        return str(error.__cause__ or error), HINT
    if isinstance(function, type):
        return "it is a class, of which nobody makes an instance", HINT
    try:
        signature_of(function).bind("credentials")
    except TypeError as error:
        return f"it cannot be called with one argument: {error}", HINT
    except ValueError:
        pass  # one that does not tell what it takes
    return find_missing(function)
