"""
How bytes travel: WebSocket, HTTP long-polling, the upgrade between them, the plain WebSocket.

It imports `webservers`, `sockets`, `cluster` and what is below; what it needs of the hub stands in
`interfaces`. The hub and the application import it.
"""
