"""What changes of what users may, each as Django's views, its admin or a site's code does it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import SESSION_KEY, login, logout
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.utils import timezone


class Site:
    """A user with a session, a group, and another user."""

    def __init__(self, name: str, key: str = "") -> None:
        self.permission = Permission.objects.get(codename="view_socket")
        self.group = Group.objects.get(name=f"viewers {name}")
        self.user = User.objects.get(username=name)
        self.other = User.objects.get(username=f"other {name}")
        self.key = key

    @classmethod
    def new(cls, by: str, name: str = "ann") -> Site:
        """Make one, whose user may view sockets by a group, by itself or as a superuser."""
        Group.objects.create(name=f"viewers {name}")
        User.objects.create_user(name, password="x")
        User.objects.create_user(f"other {name}", password="x")
        self = cls(name)
        # Of which nobody is told: what is told is what changes this.
        if by == "group":
            held: Any = Group.permissions.through.objects
            held.bulk_create([held.model(group=self.group, permission=self.permission)])
            members: Any = User.groups.through.objects
            members.bulk_create([members.model(user=self.user, group=self.group)])
        elif by == "user":
            own: Any = User.user_permissions.through.objects
            own.bulk_create([own.model(user=self.user, permission=self.permission)])
        elif by == "superuser":
            User.objects.filter(pk=self.user.pk).update(is_superuser=True)
        self.key = self.log_in(self.user)
        return self

    @staticmethod
    def log_in(user: User) -> str:
        """Log a user in, and return the key of the session."""
        request = request_of(None)
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        request.session.save()
        assert request.session.session_key is not None
        return request.session.session_key

    @property
    def fresh(self) -> User:
        """The user as a view has it."""
        return User.objects.get(pk=self.user.pk)

    def request(self) -> HttpRequest:
        """A request of the user."""
        request = request_of(self.key)
        request.user = self.fresh
        return request


def request_of(key: str | None) -> HttpRequest:
    """Return a request that brings a session."""
    request = HttpRequest()
    request.session = SessionStore(key)
    return request


# Logins that end


def log_out(site: Site) -> None:
    logout(site.request())


def log_out_everywhere(site: Site) -> None:
    for session in Session.objects.all():
        if session.get_decoded().get(SESSION_KEY) == str(site.user.pk):
            session.delete()


def delete_sessions(site: Site) -> None:
    Session.objects.filter(session_key=site.key).delete()


def flush(site: Site) -> None:
    SessionStore(site.key).flush()


def change_password(site: Site) -> None:
    user = site.fresh
    user.set_password("another one")
    user.save()


def change_password_alone(site: Site) -> None:
    user = site.fresh
    user.set_password("another one")
    user.save(update_fields=["password"])


def deactivate(site: Site) -> None:
    user = site.fresh
    user.is_active = False
    user.save()


def delete_user(site: Site) -> None:
    site.fresh.delete()


def delete_users(site: Site) -> None:
    User.objects.filter(pk=site.user.pk).delete()


def expire(site: Site) -> None:
    """Let a session end soon, as one does that has lasted for as long as it may."""
    end = timezone.now() + timedelta(seconds=0.2)
    Session.objects.filter(session_key=site.key).update(expire_date=end)


def forget_user(site: Site) -> None:
    session = SessionStore(site.key)
    del session[SESSION_KEY]
    session.save()


ENDS = [
    log_out,
    log_out_everywhere,
    delete_sessions,
    flush,
    change_password,
    change_password_alone,
    deactivate,
    delete_user,
    delete_users,
    forget_user,
]


# Permissions that are taken away


def set_none(site: Site) -> None:
    site.group.permissions.set([])


def take_from_group(site: Site) -> None:
    site.group.permissions.remove(site.permission)


def clear_group(site: Site) -> None:
    site.group.permissions.clear()


def take_group_from_permission(site: Site) -> None:
    site.permission.group_set.remove(site.group)


def clear_permission(site: Site) -> None:
    site.permission.group_set.clear()


def leave_group(site: Site) -> None:
    site.user.groups.remove(site.group)


def clear_groups(site: Site) -> None:
    site.user.groups.clear()


def set_no_groups(site: Site) -> None:
    site.user.groups.set([Group.objects.create(name=f"others {site.user.username}")])


def take_member(site: Site) -> None:
    site.group.user_set.remove(site.user)


def clear_members(site: Site) -> None:
    site.group.user_set.clear()


def delete_group(site: Site) -> None:
    site.group.delete()


def delete_permission(site: Site) -> None:
    site.permission.delete()


def rename_permission(site: Site) -> None:
    site.permission.codename = "see_socket"
    site.permission.save()


def take_from_user(site: Site) -> None:
    site.user.user_permissions.remove(site.permission)


def clear_user(site: Site) -> None:
    site.user.user_permissions.clear()


def set_user(site: Site) -> None:
    site.user.user_permissions.set([])


def take_user_from_permission(site: Site) -> None:
    site.permission.user_set.remove(site.user)


def clear_users_of_permission(site: Site) -> None:
    site.permission.user_set.clear()


def demote(site: Site) -> None:
    user = site.fresh
    user.is_superuser = False
    user.save(update_fields=["is_superuser"])


TAKEN = [
    *(("group", cause) for cause in (set_none, take_from_group, clear_group)),
    *(("group", cause) for cause in (take_group_from_permission, clear_permission)),
    *(("group", cause) for cause in (leave_group, clear_groups, set_no_groups)),
    *(("group", cause) for cause in (take_member, clear_members, delete_group)),
    *(("group", cause) for cause in (delete_permission, rename_permission)),
    *(("user", cause) for cause in (take_from_user, clear_user, set_user)),
    *(("user", cause) for cause in (take_user_from_permission, clear_users_of_permission)),
    ("superuser", demote),
]

CAUSES = {cause.__name__: cause for cause in (*ENDS, expire, *(cause for _, cause in TAKEN))}
