"""Where code runs: in a test, in a management command, or in anything else."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from django.core.management.base import BaseCommand

# Commands that serve a site, or wait for what somebody types, by how their names begin. An error
# is seen there, and stops nothing else.
SERVING = ("runserver", "runsslserver", "runmodwsgi", "testserver", "shell")

# How Django's commands are started; `python -m django` has the last one, in a folder "django".
PROGRAMS = ("manage.py", "django-admin", "django-admin.exe", "django/__main__.py")


def is_test() -> bool:
    """Tell whether Django's test environment is set up, by its test runner or by pytest-django."""
    utils = sys.modules.get("django.test.utils")
    return hasattr(getattr(utils, "_TestState", None), "saved_data")


def is_command() -> bool:
    """Tell whether a management command does this, one that neither serves nor waits for people."""
    name = _find_command()
    return name is not None and not name.startswith(SERVING)


def _find_command() -> str | None:
    """Return the command's name: of this thread, of the main one, or of the whole process."""
    frames = sys._current_frames()
    for thread in (threading.current_thread(), threading.main_thread()):
        frame = frames.get(thread.ident or 0)
        while frame is not None:
            if frame.f_code is BaseCommand.execute.__code__:
                return type(frame.f_locals["self"]).__module__.rpartition(".")[2]
            frame = frame.f_back
    # Its end, and the processes that it starts, have no such frame.
    program = Path(sys.argv[0]).as_posix() if sys.argv else ""
    if program.endswith(PROGRAMS) and len(sys.argv) > 1:
        return sys.argv[1]
    return None
