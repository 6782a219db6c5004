import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")

from realtime.asgi import get_application

application = get_application()
