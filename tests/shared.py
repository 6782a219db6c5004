"""What is costly to make, made once for all processes of a test run."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

# Where it is: workers, and test runs within tests, are told by their environment.
VARIABLE = "REALTIME_TESTS_FOLDER"


def begin_run(config: pytest.Config) -> None:
    """Make the folder of a run, in its first process; it goes when the run ends."""
    if VARIABLE not in os.environ:
        _make_folder(config.add_cleanup)


def _make_folder(at_end: Callable[[Callable[[], None]], object]) -> None:
    folder = new_folder("tests")
    folder.chmod(0o755)  # some of what is in it is other accounts'
    os.environ[VARIABLE] = str(folder)

    def remove() -> None:
        del os.environ[VARIABLE]
        shutil.rmtree(folder, ignore_errors=True)

    at_end(remove)


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """
    Return the path of what `make` has made there, in this process or another one of the run.

    Whoever asks while it is being made waits for it. It is to be copied, and stays as it is.
    """
    if VARIABLE not in os.environ:  # in a command that is no test run, such as that of pictures
        _make_folder(atexit.register)
    path = Path(os.environ[VARIABLE]) / name
    with path.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            unfinished = path.with_name(f"{name}.unfinished")
            _remove(unfinished)  # of a process that was ended
            make(unfinished)
            unfinished.rename(path)
    return path


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    with suppress(FileNotFoundError):
        path.unlink()


def new_folder(name: str) -> Path:
    """Return a new folder: in memory, where the machine has room for that."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2 * 1024**3
    return Path(tempfile.mkdtemp(prefix=f"realtime-{name}-", dir=memory if roomy else None))
