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

GUIDE = ROOT / "docs" / "how-to" / "deploy" / "nginx.conf"

START_DEADLINE = 20.0


class Nginx:
    """
    Debian's nginx in front of servers at these ports, with the deployment guide's configuration.

    Requests go to the ports in turn. `start` and `stop`, or usable as a context manager.
    """

    def __init__(self, *ports: int) -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.ws_url = f"ws://{HOST}:{self.port}"
        self._ports = ports
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
        (self._folder / "site.conf").write_text(self.configuration(GUIDE.read_text()))
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

    def configuration(self, guide: str) -> str:
        """Return the guide's configuration with the ports and names of this test."""
        lines = re.findall(r"^ *server [\d.]+:\d+(.*);\n", guide, re.M)
        assert len(lines) > 1, "the guide names its servers"
        servers = "".join(f"    server {HOST}:{port}{lines[0]};\n" for port in self._ports)
        text = re.sub(r"(^ *server [\d.]+:\d+.*;\n)+", servers, guide, flags=re.M)
        text, count = re.subn(r"^( *listen) .*;", rf"\1 {HOST}:{self.port};", text, flags=re.M)
        assert count == 1, "the guide listens once"
        return text
