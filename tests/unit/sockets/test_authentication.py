"""A socket's user, by what its client shows: at its CONNECT, and later."""

from __future__ import annotations

import time
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError

import realtime
from realtime import (
    AuthenticationFailed,
    ConnectionRefused,
    InvalidEventName,
    NamespaceConsumer,
    event,
)
from realtime.identity.authentication import SESSION
from realtime.sockets.authentication import MAX_SHOWN
from realtime.testing import Client
from tests.unit.probes import DEADLINE

from ..conftest import Connect, Serve
from ..execution.test_threads import until

ANN, BOB = User(pk=1, username="ann", password="first"), User(pk=2, username="bob")
EVENT = "realtime:authenticate"

# A token, with more than is kept.
TOO_MUCH = {"token": "ann", "more": "a" * MAX_SHOWN}

# What tokens are good for.
tokens: dict[str, Any] = {}


def by_token(credentials: Any) -> Any:
    token = credentials.token("Bearer")
    if token is None:
        return None
    if token == "broken":
        raise OperationalError("no connection")
    if token not in tokens:
        raise AuthenticationFailed("no such token")
    answer = tokens[token]
    return answer() if callable(answer) else answer


class Accounts(NamespaceConsumer):
    @event
    async def whoami(self) -> str:
        return str(self.user.get_username())


class Members(Accounts):
    login_required = True


@pytest.fixture(autouse=True)
def _tokens(serve: Serve) -> None:
    tokens.clear()
    tokens.update(ann=ANN, bob=(BOB, None), timed=(ANN, time.time() + 3600), old=(ANN, 7))
    serve(Accounts, AUTHENTICATORS=[f"{__name__}.by_token", SESSION])


async def refusal(**options: Any) -> ConnectionRefused:
    with pytest.raises(ConnectionRefused) as refused:
        await Client(**options).connect()
    return refused.value


async def test_at_connect(connect: Connect, serve: Serve) -> None:
    serve(Members)
    client = await connect(auth={"token": "ann"})
    assert await client.call("whoami") == "ann"
    client = await connect(auth={"token": "Bearer bob"})
    assert await client.call("whoami") == "bob"
    client = await connect(headers={"Authorization": "Bearer ann"})
    assert await client.call("whoami") == "ann"
    client = await connect(scope={"subprotocols": ["realtime", "realtime.bearer.bob"]})
    assert await client.call("whoami") == "bob"
    assert (await refusal()).message == "log in first"


async def test_in_their_order(connect: Connect) -> None:
    """The token counts here, and where there is none the session, or who middleware has found."""
    client = await connect(auth={"token": "ann"}, user=BOB)
    assert await client.call("whoami") == "ann"
    client = await connect(user=BOB)
    assert await client.call("whoami") == "bob"
    client = await connect(user=BOB, auth={"more": "a" * MAX_SHOWN})  # of which nothing is kept
    assert await client.call("whoami") == "bob"
    client = await connect()
    assert await client.call("whoami") == ""


async def test_who_middleware_has_found_stays_that(connect: Connect, serve: Serve) -> None:
    serve(Accounts, AUTHENTICATORS=[f"{__name__}.by_token"])
    client = await connect(user=BOB)
    assert await client.call("whoami") == "bob"


async def test_refusals(records: list[Any]) -> None:
    """Also where a session would let the client in, and into a namespace for everybody."""
    for auth, message, data in (
        ({"token": "wrong"}, "no such token", {"code": 401}),
        ({"token": "old"}, "this has expired", {"code": 401}),
        ({"token": "broken"}, "try again later", {"code": 503, "retry_after": 5}),
        (TOO_MUCH, f"auth may have {MAX_SHOWN} characters", {"code": 413}),
    ):
        refused = await refusal(auth=auth, user=BOB)
        assert (refused.message, refused.data) == (message, data)
    assert not [record for record in records if record.exc_info]


async def test_a_new_one(connect: Connect) -> None:
    client = await connect(auth={"token": "ann"})
    end = time.time() + 1800.5
    tokens["new"] = (User(pk=1, username="ann anew"), end)
    assert await client.call(EVENT, {"token": "ann"}) == {"expires": None}
    answer = await client.call(EVENT, {"token": "new"})
    assert datetime.fromisoformat(answer["expires"]) == datetime.fromtimestamp(end, UTC).replace(
        microsecond=datetime.fromtimestamp(end, UTC).microsecond // 1000 * 1000
    )
    assert await client.call("whoami") == "ann anew"


async def test_a_session_gets_a_token(connect: Connect) -> None:
    client = await connect(user=ANN)
    tokens["new"] = User(pk=1, username="ann anew")
    assert await client.call(EVENT, {"token": "new"}) == {"expires": None}
    assert await client.call("whoami") == "ann anew"


@pytest.mark.parametrize(
    ("shown", "code", "message"),
    [
        ({"token": "wrong"}, 401, "no such token"),
        ({"token": "old"}, 401, "this has expired"),
        ({}, 401, "nobody is known by this"),
        ({"token": None}, 401, "nobody is known by this"),
        ({"token": "bob"}, "another_user", "this is another user's: connect again with it"),
        ({"token": "broken"}, 503, "try again later"),
        (TOO_MUCH, 413, f"auth may have {MAX_SHOWN} characters"),
    ],
)
async def test_a_new_one_that_is_wrong(
    connect: Connect, shown: Any, code: Any, message: str
) -> None:
    """The header, and the middleware's user, say nothing of what comes later."""
    client = await connect(headers={"Authorization": "Bearer ann"}, user=ANN)
    error = (await client.call(EVENT, shown))["error"]
    assert (error["code"], error["message"]) == (code, message)
    assert await client.call("whoami") == "ann"


@pytest.mark.parametrize("args", [(), ("ann",), (None,), (["token"],), (7,)])
async def test_a_new_one_that_is_none(connect: Connect, args: Any) -> None:
    client = await connect(auth={"token": "ann"})
    assert (await client.call(EVENT, *args))["error"]["code"] == "invalid_arguments"


async def test_nobody_becomes_nobody_else(connect: Connect) -> None:
    client = await connect()
    assert (await client.call(EVENT, {"token": "ann"}))["error"]["code"] == "another_user"
    assert await client.call("whoami") == ""


async def test_by_default_nobody_is_asked(connect: Connect, serve: Serve) -> None:
    serve(Accounts, AUTHENTICATORS=[SESSION])
    client = await connect(auth={"token": "ann"}, headers={"Authorization": "Bearer ann"})
    assert await client.call("whoami") == ""
    error = (await client.call(EVENT, {"token": "ann"}))["error"]
    assert (error["code"], error["message"]) == (401, "nobody is known by this")


async def test_a_site_sees_nothing_of_it(connect: Connect, serve: Serve) -> None:
    seen: list[Any] = []

    class Watching(Accounts):
        async def handle(self, event: str, args: list[Any]) -> Any:
            seen.append(event)
            return await super().handle(event, args)

        async def receive(self, event: str, *args: Any) -> Any:
            seen.append(event)

    serve(Watching)
    client = await connect(auth={"token": "ann"})
    assert await client.call(EVENT, {"token": "timed"})
    assert await client.call("whoami") == "ann"
    assert seen == ["whoami"]


async def test_limits(connect: Connect, serve: Serve) -> None:
    serve(Accounts, CONNECT_RATE="3/h", RATE_LIMITS={})
    client = await connect(auth={"token": "ann"})
    for _ in range(2):
        assert await client.call(EVENT, {"token": "ann"}) == {"expires": None}
    assert (await client.call(EVENT, {"token": "ann"}))["error"]["code"] == "rate_limited"


async def test_rate_limits(connect: Connect, serve: Serve) -> None:
    serve(Accounts, RATE_LIMITS={"*": {EVENT: "1/h"}})
    client = await connect(auth={"token": "ann"})
    assert await client.call(EVENT, {"token": "ann"}) == {"expires": None}
    assert (await client.call(EVENT, {"token": "ann"}))["error"]["code"] == "rate_limited"
    assert await client.call("whoami") == "ann"


async def test_connections_of_a_user(connect: Connect, serve: Serve) -> None:
    """One counts for the user of its token as it does for that of a session, until it ends."""
    serve(Accounts, MAX_CONNECTIONS_PER_USER=2)
    first = await connect(auth={"token": "ann"})
    await connect(user=ANN)
    await connect(auth={"token": "bob"})
    refused = await refusal(auth={"token": "ann"})
    assert "has 2 connections already" in refused.message
    assert refused.data == {"code": 403}
    await first.disconnect()
    last = await connect(auth={"token": "timed"})
    assert await last.call(EVENT, {"token": "ann"}) == {"expires": None}
    assert "has 2 connections already" in (await refusal(auth={"token": "ann"})).message


@pytest.mark.parametrize("name", ["realtime:authenticate", "realtime:", "realtime:other"])
def test_its_name_is_our_own(name: str) -> None:
    with pytest.raises(InvalidEventName, match=r"begin with 'realtime:' are Realtime's own"):

        class Own(NamespaceConsumer):
            @event(name)
            async def own(self) -> None: ...


async def test_its_users_room(connect: Connect) -> None:
    """What is for a user reaches all who have shown that they are."""
    ann, other, bob = [await connect(auth={"token": token}) for token in ("ann", "timed", "bob")]
    realtime.of("/").to_user(ANN).emit("said", 1)
    realtime.of("/").to_user(BOB).emit("said", 2)
    assert [await each.receive() for each in (ann, other, bob)] == [
        ("said", 1),
        ("said", 1),
        ("said", 2),
    ]


# Until when, and asked for again


class Told(Accounts):
    """Tells its clients why they go."""

    async def unauthorized(self) -> None:
        self.emit("unauthorized", str(self.user.get_username()))


async def row(name: str) -> User:
    return await User.objects.acreate(username=name)


@pytest.mark.django_db(transaction=True)
async def test_the_end_of_a_token(connect: Connect, serve: Serve) -> None:
    """Whoever has shown nothing new is sent away then, also from what is for everybody."""
    serve(Told)
    end = time.time() + 1
    tokens["short"], tokens["long"] = (await row("cleo"), end), await User.objects.aget()
    client = await connect(auth={"token": "short"})
    other = await connect(auth={"token": "short"})
    assert await other.call(EVENT, {"token": "long"}) == {"expires": None}
    assert await client.receive() == ("unauthorized", "cleo")
    await client.closed(DEADLINE)
    assert time.time() >= end
    assert await other.call("whoami") == "cleo"


@pytest.mark.django_db(transaction=True)
async def test_a_token_that_is_good_for_longer_by_then(connect: Connect) -> None:
    """As one of knox is that is renewed by its use: it is asked at each of its ends."""
    cleo = await row("cleo")
    ends = iter((1, 2))
    asked: list[int] = []

    def renewed() -> Any:
        asked.append(1)
        return cleo, time.time() + next(ends, 3600)

    tokens["renewed"] = renewed
    client = await connect(auth={"token": "renewed"})
    await until(lambda: len(asked) == 3)
    assert await client.call("whoami") == "cleo"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ["gone", "of another user", "expired"])
async def test_a_token_that_is_revoked(connect: Connect, serve: Serve, way: str) -> None:
    serve(Told)
    cleo, dan = await row("cleo"), await row("dan")
    tokens["cleo"] = cleo
    client = await connect(auth={"token": "cleo"})
    other = await connect(user=cleo)
    if way == "gone":
        del tokens["cleo"]
    else:
        tokens["cleo"] = dan if way == "of another user" else (cleo, 7)
    realtime.of("/").to_user(cleo).reauthorize()
    assert await client.receive() == ("unauthorized", "cleo")
    await client.closed(DEADLINE)
    assert await other.call("whoami") == "cleo"


@pytest.mark.django_db(transaction=True)
async def test_an_authenticator_that_fails_sends_nobody_away(
    connect: Connect, serve: Serve, records: list[Any]
) -> None:
    def fail() -> Any:
        raise OperationalError("no connection")

    serve(Told)
    tokens["cleo"] = cleo = await row("cleo")
    client = await connect(auth={"token": "cleo"})
    tokens["cleo"] = fail
    realtime.of("/").to_user(cleo).reauthorize()
    await until(lambda: any("step=authenticate" in each.getMessage() for each in records))
    assert await client.call("whoami") == "cleo"


tenant = ContextVar("tenant", default="none")


@pytest.mark.django_db(transaction=True)
async def test_it_is_shown_again_where_it_was(connect: Connect) -> None:
    """What middleware has set, such as whose database is asked, is set then, too."""
    cleo = await row("cleo")
    seen: list[str] = []

    def note() -> Any:
        seen.append(tenant.get())
        return cleo

    tokens["cleo"] = note
    tenant.set("acme")
    await connect(auth={"token": "cleo"})
    tenant.set("globex")
    realtime.of("/").to_user(cleo).reauthorize()
    await until(lambda: len(seen) == 2)
    assert seen == ["acme", "acme"]


@pytest.mark.django_db(transaction=True)
async def test_the_same_user_anew(connect: Connect, serve: Serve) -> None:
    """What Django tells of a user reaches those who have shown a token, too."""

    class Changing(Accounts):
        async def user_changed(self, old: Any) -> None:
            self.emit("changed", old.is_staff, self.user.is_staff)

    serve(Changing)
    tokens["cleo"] = cleo = await row("cleo")
    client = await connect(auth={"token": "cleo"})
    changed = await User.objects.aget(pk=cleo.pk)
    changed.is_staff = True
    await changed.asave()
    assert await client.receive() == ("changed", False, True)
