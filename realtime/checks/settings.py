"""The ``REALTIME`` dict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, register

from ..conf import Settings, find_problems, get_settings


def usable_settings() -> Settings | None:
    """Return the settings, or None where E001 says what is wrong with them."""
    if any(find_problems(_given())):
        return None
    return get_settings()


def _given() -> Any:
    return getattr(django_settings, "REALTIME", {})


@register(Tags.compatibility)
def check_settings(**kwargs: Any) -> Iterator[CheckMessage]:
    """E001: a wrong value in ``REALTIME``."""
    for problem in find_problems(_given()):
        yield Error(problem.message, hint=problem.hint, obj="REALTIME", id="realtime.E001")
