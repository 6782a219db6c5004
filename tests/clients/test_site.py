"""What a site has already, its users and its Channels routes, goes on beside Realtime."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.clients.wire import (
    DEADLINE,
    PATH,
    Polling,
    engine_path,
    engine_query,
    eventually,
    http_client,
    open_socket,
    websocket,
)
from tests.conftest import ServerFactory
from tests.live import KINDS, LiveServer, new_database
from tests.processes import ROOT

NAME, PASSWORD = "ann", "a long password"


@pytest.fixture(scope="module")
def database() -> str:
    """A database with one member of the staff."""
    url = new_database()
    subprocess.run(
        [sys.executable, "-m", "django", "createsuperuser", "--noinput", "--verbosity", "0"],
        cwd=ROOT,
        check=True,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.site.settings",
            "DATABASE_URL": url,
            "DJANGO_SUPERUSER_USERNAME": NAME,
            "DJANGO_SUPERUSER_EMAIL": "ann@example.com",
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        },
    )
    return url


@pytest.fixture(scope="module", params=itertools.product(KINDS, ("behind", "mounted")), ids=str)
def server(request: pytest.FixtureRequest, database: str) -> Iterator[LiveServer]:
    """A server of each kind with that database, and with each of the sites."""
    kind, name = request.param
    with LiveServer(kind, database=database, application=f"tests.site.channels:{name}") as server:
        yield server


async def log_in(http: httpx.AsyncClient) -> str:
    """Log in as people do; return the cookies of the session."""
    page = await http.get("/admin/login/")
    form = {
        "username": NAME,
        "password": PASSWORD,
        "csrfmiddlewaretoken": page.cookies["csrftoken"],
    }
    response = await http.post("/admin/login/", data=form)
    assert response.status_code == 302, response.text
    return f"sessionid={http.cookies['sessionid']}"


async def test_the_sessions_user(server: LiveServer) -> None:
    async with http_client(server) as http:
        cookies = {"Cookie": await log_in(http)}
        polling = await Polling.open(http)
        await polling.join_namespace("/lab")
        await polling.send('42/lab,1["whoami"]')
        answer = json.loads((await polling.receive()).removeprefix("43/lab,1"))[0]
        assert answer["authenticated"] is True
    async with open_socket(server, additional_headers=cookies) as (wire, _):
        assert (await wire.call("/lab", "whoami"))["authenticated"] is True
    async with websocket(server, "/ws/lab/", additional_headers=cookies) as plain:
        await plain.recv()
        await plain.send('{"event": "whoami", "id": 1}')
        assert json.loads(await plain.recv())["args"][0]["authenticated"] is True
    await server.logged(r"connect namespace=/lab sid=\S+ user=1 transport=polling")
    await server.logged(r"connect namespace=/lab sid=\S+ user=1 transport=websocket")
    await server.logged(r"connect namespace=/lab sid=\S+ user=1 transport=plain")


@pytest.mark.parametrize("cookie", ["", "sessionid=forged", "sessionid=", "sessionid=\xff; =;"])
async def test_nobodys_session(server: LiveServer, cookie: str) -> None:
    async with open_socket(server, additional_headers={"Cookie": cookie}) as (wire, _):
        assert (await wire.call("/lab", "whoami"))["authenticated"] is False


async def test_channels_routes(server: LiveServer) -> None:
    async with http_client(server) as http:
        cookies = {"Cookie": await log_in(http)}
    for headers, name in ((cookies, NAME), ({}, "")):
        async with (
            websocket(server, "/own/", additional_headers=headers) as own,
            asyncio.timeout(DEADLINE),
        ):
            await own.send('{"n": 1}')
            assert json.loads(await own.recv()) == {"user": name, "content": {"n": 1}}
            async with open_socket(server) as (wire, _):
                assert await wire.call("/lab", "echo", "beside it") == "beside it"


async def test_what_any_page_can_start_takes_no_users_connections(
    kind: str, database: str, new_server: ServerFactory
) -> None:
    """A handshake with the user's cookie: who has not seen the answer does not go on with it."""
    server = new_server(kind, database=database, realtime={"MAX_CONNECTIONS_PER_USER": 2})
    async with http_client(server) as http:
        cookies = {"Cookie": await log_in(http)}
        started = [await Polling.open(http) for _ in range(20)]
        async with open_socket(server, additional_headers=cookies):
            await started[0].join_namespace("/lab")
            # Now the user has two that are somebody's: no other one begins, nor goes on.
            late, posted = await http.get(PATH, params=engine_query()), await started[1].post("40")
            polled = await started[2].get()
            for refused in (late, posted, polled):
                assert (refused.status_code, refused.json()["code"]) == (403, 4)
                assert "this user has 2 connections" in refused.json()["message"]
            with pytest.raises(InvalidStatus) as upgrade:
                async with websocket(server, engine_path(sid=started[3].sid)):
                    pass
            assert upgrade.value.response.status_code == 403
            for each in started[1:4]:
                assert await each.is_gone()
            assert not await started[0].is_gone()
        await started[0].send("1")
        await eventually(lambda: goes_on(http))


async def goes_on(http: httpx.AsyncClient) -> bool:
    """Tell whether a new session goes on, and leave it."""
    answer = await http.get(PATH, params=engine_query())
    if answer.status_code == 403:
        return False
    await Polling(http, json.loads(answer.text[1:])).send("1")
    return True
