"""
What Django tells of users who may be here no more, or may something else: all servers are told when
it is committed.

A transaction sends few messages, however many users and groups it changes. Nothing of this keeps
anybody from logging out or saving: what cannot be sent is logged, and found a little later.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.contrib.auth.signals import user_logged_out
from django.db import DEFAULT_DB_ALIAS, connections, models, router, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save

from ..authority.changes import MOST, REAUTHORIZE, Change, encode
from ..cluster.targets import EVERYONE
from ..exceptions import NotRunning
from ..outside.process import get_gateway
from ..recovery.identities import identify
from . import session_causes, token_causes, unsent

# What is saved at each login, and says nothing of what a user may.
UNTOLD = {"last_login"}

# How many of a transaction's last hooks are looked at for one that sends already.
LOOK_BACK = 20


def connect() -> None:
    """Have all servers told from now on."""
    user_logged_out.connect(_logged_out, dispatch_uid=__name__)
    post_save.connect(_saved, dispatch_uid=__name__)
    post_delete.connect(_deleted, dispatch_uid=__name__)
    m2m_changed.connect(_given_or_taken, dispatch_uid=__name__)
    session_causes.connect(note)
    token_causes.connect(note)


# Users


def _logged_out(*, request: Any, user: Any, **kwargs: Any) -> None:
    who = identify({"user": user, "session": getattr(request, "session", None)})
    if who is None or who.user is None or who.login is None:
        return
    using = DEFAULT_DB_ALIAS
    if isinstance(user, models.Model):
        using = router.db_for_write(user.__class__, instance=user)
    note(Change(logged_out={(who.user, who.login)}), using)


def _saved(
    *,
    instance: models.Model,
    created: bool,
    raw: bool,
    using: str,
    update_fields: Collection[str] | None,
    **kwargs: Any,
) -> None:
    """Take note of a user, a group or a permission that is another one than before."""
    if created or raw:
        return
    if isinstance(instance, get_user_model()):
        if update_fields is None or not UNTOLD.issuperset(update_fields):
            ends = _ends_logins(instance, update_fields)
            keys = {str(instance.pk)}
            note(Change(ended=keys) if ends else Change(users=keys), using)
    elif isinstance(instance, Group):
        note(Change(groups={str(instance.pk)}), using)
    elif isinstance(instance, Permission):
        note(Change(everybody=True), using)


def _ends_logins(user: Any, update_fields: Collection[str] | None) -> bool:
    """Tell whether a user, who has been saved, has to log in again, or cannot."""
    saved = None if update_fields is None else set(update_fields)
    if saved is not None and "password" in saved:
        return True
    if saved is None and getattr(user, "_password", None) is not None:  # see `set_password`
        return True
    return (saved is None or "is_active" in saved) and getattr(user, "is_active", True) is False


def _deleted(*, instance: models.Model, using: str, **kwargs: Any) -> None:
    if isinstance(instance, get_user_model()):
        note(Change(ended={str(instance.pk)}), using)
    elif isinstance(instance, Group | Permission):  # whose users are not known any more
        note(Change(everybody=True), using)


# Groups and permissions


def _given_or_taken(
    *,
    sender: Any,
    instance: models.Model,
    action: str,
    reverse: bool,
    pk_set: Collection[Any] | None,
    using: str,
    **kwargs: Any,
) -> None:
    """Take note of groups and permissions that users, or groups, have from now on, or no more."""
    if action not in ("post_add", "post_remove", "pre_clear"):
        return
    if sender in _throughs():
        kind: type[models.Model] = get_user_model()
    elif sender is Group.permissions.through:
        kind = Group
    else:
        return
    if isinstance(instance, kind):
        _note_some(kind, [instance.pk], using)
    elif pk_set is not None:
        _note_some(kind, pk_set, using)
    else:
        _note_some(kind, _holders(sender, instance, kind, using), using)


def _throughs() -> list[Any]:
    """Return what links users of the site's model with their groups and permissions."""
    links = (getattr(get_user_model(), name, None) for name in ("groups", "user_permissions"))
    throughs = (getattr(link, "through", None) for link in links)
    return [through for through in throughs if through is not None]


def _holders(
    through: Any, held: models.Model, kind: type[models.Model], using: str
) -> Iterable[Any]:
    """Return the primary keys of those who have a group or permission, which all lose it now."""
    of, to = (_link(through, each) for each in (type(held), kind))
    rows = through._default_manager.using(using).filter(**{of: held.pk})
    return list(rows.values_list(to, flat=True)[: MOST + 1])


def _link(through: Any, model: type[models.Model]) -> str:
    """Return the column by which a table of links leads to a model."""
    for field in through._meta.fields:
        target = field.remote_field.model if field.remote_field is not None else None
        if target is not None and issubclass(model, target):
            return str(field.attname)
    raise LookupError(f"{through!r} does not lead to {model!r}")


def _note_some(kind: type[models.Model], keys: Collection[Any] | Iterable[Any], using: str) -> None:
    some = {str(key) for key in keys}
    if len(some) > MOST:
        note(Change(everybody=True), using)
    elif some:
        note(Change(groups=some) if kind is Group else Change(users=some), using)


# Telling


class Sending:
    """What one transaction has changed, to be sent when it is committed."""

    def __init__(self) -> None:
        self.change = Change()

    def __call__(self) -> None:
        """Tell all servers, as well as that can be done."""
        try:
            gateway = get_gateway()
            for names in encode(self.change):
                gateway.command(EVERYONE, REAUTHORIZE, names)
        except NotRunning:
            pass  # then there is nobody to tell
        except Exception as error:
            unsent.note(logging.WARNING, error, call=REAUTHORIZE)


def note(change: Change, using: str) -> None:
    """Tell all servers of a change when the transaction is committed; at once where none is."""
    sending = _find_sending(using)
    if sending is None:
        sending = Sending()
        sending.change.add(change)
        if connections[using].in_atomic_block:
            transaction.on_commit(sending, using=using)
        else:  # without a look at a database that may be away, or at whether this is a coroutine
            sending()
    else:
        sending.change.add(change)


def _find_sending(using: str) -> Sending | None:
    """Return what is to be sent anyway, if this savepoint and those around it are kept."""
    connection = connections[using]
    savepoints = set(connection.savepoint_ids)
    for hook in connection.run_on_commit[: -LOOK_BACK - 1 : -1]:
        if isinstance(hook[1], Sending) and hook[0] == savepoints:
            return hook[1]
    return None
