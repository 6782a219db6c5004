"""The site's settings."""

from ..settings import *  # noqa: F403
from ..settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "sio"]
ASGI_APPLICATION = "benchmarks.peers.django_sio.asgi.application"
