"""
The demo site's settings. Without any environment: SQLite, the in-memory layer, no other server.

Processes that are given the same `REDIS_URL`, `DATABASE_URL` and `SECRET_KEY` are one cluster;
`project.environment` says what each variable means.
"""

from __future__ import annotations

from pathlib import Path

from . import environment

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = environment.secret_key()
DEBUG = environment.debug()
ALLOWED_HOSTS = environment.allowed_hosts()

INSTALLED_APPS = [
    "daphne",
    "realtime",
    "project",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "index"

ROOT_URLCONF = "project.urls"
ASGI_APPLICATION = "project.asgi.application"

REALTIME = {
    "NAMESPACES": "project.routing.namespaces",
    # The demo lets everybody count clients and send to them; the default is staff only.
    "PERMISSION": "realtime.permissions.allow_any",
    # Who is away for less than that comes back as if it had not been.
    "RECOVERY": environment.recovery(),
    "REAUTHORIZE_SECONDS": environment.reauthorize_seconds(),
}

CHANNEL_LAYERS = {"default": environment.channel_layer()}

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": environment.database(BASE_DIR / "db.sqlite3")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "realtime": {"handlers": ["console"], "level": "INFO", "propagate": False},
        "project": {"handlers": ["console"], "level": "INFO", "propagate": False},
    },
}
