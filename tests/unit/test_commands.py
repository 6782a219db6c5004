"""`manage.py realtime`, where it can reach nobody, or hears of servers that a test makes up."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from realtime.exceptions import LayerUnavailable, NotRunning
from realtime.management.commands import realtime as command
from realtime.outside.servers import FoundServer

ONE = FoundServer("aB3_xq", "web-1", 4711, 2, draining=False)
OTHER = FoundServer("Zz9-yz", "web-2", 4711, 1, draining=False)


class Site:
    """Two servers, which lose a client each time they are asked about them after the start."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.servers = [ONE, OTHER]
        self.drained: list[str] = []
        self.error: Exception | None = None
        self.stays = False
        monkeypatch.setattr(command, "get_outside", lambda: None)
        monkeypatch.setattr(command, "find_servers", self._find)
        monkeypatch.setattr(command, "drain", self._drain)
        monkeypatch.setattr(command, "LOOK", 0)

    def _find(self, gateway: None) -> list[FoundServer]:
        if self.error is not None:
            raise self.error
        found = list(self.servers)
        if self.drained and not self.stays:
            self.servers = [
                server._replace(connections=server.connections - 1)
                if server.id in self.drained and server.connections
                else server
                for server in self.servers
            ]
        return found

    def _drain(self, gateway: None, servers: list[FoundServer]) -> dict[str, int]:
        self.drained = [server.id for server in servers]
        return {server.id: server.connections for server in servers}


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(monkeypatch)


def drain(*arguments: str) -> list[str]:
    """Return the lines that the command prints."""
    output = StringIO()
    call_command("realtime", "drain", *arguments, stdout=output)
    return output.getvalue().splitlines()


def test_a_layer_in_memory(settings: Any) -> None:
    with pytest.raises(CommandError, match="There is nobody that this command could reach"):
        drain()


def test_one(site: Site) -> None:
    assert drain("web-1:4711") == ["web-1:4711 (aB3_xq) drains, with 2 clients."]
    assert site.drained == [ONE.id]


def test_all_and_wait(site: Site) -> None:
    lines = drain("--wait")
    assert lines[:2] == [
        "web-1:4711 (aB3_xq) drains, with 2 clients.",
        "web-2:4711 (Zz9-yz) drains, with 1 client.",
    ]
    assert sorted(lines[2:]) == [
        "web-1:4711 (aB3_xq) has no clients any more.",
        "web-2:4711 (Zz9-yz) has no clients any more.",
    ]


def test_one_that_leaves_while_it_is_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drain_and_leave(gateway: None, servers: list[FoundServer]) -> dict[str, int]:
        site.error = NotRunning("nobody")
        return {ONE.id: 2}

    monkeypatch.setattr(command, "drain", drain_and_leave)
    assert drain("--wait") == [
        "web-1:4711 (aB3_xq) drains, with 2 clients.",
        "web-2:4711 (Zz9-yz) has left.",
        "web-1:4711 (aB3_xq) has left.",
    ]


def test_clients_that_do_not_leave(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.stays = True
    monkeypatch.setattr(command, "SPARE_TIME", -3600)
    with pytest.raises(CommandError, match=r"web-1:4711 has 2 clients\. Is DRAIN_SECONDS"):
        drain(ONE.id, "--wait")


def test_one_that_is_not_there(site: Site) -> None:
    with pytest.raises(CommandError) as caught:
        drain("web-3")
    assert str(caught.value) == (
        "There is no server 'web-3'. These answer: web-1:4711 (aB3_xq), web-2:4711 (Zz9-yz)."
    )
    assert not site.drained


def test_servers_that_cannot_be_asked(site: Site) -> None:
    site.error = NotRunning("No Realtime server has answered.")
    with pytest.raises(CommandError, match="No Realtime server has answered"):
        drain()
    site.error = LayerUnavailable("The layer did not take it.")
    with pytest.raises(CommandError, match=r"cannot be reached\. The layer did not take it"):
        drain()
