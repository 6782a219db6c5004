"""
The hub: one for each process, which knows the local sockets and talks to the channel layer.

It imports `cluster`, `transports`, `sockets` and what is below; its parts know it by `interfaces`.
`outside` imports it, and what stands on top: presence, the application, views, the admin.

What travels, from small to large:

- frame: one text or bytes on a WebSocket, or one entry of a polling payload.
- packet: what the protocol makes of frames. An event with bytes has several.
- message: one event for any number of sockets, encoded once for each wire format.
- envelope: what one hub says to others (`cluster.envelopes`).
- parcel: one message of the channel layer, with envelopes for one lane, and numbered.
- lane: where parcels go, a group or one process's channel, and their numbers
  (`cluster.sequences`).

Who there is: a connection is one client's Engine.IO session or plain WebSocket; a socket is a
connection in one namespace; a server is a hub as the others know it, and a peer another hub.

The way of one emit: `hub.gateway` -> `hub.hub` (to local sockets by `registry`) ->
`cluster.cluster` -> `router` (to which lanes) -> `publisher` (into parcels) -> `layer_connection`
-> the channel layer -> `listener` -> `receiver` -> `sequence_tracking` (what came twice, or not) ->
`hub.actions` -> `hub.hub` -> connections and writers. docs/explanation/how-it-works.md tells it
file by file.
"""
