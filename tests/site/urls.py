"""The demo's pages, and views that send."""

from __future__ import annotations

from django.urls import path

from project.urls import urlpatterns as demo

from . import views

urlpatterns = [
    path("act/", views.act),
    path("save/", views.save),
    path("aact/", views.aact),
    path("visit/", views.visit),
    *demo,
]
