"""Every supported server has the shape that frames are written straight to, and read from."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from tests.clients.test_plain_websocket import connected
from tests.conftest import ServerFactory
from tests.live import INDIRECT_KINDS, KINDS, LiveServer
from tests.processes import ROOT

ADAPTERS = {
    "daphne": "DaphneAdapter",
    "uvicorn": "UvicornAdapter",
    "uvicorn-wsproto": "WsprotoAdapter",
}

READERS = {
    "daphne": "DaphneReader",
    "uvicorn": "UvicornReader",
    "uvicorn-wsproto": "UvicornReader",  # which passes all on: frames come through ASGI
}


@pytest.mark.parametrize("kind", [*KINDS, *INDIRECT_KINDS], indirect=True)
async def test_frames_are_written_straight_to_the_transport(server: LiveServer, kind: str) -> None:
    async with connected(server, "lab") as plain:
        assert await plain.call("writer") == [ADAPTERS.get(kind, "AsgiWriter")]


@pytest.mark.parametrize("kind", KINDS, indirect=True)
async def test_frames_are_read_straight_from_the_transport(server: LiveServer, kind: str) -> None:
    async with connected(server, "lab") as plain:
        assert await plain.call("reader") == [READERS[kind]]


def rename(package: str, name: str, folder: Path) -> None:
    """Put a copy of a package there in which something private has another name."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    copy = folder / package
    shutil.copytree(Path(spec.origin).parent, copy, copy_function=os.symlink)
    renamed = 0
    for file in copy.rglob("*.py"):
        if name in (text := file.read_text()):
            file.unlink()  # the link to it
            file.write_text(text.replace(name, f"{name}_renamed"))
            renamed += 1
    assert renamed


@pytest.mark.parametrize(
    ("kind", "package", "name"),
    [
        ("daphne", "autobahn", "_perMessageCompress"),
        ("daphne", "twisted", "_tempDataLen"),
        ("uvicorn", "uvicorn", "stop_keepalive"),
    ],
)
async def test_a_private_name_that_is_gone(
    new_server: ServerFactory, tmp_path: Path, kind: str, package: str, name: str
) -> None:
    rename(package, name, tmp_path)
    server = new_server(kind, env={"PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))})
    for _ in range(2):
        async with connected(server, "lab") as plain:
            assert await plain.call("writer") == ["AsgiWriter"]
            assert await plain.call("echo", "x" * 10_000) == ["x" * 10_000]
    await server.logged(f"server-unknown .*{name}")
    assert server.log.count("server-unknown") == 1
