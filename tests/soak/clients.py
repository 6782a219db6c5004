"""Clients of an ASGI application in the same process, each a real connection but for the wire."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

from realtime.asgi import Application
from realtime.protocol.engineio import SEPARATOR

HOST = [(b"host", b"testserver")]
QUERY = "EIO=4&transport="


class Line:
    """
    A WebSocket. Pings are answered, and questions acknowledged, while `answers` is true.

    What arrives is kept for `receive`, for residents only the last of it.
    """

    def __init__(
        self, app: Application, path: str = "/socket.io/", query: str = QUERY + "websocket"
    ) -> None:
        self.answers = True
        self._received: asyncio.Queue[Any] = asyncio.Queue()
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        scope = {
            "type": "websocket",
            "path": path,
            "query_string": query.encode(),
            "headers": HOST,
            "client": ("127.0.0.1", 1),
        }
        self._sent.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.create_task(app(scope, self._sent.get, self._take))

    async def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.close":
            self._received.put_nowait(None)
        frame = message.get("text")
        if frame is None:
            return
        if frame == "2" and self.answers:
            self.send("3")
        elif '["question"' in frame and self.answers:
            self.send("43" + frame[2 : frame.index("[")] + '["an answer"]')
        elif frame != "2":
            self._received.put_nowait(frame)

    def send(self, *frames: str) -> None:
        """Send frames."""
        for frame in frames:
            self._sent.put_nowait({"type": "websocket.receive", "text": frame})

    async def receive(self, start: str = "") -> str | None:
        """Return the next frame that starts so; None where the server closes first."""
        while True:
            frame: str | None = await self._received.get()
            if frame is None or frame.startswith(start):
                return frame

    async def leave(self) -> None:
        """Hang up, and wait until the server has noticed."""
        self._sent.put_nowait({"type": "websocket.disconnect", "code": 1005})
        await self._task

    async def gone(self) -> None:
        """Wait until the server has closed."""
        while await self.receive() is not None:
            pass
        await self.leave()

    async def forget(self) -> None:
        """Read what has come, as a page does that keeps nothing."""
        while not self._received.empty():
            await self._received.get()


class Http:
    """A long-polling session."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._ids = itertools.count()
        self.sid = ""
        self._packets: list[str] = []

    async def request(self, method: str, body: str = "", patience: float = 60) -> tuple[int, str]:
        """
        Send a request; return status and body. After `patience` seconds the client hangs up.
        """
        query = QUERY + "polling" + (f"&sid={self.sid}" if self.sid else "")
        parts: dict[str, Any] = {"body": b"", "status": 0}
        messages: list[dict[str, Any]] = [{"type": "http.request", "body": body.encode()}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await asyncio.sleep(patience)
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            parts.update(message)

        scope = {
            "type": "http",
            "method": method,
            "path": "/socket.io/",
            "query_string": query.encode(),
            "headers": HOST,
            "client": ("127.0.0.1", 1),
        }
        task = asyncio.ensure_future(self._app(scope, receive, send))
        await asyncio.wait({task}, timeout=patience + 1)
        if not task.done():
            task.cancel()
        return parts["status"], parts["body"].decode()

    async def open(self) -> None:
        """Make the handshake, and connect to the namespace "/"."""
        _, body = await self.request("GET")
        self.sid = json.loads(body[1:])["sid"]
        await self.send("40")
        await self.receive("40")

    async def send(self, *packets: str) -> None:
        """Send packets in one payload."""
        status, body = await self.request("POST", SEPARATOR.join(packets))
        assert (status, body) == (200, "ok")

    async def receive(self, start: str) -> str:
        """Poll until a packet starts so."""
        while True:
            while not self._packets:
                status, body = await self.request("GET")
                assert status == 200, body
                self._packets = body.split(SEPARATOR)
            packet = self._packets.pop(0)
            if packet == "2":
                await self.send("3")
            elif packet.startswith(start):
                return packet
