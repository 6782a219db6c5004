"""The settings of a site whose clients come in with tokens, of each kind that is ready."""

from __future__ import annotations

from tests.site.settings import *  # noqa: F403
from tests.site.settings import INSTALLED_APPS, REALTIME

INSTALLED_APPS = [
    *INSTALLED_APPS,
    "rest_framework",
    "rest_framework.authtoken",
    "knox",
    "allauth",
    "allauth.account",
    "allauth.headless",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tests.site.devices.DeviceTokens"],
}
REST_KNOX = {"AUTH_HEADER_PREFIX": "Knox"}
REALTIME = {
    "AUTHENTICATORS": [
        "realtime.authenticators.signed",
        "realtime.authenticators.drf_token",
        "realtime.authenticators.simplejwt",
        "realtime.authenticators.knox",
        "realtime.authenticators.allauth",
        "tests.site.devices.from_device",
        "realtime.authenticators.session",
    ],
    **REALTIME,
    "NAMESPACES": "tests.site.devices.namespaces",
}
