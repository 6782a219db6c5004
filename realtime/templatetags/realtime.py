"""
``{% load realtime %}``: the browser client, where it connects, and as whom.

A page that cannot have the client says so, on the page and where it calls `io`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.conf import settings
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from ..authenticators import sign
from ..authenticators.signed_tokens import DEFAULT_EXPIRES
from ..mounting.paths import client_path

register = template.Library()

# A function of the script's element: for an attribute, so it has no double quotes.
_TELL = mark_safe(
    "(script => { const text = script.dataset.missing; "
    "window.io = () => { throw new Error(text) }; "
    "document.addEventListener('DOMContentLoaded', () => document.body.prepend(Object.assign("
    "document.createElement('p'), { className: 'realtime-missing', role: 'alert', "
    "textContent: text }))) })"
)


@register.simple_tag
def realtime_path() -> str:
    """Return the path at which clients connect: ``io({ path: "{% realtime_path %}" })``."""
    return client_path()


@register.simple_tag(takes_context=True)
def realtime_token(
    context: template.Context,
    expires: float | timedelta | datetime = DEFAULT_EXPIRES,
    namespace: str | None = None,
) -> str:
    """
    Return a token by which a page of another origin comes in as the user of the request, or an
    empty text for somebody who is nobody: ``io(url, { auth: { token: "{% realtime_token %}" } })``.

    Like `realtime.authenticators.sign`, which it calls, it takes when the token ends, and the
    namespace that it is good for.
    """
    user: Any = getattr(context.get("request"), "user", None) or context.get("user")
    return sign(user, expires, namespace) if getattr(user, "is_authenticated", False) else ""


@register.simple_tag(takes_context=True)
def realtime_script(context: template.Context) -> SafeString:
    """
    Return the ``<script>`` of the browser client, whose `io` knows the path by itself.

    Where the template knows the request's nonce, of Django's CSP or django-csp's, the script has
    it.
    """
    url = static("realtime/realtime.js")
    script = format_html(
        'src="{}" data-path="{}" data-missing="{}"', url, client_path(), _missing(url)
    )
    if nonce := _nonce(context):
        return format_html(
            '<script nonce="{}" {}></script>\n<script nonce="{}">window.io || '
            "{}(document.currentScript.previousElementSibling)</script>",
            nonce,
            script,
            nonce,
            _TELL,
        )
    return format_html('<script {} onerror="{}(this)"></script>', script, _TELL)


def _missing(url: str) -> str:
    text = _("This page is not live: %(url)s could not be loaded.") % {"url": url}
    if settings.DEBUG:
        text += " " + _("Does the site serve its static files?")
    return text


def _nonce(context: template.Context) -> str:
    """Return the nonce for scripts, or an empty text."""
    given: Any = context.get("csp_nonce") or getattr(context.get("request"), "csp_nonce", None)
    return str(given or "")
