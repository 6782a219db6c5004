"""
Users who log out or change their password: nobody comes back to what they had.

It is refused when it comes, too, since it brings no login or another one. But until then it would
count as away, and what its rooms are sent would be kept for it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_out
from django.db import models, transaction
from django.db.models.signals import post_save

from ..cluster.envelopes import LOG_OUT
from ..cluster.targets import EVERYONE
from ..conf import get_settings
from ..exceptions import NotRunning
from ..outside.process import get_gateway
from ..recovery.identities import identify
from . import unsent


def connect() -> None:
    """Have all servers told from now on."""
    user_logged_out.connect(_logged_out, dispatch_uid=__name__)
    post_save.connect(_saved, dispatch_uid=__name__)


def _logged_out(*, request: Any, user: Any, **kwargs: Any) -> None:
    if not get_settings().RECOVERY:
        return
    who = identify({"user": user, "session": getattr(request, "session", None)})
    if who is not None and who.user is not None and who.login is not None:
        _tell(who.user, who.login)


def _saved(
    *,
    instance: models.Model,
    created: bool,
    raw: bool,
    using: str,
    update_fields: Collection[str] | None,
    **kwargs: Any,
) -> None:
    """Take note of a user whose logins are all over, by another password or without an account."""
    if created or raw or not get_settings().RECOVERY:
        return
    if _ends_logins(instance, update_fields) and isinstance(instance, get_user_model()):
        transaction.on_commit(partial(_tell, str(instance.pk)), using=using)


def _ends_logins(user: Any, update_fields: Collection[str] | None) -> bool:
    """Tell whether a user, who has been saved, has to log in again, or cannot."""
    saved = None if update_fields is None else set(update_fields)
    if saved is not None and "password" in saved:
        return True
    if saved is None and getattr(user, "_password", None) is not None:  # see `set_password`
        return True
    return (saved is None or "is_active" in saved) and getattr(user, "is_active", True) is False


def _tell(*names: str) -> None:
    """Tell all servers, as well as that can be done: it keeps nobody from logging out."""
    try:
        get_gateway().command(EVERYONE, LOG_OUT, names)
    except NotRunning:
        pass  # then there is nobody to tell
    except Exception as error:
        unsent.note(logging.WARNING, error, call=LOG_OUT)
