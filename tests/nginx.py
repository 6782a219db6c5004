"""Debian's nginx, with the configuration that the deployment guide shows."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from tests.ports import HOST, free_port
from tests.processes import ROOT, LiveProcess
from tests.services import missing

GUIDES = ROOT / "docs" / "how-to" / "deploy"


class Nginx(LiveProcess):
    """
    Debian's nginx in front of servers at these ports, with the deployment guide's configuration.

    Requests go to the ports in turn; with `pages`, the port of a WSGI server, only those that are
    Realtime's. `home` is the site's folder. With a `mount` the site is below "/app/", and its paths
    are passed on as they are ("kept") or without that ("stripped"). Its `log` has what it
    complained about, the file `access_log` the requests.
    """

    def __init__(
        self,
        *ports: int,
        pages: int | None = None,
        home: Path | None = None,
        mount: str | None = None,
    ) -> None:
        program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            missing("nginx", "apt-get install nginx-light")
        self._ports = ports
        self._pages = pages
        self._home = home
        self._mount = mount
        self._files = Path(tempfile.mkdtemp(prefix="realtime-nginx-"))
        self.access_log = self._files / "access.log"
        command = [str(program), "-p", str(self._files), "-c", "main.conf"]
        super().__init__("nginx", command, free_port(), dict(os.environ))
        self._write_configuration()

    def close(self) -> None:
        """End it with all its connections, and remove its files."""
        super().close()
        shutil.rmtree(self._files, ignore_errors=True)

    def _write_configuration(self) -> None:
        (self._files / "site.conf").write_text(self._configuration())
        temporary = "\n".join(
            f"{kind}_temp_path {self._files}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
        )
        (self._files / "main.conf").write_text(
            f"""
            {"user root;" if os.geteuid() == 0 else ""}
            daemon off;
            worker_processes 1;
            pid {self._files}/nginx.pid;
            error_log stderr warn;
            events {{ worker_connections 1024; }}
            http {{
                {temporary}
                include {self._files}/site.conf;
            }}
            """
        )

    def _configuration(self) -> str:
        """Return the guide's configuration with the ports of this test."""
        name = "nginx.conf" if self._pages is None else "nginx-wsgi.conf"
        text = (GUIDES / ("nginx-sub-path.conf" if self._mount else name)).read_text()
        if self._mount == "stripped":
            rewrite = r"rewrite ^/app(/.*)$ $1 break;"
            text = text.replace("proxy_pass ", f"{rewrite}\n        proxy_pass ")
        if self._home is not None:
            text = self._replace("/srv/mysite(?=/)", str(self._home), text)
        if self._pages is not None:
            text = self._replace(
                r"server 127\.0\.0\.1:8000;", f"server {HOST}:{self._pages};", text
            )
        text = self._replace("/var/log/nginx/mysite.log", str(self.access_log), text)
        # One line for each server, with the options of the guide's lines.
        servers = "".join(rf"    server {HOST}:{port} \2;" + "\n" for port in self._ports)
        text = self._replace(r"( *server [\d.]+:\d+ (.*);\n)+", servers, text)
        return self._replace(r"listen .*;", f"listen {HOST}:{self.port};", text)

    def _replace(self, pattern: str, replacement: str, text: str) -> str:
        text, count = re.subn(pattern, replacement, text)
        assert count == 1, f"the guide has {count} times {pattern}"
        return text
