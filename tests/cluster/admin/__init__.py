"""
The admin in a real Chromium, on one server of a cluster or on a WSGI server beside it, with live
clients on another server.
"""
