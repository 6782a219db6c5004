"""Several live servers that are one cluster: one Valkey, one database, one secret."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from tests.live import LiveServer, new_database
from tests.processes import Service
from tests.valkey import Valkey

LAYERS = ("core", "pubsub")


class LiveCluster(Service):
    """
    Servers of the given kinds, each a process, on a channel layer ("core" or "pubsub") of Valkey.

    ``realtime`` overrides the setting REALTIME, ``config`` the layer's CONFIG, ``env`` the
    environment, ``database`` the URL of the shared (and migrated) database, a new SQLite file by
    default. Groups and channels are the cluster's own, so that several share a Valkey.
    """

    def __init__(
        self,
        kinds: Sequence[str],
        valkey: Valkey,
        layer: str = "core",
        *,
        settings: str = "tests.site.settings",
        realtime: dict[str, Any] | None = None,
        config: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
        database: str | None = None,
        application: str = "tests.site.asgi:application",
        **options: Any,
    ) -> None:
        self.layer = layer
        self.valkey = valkey
        self.realtime = realtime or {}
        config = {"prefix": secrets.token_hex(4), **(config or {})}
        self._prefix = config["prefix"]
        self.env = {
            "REDIS_URL": valkey.url,
            "CHANNEL_LAYER": layer,
            "SECRET_KEY": secrets.token_urlsafe(32),
            "LAYER_OVERRIDES": json.dumps(config),
            **(env or {}),
        }
        self.database = database or new_database(settings)
        self.servers = [
            LiveServer(
                kind,
                settings=settings,
                realtime=realtime,
                env=self.env,
                database=self.database,
                application=application,
                **options,
            )
            for kind in kinds
        ]

    def __repr__(self) -> str:
        return f"<{self.layer}: {self.servers}>"

    def __getitem__(self, index: int) -> LiveServer:
        return self.servers[index]

    def __iter__(self) -> Iterator[LiveServer]:
        return iter(self.servers)

    def start(self) -> None:
        """Start all servers at once, and return when they accept connections."""
        for server in self.servers:
            server.launch()
        for server in self.servers:
            server.wait_ready()

    def waiting(self) -> int:
        """Return how many messages wait in the core layer for the server with the most of them."""
        client = self.valkey.client
        channels: Any = client.keys(f"{self._prefix}specific.*!")
        return max((int(client.zcard(channel)) for channel in channels), default=0)

    def close(self) -> None:
        """End all servers for good."""
        for server in self.servers:
            server.close()

    def stop(self) -> None:
        """End all servers at once, by SIGTERM, or by SIGKILL where that does not do."""
        for server in self.servers:
            server.terminate()
        for server in self.servers:
            server.stop(timeout=8)
