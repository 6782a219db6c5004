"""Origins and hosts: who is let in, and what a browser is told."""

from __future__ import annotations

import re

import httpx
import pytest
from websockets.exceptions import InvalidMessage, InvalidStatus

from tests.clients.bad_input.conftest import FOREIGN, FRIEND
from tests.clients.wire import PATH, Polling, engine_path, engine_query, http_client, websocket
from tests.conftest import ServerFactory
from tests.live import EVERY_LOOP_KIND, LiveServer
from tests.ports import HOST

pytestmark = pytest.mark.parametrize("kind", EVERY_LOOP_KIND, indirect=True)


def foreign_origins(server: LiveServer) -> list[str]:
    """Return origins that are not the server's: some share its host, its port or its scheme."""
    return [
        *(FOREIGN, "null", "https://friend.example.evil", "http://friend.example", "x"),
        *(f"http://{HOST}:3000", f"http://{HOST}", f"https://{HOST}:{server.port}"),
        *(f"http://localhost:{server.port}", f"http://a.{HOST}:{server.port}"),
        *(f"http://{HOST}.evil:{server.port}", f"{server.url}/", f"http://x@{HOST}:{server.port}"),
    ]


async def test_foreign_origin_over_polling(server: LiveServer, http: httpx.AsyncClient) -> None:
    for origin in foreign_origins(server):
        response = await http.get(PATH, params=engine_query(), headers={"origin": origin})
        assert response.status_code == 403, origin
        assert response.json() == {"code": 4, "message": "Forbidden"}
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("path", [engine_path(), "/ws/lab/"])
async def test_foreign_origin_over_websocket(server: LiveServer, path: str) -> None:
    for origin in foreign_origins(server):
        with pytest.raises(InvalidStatus) as refused:
            async with websocket(server, path, origin=origin):
                pass
        # 400 is daphne's own, for what is no origin at all.
        assert refused.value.response.status_code in (400, 403), origin


async def test_two_origins_are_none(server: LiveServer) -> None:
    for origin in (FOREIGN, server.url):
        with pytest.raises((InvalidStatus, InvalidMessage)):
            async with websocket(
                server, engine_path(), origin=server.url, additional_headers=[("Origin", origin)]
            ):
                pass


async def test_what_a_foreign_page_can_start_without_an_origin(http: httpx.AsyncClient) -> None:
    """With the user's cookie, as an image or by going there: no session comes of it."""
    for site in ("cross-site", "same-site"):
        headers = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
        response = await http.get(PATH, params=engine_query(), headers=headers)
        assert (response.status_code, response.json()["code"]) == (403, 4)
    own = await http.get(PATH, params=engine_query(), headers={"sec-fetch-site": "same-origin"})
    assert own.status_code == 200


async def test_the_log_says_how_to_let_a_front_end_in(kind: str, new_server: ServerFactory) -> None:
    server = new_server(kind)
    since, origin = len(server.log), "http://localhost:3000"
    for path in (engine_path(), "/ws/lab/"):
        with pytest.raises(InvalidStatus):
            async with websocket(server, path, origin=origin):
                pass
    await server.logged(f"forbidden host={HOST}:{server.port} origin={origin} .*CORS_ORIGINS")
    async with http_client(server, headers={"origin": FOREIGN}) as http:
        for _ in range(300):
            assert (await http.get(PATH, params=engine_query())).status_code == 403
    lines = re.findall("forbidden .*times=", server.log[since:])
    assert 2 <= len(lines) < 100, "ten at once, and then one a second"


@pytest.mark.parametrize("path", [engine_path(), "/ws/lab/"])
async def test_own_and_friendly_origins_over_websocket(server: LiveServer, path: str) -> None:
    for origin in (server.url, FRIEND):
        async with websocket(server, path, origin=origin) as connection:
            assert await connection.recv()


async def test_own_origin_over_polling(server: LiveServer, http: httpx.AsyncClient) -> None:
    response = await http.get(PATH, params=engine_query(), headers={"origin": server.url})
    assert response.status_code == 200


async def test_friendly_origin_over_polling(http: httpx.AsyncClient) -> None:
    http.headers["origin"] = FRIEND
    polling = await Polling.open(http)
    for response in (await polling.post("40/lab,"), await polling.get(), await polling.post("")):
        assert response.headers["access-control-allow-origin"] == FRIEND
        assert response.headers["access-control-allow-credentials"] == "true"
        assert "origin" in response.headers["vary"].lower()


async def test_preflight(http: httpx.AsyncClient) -> None:
    wish = {"access-control-request-method": "POST", "access-control-request-headers": "x-token"}
    allowed = await http.options(PATH, params=engine_query(), headers={"origin": FRIEND, **wish})
    assert allowed.status_code in (200, 204)
    assert allowed.headers["access-control-allow-origin"] == FRIEND
    assert allowed.headers["access-control-allow-credentials"] == "true"
    assert {"GET", "POST"} <= set(allowed.headers["access-control-allow-methods"].split(", "))
    assert "x-token" in allowed.headers["access-control-allow-headers"]
    refused = await http.options(PATH, params=engine_query(), headers={"origin": FOREIGN, **wish})
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers


async def test_wrong_host(http: httpx.AsyncClient) -> None:
    response = await http.get(PATH, params=engine_query(), headers={"host": "evil.example"})
    assert (response.status_code, response.json()["code"]) == (403, 4)
