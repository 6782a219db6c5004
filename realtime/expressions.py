"""
What Django's ORM can ask of users, as annotations and in filters: `Online` and `LastSeen`.

    User.objects.annotate(is_online=Online(), last_seen=LastSeen())
"""

from __future__ import annotations

from django.db.models import Case, Exists, OuterRef, Subquery, When
from django.db.models.functions import Coalesce, Greatest

from .fields import DatabaseNow, DatabaseTimeField
from .models import SeenUser, Server, Socket

__all__ = ["LastSeen", "Online"]


class Online(Exists):
    """
    Whether a user is connected, or away and may come back: whether `Socket.objects.online()` has
    any socket of theirs.

    `user` names the user or its primary key: that of the row itself, or such as "owner" of another
    model's. Raises PresenceDisabled where presence is off.
    """

    def __init__(self, user: str = "pk") -> None:
        super().__init__(Socket.objects.online().filter(user=OuterRef(user)))


class LastSeen(Case):
    """
    The last moment at which a user was online: now for who is, None for who never was.

    `user` is what it is for `Online`. Raises PresenceDisabled where presence is off.
    """

    def __init__(self, user: str = "pk") -> None:
        noted = SeenUser.objects.filter(user=OuterRef(user)).values("seen_at")
        # Rows that a server has left behind tell more than what was noted before it died.
        left = Server.objects.filter(sockets__user=OuterRef(user)).order_by("-seen_at")
        moments = (Subquery(noted[:1]), Subquery(left.values("seen_at")[:1]))
        super().__init__(
            When(Online(user), then=DatabaseNow()),
            # Each also in place of the other: of a NULL some databases make a NULL.
            default=Greatest(Coalesce(*moments), Coalesce(*reversed(moments))),
            output_field=DatabaseTimeField(),
        )
