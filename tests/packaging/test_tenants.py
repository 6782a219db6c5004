"""The guide "Serve tenants", executed with django-tenants on PostgreSQL."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest

from tests.clients.wire import eventually
from tests.packaging.guides import GUIDES, run, write_blocks
from tests.packaging.sites import ENVIRONMENT, KINDS, Visitor, serve
from tests.ports import HOST
from tests.processes import LiveProcess
from tests.services import PostgreSQL

GUIDE = GUIDES / "serve-tenants.md"

# Two tenants whose rows have the same ids, and the public one.
TENANTS = """
import json
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django_tenants.utils import tenant_context
from customers.models import Client, Domain
from shop.models import Order

keys = {}
for schema, host, name in (
    ("public", "example.com", "root"), ("acme", "acme.example.com", "ada"),
    ("globex", "globex.example.com", "bob"),
):
    tenant = Client.objects.create(schema_name=schema, name=schema)
    Domain.objects.create(domain=host, tenant=tenant)
    with tenant_context(tenant):
        user = User.objects.create_superuser(name, "x@example.com", "secret")
        assert user.pk == 1
        session = SessionStore()
        session.update({
            SESSION_KEY: "1",
            BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
            HASH_SESSION_KEY: user.get_session_auth_hash(),
        })
        session.save()
        keys[host] = session.session_key
        if schema != "public":
            Order.objects.create(title=f"order of {schema}")
print(json.dumps(keys))
"""

ACME, GLOBEX, PUBLIC = "acme.example.com", "globex.example.com", "example.com"

pytestmark = pytest.mark.timeout(300)


class Site(NamedTuple):
    """A site with tenants: its folder, its environment, its database, and a session for each."""

    folder: Path
    env: dict[str, str]
    database: str
    keys: dict[str, str]

    def visitor(
        self, server: LiveProcess, way: str, namespace: str, host: str, session_of: str = ""
    ) -> Visitor:
        """Return a client that has logged in at a host."""
        cookie = f"sessionid={self.keys[session_of or host]}"
        return Visitor(server, way, namespace, headers={"Cookie": cookie}, host=host)

    def rows(self, query: Any) -> list[tuple[Any, ...]]:
        """Return what the database says."""
        with psycopg.connect(self.database) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, postgresql: PostgreSQL) -> Site:
    """The site of the guide, with two tenants."""
    folder = tmp_path_factory.mktemp("tenants")
    database = postgresql.new_empty_database()
    run(sys.executable, "-m", "django", "startproject", "mysite", ".", cwd=folder)
    for app in ("customers", "shop"):
        run(sys.executable, "-m", "django", "startapp", app, cwd=folder)
    assert write_blocks(GUIDE, folder) == 10
    settings = folder / "mysite" / "settings.py"
    text = settings.read_text()
    assert '"NAME": "mysite"' in text
    settings.write_text(text.replace('"NAME": "mysite"', f'"NAME": "{database.split("/")[-1]}"'))
    env = {
        **ENVIRONMENT,
        "PGHOST": HOST,
        "PGPORT": str(postgresql.port),
        "PGUSER": "postgres",
    }
    for command in (
        ("makemigrations", "customers", "shop"),
        ("migrate_schemas", "--shared"),
    ):
        run(sys.executable, "manage.py", *command, "--verbosity", "0", cwd=folder, env=env)
    shell = (sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", TENANTS)
    keys = json.loads(run(*shell, cwd=folder, env=env).splitlines()[-1])
    return Site(folder, env, database, keys)


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, site: Site) -> Iterator[LiveProcess]:
    """The site on each server."""
    with serve(request.param, site.folder, site.env) as server:
        yield server
    assert "Traceback" not in server.log, server.log


@pytest.mark.parametrize("way", ["polling", "websocket", "upgrade"])
async def test_each_tenant_has_its_users_orders_and_rooms(
    site: Site, server: LiveProcess, way: str
) -> None:
    acme, globex = "/acme/orders/1", "/globex/orders/1"
    async with (
        site.visitor(server, way, acme, host=ACME).connected() as ada,
        site.visitor(server, way, globex, host=GLOBEX).connected() as bob,
    ):
        for _ in range(3):
            assert await ada.call("title", namespace=acme) == "order of acme"
            assert await bob.call("title", namespace=globex) == "order of globex"
        await ada.call("rename", "ada's", namespace=acme)
        assert await ada.got("renamed", acme) == ("ada's", "ada")
        assert await ada.call("title", namespace=acme) == "ada's"
        assert await bob.call("title", namespace=globex) == "order of globex"
        assert bob.queue("renamed", globex).empty()
        await ada.call("rename", "order of acme", namespace=acme)
        users = site.rows("SELECT namespace, user_id FROM realtime_socket ORDER BY namespace")
        assert users == [(acme, None), (globex, None)]
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
            answer = await http.get("/orders/1/ship/", headers={"Host": ACME})
        assert answer.json() == {"watching": 1}
        assert await ada.got("shipped", acme) == 1
        await bob.call("rename", "order of globex", namespace=globex)
        assert await bob.got("renamed", globex) == ("order of globex", "bob")
        assert bob.queue("shipped", globex).empty()
    assert await eventually(lambda: not site.rows("SELECT 1 FROM realtime_socket"))


@pytest.mark.parametrize("way", ["polling", "websocket"])
@pytest.mark.parametrize(
    ("host", "session_of", "namespace", "why"),
    [
        (ACME, ACME, "/globex/orders/1", "not of this tenant"),
        (PUBLIC, PUBLIC, "/acme/orders/1", "not of this tenant"),
        ("nobody.example.com", ACME, "/acme/orders/1", "not of this tenant"),
        (ACME, GLOBEX, "/acme/orders/1", "log in first"),
        (ACME, PUBLIC, "/acme/orders/1", "log in first"),
        (ACME, ACME, "/acme/orders/2", "no such order"),
        (ACME, ACME, "/orders/1", "Invalid namespace"),
        (ACME, ACME, "/realtime/live", "Only staff"),
    ],
)
async def test_who_is_refused(
    site: Site,
    server: LiveProcess,
    way: str,
    host: str,
    session_of: str,
    namespace: str,
    why: str,
) -> None:
    visitor = site.visitor(server, way, namespace, host=host, session_of=session_of)
    assert (await visitor.refusal()).startswith(why)


async def test_the_live_page_of_the_public_tenant(site: Site, server: LiveProcess) -> None:
    visitor = site.visitor(server, "websocket", "/realtime/live", host=PUBLIC)
    async with visitor.connected() as root:
        assert "servers" in await root.got("state", "/realtime/live")


def test_a_host_that_is_not_allowed(site: Site, server: LiveProcess) -> None:
    answer = httpx.get(
        f"{server.url}/socket.io/?EIO=4&transport=polling",
        headers={"Host": "elsewhere.org"},
        trust_env=False,
    )
    assert answer.status_code == 403
