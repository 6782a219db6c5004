"""The HTTP views: how many clients there are, a message to one of them, and how a process is."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import msgspec
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST, require_safe

from . import broadcast
from .conf import get_settings
from .exceptions import InvalidName, PresenceUnavailable, Unavailable, UnknownNamespace
from .hub import health
from .outside.process import find_hub
from .protocol.parsing import loads
from .sending.remote import RemoteClient

View = Callable[..., HttpResponse]


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON body of a message to a client."""

    event: str
    args: list[Any] = []
    namespace: str | None = None


def permitted(view: View) -> View:
    """Ask ``REALTIME["PERMISSION"]`` first, and answer errors as JSON."""

    @csrf_exempt
    @never_cache
    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            refusal = import_string(get_settings().PERMISSION)(request)
            if refusal is not None:
                return _message(403, refusal)
            return view(request, *args, **kwargs)
        except Unavailable as error:
            return _message(503, str(error))
        except DatabaseError:  # the session or the user cannot be read
            return _message(503, _("The database does not answer."))

    return wrapper


def while_available(view: View) -> View:
    """Answer 503 at once where counts are known to fail: who asks may be in the same database."""

    @never_cache
    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        from .presence import queries  # noqa: PLC0415 (models load with the apps, not with this module)

        try:
            queries.raise_if_down()
        except PresenceUnavailable as error:
            return _message(503, str(error))
        return view(request, *args, **kwargs)

    return wrapper


@require_GET
@while_available
@permitted
def clients_count(request: HttpRequest) -> HttpResponse:
    """
    Answer ``{"count": N}``: connected clients, or those of ``?namespace=`` and ``?room=``. Clients
    that are away count for ``PRESENCE_SECONDS``, see ``REALTIME["RECOVERY"]``.

    400 for a namespace that no route leads to, and for what is no name of a room.
    """
    namespace, room = request.GET.get("namespace"), request.GET.get("room")
    if namespace is None and room is None:
        return JsonResponse({"count": broadcast.count_clients()})
    try:
        sockets = broadcast.of(namespace or "/")
        if room is not None:
            sockets = sockets.to(room)
    except (UnknownNamespace, ValueError) as error:
        return _message(400, str(error))
    return JsonResponse({"count": sockets.count()})


@require_safe
@never_cache
async def ready(request: HttpRequest) -> HttpResponse:
    """
    Answer whether this process should get new clients, and the words for what is wrong with it.

    503 where it should not. Anybody may ask, as load balancers do; no database is asked, and no
    thread is needed.
    """
    hub = find_hub()
    if hub is None:  # it serves pages alone
        return JsonResponse({"ready": True, "problems": []})
    words = sorted({problem["problem"] for problem in health.problems(hub)})
    is_ready = health.is_ready(hub)
    return JsonResponse({"ready": is_ready, "problems": words}, status=200 if is_ready else 503)


@require_safe
@never_cache
async def live(request: HttpRequest) -> HttpResponse:
    """Answer 200: the process answers. Whatever else is wrong, another one would not cure it."""
    return JsonResponse({"live": True})


@require_POST
@permitted
def send_to_client(request: HttpRequest, sid: str) -> HttpResponse:
    """
    Send an event to one client, by its sid: the JSON body's, or `private message` without one.

    404 for a client that is not there, 400 for a body that is no such message.
    """
    try:
        body = _parse_body(request, sid)
        client = _find_client(sid, body.namespace)
        sent = client is not None and client.deliver(body.event, *body.args)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        return _message(400, str(error) or _("The body is not valid"))
    if not sent:
        return _message(404, _("Client not found"))
    return _message(200, _("Message was sent to client with id %(sid)s") % {"sid": sid})


def _find_client(sid: str, namespace: str | None) -> RemoteClient | None:
    try:
        return broadcast.to_client(sid, namespace)
    except (InvalidName, UnknownNamespace):
        return None


def _parse_body(request: HttpRequest, sid: str) -> Body:
    if not request.body:
        return Body("private message", [f"Message to client with id {sid}"])
    return msgspec.convert(loads(request.body.decode()), Body)


def _message(status: int, message: str) -> JsonResponse:
    return JsonResponse({"message": message}, status=status)
