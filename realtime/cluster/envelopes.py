"""
What hubs say to each other through the channel layer.

Each layer message is a dict of one fixed `type`, with a version and one or more encoded envelopes.
What a hub does not understand it logs and ignores, so that old and new processes get along.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

# The one `type` of our layer messages: never a method of anybody's consumer.
LAYER_MESSAGE: Literal["realtime.envelope"] = "realtime.envelope"
VERSION: Literal[1] = 1

# The group of all hubs.
HUBS = "rt.hubs"

# The action of a Command that says that a user has logged out.
LOG_OUT = "log out"

# Names of groups, channels and servers are short; what is longer is nobody's.
_Name = Annotated[str, msgspec.Meta(max_length=200)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


@lru_cache(maxsize=4096)
def group_name(namespace: str, room: str | None = None) -> str:
    """
    Return the layer's group for a room, or for the whole namespace where `room` is None.

    Rooms are any text, groups are short ASCII, so the name is a digest.
    """
    key = msgspec.msgpack.encode((namespace, room))
    return "rt." + blake2b(key, digest_size=20).hexdigest()


def server_group(server: str) -> str:
    """Return the group that one hub alone is in, for processes that do not know its channel."""
    return "rt.server." + server


class Envelope(msgspec.Struct, array_like=True):
    """The base of all that travels."""


class Emit(Envelope, tag="emit"):
    """
    An event for sockets. `text` and `attachments` are its Socket.IO packet, encoded.

    `id` is unique in the cluster, so that who gets it twice can tell; empty where nobody needs it.
    """

    namespace: str
    rooms: tuple[str, ...]
    excluded: tuple[str, ...]
    volatile: bool
    text: str
    attachments: tuple[bytes, ...]
    client: bool = False
    id: str = ""


class Command(Envelope, tag="command"):
    """
    What is to be done with sockets: `action` is join or leave with `names` of rooms, close, end,
    which ends their whole connections, or reauthorize, which asks for them again. For the target
    EVERYONE the last one says in its `names` what has changed (see `authority.changes`); LOG_OUT,
    with the key of a user and perhaps one of its logins, that these are over. A hub ignores an
    action that it does not know. `id` is as in `Emit`.
    """

    namespace: str
    rooms: tuple[str, ...]
    excluded: tuple[str, ...]
    action: str
    names: tuple[str, ...]
    client: bool = False
    id: str = ""


class Moved(Envelope, tag="moved"):
    """
    Where a client is, for the server that its sid names: here, at the server that says so, or
    (`here` false) no longer.
    """

    sid: str
    here: bool


class Forward(Envelope, tag="forward"):
    """
    What came of the server `origin` for a client that has moved to this one; `hops` counts how
    often it was sent on.
    """

    sid: str
    envelope: Emit | Command
    origin: str
    hops: int = 0


class Beat(Envelope, tag="beat"):
    """
    A sign of life: who speaks, its channel, and what it counts.

    `hello` asks for a beat with the same text as `echo`; `leaving` is the last one. `tails` names,
    for lanes that were used lately, the number and the place of the last message, so that a lost
    one is noticed. `at` is when it was sent, as Unix time, or 0.
    """

    server: _Name
    channel: _Name
    hello: str = ""
    echo: str = ""
    leaving: bool = False
    tails: Mapping[str, tuple[int, int]] = {}
    report: dict[str, Any] = {}
    at: float = 0.0


class Call(Envelope, tag="call"):
    """
    Question: an event whose acknowledgements are wanted; the answers are `calls.Part`s.

    `id` is as in `Emit`.
    """

    namespace: str
    rooms: tuple[str, ...]
    excluded: tuple[str, ...]
    text: str
    attachments: tuple[bytes, ...]
    timeout: float | None
    client: bool = False
    id: str = ""


class Deliver(Envelope, tag="deliver"):
    """
    Question: an event for one client; the answer is whether it is there.

    With `follow` no other hub is asked, and the server that the sid names asks where it moved to.
    """

    sid: str
    namespace: str | None
    text: str
    attachments: tuple[bytes, ...]
    follow: bool = False


class Wake(Envelope, tag="wake"):
    """Question: let the poll that waits for this session answer, with whatever there is."""

    sid: str


class Flush(Envelope, tag="flush"):
    """Question: is all that was asked for so far in effect? The answer comes when it is."""


class Fence(Envelope, tag="fence"):
    """
    Question: has the layer all that you have sent so far? The answer comes behind it.

    From now on clients of `scattered`, where it is not empty, are reached in its group, and no more
    in its channel: others have some of them.
    """

    scattered: str = ""


class Take(Envelope, tag="take"):
    """
    Question: give a session away, the one of `pid` in `namespace`, to the hub `server`.

    `offset` is what its client has got last, `user` who it is now. Without `final` the session
    stays where it is; with it too, as long as its rooms are not `rooms`, those for which the asker
    hears (None: whatever they are), and where its client has come back since it had this `stay`
    (0: any). Ask it with `handing.take`, which returns the session's bytes or None.
    """

    pid: str
    offset: str | None
    user: str | None
    namespace: str
    server: str = ""
    final: bool = True
    rooms: list[str] | None = None
    stay: int = 0


class Inherit(Envelope, tag="inherit"):
    """
    Question: keep what a hub that stops hands over; the answer is whether that is done.

    `body` is of a `kind` that both know. A large one comes in parts of one `id`, counted by `part`;
    all but the last have `more`. Ask it with `handing.hand_over`.
    """

    kind: str
    body: bytes
    id: str = ""
    part: int = 0
    more: bool = False


class Upgrade(Envelope, tag="upgrade"):
    """
    Question: do a step of giving the Engine.IO session `sid` to the hub `server`, which its
    WebSocket has reached, or its requests reach (see `transports.claims`). Ask it with
    `handing.take`, as `Take`.
    """

    sid: str
    step: str
    server: str = ""


class AwaitAcks(Envelope, tag="acks"):
    """
    Question: what does the client of this Engine.IO session, which you have taken, acknowledge of
    what it was asked before? The answers are sids, numbers and arguments, encoded, or None for
    arguments that will not come.
    """

    sid: str


class Allowance(Envelope, tag="allowance"):
    """
    Question: how many bytes may a POST of this session have? None where there is no session.

    With `follow` the server that it has gone to is asked.
    """

    sid: str
    follow: bool = False


class Describe(Envelope, tag="describe"):
    """Question: what are you, and what do you count? The answer is what beats report."""


class Drain(Envelope, tag="drain"):
    """
    Question: have no clients any more, those of you who are named; the answer is how many are told.

    Of who is not named it is None.
    """

    servers: tuple[str, ...]


class HttpRequest(Envelope, tag="http"):
    """
    Question: a polling request for a session of this server; the answer is an HttpResponse.

    `server` is the one that the request has reached. It is told first whether it had better have
    the session (True), and instead of an HttpResponse the id of the server that the session has
    gone to. Older ones do not say who they are, and are told neither.
    """

    sid: str
    method: str
    query_string: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    server: str = ""


class HttpResponse(NamedTuple):
    """The answer to an HttpRequest."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


Question = (
    Call
    | Deliver
    | Wake
    | Flush
    | Fence
    | Take
    | Inherit
    | Upgrade
    | AwaitAcks
    | Allowance
    | Describe
    | Drain
    | HttpRequest
)


class Ask(Envelope, tag="ask"):
    """A question, and the channel to answer on."""

    id: str
    reply_to: str
    question: Question


class Answer(Envelope, tag="answer"):
    """
    One answer of a server: what it is depends on the question.

    `final` is the last one. `servers` are those that the answering hub knows, itself included.
    """

    id: str
    server: str
    final: bool
    content: Any = None
    servers: tuple[str, ...] = ()


class Cancel(Envelope, tag="cancel"):
    """Who asked this question wants its answer no more."""

    id: str


class Echo(Envelope, tag="echo"):
    """What a hub sends to itself, to know that it has heard all that was sent before."""

    id: int


class Hole(Envelope, tag="hole"):
    """The log has not kept something that was sent: whoever needs it is to be told."""


AnyEnvelope = Emit | Command | Moved | Forward | Beat | Ask | Answer | Cancel | Echo | Hole

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyEnvelope] = msgspec.msgpack.Decoder(AnyEnvelope)


def decode(body: bytes) -> AnyEnvelope:
    """Return the envelope of these bytes. Raises msgspec's errors, and others."""
    return _decoder.decode(body)


def encode(envelope: AnyEnvelope) -> bytes:
    """Return an envelope's bytes. Raises OverflowError for integers of more than 64 bits."""
    return _encoder.encode(envelope)


class Parcel(msgspec.Struct, frozen=True):
    """
    A layer message: encoded envelopes of one server, in one lane.

    `number` counts all messages of the server, `place` those of the lane (see `lanes`); zeros are
    for messages that nobody keeps count of. `log` is the number of the first event in the log,
    where one is kept; each further one has the next.
    """

    version: Literal[1]
    server: _Name
    lane: _Name
    number: _Count
    place: _Count
    bodies: list[bytes]
    type: Literal["realtime.envelope"] = LAYER_MESSAGE
    log: _Count = 0


def pack(server: str, lane: str, number: int, place: int, bodies: list[bytes]) -> dict[str, Any]:
    """Return the layer message with these encoded envelopes (see `Parcel`)."""
    message = msgspec.structs.asdict(Parcel(VERSION, server, lane, number, place, bodies))
    del message["log"]  # which a layer that keeps one adds
    return message


def open_parcel(message: Any) -> Parcel:
    """Return a layer message. Raises ValidationError for what this version does not understand."""
    return msgspec.convert(message, Parcel)


def unpack(parcel: Parcel) -> Iterator[AnyEnvelope | Exception]:
    """Yield a parcel's envelopes; an error in the place of what is not understood."""
    for body in parcel.bodies:
        try:
            yield decode(body)
        except Exception as error:  # not all are msgspec's: texts that are not UTF-8, deep nesting
            yield error
