"""django-sio: Socket.IO on Channels."""
