"""
What the official test suites expect of a server, with raw HTTP and raw WebSocket frames.

The suites: https://github.com/socketio/engine.io-protocol/tree/main/test-suite and
https://github.com/socketio/socket.io-protocol/tree/main/test-suite. They speak to a bare Engine.IO
server in part; here an event that is sent back stands for the bare message that is.
"""
