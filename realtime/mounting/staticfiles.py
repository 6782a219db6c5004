"""Static files while a site is developed, as ``runserver`` serves them, on every ASGI server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Any
from urllib.parse import ParseResult, urlparse

from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.urls import get_script_prefix, set_script_prefix

from .paths import path_info, remove_prefix, script_prefix

Application = Callable[..., Awaitable[None]]


def serve_static_files(application: Application) -> Application:
    """
    Return an application that serves static files too, while ``DEBUG`` is on.

    Without it, or without django.contrib.staticfiles, the application is returned as it is.
    """
    if settings.DEBUG and apps.is_installed("django.contrib.staticfiles"):
        return StaticFiles(application)
    return application


class StaticFiles(ASGIStaticFilesHandler):
    """Django's handler, which finds static files of a site below a path too."""

    def __init__(self, application: Application) -> None:
        self.application = application  # type: ignore[assignment]

    @cached_property
    def base_url(self) -> ParseResult:  # type: ignore[override]
        """The URL of static files, below where the site is mounted."""
        url = urlparse(self.get_base_url())
        return url._replace(path=remove_prefix(url.path, get_script_prefix()))

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Serve a static file, or hand the request to the application."""
        # Django reads STATIC_URL once, and puts the prefix in front that is known then.
        set_script_prefix(script_prefix(scope))
        path = path_info(scope)
        if settings.STATIC_URL and self._should_handle(path):
            await super().__call__({**scope, "path": path}, receive, send)
        else:
            await self.application(scope, receive, send)
