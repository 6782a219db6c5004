"""
The demo's settings with a theme for the admin.

Environment, beside the demo's own: ``ADMIN_THEME``, one of `THEMES`.
"""

from __future__ import annotations

import os

from .settings import *  # noqa: F403
from .settings import INSTALLED_APPS

# The apps of each theme, which stand before Django's admin.
THEMES = {
    "stock": [],
    "jazzmin": ["jazzmin"],
    "unfold": ["unfold"],
    "grappelli": ["grappelli"],
}

_apps = THEMES[os.environ["ADMIN_THEME"]]
INSTALLED_APPS = [*_apps, *INSTALLED_APPS]

# As the browser prefers; the others do so by themselves.
JAZZMIN_UI_TWEAKS = {"default_theme_mode": "auto"}

ROOT_URLCONF = "tests.site.themed_urls"
