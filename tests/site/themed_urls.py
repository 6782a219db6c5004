"""The demo's pages, with those that a theme for the admin needs."""

from __future__ import annotations

from django.apps import apps
from django.urls import include, path

from .urls import urlpatterns as site

urlpatterns = [*site]
if apps.is_installed("grappelli"):
    urlpatterns.insert(0, path("grappelli/", include("grappelli.urls")))
