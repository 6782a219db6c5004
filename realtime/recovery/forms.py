"""Sessions as hubs hand them to each other, in bytes."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from ..identity.clients import ClientFacts, absent_user, name_of
from ..routing import resolve
from ..sockets.trail import Stay, Trail
from .identities import Identity
from .log import Packet
from .places import number_of, place_of
from .session import NOTHING, Missed, Session


class TrailForm(msgspec.Struct, array_like=True):
    """
    A trail in the numbers of a log that hubs share (see `streams`); `never` tells that the client
    is told of a loss, whatever it has got.
    """

    since: int
    confirmed: int
    floor: int
    never: bool
    joined: dict[str, int]
    past: list[tuple[str, int, int]]


class SessionForm(msgspec.Struct, array_like=True):
    """
    A session. `missed` is what its client has not got: the names of each event, and its place in a
    list of packets. `asked` are rooms that it has asked for itself, `own_user` is the key of a user
    that the site's code has set. `counts` tells whether it counts as there. `opened_at` and
    `away_since` are Unix times; but `lasts` is for how many seconds more its client may be away,
    and `counts_for` for how many it counts: each hub's own clock begins elsewhere. `stay` is what
    the hub that has it calls this one of its client's stays there.

    `trail` is for hubs that share a log, and so is `seen`: up to this number it has done what
    others let it do.
    """

    pid: str
    sid: str
    namespace: str
    user: str | None
    login: str | None
    rooms: list[str]
    data: str
    shared: str
    connection: str
    facts: tuple[str, str, str, str]
    username: str
    opened_at: float | None
    away_since: float
    reason: str
    counts: bool
    lasts: float
    counts_for: float
    missed: list[tuple[tuple[str, ...], int]] = []
    stay: int = 0
    asked: list[str] = []
    own_user: str | None = None
    trail: TrailForm | None = None
    siblings: tuple[str, ...] = ()
    seen: int = 0


def is_logged(form: SessionForm) -> bool:
    """
    Tell whether the log of a session is that which hubs share: one whose log is elsewhere can make
    nothing of it, as when a site changes ``REALTIME["RECOVERY"]["LOG"]`` in a rolling restart.
    """
    return form.trail is not None


class Parcel(msgspec.Struct, array_like=True):
    """
    Sessions of a `server`, with the packets that they share; `gone` are the pids of those that were
    announced and do not come. With `stays` the one session in it is where it was, since the asker
    does not hear yet for all the rooms that it is in now, and no others.

    Or, where there are none, where the one that was asked for is: `elsewhere`.
    """

    server: str
    sessions: list[SessionForm] = []
    packets: list[Packet] = []
    elsewhere: str = ""
    gone: list[str] = []
    stays: bool = False


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Parcel)


def encode_parcel(parcel: Parcel) -> bytes:
    """Return a parcel's bytes."""
    return _encoder.encode(parcel)


def decode_parcel(body: bytes) -> Parcel:
    """Return the parcel of some bytes. Raises msgspec.ValidationError or DecodeError."""
    return _decoder.decode(body)


def dump_trail(trail: Trail) -> TrailForm:
    """Return the form of a trail whose places are those of a shared log."""
    since, confirmed, floor, joined, past = trail.dump()
    never = floor >= Trail.NEVER
    return TrailForm(
        number_of(since),
        number_of(confirmed),
        0 if never else number_of(floor),
        never,
        {room: number_of(place) for room, place in joined.items()},
        [(room, number_of(after), number_of(until)) for room, after, until, _ in past],
    )


def load_trail(pid: str, form: TrailForm) -> Trail:
    """Return the trail of a form."""
    floor = Trail.NEVER if form.never else place_of(form.floor)
    joined = {room: place_of(number) for room, number in form.joined.items()}
    past = [
        Stay(room, place_of(after), place_of(until), place_of(after))
        for room, after, until in form.past
    ]
    return Trail.load(pid, (place_of(form.since), place_of(form.confirmed), floor, joined, past))


def encode_trail(server: str, trail: Trail) -> bytes:
    """Return the bytes of a trail whose client is at a `server`."""
    return msgspec.msgpack.encode((server, dump_trail(trail)))


def decode_trail(pid: str, body: bytes) -> tuple[str, Trail]:
    """Return whose a trail was, and the trail. Raises msgspec.MsgspecError."""
    server, form = msgspec.msgpack.decode(body, type=tuple[str, TrailForm])
    return server, load_trail(pid, form)


class Packer:
    """
    Puts sessions into a parcel, and each packet once; `now` is what the loop's clock says. Hubs
    that share a log have `seen` it up to a number, and give trails along.
    """

    def __init__(self, server: str, now: float, seen: int | None = None) -> None:
        self.parcel = Parcel(server)
        self._now = now
        self._seen = seen
        self._places: dict[str, int] = {}

    def add(self, session: Session, missed: list[Missed]) -> None:
        """Add a session, and what its client has missed."""
        facts = session.facts
        opened = session.opened_at
        self.parcel.sessions.append(
            SessionForm(
                session.pid,
                session.sid,
                session.namespace,
                session.identity.user,
                session.identity.login,
                sorted(session.rooms),
                session.data,
                session.shared,
                session.connection,
                (facts.connection, facts.address, facts.user_agent, facts.transport),
                name_of(session.user),
                None if opened is None else opened.timestamp(),
                session.away_since.timestamp(),
                session.reason,
                session.counts,
                session.until - self._now,
                session.counts_until - self._now,
                [(names, self._place(packet)) for names, packet in missed],
                session.stay,
                sorted(session.asked),
                None if session.whose == session.identity.user else session.whose,
                None if self._seen is None else dump_trail(session.trail),
                session.siblings,
                self._seen or 0,
            )
        )

    def _place(self, packet: Packet) -> int:
        place = self._places.get(packet.id)
        if place is None:
            place = self._places[packet.id] = len(self.parcel.packets)
            self.parcel.packets.append(packet)
        return place


def open_session(parcel: Parcel, form: SessionForm, since: int, now: float) -> Session:
    """
    Return the session of a form, for whose client this hub counts from `since` on.

    What has passed elsewhere of its time has passed here. Raises UnknownNamespace where this server
    has no such namespace.
    """
    user = absent_user(form.own_user or form.user, form.username)
    connection, address, user_agent, transport = form.facts
    return Session(
        form.sid,
        form.namespace,
        Identity(form.user, form.login),
        Trail(form.pid, since) if form.trail is None else load_trail(form.pid, form.trail),
        set(form.rooms),
        form.data,
        form.shared,
        form.connection,
        ClientFacts(connection, user, address, user_agent, transport),
        user,
        resolve(form.namespace).consumer_class,
        None if form.opened_at is None else datetime.fromtimestamp(form.opened_at, UTC),
        datetime.fromtimestamp(form.away_since, UTC),
        form.reason,
        now + form.lasts,
        now + form.counts_for,
        tail=tuple(Missed(names, parcel.packets[place]) for names, place in form.missed),
        asked=frozenset(form.asked),
        siblings=form.siblings,
        seen=NOTHING if form.trail is None else place_of(form.seen),
        owner=parcel.server,
    )
