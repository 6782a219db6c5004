"""The guides "Deploy to one machine or many" and "Run HTTP on WSGI", executed."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import httpx
import pytest

from tests.clients.javascript import Node
from tests.clients.python import TRANSPORTS, connected
from tests.clients.wire import eventually
from tests.docs.stops import manifest
from tests.live import PLAIN_ASGI_KINDS
from tests.nginx import Nginx
from tests.packaging.guides import ENV, GUIDES, fenced, run, write_blocks
from tests.packaging.streams import Stream, listen, listening
from tests.ports import HOST, free_port
from tests.processes import CLEAN_EXITS, ROOT, LiveProcess
from tests.services import MariaDB, PostgreSQL
from tests.valkey import Valkey

DEPLOY = GUIDES / "deploy.md"
ON_WSGI = GUIDES / "http-on-wsgi.md"

# As the reference of the HTTP views has it, which the guide asks for readiness.
URLS = """
from django.urls import include

urlpatterns.append(path("realtime/", include("realtime.urls")))
"""

# As the guide's units have it.
STOP_TIMEOUT = 45

pytestmark = pytest.mark.timeout(300)


def new_site(folder: Path, *guides: Path) -> None:
    """Make a site as the guide for an existing one and these guides say."""
    run(sys.executable, "-m", "django", "startproject", "mysite", ".", cwd=folder)
    for guide in (GUIDES / "add-to-an-existing-site.md", *guides):
        assert write_blocks(guide, folder) > 0


def substitute(path: Path, **changes: str) -> None:
    """Change what is of the guide's own world; what is not there is an error."""
    text = path.read_text()
    for old, new in changes.items():
        assert old in text, f"{path} has no {old!r}"
        text = text.replace(old, new)
    path.write_text(text)


def command(line: str) -> list[str]:
    """Return a guide's command line with the program of this environment."""
    # The package has what uvicorn itself has as well, though it says where to find it now.
    program, *arguments = shlex.split(line.replace(" uvicorn_worker.", " uvicorn.workers."))
    return [sys.executable, "-m", Path(program).name, *arguments]


def command_lines() -> dict[str, str]:
    """Return the guide's command lines by the name of the server."""
    units = "".join(fenced(DEPLOY, "ini"))
    lines = re.findall("^ExecStart=/srv/mysite/.venv/bin/(.*)$", units, re.M)
    return {line.split()[0]: line for line in lines}


def redis_config() -> dict[str, str]:
    """Return the settings of the guide's redis.conf."""
    lines = (GUIDES / "deploy" / "redis.conf").read_text().splitlines()
    settings = [line.split(" ", 1) for line in lines if line and not line.startswith("#")]
    return {name: value.strip('"') for name, value in settings}


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    """A Valkey with the settings of the guide."""
    with Valkey(**redis_config()) as valkey:
        yield valkey


# The guides themselves


def test_guides_show_the_files_that_are_tested() -> None:
    nginx = (GUIDES / "deploy" / "nginx.conf").read_text()
    assert nginx in fenced(DEPLOY, "nginx")
    assert (GUIDES / "deploy" / "redis.conf").read_text() in fenced(DEPLOY, "conf")
    # The short form of the second guide is what the file says, line by line.
    lines = {
        line.strip() for line in (GUIDES / "deploy" / "nginx-wsgi.conf").read_text().split("\n")
    }
    for line in fenced(ON_WSGI, "nginx")[0].splitlines():
        assert line.strip() in lines | {"..."}


def test_redis_takes_its_settings(valkey: Valkey) -> None:
    for name, value in redis_config().items():
        (given,) = valkey.client.config_get(name).values()
        assert value in (given, "512mb") or value.startswith("pubsub "), (name, value, given)
    assert valkey.client.config_get("maxmemory") == {"maxmemory": str(512 * 1024 * 1024)}


# The database


def test_mariadb_in_the_place_of_postgresql(tmp_path: Path, mariadb: MariaDB) -> None:
    new_site(tmp_path)
    (code,) = (text for text in fenced(DEPLOY, "python") if "backends.mysql" in text)
    database = mariadb.new_database().rpartition("/")[2]
    settings = tmp_path / "mysite" / "settings.py"
    settings.write_text(f"{settings.read_text()}\nimport os\n\n{code}")
    substitute(settings, **{'"mysite",': f'"{database}",'})
    server = {"HOST": HOST, "PORT": str(mariadb.port), "USER": "root", "PASSWORD": ""}
    env = {**ENV, "PYTHONPATH": str(ROOT)} | {f"MYSQL_{name}": server[name] for name in server}
    shown = run(sys.executable, "manage.py", "showmigrations", "realtime", cwd=tmp_path, env=env)
    assert "[X] 0001_initial" in shown
    assert "[ ]" not in shown


# Everything on ASGI


class Site:
    """The guide's site: its folder, its environment, and its processes behind nginx."""

    def __init__(self, folder: Path, env: dict[str, str], lines: list[str]) -> None:
        self.folder = folder
        self.env = env
        ports = [free_port() for _ in lines]
        self.processes = [
            LiveProcess(line.split()[0], command(line.replace("%i", str(port))), port, env, folder)
            for line, port in zip(lines, ports, strict=True)
        ]
        self.nginx = Nginx(*ports, home=folder)

    def manage(self, *arguments: str) -> str:
        """Return what a command of manage.py printed."""
        return run(sys.executable, "manage.py", *arguments, cwd=self.folder, env=self.env)


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, valkey: Valkey, postgresql: PostgreSQL
) -> Iterator[Site]:
    """The site of the guide, served by its three command lines."""
    folder = tmp_path_factory.mktemp("deployed")
    new_site(folder, DEPLOY)
    with (folder / "mysite" / "urls.py").open("a") as urls:
        urls.write(URLS)
    database = postgresql.new_database().rpartition("/")[2]
    substitute(
        folder / "mysite" / "settings.py",
        **{
            "example.com": HOST,
            "/srv/mysite": str(folder),
            '"mysite",  # PGHOST': f'"{database}",  # PG',
        },
    )
    (env_file,) = (text for text in fenced(DEPLOY, "sh") if "SECRET_KEY=" in text)
    env = {
        **ENV,
        **dict(line.split("=", 1) for line in env_file.splitlines() if not line.startswith("#")),
        "PYTHONPATH": str(ROOT),
        "REDIS_URL": valkey.url,
        "PGPORT": str(postgresql.port),
        "PGUSER": "postgres",
    }
    lines = command_lines()
    site = Site(folder, env, [lines[kind] for kind in ("daphne", "uvicorn", "gunicorn")])
    site.manage("migrate", "--verbosity", "0")
    site.manage("collectstatic", "--noinput", "--verbosity", "0")
    with ExitStack() as stack:
        for process in site.processes:
            stack.enter_context(process)
        stack.enter_context(site.nginx)
        yield site


def test_no_check_complains(site: Site) -> None:
    assert "realtime." not in site.manage("check", "--deploy")


def test_pages_and_static_files(site: Site) -> None:
    with httpx.Client(base_url=site.nginx.url, trust_env=False) as http:
        for _ in site.processes:
            assert http.get("/admin/login/").status_code == 200
        assert "io" in http.get("/static/realtime/realtime.js").text


async def test_one_client_on_each_process(site: Site) -> None:
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connected(site.nginx, "websocket"))
            for _ in site.processes
        ]
        assert len({client.sid()[:6] for client in clients}) == 3
        for client in clients:
            assert (await client.got("message"))[0] == "I'm server"
            assert await client.call("greet", "Ada") == "Hello, Ada"
        code = "import realtime; realtime.emit('news', 'from a shell')"
        await asyncio.to_thread(site.manage, "shell", "-c", code)
        for client in clients:
            assert (await client.got("news"))[0] == "from a shell"


def addresses(site: Site) -> list[str]:
    """Return where the site's clients come from that are connected."""
    code = (
        "from realtime.models import Socket\n"
        "print(*Socket.objects.present().values_list('address', flat=True))"
    )
    return site.manage("shell", "--no-imports", "-c", code).split()


@pytest.mark.parametrize("kind", PLAIN_ASGI_KINDS)
async def test_other_servers_beside_them(site: Site, kind: str) -> None:
    port = free_port()
    line = command(command_lines()[kind].replace("%i", str(port)))
    proxied = {"X-Forwarded-For": "203.0.113.7"}
    async with AsyncExitStack() as stack:
        process = LiveProcess(kind, line, port, site.env, site.folder)
        await asyncio.to_thread(stack.enter_context, process)
        clients = [
            await stack.enter_async_context(connected(process, way, headers=proxied))
            for way in TRANSPORTS
        ]
        clients.append(await stack.enter_async_context(connected(site.processes[0], "websocket")))
        assert (await asyncio.to_thread(addresses, site)).count("203.0.113.7") == 3
        code = f"import realtime; realtime.emit('news', 'for {kind}')"
        await asyncio.to_thread(site.manage, "shell", "-c", code)
        for client in clients:
            assert (await client.got("news"))[0] == f"for {kind}"
        assert await asyncio.to_thread(process.stop) in CLEAN_EXITS
        assert "203.0.113.7" not in await asyncio.to_thread(addresses, site)
    assert "Traceback" not in process.log


async def until_ready(process: LiveProcess) -> None:
    """Wait as the guide's script does."""

    async def is_ready() -> bool:
        answer = await asyncio.to_thread(process.get, "/realtime/health/ready")
        return answer.status_code == 200

    await eventually(is_ready, timeout=60, interval=0.1)


async def test_restart_one_after_the_other(site: Site, node: Node) -> None:
    """Official clients are who they were, and they and the guide's own one miss nothing."""
    async with AsyncExitStack() as stack:
        listeners = [
            await listen(node, site.nginx, str(number), "polling" if number % 3 == 2 else "upgrade")
            for number in range(6)
        ]
        plain = await stack.enter_async_context(listening(f"{site.nginx.ws_url}/ws/"))
        stream = stack.enter_context(Stream(site.folder, site.env))
        for listener in listeners:
            await listener.hear(1)
        await plain.hear(1)
        for process in site.processes:
            code = await asyncio.to_thread(process.stop, STOP_TIMEOUT)
            assert code in CLEAN_EXITS, process.log
            await asyncio.to_thread(process.start)
            await until_ready(process)
        count = await asyncio.to_thread(stream.end)
        for listener in (*listeners, plain):
            await listener.hear(count)
            assert listener.numbers == list(range(count))
        returns = [await listener.came_back() for listener in listeners]
        assert sum(returns) >= len(site.processes), returns
    logs = "".join(process.log for process in site.processes)
    assert "Traceback" not in logs, logs[logs.index("Traceback") - 300 :][:4000]


# Kubernetes


async def test_a_pod_as_the_manifest_has_it(site: Site) -> None:
    """
    Its command serves, its probe is asked, and it is stopped as Kubernetes does: nobody notices
    before `preStop` is over, and it ends within what is left of the time.
    """
    pod = manifest()
    port = free_port()
    line = shlex.join(pod.command).replace(
        f"tcp:{pod.port}:interface=0.0.0.0", f"tcp:{port}:interface={HOST}"
    )
    program, seconds = pod.pre_stop
    async with AsyncExitStack() as stack:
        process = LiveProcess(pod.command[0], command(line), port, site.env, site.folder)
        await asyncio.to_thread(stack.enter_context, process)
        headers = pod.headers | {"Host": HOST}  # which is what this site calls example.com

        async def is_ready() -> bool:
            answer = await asyncio.to_thread(process.get, pod.ready, headers=headers)
            return answer.status_code == 200

        await eventually(is_ready, timeout=60, interval=0.1)
        client = await stack.enter_async_context(connected(process, "websocket"))
        before_stop = await asyncio.create_subprocess_exec(program, str(float(seconds) / 10))
        while before_stop.returncode is None:
            assert await client.call("greet", "Ada") == "Hello, Ada"
            await asyncio.sleep(0.1)
        assert await is_ready()
        code = await asyncio.to_thread(process.stop, pod.grace - float(seconds))
        assert code in CLEAN_EXITS, process.log
        assert (await asyncio.wait_for(client.left.get(), 60))[0] == "/"
    assert "Traceback" not in process.log


# Pages on WSGI


async def test_pages_on_wsgi(tmp_path: Path, valkey: Valkey) -> None:
    new_site(tmp_path, ON_WSGI)
    substitute(
        tmp_path / "mysite" / "settings.py", **{"ALLOWED_HOSTS = []": f"ALLOWED_HOSTS = ['{HOST}']"}
    )
    (tmp_path / "mysite" / "urls.py").write_text(
        "from django.urls import path\n"
        "from .views import announce\n"
        "urlpatterns = [path('announce/', announce)]\n"
    )
    env = {**ENV, "PYTHONPATH": str(ROOT), "REDIS_URL": valkey.url}
    run(sys.executable, "manage.py", "migrate", "--verbosity", "0", cwd=tmp_path, env=env)
    (lines,) = (text.splitlines() for text in fenced(ON_WSGI, "sh"))
    processes = []
    for line in lines:
        port = free_port()
        replaced = re.sub(r"(:| )800\d\b", rf"\g<1>{port}", line)
        processes.append(LiveProcess(line.split()[0], command(replaced), port, env, tmp_path))
    assert [process.kind for process in processes] == ["gunicorn", "uvicorn", "uvicorn"]
    pages, *servers = processes
    async with AsyncExitStack() as stack:
        for process in processes:
            await asyncio.to_thread(stack.enter_context, process)
        nginx = stack.enter_context(Nginx(*(server.port for server in servers), pages=pages.port))
        clients = [
            await stack.enter_async_context(connected(nginx, way))
            for way in ("websocket", "websocket", "polling")
        ]
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=nginx.url, trust_env=False)
        )
        for number in range(8):  # whichever of gunicorn's workers answers
            answer = await http.get("/announce/", params={"text": f"№{number}"})
            assert answer.text == "sent"
            assert "gunicorn" in (await http.head(pages.url)).headers["server"]
            for client in clients:
                assert await client.got("announcement") == f"№{number}"
        assert (await http.get("/socket.io/")).json()["code"] == 0  # Realtime's own words
    assert "Traceback" not in "".join(process.log for process in processes)
