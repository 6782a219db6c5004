"""The HTTP views, and who may use them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import OperationalError
from django.db.models.sql.compiler import SQLCompiler
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient
from django.urls import reverse
from pytest_django import Settings

from realtime.hub.hub import Hub
from realtime.outside import process
from realtime.signals import serving_started
from realtime.testing import Client

from .conftest import DEFAULTS, Connect
from .probes import DEADLINE

PASSWORD = "a long password"
STAFF = {"is_staff": True}
READ, SEND = ["view_socket"], ["send_event"]

pytestmark = pytest.mark.django_db(transaction=True)

Crowd = dict[str, Client]


def options(permission: str) -> dict[str, Any]:
    return {**DEFAULTS, "PERMISSION": permission}


@pytest.fixture
def http() -> AsyncClient:
    """A browser: it has to send Django's CSRF token."""
    return AsyncClient(enforce_csrf_checks=True)


@pytest.fixture
def _open(settings: Settings) -> None:
    settings.REALTIME = options("realtime.permissions.allow_any")


async def log_in(http: AsyncClient, codenames: list[str], **fields: Any) -> None:
    """Log in as a new user with these permissions."""
    user = await get_user_model().objects.acreate(username="ann", **fields)
    async for permission in Permission.objects.filter(codename__in=codenames):
        await user.user_permissions.aadd(permission)
    await http.aforce_login(user)


def body_of(response: HttpResponse) -> Any:
    assert response.headers["content-type"] == "application/json"
    assert "no-store" in response.headers["cache-control"]
    return json.loads(response.content)


async def test_readiness(http: AsyncClient, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    url = reverse("realtime:ready")
    response = await http.get(url)
    assert (response.status_code, body_of(response)) == (200, {"ready": True, "problems": []})
    hub.files.exhausted = True
    response = await http.get(url)
    assert (response.status_code, body_of(response)) == (
        200,
        {"ready": True, "problems": ["files-exhausted"]},
    )
    failures = 0

    async def fail() -> None:
        nonlocal failures
        failures += 1
        if failures == 3:
            hub.files.exhausted = False
        raise RuntimeError("a secret of this process")

    monkeypatch.setattr("realtime.execution.tasks.MIN_PAUSE", 0.001)
    hub.services.supervise(fail, "some service")
    async with asyncio.timeout(DEADLINE):
        while (response := await http.get(url)).status_code == 200:
            await asyncio.sleep(0.001)
    assert body_of(response) == {"ready": False, "problems": ["service-failed"]}


async def test_who_takes_no_more_clients_is_not_ready(http: AsyncClient, hub: Hub) -> None:
    hub.drain.begin()
    response = await http.get(reverse("realtime:ready"))
    assert response.status_code == 503
    assert body_of(response) == {"ready": False, "problems": ["draining"]}
    assert (await http.head(reverse("realtime:ready"))).status_code == 503
    response = await http.get(reverse("realtime:live"))
    assert (response.status_code, body_of(response)) == (200, {"live": True})


async def test_who_starts_is_not_ready(
    http: AsyncClient, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = asyncio.Event()

    async def receiver(**kwargs: Any) -> None:
        await let_go.wait()

    serving_started.connect(receiver)
    try:
        starting = hub.serving.start()
        response = await http.get(reverse("realtime:ready"))
        assert response.status_code == 503
        assert body_of(response) == {"ready": False, "problems": ["starting"]}
        # Not for ever: a receiver may be at work as long as the process.
        monkeypatch.setattr("realtime.hub.lifespan.START_TIMEOUT", 0)
        assert (await http.get(reverse("realtime:ready"))).status_code == 200
        monkeypatch.undo()
        let_go.set()
        await starting
        assert (await http.get(reverse("realtime:ready"))).status_code == 200
    finally:
        serving_started.disconnect(receiver)


@pytest.mark.parametrize("name", ["ready", "live"])
async def test_health_is_only_looked_at(http: AsyncClient, name: str) -> None:
    assert (await http.options(reverse(f"realtime:{name}"))).status_code == 405


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", ["ready", "live"])
async def test_health_asks_no_database(
    http: AsyncClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a query")

    monkeypatch.setattr(SQLCompiler, "execute_sql", fail)
    assert (await http.get(reverse(f"realtime:{name}"))).status_code == 200


async def test_who_is_closed_is_not_ready(http: AsyncClient, hub: Hub) -> None:
    await hub.close(grace=0.1)
    assert (await http.get(reverse("realtime:ready"))).status_code == 503


async def test_a_process_without_a_hub_is_ready(http: AsyncClient) -> None:
    response = await http.get(reverse("realtime:ready"))
    assert (response.status_code, body_of(response)) == (200, {"ready": True, "problems": []})


async def post(http: AsyncClient, sid: str, body: Any = None, **options: Any) -> HttpResponse:
    content = b"" if body is None else json.dumps(body)
    response: HttpResponse = await http.generic(
        "POST", f"/client/{sid}", content, "application/json", **options
    )
    return response


# Who may use them


@pytest.mark.parametrize(
    ("codenames", "fields", "reads", "sends"),
    [
        (READ + SEND, STAFF, "", ""),
        (READ, STAFF, "", "realtime.send_event"),
        (SEND, STAFF, "realtime.view_socket", ""),
        ([], STAFF, "realtime.view_socket", "realtime.send_event"),
        ([], STAFF | {"is_superuser": True}, "", ""),
        (READ + SEND, {}, "Staff only", "Staff only"),
        (READ + SEND, STAFF | {"is_active": False}, "Staff only", "Staff only"),
    ],
)
@pytest.mark.usefixtures("presence")
async def test_staff_with_the_permission(
    http: AsyncClient,
    connect: Connect,
    codenames: list[str],
    fields: dict[str, bool],
    reads: str,
    sends: str,
) -> None:
    await log_in(http, codenames, **fields)
    client = await connect()
    read = await http.get("/clients-count")
    http.cookies["csrftoken"] = token = "x" * 32
    sent = await post(http, client.sid, headers={"X-CSRFToken": token})
    for response, refusal in ((read, reads), (sent, sends)):
        assert response.status_code == (403 if refusal else 200)
        if refusal:
            assert refusal in body_of(response)["message"]
    assert client.pending() == (not sends)


async def test_nobody_is_let_in_by_default(http: AsyncClient, connect: Connect) -> None:
    client = await connect()
    for response in (await http.get("/clients-count"), await post(http, client.sid)):
        assert response.status_code == 403
        assert body_of(response) == {"message": "Staff only"}


@pytest.mark.parametrize("headers", [{}, {"X-CSRFToken": "y" * 32}], ids=["missing", "wrong"])
async def test_a_session_needs_the_csrf_token(
    http: AsyncClient, connect: Connect, headers: dict[str, str]
) -> None:
    await log_in(http, SEND, **STAFF)
    client = await connect()
    http.cookies["csrftoken"] = "x" * 32
    response = await post(http, client.sid, headers=headers)
    assert response.status_code == 403
    assert "CSRF" in body_of(response)["message"]
    assert client.pending() == 0


def only_with_a_token(request: HttpRequest) -> str | None:
    return None if request.headers.get("Authorization") == "Bearer secret" else "no token"


async def test_a_permission_of_the_site(
    http: AsyncClient, connect: Connect, settings: Settings
) -> None:
    settings.REALTIME = options(f"{__name__}.only_with_a_token")
    client = await connect()
    refused = await post(http, client.sid)
    assert (refused.status_code, body_of(refused)) == (403, {"message": "no token"})
    sent = await post(http, client.sid, headers={"Authorization": "Bearer secret"})
    assert sent.status_code == 200
    assert client.pending() == 1


# What they answer


@pytest.mark.usefixtures("_open", "presence")
@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({}, 4),
        ({"namespace": "/"}, 4),
        ({"room": "a"}, 2),
        ({"namespace": "/", "room": "b"}, 2),
        ({"room": "nobody"}, 0),
        ({"room": ""}, 0),
        ({"namespace": "/users"}, 0),
        ({"namespace": "/users", "room": "a"}, 0),
    ],
)
async def test_count(http: AsyncClient, crowd: Crowd, query: dict[str, str], count: int) -> None:
    response = await http.get("/clients-count", query)
    assert response.status_code == 200
    assert body_of(response) == {"count": count}


@pytest.mark.usefixtures("_open", "presence")
async def test_who_is_away_is_counted(http: AsyncClient, hub: Hub, crowd: Crowd) -> None:
    socket = hub.registry.sockets[crowd["ann"].sid]
    hub.observers.away(socket)
    await hub.observers.wait_written()
    for query, count in (({}, 4), ({"namespace": "/"}, 4), ({"room": "a"}, 2)):
        assert body_of(await http.get("/clients-count", query)) == {"count": count}
    hub.observers.closed(socket, "transport close")
    await hub.observers.wait_written()
    for query, count in (({}, 3), ({"namespace": "/"}, 3), ({"room": "a"}, 1)):
        assert body_of(await http.get("/clients-count", query)) == {"count": count}


@pytest.mark.usefixtures("_open")
@pytest.mark.parametrize(
    "query",
    [
        {"namespace": "/nowhere"},
        {"namespace": "users"},
        {"namespace": "\0"},
        {"room": "\0"},
        {"room": "x" * 300},
        {"namespace": "/" + "x" * 300},
    ],
)
async def test_what_cannot_be_counted(http: AsyncClient, crowd: Crowd, query: Any) -> None:
    response = await http.get("/clients-count", query)
    assert response.status_code == 400
    assert body_of(response)["message"]


@pytest.mark.usefixtures("_open")
async def test_send(http: AsyncClient, crowd: Crowd) -> None:
    sid = crowd["ann"].sid
    sent = await post(http, sid)
    assert body_of(sent) == {"message": f"Message was sent to client with id {sid}"}
    await post(http, sid, {"event": "news", "args": ["№1", {"n": [1]}], "namespace": "/"})
    assert await crowd["ann"].receive() == ("private message", f"Message to client with id {sid}")
    assert await crowd["ann"].receive() == ("news", "№1", {"n": [1]})
    assert not any(client.pending() for client in crowd.values())


@pytest.mark.usefixtures("_open")
async def test_send_half_a_surrogate_pair(http: AsyncClient, crowd: Crowd) -> None:
    body = {"event": "news", "args": ["good morning \ud83d"]}
    assert (await post(http, crowd["ann"].sid, body)).status_code == 200
    assert await crowd["ann"].receive() == ("news", "good morning \ufffd")


@pytest.mark.usefixtures("_open")
@pytest.mark.parametrize("sid", ["nobody", "x" * 26, "%00", "x" * 2000, "№1"])
async def test_a_client_that_is_not_there(http: AsyncClient, crowd: Crowd, sid: str) -> None:
    response = await post(http, sid)
    assert (response.status_code, body_of(response)) == (404, {"message": "Client not found"})


@pytest.mark.usefixtures("_open")
async def test_a_client_that_is_not_in_the_namespace(http: AsyncClient, crowd: Crowd) -> None:
    for namespace in ("/users", "/nowhere"):
        response = await post(http, crowd["ann"].sid, {"event": "x", "namespace": namespace})
        assert (response.status_code, body_of(response)) == (404, {"message": "Client not found"})


@pytest.mark.usefixtures("_open")
async def test_no_server_in_this_process(
    http: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_hubs", {})
    response = await post(http, "x" * 26)
    assert response.status_code == 503
    assert body_of(response)["message"]


@pytest.mark.usefixtures("_open", "presence")
async def test_a_process_without_clients_counts_those_of_others(
    http: AsyncClient, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(process, "_hubs", {})
        assert body_of(await http.get("/clients-count")) == {"count": 4}


@pytest.mark.usefixtures("_open")
@pytest.mark.parametrize("query", [{}, {"room": "a"}])
async def test_presence_is_off(http: AsyncClient, query: dict[str, str]) -> None:
    response = await http.get("/clients-count", query)
    assert response.status_code == 503
    assert 'REALTIME["PRESENCE"]' in body_of(response)["message"]


@pytest.mark.usefixtures("_open", "presence")
@pytest.mark.parametrize("query", [{}, {"room": "a"}])
async def test_the_database_does_not_answer(
    http: AsyncClient, query: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **options: Any) -> Any:
        raise OperationalError("secret address")

    monkeypatch.setattr(SQLCompiler, "execute_sql", fail)
    response = await http.get("/clients-count", query)
    assert response.status_code == 503
    message = body_of(response)["message"]
    assert "database" in message
    assert "secret" not in message


async def test_the_permission_needs_a_database_that_does_not_answer(
    http: AsyncClient, settings: Settings
) -> None:
    settings.REALTIME = options(f"{__name__}.ask_the_database")
    response = await http.get("/clients-count")
    assert (response.status_code, body_of(response)) == (
        503,
        {"message": "The database does not answer."},
    )


def ask_the_database(request: HttpRequest) -> str | None:
    raise OperationalError("secret address")
