"""The site's own origin over TLS: at the server itself, or at a proxy in front of it."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.clients.wire import DEADLINE, PATH, engine_path, engine_query, http_client, websocket
from tests.conftest import ServerFactory
from tests.live import KINDS, PLAIN_ASGI_KINDS
from tests.ports import HOST, free_port
from tests.services import missing

PATHS = (engine_path(), "/ws/lab/")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that nobody knows, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        missing("openssl", "apt-get install openssl")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={HOST}", *files],
        check=True,
        capture_output=True,
    )
    return certificate, key


def tls_options(kind: str, port: int, certificate: Path, key: Path) -> list[str]:
    """Return what lets a server of a kind serve TLS; daphne does on a port of its own."""
    if kind == "daphne":
        return ["-e", f"ssl:{port}:interface={HOST}:privateKey={key}:certKey={certificate}"]
    if kind == "hypercorn":
        return ["--certfile", str(certificate), "--keyfile", str(key)]
    return ["--ssl-certfile", str(certificate), "--ssl-keyfile", str(key)]


@pytest.mark.parametrize("kind", [*KINDS, "hypercorn"])
async def test_tls_at_the_server(
    kind: str, new_server: ServerFactory, certificate: tuple[Path, Path]
) -> None:
    port = free_port()
    plain_port = free_port() if kind == "daphne" else port
    server = new_server(kind, port=plain_port, options=tls_options(kind, port, *certificate))
    context = ssl.create_default_context(cafile=certificate[0])
    context.check_hostname = False
    own, foreign = f"https://{HOST}:{port}", f"http://{HOST}:{port}"

    async def enter(path: str, origin: str) -> None:
        url = f"wss://{HOST}:{port}{path}"
        options = {"proxy": None, "open_timeout": DEADLINE, "close_timeout": 2}
        async with connect(url, ssl=context, origin=origin, **options) as connection:
            assert await connection.recv()

    for path in PATHS:
        await enter(path, own)
        with pytest.raises(InvalidStatus):
            await enter(path, foreign)
    async with httpx.AsyncClient(verify=context, trust_env=False, timeout=DEADLINE) as http:
        for origin, status in ((own, 200), (foreign, 403)):
            url = f"https://{HOST}:{port}{PATH}"
            answer = await http.get(url, params=engine_query(), headers={"origin": origin})
            assert answer.status_code == status, server.log


PROXY_HEADER = {"SECURE_PROXY_SSL_HEADER": ["HTTP_X_FORWARDED_PROTO", "https"]}


@pytest.mark.parametrize("kind", [*KINDS, "runserver", *PLAIN_ASGI_KINDS])
async def test_tls_at_a_proxy(kind: str, new_server: ServerFactory) -> None:
    server = new_server(kind, env={"DJANGO_OVERRIDES": json.dumps(PROXY_HEADER)})
    own, foreign = f"https://{HOST}:{server.port}", server.url
    for proto in ("https", "wss"):
        for path in PATHS:
            proxied = {"additional_headers": {"X-Forwarded-Proto": proto}}
            async with websocket(server, path, origin=own, **proxied) as connection:
                assert await connection.recv()
            with pytest.raises(InvalidStatus):
                async with websocket(server, path, origin=foreign, **proxied):
                    pass
    async with http_client(server, headers={"X-Forwarded-Proto": "https"}) as http:
        for origin, status in ((own, 200), (foreign, 403)):
            answer = await http.get(PATH, params=engine_query(), headers={"origin": origin})
            assert answer.status_code == status


@pytest.mark.parametrize("kind", ["daphne", "runserver", *PLAIN_ASGI_KINDS])
async def test_a_proxy_that_nobody_told_django_of(kind: str, new_server: ServerFactory) -> None:
    """uvicorn believes the proxies of this machine by itself."""
    server = new_server(kind)
    proxied = {"additional_headers": {"X-Forwarded-Proto": "https"}}
    with pytest.raises(InvalidStatus):
        async with websocket(
            server, engine_path(), origin=f"https://{HOST}:{server.port}", **proxied
        ):
            pass
    await server.logged(r"forbidden .*SECURE_PROXY_SSL_HEADER")


async def test_daphne_that_believes_its_proxy(new_server: ServerFactory) -> None:
    server = new_server("daphne", options=["--proxy-headers"])
    own = f"https://{HOST}:{server.port}"
    proxied = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}
    for path in PATHS:
        async with websocket(server, path, origin=own, additional_headers=proxied) as connection:
            assert await connection.recv()
    async with http_client(server, headers=proxied) as http:
        answer = await http.get(PATH, params=engine_query(), headers={"origin": own})
        assert answer.status_code == 200
