"""The site's settings."""

from ..settings import *  # noqa: F403

ASGI_APPLICATION = "benchmarks.peers.channels_tutorial.asgi.application"
