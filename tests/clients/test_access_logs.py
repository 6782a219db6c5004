"""What real servers write about requests: the ids of sessions are secrets."""

from __future__ import annotations

import pytest

from tests.clients.python import connected
from tests.clients.wire import eventually
from tests.conftest import NginxFactory
from tests.live import LiveServer
from tests.ports import HOST

COMMANDS = {
    "daphne": ["daphne", "--bind", HOST, "--port"],
    "runserver": ["django", "runserver", "--noreload"],
    "uvicorn": ["uvicorn", "--host", HOST, "--port"],
    "uvicorn --ws websockets": ["uvicorn", "--ws", "websockets", "--host", HOST, "--port"],
    "uvicorn --ws wsproto": ["uvicorn", "--ws", "wsproto", "--host", HOST, "--port"],
    "uvicorn --no-access-log": ["uvicorn", "--no-access-log", "--host", HOST, "--port"],
}


class LoggingServer(LiveServer):
    """A server that logs requests as it does by default."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind.partition(" ")[0])
        module, *options = COMMANDS[kind]
        port = str(self.port)
        where = [f"{HOST}:{port}"] if module == "django" else [port, "project.asgi:application"]
        self._command = [self._command[0], "-m", module, *options, *where]


@pytest.mark.parametrize("kind", COMMANDS)
async def test_no_log_has_whole_session_ids(kind: str) -> None:
    with LoggingServer(kind) as server:
        async with connected(server, "polling") as client:
            polling = client.io.eio.sid
            assert await client.call("echo", 1) == 1
        async with connected(server, "upgrade") as client:
            upgraded = client.io.eio.sid
            assert await client.call("echo", 1) == 1
        # Daphne logs no queries of WebSockets; uvicorn does, also without an access log.
        shown = upgraded if kind.startswith("uvicorn") else polling
        await server.logged(rf"[?&]sid={shown[:12]}\.\.\.")
        assert polling not in server.log
        assert upgraded not in server.log


async def test_the_guides_nginx_logs_no_session_ids(new_nginx: NginxFactory) -> None:
    with LiveServer("uvicorn") as server:
        nginx = new_nginx(server)
        async with connected(nginx, "polling") as client:
            sid = client.io.eio.sid
            assert await client.call("echo", 1) == 1
        await eventually(lambda: "POST /socket.io/" in nginx.access_log.read_text())
        assert sid not in nginx.access_log.read_text()
