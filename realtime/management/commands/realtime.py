"""`manage.py realtime`: what is to be done with the processes that serve clients."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from realtime.conf import get_settings
from realtime.exceptions import LayerUnavailable, NotRunning
from realtime.outside.process import get_outside
from realtime.outside.sender import RemoteGateway
from realtime.outside.servers import FoundServer, choose, drain, find_servers

# How often servers are asked whether they have clients left, and how much longer than
# DRAIN_SECONDS they may take, for handlers at work and a busy machine.
LOOK = 0.5
SPARE_TIME = 30.0


class Command(BaseCommand):
    """Has sub-commands: `drain`."""

    help = "Steers the processes that serve Realtime's clients, through the channel layer."
    requires_system_checks = ()  # the process that ends may be what has a problem

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        about = (
            "Let servers take no more clients, and tell those that they have to go to others, in "
            "waves. They go on to run, without clients, until they are stopped or started again: "
            "nothing else takes it back."
        )
        draining = commands.add_parser("drain", help=about, description=about)
        draining.add_argument(
            "server",
            nargs="?",
            metavar="SERVER",
            help="its id, or the start of it, or its name as the admin has it (host:process), or "
            "a host, for all servers there. Without it all servers of the cluster are drained.",
        )
        draining.add_argument(
            "--wait", action="store_true", help="return when the servers have no clients any more"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._drain(options["server"], wait=options["wait"])
        except NotRunning as error:
            raise CommandError(str(error)) from error
        except LayerUnavailable as error:
            raise CommandError(f"The servers cannot be reached. {error}") from error

    def _drain(self, text: str | None, *, wait: bool) -> None:
        gateway = _open_gateway()
        servers = find_servers(gateway)
        if text is not None:
            try:
                servers = choose(servers, text)
            except LookupError as error:
                there = ", ".join(f"{server.name} ({server.id})" for server in servers)
                raise CommandError(f"{error.args[0]} These answer: {there}.") from error
        told = drain(gateway, servers)
        for server in servers:
            if server.id in told:
                self._say(server, f"drains, with {_clients(told[server.id])}")
            else:
                self._say(server, "has left")
        if wait:
            self._wait(gateway, [server for server in servers if server.id in told])

    def _wait(self, gateway: RemoteGateway, servers: list[FoundServer]) -> None:
        """Return when servers have no clients, or are gone."""
        deadline = time.monotonic() + get_settings().DRAIN_SECONDS + SPARE_TIME
        waiting = {server.id: server for server in servers}
        while True:
            left = _count_clients(gateway)
            for server in list(waiting.values()):
                if not left.get(server.id):
                    gone = server.id not in left
                    self._say(server, "has left" if gone else "has no clients any more")
                    del waiting[server.id]
            if not waiting:
                return
            if time.monotonic() > deadline:
                texts = (
                    f"{server.name} has {_clients(left[server.id])}" for server in waiting.values()
                )
                raise CommandError(
                    f"Not all clients have left in time: {', '.join(texts)}. Is DRAIN_SECONDS "
                    "larger there than in the settings of this command?"
                )
            time.sleep(LOOK)

    def _say(self, server: FoundServer, what: str) -> None:
        self.stdout.write(f"{server.name} ({server.id}) {what}.")


def _open_gateway() -> RemoteGateway:
    """Return the way to the servers. Raises CommandError where there is none."""
    try:
        return get_outside()
    except NotRunning as error:
        raise CommandError(
            "There is nobody that this command could reach: the channel layer "
            f"{get_settings().CHANNEL_LAYER!r} is in memory, or missing, and leads to no other "
            "process. Configure channels_redis in CHANNEL_LAYERS. A process drains as well when "
            "it gets SIGTERM, and then stops."
        ) from error


def _count_clients(gateway: RemoteGateway) -> dict[str, int]:
    """Return how many clients each server has, by its id."""
    try:
        return {server.id: server.connections for server in find_servers(gateway)}
    except NotRunning:  # the last one has left
        return {}


def _clients(count: int) -> str:
    return "1 client" if count == 1 else f"{count} clients"
