"""Foreign pages that are let in by an expression: WebSockets, polling and plain WebSockets."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.clients.wire import PATH, Polling, engine_path, engine_query, http_client, websocket
from tests.live import KINDS, LiveServer

LET_IN = (
    *("https://pr-7.preview.example", "http://friend.example", "http://a.friend.example:8080"),
    *("http://friend.example:3000", "https://PR-12.preview.example"),
)
REFUSED = (
    *("https://pr-x.preview.example", "https://pr-7.preview.example.evil", "null"),
    *(
        "https://pr-7.preview.example:8443",
        "https://pr-7xpreview.example",
        "http://pr-7.preview.example",
    ),
    *("http://evilfriend.example", "http://evil.example/.friend.example", "x"),
    *("http://evil.example#.friend.example", "http://evil.example@friend.example"),
    *("http://evil.example:80.friend.example", "http://" + "a." * 200 + "friend.example"),
)


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """A server of each kind with expressions."""
    server = LiveServer(request.param, settings="tests.site.patterns")
    server.start()
    yield server
    server.close()


@pytest.mark.parametrize("path", [engine_path(), "/ws/lab/"])
async def test_websockets(server: LiveServer, path: str) -> None:
    for origin in LET_IN:
        async with websocket(server, path, origin=origin) as connection:
            assert await connection.recv(), origin
    for origin in REFUSED:
        with pytest.raises(InvalidStatus) as refused:
            async with websocket(server, path, origin=origin):
                pass
        assert refused.value.response.status_code in (400, 403), origin


@pytest.mark.parametrize("origin", LET_IN)
async def test_polling_and_its_preflight(server: LiveServer, origin: str) -> None:
    wish = {"access-control-request-method": "POST", "access-control-request-headers": "x-token"}
    async with http_client(server, headers={"origin": origin}) as http:
        polling = await Polling.open(http)
        preflight = await http.options(PATH, params=engine_query(), headers=wish)
        for response in (preflight, await polling.post("40/lab,"), await polling.get()):
            assert response.status_code in (200, 204)
            assert response.headers["access-control-allow-origin"] == origin
            assert response.headers["access-control-allow-credentials"] == "true"
            assert "origin" in response.headers["vary"].lower()


@pytest.mark.parametrize("origin", REFUSED)
async def test_others_are_refused_on_polling(server: LiveServer, origin: str) -> None:
    wish = {"access-control-request-method": "POST"}
    async with http_client(server, headers={"origin": origin}) as http:
        answers: list[httpx.Response] = [
            await http.get(PATH, params=engine_query()),
            await http.options(PATH, params=engine_query(), headers=wish),
        ]
    for response in answers:
        assert response.status_code == 403
        assert "access-control-allow-origin" not in response.headers
