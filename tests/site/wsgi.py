"""
The site on a WSGI server: it serves pages, and no Realtime clients.

With ``SAY_AT_START`` in the environment it speaks to that room when it is loaded, which with
``gunicorn --preload`` is before the workers are forked.
"""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

import realtime

application = get_wsgi_application()

if room := os.environ.get("SAY_AT_START"):
    realtime.of("/cluster").to(room).emit("said", "parent")
