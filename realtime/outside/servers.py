"""What a process that serves no clients, such as a command, does with those that do."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..cluster.envelopes import Describe, Drain, Question
from ..cluster.requests import ANSWER_TIMEOUT
from .sender import RemoteGateway


class FoundServer(NamedTuple):
    """A server that answers: its id, its host and process, and how many clients it has."""

    id: str
    host: str
    pid: int
    connections: int
    draining: bool

    @property
    def name(self) -> str:
        """Its name, as the admin has it."""
        return f"{self.host}:{self.pid}"

    def is_meant(self, text: str) -> bool:
        """Tell whether a text names it: its id, its name or its host."""
        return text in (self.id, self.name, self.host)


def find_servers(gateway: RemoteGateway) -> list[FoundServer]:
    """
    Return the servers of the cluster, by their names.

    Raises NotRunning where none answers, LayerUnavailable where the layer does not.
    """
    answers = gateway.wait(lambda: _ask(gateway, Describe()))
    found = [_parse(server, report) for server, report in answers.items() if report]
    return sorted(found, key=lambda server: (server.host, server.pid))


def choose(servers: list[FoundServer], text: str) -> list[FoundServer]:
    """
    Return the servers that a text means: the one whose id or name it is, or with whose id it
    starts, or all of a host.

    Raises LookupError where it means none, or starts the ids of several.
    """
    if meant := [server for server in servers if server.is_meant(text)]:
        return meant
    starting = [server for server in servers if text and server.id.startswith(text)]
    if len(starting) > 1:
        raise LookupError(f"The ids of {len(starting)} servers start with {text!r}.")
    if not starting:
        raise LookupError(f"There is no server {text!r}.")
    return starting


def drain(gateway: RemoteGateway, servers: list[FoundServer]) -> dict[str, int]:
    """
    Let servers get rid of their clients; return how many each has told to go, by its id.

    One that has left meanwhile is missing. Raises what `find_servers` raises.
    """
    question = Drain(tuple(server.id for server in servers))
    answers = gateway.wait(lambda: _ask(gateway, question))
    return {server: answer for server, answer in answers.items() if isinstance(answer, int)}


async def _ask(gateway: RemoteGateway, question: Question) -> dict[str, Any]:
    """Return each server's answer, by its id."""
    answers = gateway.ask_all(question, ANSWER_TIMEOUT)
    return {answer.server: answer.content async for answer in answers if answer.final}


def _parse(server: str, report: dict[str, Any]) -> FoundServer:
    problems = [problem["problem"] for problem in report["problems"]]
    host, pid, connections = report["host"], report["pid"], report["connections"]
    return FoundServer(server, host, pid, connections, "draining" in problems)
