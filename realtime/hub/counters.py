"""What a hub counts from its start on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """
    What a hub counts: events from clients and to clients, volatile messages `dropped` because
    their clients were slow, clients `cut` because they were slower still, events and CONNECTs
    beyond a rate limit, calls for many sockets that this process did not send, lines that the log
    has not, as one client caused so many, WebSockets of other processes' clients that stay on
    polling, since they could not be taken over, and clients whose polling comes here for good that
    stay where they are, for the same reason.
    """

    events_in: int = 0
    events_out: int = 0
    dropped: int = 0
    cut: int = 0
    limited: int = 0
    unsent: int = 0
    unlogged: int = 0
    not_upgraded: int = 0
    not_moved: int = 0
