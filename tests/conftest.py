"""Live servers and services: shared ones for most tests, new ones for tests that stop them."""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import hypothesis
import pytest
from django.conf import settings

from tests.clients.javascript import Node, running_node
from tests.clusters import LAYERS, LiveCluster
from tests.live import INDIRECT_KINDS, KINDS, LiveServer
from tests.nginx import Nginx
from tests.services import MariaDB, PostgreSQL
from tests.shared import begin_run
from tests.valkey import Valkey
from tests.variants import is_extra

# How long something takes is nothing that a test asserts.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=10)
hypothesis.settings.load_profile("tests")

ServerFactory = Callable[..., LiveServer]
ClusterFactory = Callable[..., LiveCluster]
NginxFactory = Callable[..., Nginx]


def pytest_configure(config: pytest.Config) -> None:
    """Have a folder for what all processes of the run share."""
    begin_run(config)


@pytest.hookimpl(tryfirst=True)  # before they are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the variants that have a command of their own."""
    for item in items:
        if is_extra(item.nodeid):
            item.add_marker(pytest.mark.extra)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage in what is imported: it would be a third of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Let the garbage collector leave alone what stays to the end: thousands of tests."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line for each program that is missing how many tests were skipped for it."""
    skipped = terminalreporter.getreports("skipped")
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"{count} tests were skipped: {reason}", yellow=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape half surrogate pairs in what a test has logged: no process could send them on."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let SQLite write to a file, since several threads do: one in memory has no WAL."""
    database = settings.DATABASES["default"]
    if "sqlite3" in database["ENGINE"]:
        file = tmp_path_factory.mktemp("database") / "tests.sqlite3"
        database.setdefault("TEST", {})["NAME"] = str(file)


@pytest.fixture(params=[*KINDS, *INDIRECT_KINDS])
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of server in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def shared_server() -> Iterator[ServerFactory]:
    """
    A function ``(kind, **realtime)`` that returns a running server with these settings.

    Tests of one process share it: they tell their clients apart by sid and by their own rooms.
    """
    servers: dict[str, LiveServer] = {}

    def get(kind: str, **realtime: Any) -> LiveServer:
        key = json.dumps([kind, realtime], sort_keys=True)
        if key not in servers:
            servers[key] = LiveServer(kind, realtime=realtime)
        if not servers[key].running:
            servers[key].start()
        return servers[key]

    yield get
    for server in servers.values():
        server.close()


@pytest.fixture
def server(kind: str, shared_server: ServerFactory) -> LiveServer:
    """A running server of each kind with the demo's settings, shared with other tests."""
    return shared_server(kind)


@pytest.fixture
def new_server() -> Iterator[ServerFactory]:
    """A function with the arguments of `LiveServer` that starts one for this test alone."""
    servers: list[LiveServer] = []

    def start(*args: Any, **options: Any) -> LiveServer:
        server = LiveServer(*args, **options)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """A running Valkey, shared with other tests: it stays as it is, and nobody flushes it."""
    with Valkey() as valkey:
        yield valkey


@pytest.fixture
def new_valkey() -> Iterator[Callable[..., Valkey]]:
    """A function with the arguments of `Valkey` that starts one for this test alone."""
    with ExitStack() as stack:
        yield lambda **config: stack.enter_context(Valkey(**config))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A running PostgreSQL, shared with other tests: each takes a new database of its own."""
    with PostgreSQL() as postgresql:
        yield postgresql


@pytest.fixture
def new_postgresql() -> Iterator[PostgreSQL]:
    """A running PostgreSQL for this test alone."""
    with PostgreSQL() as postgresql:
        yield postgresql


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A running MariaDB, shared with other tests: each takes a new database of its own."""
    with MariaDB() as mariadb:
        yield mariadb


@pytest.fixture
def new_mariadb() -> Iterator[MariaDB]:
    """A running MariaDB for this test alone."""
    with MariaDB() as mariadb:
        yield mariadb


@pytest.fixture
def new_cluster(valkey: Valkey) -> Iterator[ClusterFactory]:
    """
    A function ``(kinds, valkey=the shared one, layer="core", **options of LiveCluster)`` that
    starts a cluster for this test alone.
    """
    with ExitStack() as stack:

        def start(kinds: Sequence[str], valkey: Valkey = valkey, **options: Any) -> LiveCluster:
            return stack.enter_context(LiveCluster(kinds, valkey, **options))

        yield start


@pytest.fixture
def new_nginx() -> Iterator[NginxFactory]:
    """A function that starts an nginx in front of live servers, to which requests go in turn."""
    with ExitStack() as stack:

        def start(*servers: LiveServer) -> Nginx:
            return stack.enter_context(Nginx(*(server.port for server in servers)))

        yield start


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    """A running Node process with the official JavaScript client."""
    async with running_node() as node:
        yield node


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest) -> str:
    """Each layer of channels_redis in turn."""
    return str(request.param)
