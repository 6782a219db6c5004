"""
Who a client is: its session, its user, and the look-ups of both.

It imports `execution` and `utils`; sockets ask it, and the application completes scopes by it.
"""
