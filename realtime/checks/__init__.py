"""
What a site has set or written wrong, said by ``manage.py check`` with a hint.

One module for each subject; importing this package registers all of them.
"""

from __future__ import annotations

from . import (
    application,
    authority,
    databases,
    functions,
    installation,
    layers,
    mount,
    namespaces,
    once,
    origins,
    presence,
    servers,
    settings,
)

__all__ = [
    "application",
    "authority",
    "databases",
    "functions",
    "installation",
    "layers",
    "mount",
    "namespaces",
    "once",
    "origins",
    "presence",
    "servers",
    "settings",
]
