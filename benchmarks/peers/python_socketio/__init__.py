"""python-socketio, the Python Socket.IO server."""
