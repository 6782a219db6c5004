"""
The hub: one for each process, which knows the local sockets and talks to the channel layer.

What travels, from small to large:

- frame: one text or bytes on a WebSocket, or one entry of a polling payload.
- packet: what the protocol makes of frames. An event with bytes has several.
- message: one event for any number of sockets, encoded once for each wire format.
- envelope: what one hub says to others (`envelopes`).
- parcel: one message of the channel layer, with envelopes for one lane, and numbered.
- lane: where parcels go, a group or one process's channel (`lanes`).

Who there is: a connection is one client's Engine.IO session or plain WebSocket; a socket is a
connection in one namespace; a server is a hub as the others know it, and a peer another hub.

The way of one emit: `gateway` -> `hub` (to local sockets by `registry`) -> `cluster` -> `router`
(to which lanes) -> `publisher` (into parcels) -> `link` -> the channel layer -> `listener` ->
`cluster` -> `incoming` (what came twice, or not) -> `actions` -> `hub` -> connections and writers.
docs/explanation/how-it-works.md tells it file by file.
"""

from .hub import Hub
from .process import ensure_hub, find_hub, get_gateway, get_hub

__all__ = ["Hub", "ensure_hub", "find_hub", "get_gateway", "get_hub"]
