"""How bytes travel: WebSocket, HTTP long-polling, the upgrade between them, plain WebSocket."""
