"""What a class may declare of who is let in, and what is said of the rest."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import CheckMessage, Warning
from django.urls import path
from pytest_django import Settings

from realtime import ClientRooms, InvalidConsumer, NamespaceConsumer
from realtime.authority.declarations import permissions_of
from realtime.checks.authority import check_authority
from realtime.identity import logins
from tests.unit.conftest import Serve

from .users import SEND, VIEW


def define(**declared: Any) -> type[NamespaceConsumer]:
    """Return a class that declares this."""
    return type("Chat", (NamespaceConsumer,), {"__module__": "site.consumers", **declared})


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"login_required": "yes"}, "login_required is 'yes', and neither True nor False"),
        ({"login_required": 1}, "login_required is 1"),
        ({"login_required": lambda self: True}, "is <function"),
        ({"guard_rooms": None}, "guard_rooms is None"),
        ({"permission_required": "view_order"}, "'view_order', which has no app label"),
        ({"permission_required": ".view_order"}, "has no app label"),
        ({"permission_required": "shop."}, "has no app label"),
        ({"permission_required": ["shop.view_order", "send"]}, "'send', which has no app label"),
        ({"permission_required": ["shop.view_order", 7]}, "names 7, which is no text"),
        ({"permission_required": None}, "permission_required is None"),
        ({"permission_required": True}, "permission_required is True"),
        ({"permission_required": b"shop.view_order"}, "is b'shop.view_order'"),
        ({"permission_required": iter(["shop.view_order"])}, "permission_required is <list_iter"),
        ({"permission_required": property(lambda self: "a.b")}, "is <property"),
    ],
)
def test_wrong_declarations(declared: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConsumer) as caught:
        define(**declared)
    assert f"site.consumers.Chat.{next(iter(declared))}" in caught.value.message
    assert said in caught.value.message
    assert next(iter(declared)) in caught.value.hint or "permission" in caught.value.hint
    with pytest.raises(InvalidConsumer) as caught:
        NamespaceConsumer.as_asgi(**declared)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("", ()),
        ((), ()),
        ("shop.view_order", ("shop.view_order",)),
        ("shop.view.order", ("shop.view.order",)),
        (["shop.view_order", "shop.send"], ("shop.view_order", "shop.send")),
        (frozenset({"shop.view_order"}), ("shop.view_order",)),
        (dict.fromkeys(["shop.view_order"]), ("shop.view_order",)),
    ],
)
def test_right_declarations(value: Any, names: tuple[str, ...]) -> None:
    consumer = define(permission_required=value, login_required=True, guard_rooms=False)
    assert permissions_of(consumer.permission_required) == names


@pytest.mark.parametrize(
    "source",
    [
        {"has_permission": lambda self, permission: True},
        {"may_join": lambda self: True},
        {"may_join": True},
        {"to_user": lambda self: None},
    ],
)
def test_methods_that_cannot_be_called(source: dict[str, Any]) -> None:
    with pytest.raises(InvalidConsumer, match=next(iter(source))):
        define(**source)


@pytest.mark.parametrize("most", [0, -1, None, True, "100", 2.5])
def test_how_many_rooms_clients_may_join(most: Any) -> None:
    with pytest.raises(InvalidConsumer, match="max_client_rooms is"):
        type("Chat", (ClientRooms,), {"max_client_rooms": most})


def check(serve: Serve, consumer: type[NamespaceConsumer], **initkwargs: Any) -> list[CheckMessage]:
    """Return what the checks say of a class at two routes."""
    served = consumer.as_asgi(**initkwargs)
    serve(routes=[path("", served), path("again/", served)])
    return list(check_authority())


@pytest.mark.parametrize("names", [VIEW, [VIEW, SEND], "auth.add_user"])
def test_permissions_that_somebody_may_have(serve: Serve, names: Any) -> None:
    assert check(serve, define(permission_required=names, login_required=True)) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("shop.view_order", "there is no app 'shop'"),
        ("realtime.view_sokcet", "no model of the app 'realtime' has it"),
        ("realtime.add_socket", "no model of the app 'realtime' has it"),
    ],
)
def test_permissions_that_nobody_has(serve: Serve, name: str, said: str) -> None:
    for declared, given in (
        ({"permission_required": name}, {}),
        ({}, {"permission_required": name}),
    ):
        (message,) = check(serve, define(**declared), **given)
        assert (message.id, type(message)) == ("realtime.W018", Warning)
        assert f"site.consumers.Chat requires the permission {name!r}" in message.msg
        assert said in message.msg
        assert "shop.view_order" in (message.hint or "")


def test_permissions_of_which_other_backends_know(serve: Serve, settings: Settings) -> None:
    settings.AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.ModelBackend",
        "tests.unit.authority.backends.OwnersBackend",
    ]
    assert check(serve, define(permission_required="shop.view_order")) == []


@pytest.mark.parametrize("declared", [{"login_required": True}, {"permission_required": VIEW}])
def test_users_where_there_are_none(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, declared: dict[str, Any]
) -> None:
    nobody = logins.Anonymity("there are no users", "Install them.")
    monkeypatch.setattr("realtime.checks.authority.find_anonymity", lambda: nobody)
    (message,) = check(serve, define(**declared))
    assert message.id == "realtime.W017"
    assert "nobody ever is: there are no users" in message.msg
    assert "Install them." in (message.hint or "")
    assert check(serve, define()) == []


@pytest.mark.parametrize(
    "consumer",
    [type("Chat", (ClientRooms,), {}), define(guard_rooms=True)],
    ids=["clients", "guarded"],
)
def test_rooms_in_which_nobody_may_be(serve: Serve, consumer: type[NamespaceConsumer]) -> None:
    (message,) = check(serve, consumer)
    assert message.id == "realtime.W019"
    assert "may_join" in message.msg
    assert "may_join(self, room)" in (message.hint or "")
    may_join = {"may_join": lambda self, room: True}
    assert check(serve, type("Chat", (consumer,), may_join)) == []


def test_what_is_wrong_elsewhere_is_said_there(settings: Settings) -> None:
    settings.REALTIME = {"NAMESPACES": "nowhere.to.be.found"}
    assert list(check_authority()) == []
