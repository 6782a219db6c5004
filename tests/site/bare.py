"""
A site with no more than its environment says: ``APPS`` and ``SESSION_ENGINE`` are its settings,
and ``NAMESPACES`` names its routes.
"""

from __future__ import annotations

import os

import environ
from django.urls import path

from realtime import NamespaceConsumer, event

SECRET_KEY = "a key that is long enough for nobody but tests, and known to all of them"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = os.environ.get("APPS", "realtime").split()
SESSION_ENGINE = os.environ.get("SESSION_ENGINE", "django.contrib.sessions.backends.db")
ROOT_URLCONF = "tests.site.bare"
DATABASES = {"default": environ.Env().db("DATABASE_URL")}
REALTIME = {"NAMESPACES": os.environ.get("NAMESPACES", "tests.site.bare.namespaces")}

urlpatterns: list[object] = []


class Whoami(NamespaceConsumer):
    """Says whom it takes its client for."""

    @event
    async def whoami(self) -> list[object]:
        return [self.user.is_authenticated, self.user.pk, str(self.user)]


namespaces = [path("", Whoami.as_asgi())]
