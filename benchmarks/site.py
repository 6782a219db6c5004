"""The database of the Django sites under test, and the cookie of a user who is logged in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from .servers import ROOT

SETTINGS = "benchmarks.peers.realtime.settings"

_LOG_IN = """
import django
django.setup()
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User

user = User.objects.create_user("ada")
session = import_module(settings.SESSION_ENGINE).SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.save()
print(f"{settings.SESSION_COOKIE_NAME}={session.session_key}")
"""


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Return the folder of this run's databases and logs; it goes when the run ends."""
    return tempfile.TemporaryDirectory(prefix="realtime-benchmarks-")


def _python(database: Path, *arguments: str) -> str:
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": SETTINGS,
        "BENCH_DATABASE": str(database),
    }
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=env, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@cache
def _template() -> tuple[Path, str]:
    """Return a migrated database with a logged-in user, and that user's cookie."""
    database = Path(_folder().name) / "template.sqlite3"
    _python(database, "-m", "django", "migrate", "--verbosity", "0")
    return database, _python(database, "-c", _LOG_IN)


def new_database(name: str) -> Path:
    """Return a new database of its own, as a copy of the template."""
    path = Path(_folder().name) / f"{name}.sqlite3"
    for leftover in path.parent.glob(f"{path.name}*"):
        leftover.unlink()
    shutil.copy(_template()[0], path)
    return path


def session_cookie() -> str:
    """Return the cookie of a user whose session is in every such database."""
    return _template()[1]
