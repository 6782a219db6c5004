"""Debian's nginx, with the configuration that the deployment guide shows."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.live import HOST, ROOT, free_port
from tests.services import missing

GUIDES = ROOT / "docs" / "how-to" / "deploy"

START_DEADLINE = 20.0


class Nginx:
    """
    Debian's nginx in front of servers at these ports, with the deployment guide's configuration.

    Requests go to the ports in turn; with `pages`, the port of a WSGI server, only those that are
    Realtime's. `home` is the site's folder. `start` and `stop`, or usable as a context manager.
    """

    def __init__(self, *ports: int, pages: int | None = None, home: Path | None = None) -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.ws_url = f"ws://{HOST}:{self.port}"
        self._ports = ports
        self._pages = pages
        self._home = home
        self._folder = Path(tempfile.mkdtemp(prefix="realtime-nginx-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def log(self) -> str:
        """What nginx complained about so far."""
        path = self._folder / "error.log"
        return path.read_text() if path.exists() else ""

    def start(self) -> None:
        """Start it, and return when it accepts connections; raise with its log if it does not."""
        program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            missing("nginx", "apt-get install nginx-light")
        self._write_configuration()
        command = [str(program), "-p", str(self._folder), "-c", "main.conf"]
        with (self._folder / "error.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_DEADLINE
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                log_text = self.log
                self.stop()
                raise RuntimeError(f"nginx did not start:\n{log_text}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it with all its connections, and remove its files."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._process.kill()
            self._process.wait()
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _accepts(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex((HOST, self.port)) == 0

    def _write_configuration(self) -> None:
        (self._folder / "site.conf").write_text(self._configuration())
        temporary = "\n".join(
            f"{kind}_temp_path {self._folder}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
        )
        (self._folder / "main.conf").write_text(
            f"""
            {"user root;" if os.geteuid() == 0 else ""}
            daemon off;
            worker_processes 1;
            pid {self._folder}/nginx.pid;
            error_log stderr warn;
            events {{ worker_connections 1024; }}
            http {{
                access_log off;
                {temporary}
                include {self._folder}/site.conf;
            }}
            """
        )

    def _configuration(self) -> str:
        """Return the guide's configuration with the ports of this test."""
        name = "nginx.conf" if self._pages is None else "nginx-wsgi.conf"
        text = (GUIDES / name).read_text()
        if self._home is not None:
            text = self._replace("/srv/mysite(?=/)", str(self._home), text)
        if self._pages is not None:
            text = self._replace(
                r"server 127\.0\.0\.1:8000;", f"server {HOST}:{self._pages};", text
            )
        # One line for each server, with the options of the guide's lines.
        servers = "".join(rf"    server {HOST}:{port} \2;" + "\n" for port in self._ports)
        text = self._replace(r"( *server [\d.]+:\d+ (.*);\n)+", servers, text)
        return self._replace(r"listen .*;", f"listen {HOST}:{self.port};", text)

    def _replace(self, pattern: str, replacement: str, text: str) -> str:
        text, count = re.subn(pattern, replacement, text)
        assert count == 1, f"the guide has {count} times {pattern}"
        return text
