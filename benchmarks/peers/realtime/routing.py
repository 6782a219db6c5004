"""The site's namespaces."""

from django.urls import path

from .consumers import BenchConsumer

namespaces = [path("", BenchConsumer.as_asgi())]
