"""Who may use the HTTP views: ``REALTIME["PERMISSION"]`` names one of these, or a site's own."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.translation import gettext as _

VIEW = "realtime.view_socket"
SEND = "realtime.send_event"

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def allow_any(request: HttpRequest) -> str | None:
    """Let everybody in, without CSRF: for demos and closed networks."""
    return None


def staff(request: HttpRequest) -> str | None:
    """
    Let staff in who have the app's permission: `view_socket` to read, `send_event` to send.

    Returns why a request is refused, or None. A POST needs Django's CSRF token.
    """
    user = request.user
    if not user.is_active or not getattr(user, "is_staff", False):
        return _("Staff only")
    reading = request.method in SAFE_METHODS
    permission = VIEW if reading else SEND
    if not user.has_perm(permission):
        return _("The permission %(name)s is missing") % {"name": permission}
    if not reading and _csrf_problem(request) is not None:
        return _("The CSRF token is missing or wrong")
    return None


def _csrf_problem(request: HttpRequest) -> HttpResponse | None:
    """Run Django's own CSRF check, which the views leave to their permission."""

    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    check = CsrfViewMiddleware(view)
    check.process_request(request)
    return check.process_view(request, view, (), {})
