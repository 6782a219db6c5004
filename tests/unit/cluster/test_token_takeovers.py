"""A client with a token whose WebSocket comes to another hub: that one is shown the token."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import path
from pytest_django import Settings

from realtime import AuthenticationFailed, NamespaceConsumer, event
from realtime.identity.authentication import SESSION

from .conftest import Server
from .upgrading import Mover

Three = tuple[Server, Server, Server]

ANN, BOB = User(pk=1, username="ann", password="first"), User(pk=2, username="bob")

# What tokens are good for, and those that were shown.
tokens: dict[str, Any] = {}
shown: list[str] = []


def by_token(credentials: Any) -> Any:
    token = credentials.token("Bearer")
    if token is None:
        return None
    shown.append(token)
    if token not in tokens:
        raise AuthenticationFailed("no such token")
    return tokens[token]


class Accounts(NamespaceConsumer):
    @event
    async def whoami(self) -> str:
        return str(self.user.get_username())


namespaces = [path("", Accounts.as_asgi())]


@pytest.fixture(autouse=True)
def _site(settings: Settings) -> None:
    tokens.clear()
    tokens.update(ann=ANN, new=User(pk=1, username="ann anew", password="first"))
    shown.clear()
    settings.REALTIME = {
        **settings.REALTIME,
        "NAMESPACES": f"{__name__}.namespaces",
        "AUTHENTICATORS": [f"{__name__}.by_token", SESSION],
        "MAX_CONNECTIONS_PER_USER": 1,
    }


HEADER = {"headers": [(b"authorization", b"Bearer ann")]}


@pytest.mark.parametrize(
    ("auth", "scope"), [({"token": "ann"}, {}), ({}, HEADER)], ids=["auth", "header"]
)
async def test_it_is_who_it_was(three: Three, auth: Any, scope: Any) -> None:
    """And is found for what is for its user; the WebSocket itself shows nothing."""
    one, two, _ = three
    mover = await Mover.come(one, auth, **scope)
    await mover.move(two)
    mover.send('421["whoami"]')
    assert await mover.next() == [1, "ann"]
    assert shown == ["ann", "ann"]
    socket = two.hub.registry.sockets[mover.sid]
    assert socket.user == ANN
    assert two.hub.limits._counts == {("user", "1"): 1}
    mover.session.close("transport close")
    assert not two.hub.limits._counts
    assert not one.hub.limits._counts


async def test_what_was_shown_last_counts(three: Three) -> None:
    one, two, _ = three
    mover = await Mover.come(one, {}, **HEADER)
    await mover.post('421["realtime:authenticate",{"token":"new"}]')
    assert await mover.next() == [1, {"expires": None}]
    del tokens["ann"]
    await mover.move(two)
    mover.send('422["whoami"]')
    assert await mover.next() == [2, "ann anew"]


@pytest.mark.parametrize("by", ["nobody", "another user", "another password", "one too many"])
async def test_who_is_not_known_there_stays_on_polling(three: Three, by: str) -> None:
    one, two, _ = three
    mover = await Mover.come(one, {"token": "ann"})
    others = {
        "another user": BOB,
        "another password": User(pk=1, username="ann", password="second"),
    }
    if by in others:
        tokens["ann"] = others[by]
    elif by == "nobody":
        del tokens["ann"]
    else:
        await Mover.come(two, {"token": "ann"})
    await mover.stay(two)
    await mover.post('421["whoami"]')
    assert await mover.next() == [1, "ann"]
    assert mover.session.hub is one.hub


async def test_a_user_of_the_sites_own_stays(three: Three, settings: Settings) -> None:
    one, two, _ = three
    mover = await Mover.come(one)
    mover.session.sockets["/"].consumer.user = BOB
    await mover.stay(two)
