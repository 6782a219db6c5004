"""Other servers that tests start, each on a free local port and with data of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import uuid
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest

from tests.live import migrate
from tests.ports import HOST, free_port
from tests.processes import Frozen, LiveProcess
from tests.shared import made_once, new_folder

# The migrated database of a PostgreSQL, from which others are made.
TEMPLATE = "migrated"


class PostgreSQL(Frozen):
    """
    A PostgreSQL of its own, from Debian's package.

    `stop` and `start` are an outage: the databases stay. `close` removes them.
    """

    def __init__(self) -> None:
        folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not folders:
            missing("PostgreSQL", "apt-get install postgresql")
        self._programs = folders[-1].parent
        self._folder = new_folder("postgresql")
        self._data = self._folder / "data"
        self.port = free_port()
        # It refuses to run as root.
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            self._user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self._folder, account.pw_uid, account.pw_gid)
        # With the accounts that own the files.
        subprocess.run(["cp", "-a", made_once("postgresql", self._make), self._data], check=True)

    def _make(self, path: Path) -> None:
        """Make the data that each one begins with: a migrated database to copy is in them."""
        self._run(
            "initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", "-D"
        )
        self.start()
        try:
            migrate(self._create(TEMPLATE, "template1"))
        finally:
            self.stop("fast")
        subprocess.run(["mv", self._data, path], check=True)

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

    def stop(self, how: str = "immediate") -> None:
        """Stop it, at once where nothing else is said: connections break."""
        self._run("pg_ctl", "stop", "--wait", "-s", "-m", how, "-D")

    @property
    def running(self) -> bool:
        """Tell whether it was started and not stopped."""
        return (self._data / "postmaster.pid").exists()

    @property
    def pid(self) -> int:
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def close(self) -> None:
        """Stop it and remove its data."""
        if self.running:
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def new_database(self) -> str:
        """Return the ``DATABASE_URL`` of a new migrated database."""
        return self._create(f"test_{uuid.uuid4().hex[:12]}", TEMPLATE)

    def new_empty_database(self) -> str:
        """Return the URL of a new database with no tables."""
        return self._create(f"test_{uuid.uuid4().hex[:12]}", "template1")

    def _create(self, name: str, template: str) -> str:
        url = f"postgres://postgres@{HOST}:{self.port}"
        with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")  # type: ignore[arg-type]
        return f"{url}/{name}"


class MariaDB(LiveProcess):
    """
    A MariaDB of its own, from Debian's package, with the character set that the package sets.

    `stop` and `start` are an outage: the databases stay. `close` removes them. Its clock shows the
    time of another zone than those of the tests.
    """

    def __init__(self) -> None:
        server, install = Path("/usr/sbin/mariadbd"), Path("/usr/bin/mariadb-install-db")
        if not (server.exists() and install.exists()):
            missing("MariaDB", "apt-get install mariadb-server")
        if find_spec("MySQLdb") is None:
            missing("mysqlclient", "see requirements-mariadb.txt")
        self._data = new_folder("mariadb")
        port = free_port()
        # It leaves root for this account by itself.
        user = ["--user=mysql"] if os.geteuid() == 0 else []
        command = [str(server), "--no-defaults", f"--datadir={self._data}", *user]
        command += [f"--port={port}", f"--bind-address={HOST}", f"--tmpdir={self._data}"]
        command += [f"--socket={self._data}/socket", f"--pid-file={self._data}/pid"]
        command += ["--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci"]
        command += ["--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=64M"]
        super().__init__("mariadb", command, port, {**os.environ, "TZ": "Asia/Tokyo"})
        options = ["--no-defaults", f"--datadir={self._data}", *user, "--skip-test-db"]
        subprocess.run(
            [install, *options, "--auth-root-authentication-method=normal"],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def stop(self, timeout: float = 10.0) -> int | None:
        """Stop it at once: connections break."""
        return self.kill()

    def close(self) -> None:
        """Stop it and remove its data."""
        self.stop()
        shutil.rmtree(self._data, ignore_errors=True)

    def new_database(self) -> str:
        """Return the ``DATABASE_URL`` of a new migrated database."""
        import MySQLdb

        name = f"test_{uuid.uuid4().hex[:12]}"
        with closing(MySQLdb.connect(host=HOST, port=self.port, user="root")) as connection:
            connection.query(f"CREATE DATABASE {name}")
        url = f"mysql://root@{HOST}:{self.port}/{name}"
        migrate(url)
        return url


def missing(what: str, how: str) -> NoReturn:
    """Skip the test for want of a program; fail in CI, which has to install it."""
    message = f"{what} is not installed: {how}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
