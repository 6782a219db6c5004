"""The demo site: Django, with Realtime in front."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

from realtime.asgi import get_application

application = get_application()
