"""Other servers that tests start, each on a free local port and with data of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest

from tests.live import migrate
from tests.processes import HOST, Service, free_port

# PostgreSQL


class PostgreSQL(Service):
    """
    A PostgreSQL of its own, from Debian's package.

    `stop` and `start` are an outage: the databases stay. `close` removes them.
    """

    def __init__(self) -> None:
        folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not folders:
            missing("PostgreSQL", "apt-get install postgresql")
        self._programs = folders[-1].parent
        self._folder = Path(tempfile.mkdtemp(prefix="realtime-postgresql-"))
        self._data = self._folder / "data"
        self._template: str | None = None
        self.port = free_port()
        # It refuses to run as root.
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            self._user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self._folder, account.pw_uid, account.pw_gid)
        self._run(
            "initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", "-D"
        )

    def _run(self, program: str, *options: str) -> None:
        subprocess.run(
            [self._programs / program, *options, self._data],
            cwd=self._folder,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            **self._user,
        )

    def start(self) -> None:
        """Start it, and return when it accepts connections."""
        options = [
            f"-h {HOST} -p {self.port} -k {self._folder}",
            "-c fsync=off -c synchronous_commit=off -c full_page_writes=off",
            "-c max_connections=60 -c shared_buffers=32MB -c timezone=UTC",
        ]
        log = str(self._folder / "log")
        self._run("pg_ctl", "start", "--wait", "-s", "-l", log, "-o", " ".join(options), "-D")

    def stop(self) -> None:
        """Stop it at once: connections break."""
        self._run("pg_ctl", "stop", "--wait", "-s", "-m", "immediate", "-D")

    @property
    def running(self) -> bool:
        """Tell whether it was started and not stopped."""
        return (self._data / "postmaster.pid").exists()

    def close(self) -> None:
        """Stop it and remove its data."""
        if self.running:
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def new_database(self) -> str:
        """Return the ``DATABASE_URL`` of a new migrated database."""
        if self._template is None:
            self._template = f"template_{uuid.uuid4().hex[:12]}"
            migrate(self._create(self._template, "template1"))
        return self._create(f"test_{uuid.uuid4().hex[:12]}", self._template)

    def _create(self, name: str, template: str) -> str:
        url = f"postgres://postgres@{HOST}:{self.port}"
        with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")  # type: ignore[arg-type]
        return f"{url}/{name}"


def missing(what: str, how: str) -> NoReturn:
    """Skip the test for want of a program; fail in CI, which has to install it."""
    message = f"{what} is not installed: {how}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
