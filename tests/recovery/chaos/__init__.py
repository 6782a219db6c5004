"""
Clients that come, go, drop and come back at random, on servers that are restarted and killed.

``python -m tests.recovery.chaos --seconds 600 --seed 1`` runs it, and says whether every client
got what it was promised. The seed chooses what is done; how things meet in time is the machine's.

Each client is in two namespaces of one connection, by WebSocket, by polling, whose requests may go
to any server, or by an upgrade, to the same server or another one. It drops in order or without a
word, while it is let in, amid its upgrade, just after it has joined or left a room, or ten times in
a row. Servers, a process without clients and the clients themselves send texts and bytes to rooms,
to clients and to all, with some left out, at commits or volatile, and let others join and leave,
who may be away. Servers are stopped, one, two or one after the other, or killed, also amid an
upgrade, and they and Valkey stand still for a moment.

It fails where something that was promised is missing, doubled, spoilt, out of order or for
somebody else; where a client is not let in again, or a server does not stop; and where clients are
told of a loss though no process was killed that had what they come back to (with the log in Redis:
whatever was killed), or too many of them after a stall.
"""
