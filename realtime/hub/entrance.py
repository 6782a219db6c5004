"""How clients come into namespaces."""

from __future__ import annotations

import logging
from typing import Any

from ..exceptions import UnknownNamespace
from ..execution.calls import raise_if_signalled
from ..logs import write
from ..routing import resolve
from ..sockets.overrides import path_of
from ..sockets.socket import Socket
from ..transports.connection import Connection
from ..utils.limits import LogLimiter
from .interfaces import Hub


class Entrance:
    """Opens sockets for a hub's connections, or refuses them."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        # When it was logged last that a class cannot be served (None: a route).
        self._faults: dict[type | None, LogLimiter] = {}

    def enter(
        self, connection: Connection, namespace: str, auth: dict[str, Any], query: str
    ) -> bool:
        """
        Open a socket for a connection, and run its `connect()`; tell whether there is one.

        A client that asks for an unknown namespace, or for too many, is told so. What fails in a
        route or in the making of a consumer concerns that namespace alone.
        """
        try:
            route = resolve(namespace)
        except UnknownNamespace:
            connection.reject(namespace, "Invalid namespace")
            return False
        except BaseException as error:
            self._reject_faulty(connection, namespace, None, error)
            return False
        if len(connection.sockets) >= self._hub.settings.MAX_NAMESPACES:
            connection.reject(namespace, "Too many namespaces")
            return False
        try:
            socket = Socket(self._hub, connection, namespace, route, query)
        except BaseException as error:
            self._reject_faulty(connection, namespace, route.consumer_class, error)
            return False
        if not connection.sockets:
            self._hub.reasking.came(connection)
        connection.sockets[namespace] = socket
        socket.open(auth)
        return True

    def _reject_faulty(
        self,
        connection: Connection,
        namespace: str,
        consumer_class: type | None,
        error: BaseException,
    ) -> None:
        """Refuse a namespace that cannot be served, and log why: not for each client that asks."""
        raise_if_signalled(error)
        if self._faults.setdefault(consumer_class, LogLimiter()).should_log():
            write(
                logging.ERROR,
                "error",
                namespace=namespace,
                connection=connection.sid[:12],
                transport=connection.transport,
                event="connect",
                consumer="-" if consumer_class is None else path_of(consumer_class),
                exc_info=error,
            )
        connection.reject(namespace, "server error")
