"""The path below which the site is mounted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Tags, Warning, register

from .settings import usable_settings


@register(Tags.compatibility)
def check_mount(**kwargs: Any) -> Iterator[CheckMessage]:
    """W015: a prefix of the site that takes no whole words off a path, or is there twice."""
    prefix = django_settings.FORCE_SCRIPT_NAME
    settings = usable_settings()
    if not prefix or settings is None:
        return
    words = prefix.strip("/")
    if not words or prefix != f"/{words}":
        yield Warning(
            f"FORCE_SCRIPT_NAME is {prefix!r}, which Django takes off no path as it should.",
            hint=f'Give it a slash in front and none behind, like "/{words or "app"}".',
            id="realtime.W015",
        )
    for name in ("PATH", "PLAIN_PATH"):
        path = getattr(settings, name)
        if words and isinstance(path, str) and path.startswith(f"/{words}/"):
            rest = path.removeprefix(f"/{words}")
            yield Warning(
                f"REALTIME[{name!r}] starts with FORCE_SCRIPT_NAME, so clients have to ask for "
                f"/{words}{path}.",
                hint=f'Settings of Realtime stand below it: give "{rest}".',
                id="realtime.W015",
            )
