"""
Users as they are in the database now, with what they may, many at a time.

What Django's ModelBackend asks for each user, when it is asked for a permission, is asked for all
of them together, and given to it where it keeps its answers. Where a site has a backend or a user
model of another kind it asks as ever.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from django.contrib.auth import get_backends, get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import Manager, ManyToManyField
from django.utils.functional import LazyObject, empty

# What of a user's rights was found last: two of the same number are the same.
RIGHTS = "_realtime_rights"

# Where ModelBackend keeps what it has found, and how it finds that.
_OWN, _OF_GROUPS = "_user_perm_cache", "_group_perm_cache"
_FINDS = ("_get_user_permissions", "_get_group_permissions", "_get_permissions")

# What changes at each login, and says nothing of what a user may.
_UNTOLD = {"last_login"}

_MISSING = object()


class Rights(NamedTuple):
    """The groups of a user, and the permissions that it has itself and by them."""

    groups: frozenset[Any]
    own: frozenset[str]
    of_groups: frozenset[str]


def load_users(keys: Iterable[Any]) -> dict[str, Any]:
    """Return the users of these primary keys, by their texts, with what they may. It blocks."""
    model: Any = get_user_model()
    wanted = {key for key in map(_clean, keys) if key is not None}
    if not wanted:
        return {}
    users = {str(user.pk): user for user in model._default_manager.filter(pk__in=wanted)}
    _add_rights(list(users.values()))
    return users


def _clean(key: Any) -> Any:
    """Return a primary key as the database has it, or None for what can be none."""
    try:
        return get_user_model()._meta.pk.to_python(key)
    except ValidationError:
        return None


def copy_of(user: Any) -> Any:
    """Return a user of its own for another client: what that one's consumer sets is its own."""
    return copy.copy(user)


def differs(old: Any, new: Any) -> bool:
    """
    Tell whether a user is another one than it was, or may other things, as far as is known of the
    old one; what is known now is kept with that.
    """
    if isinstance(old, LazyObject):
        old = old.__dict__.get("_wrapped", empty)
    if old is new or old is empty:  # or nobody has looked at it yet
        return False
    if type(old) is not type(new) or not hasattr(new, "_meta"):
        return bool(old != new)
    before, now = old.__dict__, new.__dict__
    return _has_other_fields(new, before) or _has_other_rights(before, now)


def _has_other_fields(user: Any, before: dict[str, Any]) -> bool:
    now = user.__dict__
    return any(
        before.get(field.attname, _MISSING) not in (_MISSING, now.get(field.attname))
        for field in user._meta.concrete_fields
        if field.attname not in _UNTOLD
    )


def _has_other_rights(before: dict[str, Any], now: dict[str, Any]) -> bool:
    rights = now.get(RIGHTS)
    if before.get(RIGHTS, rights) != rights:
        return True
    before[RIGHTS] = rights
    return any(
        name in before and name in now and before[name] != now[name] for name in (_OWN, _OF_GROUPS)
    )


def _add_rights(users: Collection[Any]) -> None:
    """Note with each user which rights it has, and let ModelBackend know them."""
    if not users or not _has_rights():
        return
    rights = _find_rights([user.pk for user in users])
    is_plain = _is_plain()
    shared: dict[frozenset[str], set[str]] = {}
    numbers: dict[int, int] = {}  # one object for all who have the same
    for user in users:
        its = rights[user.pk]
        kept = user.__dict__
        number = hash(its)
        kept[RIGHTS] = numbers.setdefault(number, number)
        if is_plain and user.is_active and not user.is_superuser:
            kept[_OWN] = set(its.own)
            kept[_OF_GROUPS] = shared.setdefault(its.of_groups, set(its.of_groups))


def _has_rights() -> bool:
    """Tell whether users of the site's model have Django's groups and permissions."""
    for name, kind in (("groups", Group), ("user_permissions", Permission)):
        try:
            found = get_user_model()._meta.get_field(name)
        except FieldDoesNotExist:
            return False
        if not isinstance(found, ManyToManyField) or found.remote_field.model is not kind:
            return False
    return True


def _is_plain() -> bool:
    """Tell whether permissions are found as Django does it, whichever other backends there are."""
    models = [backend for backend in get_backends() if isinstance(backend, ModelBackend)]
    return bool(models) and all(
        getattr(type(backend), name, None) is getattr(ModelBackend, name, _MISSING)
        for backend in models
        for name in _FINDS
    )


def _find_rights(keys: Collection[Any]) -> dict[Any, Rights]:
    groups, own = defaultdict(set), defaultdict(set)
    for key, group in _pairs("groups", keys):
        groups[key].add(group)
    for key, permission in _pairs("user_permissions", keys):
        own[key].add(permission)
    found = {group for some in groups.values() for group in some}
    of_group = defaultdict(set)
    held: Manager[Any] = Group.permissions.through._default_manager
    if found:
        for group, permission in held.filter(group_id__in=found).values_list(
            "group_id", "permission_id"
        ):
            of_group[group].add(permission)
    names = _names({each for some in (*own.values(), *of_group.values()) for each in some})
    return {
        key: Rights(
            frozenset(groups[key]),
            frozenset(names[each] for each in own[key] if each in names),
            frozenset(
                names[each] for group in groups[key] for each in of_group[group] if each in names
            ),
        )
        for key in keys
    }


def _pairs(name: str, keys: Collection[Any]) -> Iterable[tuple[Any, Any]]:
    """Return the primary keys of users, each with one of what it has of a kind."""
    field: Any = get_user_model()._meta.get_field(name)
    user, other = field.m2m_field_name(), field.m2m_reverse_field_name()
    rows = field.remote_field.through._default_manager.filter(**{f"{user}__in": keys})
    pairs: Iterable[tuple[Any, Any]] = rows.values_list(f"{user}_id", f"{other}_id")
    return pairs


def _names(keys: Collection[Any]) -> dict[Any, str]:
    """Return permissions as they are asked for, by primary key."""
    if not keys:
        return {}
    rows = Permission.objects.order_by().filter(pk__in=keys)
    fields = ("pk", "content_type__app_label", "codename")
    return {pk: f"{app}.{codename}" for pk, app, codename in rows.values_list(*fields)}


def members(groups: Collection[str], users: Collection[str]) -> set[str]:
    """Return which of these users are in any of these groups, by their texts. It blocks."""
    keys = {key for key in map(_clean, users) if key is not None}
    if not keys or not _has_rights():
        return set()
    field: Any = get_user_model()._meta.get_field("groups")
    user, group = field.m2m_field_name(), field.m2m_reverse_field_name()
    rows = field.remote_field.through._default_manager.filter(
        **{f"{user}__in": keys, f"{group}__in": groups}
    )
    return {str(key) for key in rows.values_list(f"{user}_id", flat=True)}
