"""Sites with strict type checks: what the docs recommend passes, what cannot work does not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.guides import ENV
from tests.processes import ROOT

pytestmark = pytest.mark.timeout(600)

CONFIG = f"""
[mypy]
strict = True
mypy_path = {ROOT}
follow_imports = silent
"""

GOOD = """
from __future__ import annotations

from typing import Any

import realtime
from realtime import (
    Answers,
    Broadcaster,
    ClientError,
    ClientRooms,
    ConnectionRefused,
    EventError,
    NamespaceConsumer,
    Pending,
    RemoteClient,
    Unavailable,
    event,
)


class Plain(NamespaceConsumer):
    rate_limits = {"*": "5/s"}

    def connect(self, auth: dict[str, Any]) -> None:
        if not self.user.is_authenticated:
            raise ConnectionRefused("log in first")
        self.join("a")

    def receive(self, event: str, *args: Any) -> Any:
        return args

    def disconnect(self, reason: str) -> None:
        self.broadcast.emit("left", reason)

    @event
    def hi(self, text: str) -> str:
        return text

    @event("say", room="a")
    async def on_say(self, text: str) -> dict[str, bool]:
        return {"ok": bool(await self.acall("question", text))}


class Mixin(NamespaceConsumer):
    async def connect(self, auth: dict[str, Any]) -> None:
        await super().connect(auth)

    async def receive(self, event: str, *args: Any) -> None:
        await super().receive(event, *args)

    async def disconnect(self, reason: str) -> None:
        await super().disconnect(reason)

    async def handle(self, event: str, args: list[Any]) -> Any:
        return await super().handle(event, args)


class Child(Mixin):
    async def connect(self, auth: Any) -> None:
        await super().connect(auth)
        self.emit("hi")


class Sending(NamespaceConsumer):
    async def receive(self, event: str, *args: Any) -> tuple[str, int]:
        name: str = self.namespace
        everyone: Broadcaster = self.everyone.excluding("a").volatile()
        await everyone.emit(event, *args)
        pending: Pending = self.volatile().emit(event)
        await pending
        answers: Answers = await self.everyone.to("a").acall("question", timeout=None)
        answers.raise_for_missing()
        return name, len(answers)


class Full(ConnectionRefused):
    default_message = "full"
    default_code = "full"


def from_anywhere(sid: str) -> int | None:
    client: RemoteClient = realtime.to_client(sid).on_commit("default").volatile()
    client.emit("news", b"bytes")
    there: bool = realtime.to_client(sid, Sending, pk=5).deliver("news")
    try:
        raise EventError("no", {"n": 5}, code=5) if there else Full(code="x")
    except ClientError as error:
        code: str | int | None = error.code
        message: str = error.message
        print(code, message)
    try:
        return realtime.count_clients() + realtime.of("/x").sockets().count()
    except Unavailable:
        return None


async def from_async_code(sid: str) -> int:
    await realtime.to_client(sid).close()
    await realtime.of(Sending, pk=5).join("a")
    print(await realtime.to_client(sid).acall("question"))
    return await realtime.acount_clients()


class Members(ClientRooms, NamespaceConsumer):
    login_required = True
    permission_required = ["shop.view_order"]

    def has_permission(self) -> bool:
        return bool(super().has_permission())

    async def may_join(self, room: str) -> bool:
        others: Broadcaster = self.to_user(self.user, 7)
        await others.emit("joining", room)
        return True

    async def on_join(self, room: str) -> Any:
        return await super().on_join(room)


class Viewers(NamespaceConsumer):
    permission_required = "shop.view_order"
    guard_rooms = True

    async def has_permission(self) -> bool:
        return True

    def may_join(self, room: str) -> bool:
        return realtime.to_user(*[1, 2]).count() > 0


class Quiet(NamespaceConsumer):
    def receive(self, event: str, *args: Any) -> None: ...

    async def disconnect(self, reason: str) -> None: ...
"""

BAD = """
from __future__ import annotations

from typing import Any

import realtime
from realtime import ConnectionRefused, NamespaceConsumer, event


class Wrong(NamespaceConsumer):
    async def connect(self) -> None: ...  # wrong

    def disconnect(self, reason: int) -> None: ...  # wrong

    def handle(self, event: str, args: list[Any]) -> int:  # wrong
        return 5

    def join(self, room: int) -> None: ...  # wrong

    @event("x", room=5)  # wrong
    async def hi(self) -> None:
        self.namespace.emit("x")  # wrong
        self.volatile.emit("x")  # wrong
        self.everyone.disconnect()  # wrong
        self.everyone = self.broadcast  # wrong
        raise ConnectionRefused("no", None, 401)  # wrong


def send(sid: str) -> None:
    realtime.to_client(sid).to("a")  # wrong
    realtime.to_client(sid, 5).emit("x")  # wrong
    count: int = realtime.to_client(sid).deliver("x", timeout=5)  # wrong
"""


def check(site: Path, source: str) -> tuple[int, list[int]]:
    """Return how mypy ends, and the lines in which it finds something."""
    (site / "mypy.ini").write_text(CONFIG)
    (site / "consumers.py").write_text(source)
    command = (sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "consumers.py")
    done = subprocess.run(
        command, cwd=site, env=ENV, capture_output=True, text=True, timeout=500, check=False
    )
    found = re.findall(r"^consumers\.py:(\d+): error", done.stdout, re.M)
    assert done.returncode == 0 or found, done.stdout + done.stderr
    return done.returncode, sorted({int(line) for line in found})


def test_plain_and_async_hooks_and_those_that_are_wrong(tmp_path: Path) -> None:
    assert check(tmp_path, GOOD) == (0, [])
    wrong = [number for number, line in enumerate(BAD.split("\n"), 1) if "# wrong" in line]
    assert check(tmp_path, BAD) == (1, wrong)
