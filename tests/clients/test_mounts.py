"""A site below a path: the same rule on every server, however it is told of the prefix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from websockets.exceptions import InvalidStatus

from tests.clients.python import connected
from tests.clients.test_plain_websocket import Plain
from tests.clients.wire import engine_query, http_client, websocket
from tests.live import LiveServer

ROOT_PATH = ("--root-path", "/app")


class Mount(NamedTuple):
    """A server, how it is told of the prefix, and the prefixes of the paths that it is asked."""

    kind: str
    forced: bool
    options: tuple[str, ...]
    asked: tuple[str, ...]


MOUNTS = [
    *(
        Mount(kind, True, (), ("/app", ""))
        for kind in ("daphne", "uvicorn", "uvicorn-wsproto", "runserver")
    ),
    Mount("daphne", False, ROOT_PATH, ("/app", "")),
    Mount("daphne", True, ROOT_PATH, ("/app", "")),
    # uvicorn puts its root path in front of what it is asked.
    Mount("uvicorn", False, ROOT_PATH, ("",)),
    Mount("uvicorn", True, ROOT_PATH, ("",)),
    Mount("uvicorn-wsproto", True, ROOT_PATH, ("",)),
]


@pytest.fixture(
    scope="module",
    params=MOUNTS,
    ids=lambda mount: f"{mount.kind}-{'forced-' * mount.forced}{bool(mount.options)}",
)
def mount(request: pytest.FixtureRequest) -> Iterator[tuple[LiveServer, Mount]]:
    """Each server, running."""
    mount: Mount = request.param
    env = {"FORCE_SCRIPT_NAME": "/app"} if mount.forced else {}
    with LiveServer(mount.kind, env=env, options=mount.options) as server:
        yield server, mount


@pytest.mark.parametrize("way", ["polling", "websocket", "upgrade"])
async def test_socketio(mount: tuple[LiveServer, Mount], way: str) -> None:
    server, how = mount
    for prefix in how.asked:
        async with connected(server, way, "/lab", path=f"{prefix}/socket.io/") as client:
            assert await client.call("echo", 1, b"2", namespace="/lab") == (1, b"2")


async def test_plain_websocket(mount: tuple[LiveServer, Mount]) -> None:
    server, how = mount
    for prefix in how.asked:
        async with websocket(server, f"{prefix}/ws/lab/") as connection:
            plain = Plain(connection)
            assert (await plain.receive()).keys() == {"connected"}
            assert await plain.call("echo", "hi") == ["hi"]


@pytest.mark.parametrize("word", ["/application", "/apple", "/other", "/app/app", "/x/app"])
async def test_other_paths_are_not_ours(mount: tuple[LiveServer, Mount], word: str) -> None:
    server, how = mount
    if word == "/app/app" and how.asked == ("",):
        word = "/app"
    async with http_client(server) as http:
        answer = await http.get(f"{word}/socket.io/", params=engine_query())
        assert answer.status_code == 404
    with pytest.raises(InvalidStatus):
        await websocket(server, f"{word}/ws/lab/")


async def test_pages_and_static_files(mount: tuple[LiveServer, Mount]) -> None:
    server, how = mount
    async with http_client(server) as http:
        for prefix in how.asked:
            page = await http.get(f"{prefix}/")
            assert page.status_code == 200
            # What the page names is below the prefix for the browser, whoever takes it off.
            assert 'data-path="/app/socket.io/"' in page.text
            assert 'src="/app/static/realtime/realtime.js"' in page.text
            if how.kind == "runserver" and not prefix:
                continue  # its own handler of static files knows whole paths only
            script = await http.get(f"{prefix}/static/realtime/realtime.js")
            assert script.status_code == 200
            assert "javascript" in script.headers["content-type"]
            answer: Any = await http.get(f"{prefix}/clients-count")
            assert answer.json() == {"count": 0}
