"""The site's ASGI application."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.peers.realtime.settings")

from realtime.asgi import get_application

application = get_application()
