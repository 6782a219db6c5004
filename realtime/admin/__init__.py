"""
What staff see and do in Django's admin. Nothing else of the app imports it.

A site with an AdminSite of its own registers these classes there.
"""

from __future__ import annotations

from django.contrib import admin

from ..models import Room, Server, Socket
from .rooms import RoomAdmin
from .servers import ServerAdmin
from .sockets import SocketAdmin

__all__ = ["RoomAdmin", "ServerAdmin", "SocketAdmin"]

admin.site.register(Server, ServerAdmin)
admin.site.register(Socket, SocketAdmin)
admin.site.register(Room, RoomAdmin)
