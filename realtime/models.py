"""
Who is connected: servers, sockets and their rooms, as rows that one writer for each process keeps.

Only sockets of living servers count: a server that was killed leaves rows behind until another
one removes them. So ask `Socket.objects.online()`, `Server.objects.living()` and
`Room.objects.online()`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Count
from django.utils.translation import gettext_lazy as _

from .conf import get_settings
from .exceptions import PresenceDisabled
from .fields import DatabaseNow, DatabaseTimeField, ExactCharField
from .protocol.names import MAX_LENGTH
from .utils.installed import require_installed

require_installed()  # which says more than Django does of models without their app

# A server that missed so many heartbeats is taken for dead.
MISSED_HEARTBEATS = 3

# How many lifetimes an attempt to write may take, where others before it went nowhere.
MAX_PATIENCE = 4

ADDRESS_LENGTH = 64
USER_AGENT_LENGTH = 512


def lifetime() -> timedelta:
    """Return how long a server lives without a heartbeat."""
    return timedelta(seconds=get_settings().SERVER_HEARTBEAT * MISSED_HEARTBEATS)


def recovery() -> timedelta:
    """
    Return how long after an outage a server may need to come back: it may be at an attempt that
    goes nowhere, and pause after that.
    """
    return lifetime() * (MAX_PATIENCE + 1)


def require_presence() -> None:
    """Raise PresenceDisabled where the settings turn presence off."""
    if not get_settings().PRESENCE:
        raise PresenceDisabled(
            'Presence is off, so nobody knows who is connected. Set REALTIME["PRESENCE"] to True.'
        )


class Transport(models.TextChoices):
    """How a client is connected."""

    WEBSOCKET = "websocket", _("WebSocket")
    POLLING = "polling", _("HTTP long-polling")
    PLAIN = "plain", _("plain WebSocket")


class ServerQuerySet(models.QuerySet["Server"]):
    """Servers."""

    def living(self) -> Self:
        """Only servers whose last heartbeat is recent, by the database's clock."""
        return self.filter(seen_at__gt=DatabaseNow() - lifetime())


class SocketQuerySet(models.QuerySet["Socket"]):
    """Sockets."""

    def online(self) -> Self:
        """Only sockets of living servers. Raises PresenceDisabled where presence is off."""
        require_presence()
        return self.filter(server__in=Server.objects.living())

    def present(self) -> Self:
        """Only sockets whose client is connected at the moment."""
        return self.filter(away_since=None)

    def away(self) -> Self:
        """Only sockets whose client has dropped a moment ago, and may come back."""
        return self.exclude(away_since=None)


class RoomQuerySet(models.QuerySet["Room"]):
    """Rooms, each once however many members it has."""

    def online(self) -> Self:
        """Only rooms with a socket of a living server. Raises PresenceDisabled as sockets do."""
        require_presence()
        return self.filter(member__server__in=Server.objects.living())

    def with_counts(self) -> Self:
        """Only rooms as `online` has them, each with its number of sockets as `sockets`."""
        return self.online().annotate(sockets=Count("member"))


class Server(models.Model):
    """A process that serves clients. `id` is the start of its sockets' ids."""

    id = ExactCharField(_("id"), primary_key=True, max_length=16)
    name = ExactCharField(_("name"), max_length=255)
    host = ExactCharField(_("host"), max_length=255)
    pid = models.PositiveIntegerField(_("process"))
    software = ExactCharField(_("server software"), max_length=64)
    # {"realtime": "0.1.0", "django": "5.2", "channels": "4.3", "python": "3.12.1"}
    versions = models.JSONField(_("versions"), default=dict)
    started_at = models.DateTimeField(_("started"))
    seen_at = DatabaseTimeField(_("last seen"))
    # Whether all of its sockets are written, and since when the database takes its rows again.
    complete = models.BooleanField(_("complete"), default=True)
    restored_at = DatabaseTimeField(_("restored"), null=True)  # type: ignore[misc]

    objects = ServerQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        verbose_name = _("server")
        verbose_name_plural = _("servers")

    def __str__(self) -> str:
        return self.name


class Socket(models.Model):
    """A client in a namespace. Its `connection` tells which sockets are the same client's."""

    sid = ExactCharField(_("id"), primary_key=True, max_length=64)
    server = models.ForeignKey(
        Server, models.CASCADE, related_name="sockets", verbose_name=_("server")
    )
    connection = ExactCharField(_("connection"), max_length=16)
    namespace = ExactCharField(_("namespace"), max_length=MAX_LENGTH)
    # No constraint: a user who is deleted at this moment must not fail a batch of other sockets.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        db_constraint=False,
        related_name="realtime_sockets",
        verbose_name=_("user"),
    )
    address = ExactCharField(_("address"), max_length=ADDRESS_LENGTH, blank=True)
    user_agent = ExactCharField(_("user agent"), max_length=USER_AGENT_LENGTH, blank=True)
    transport = ExactCharField(_("transport"), max_length=16, choices=Transport.choices)
    # What its consumer shares: see `realtime.sockets.sharing`.
    data = models.JSONField(_("data"), default=dict, blank=True)
    connected_at = models.DateTimeField(_("connected"))
    # When its client dropped, which may come back to it. Until then it is written as it was last.
    away_since = models.DateTimeField(_("away since"), null=True, blank=True)

    objects = SocketQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        permissions = [
            ("send_event", _("Can send events to clients")),
            ("join_room", _("Can put clients into rooms")),
            ("leave_room", _("Can take clients out of rooms")),
            ("disconnect_socket", _("Can disconnect clients")),
        ]
        # The newest first, of all and of a namespace.
        indexes = [
            models.Index(fields=["namespace", "connected_at"], name="realtime_socket_namespace"),
            models.Index(fields=["connected_at"], name="realtime_socket_newest"),
        ]
        verbose_name = _("socket")
        verbose_name_plural = _("sockets")

    def __str__(self) -> str:
        return self.sid

    @property
    def is_away(self) -> bool:
        """Whether its client has dropped, and may come back."""
        return self.away_since is not None


class SeenUser(models.Model):
    """
    A user who was connected, and until when: written as rows of their sockets go.

    Ask `realtime.expressions.LastSeen`, which knows who is connected now as well.
    """

    # No constraint, as for sockets.
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        primary_key=True,
        db_constraint=False,
        related_name="realtime_seen",
        verbose_name=_("user"),
    )
    seen_at = DatabaseTimeField(_("last seen"))

    class Meta:
        default_permissions = ()
        verbose_name = _("last seen")
        verbose_name_plural = _("last seen")

    def __str__(self) -> str:
        return str(self.seen_at)


class Membership(models.Model):
    """A socket in a room. `key` is a digest of namespace and room, the same in all processes."""

    # The unique constraint's index serves this relation too.
    socket = models.ForeignKey(
        Socket,
        models.CASCADE,
        db_index=False,
        related_name="memberships",
        verbose_name=_("socket"),
    )
    namespace = ExactCharField(_("namespace"), max_length=MAX_LENGTH)
    room = ExactCharField(_("room"), max_length=MAX_LENGTH, blank=True)
    key = ExactCharField(_("key"), max_length=64, db_index=True)
    joined_at = models.DateTimeField(_("joined"))

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["socket", "key"], name="realtime_membership_once")
        ]
        # All that a list of rooms reads, in its order.
        indexes = [
            models.Index(fields=["namespace", "room", "key"], name="realtime_membership_room")
        ]
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")

    def __str__(self) -> str:
        return f"{self.namespace} {self.room}"


class HandledEvent(models.Model):
    """
    An event of a handler with `once`, or one that is being handled: then it has no answer.

    `key` is a digest of its client, namespace, event and the client's key, `owner` one of the
    client, `arguments` one of what the handler gets. `attempt` tells who handles it.
    """

    key = ExactCharField(primary_key=True, max_length=64)
    owner = ExactCharField(max_length=64)
    namespace = ExactCharField(max_length=MAX_LENGTH)
    event = ExactCharField(max_length=MAX_LENGTH)
    arguments = ExactCharField(max_length=64)
    server = ExactCharField(max_length=16)
    attempt = ExactCharField(max_length=32)
    answer = models.BinaryField(null=True)
    # When it began, was last known to run, or ended.
    seen_at = DatabaseTimeField()

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index(fields=["seen_at"], name="realtime_handled_oldest"),
            models.Index(fields=["owner", "seen_at"], name="realtime_handled_owner"),
        ]

    def __str__(self) -> str:
        return f"{self.namespace} {self.event}"


class RoomManager(models.Manager.from_queryset(RoomQuerySet)):  # type: ignore[misc]
    """Reads each room once from the table of memberships."""

    def get_queryset(self) -> RoomQuerySet:
        queryset: RoomQuerySet = super().get_queryset()
        return queryset.defer("member").distinct()


class Room(models.Model):
    """
    A room that somebody is in, read from the memberships: it has no table of its own.

    `member` is there to filter and to count by, and is never loaded.
    """

    key = ExactCharField(_("key"), primary_key=True, max_length=64)
    namespace = ExactCharField(_("namespace"), max_length=MAX_LENGTH)
    name = ExactCharField(_("name"), max_length=MAX_LENGTH, db_column="room")
    member = models.ForeignKey(
        Socket, models.DO_NOTHING, db_column="socket_id", db_constraint=False, related_name="+"
    )

    objects = RoomManager()

    class Meta:
        managed = False
        db_table = "realtime_membership"
        base_manager_name = "objects"
        default_permissions = ("view",)
        verbose_name = _("room")
        verbose_name_plural = _("rooms")

    def __str__(self) -> str:
        return self.name
