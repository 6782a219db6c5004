"""Namespaces are URL routes, read both ways."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.urls import include, path, re_path

from realtime import NamespaceConsumer, UnknownNamespace, routing
from realtime.routing import resolve, reverse

from .conftest import Serve


class Main(NamespaceConsumer):
    pass


class Item(NamespaceConsumer):
    size = 1


class Bare(NamespaceConsumer):
    pass


@pytest.fixture(autouse=True)
def _routes(serve: Serve) -> None:
    shop = [
        path("items/<int:pk>/", Item.as_asgi(size=20)),
        path("items/<uuid:pk>/", Item.as_asgi()),
        re_path(r"^old/(?P<year>[0-9]{4})/$", Item.as_asgi()),
    ]
    serve(
        routes=[
            path("", Main.as_asgi()),
            path("no-slash", Bare.as_asgi()),
            path("rooms/<path:name>/", Bare.as_asgi()),
            path("shop/", include(shop)),
        ]
    )


@pytest.mark.parametrize(
    ("namespace", "consumer", "kwargs"),
    [
        ("/", Main, {}),
        ("/no-slash", Bare, {}),
        ("/shop/items/7", Item, {"pk": 7}),
        ("/shop/old/1999", Item, {"year": "1999"}),
        ("/rooms/Зал №1/a", Bare, {"name": "Зал №1/a"}),
    ],
)
def test_both_ways(namespace: str, consumer: Any, kwargs: dict[str, Any]) -> None:
    route = resolve(namespace)
    assert (route.consumer_class, route.kwargs) == (consumer, kwargs)
    assert reverse(consumer, **kwargs) == namespace


def test_the_route_decides_how_a_consumer_is_made() -> None:
    assert resolve("/shop/items/7").initkwargs == {"size": 20}
    assert resolve("/shop/old/1999").initkwargs == {}


@pytest.mark.parametrize(
    "namespace",
    ["", "shop", "/nowhere", "/shop", "/shop/items/x", "/no-slash/", "/shop/items/7/", "//", "/?"],
)
def test_what_leads_nowhere(namespace: str) -> None:
    with pytest.raises(UnknownNamespace, match="NAMESPACES"):
        resolve(namespace)


@pytest.mark.parametrize(
    ("consumer", "kwargs"),
    [(Item, {}), (Item, {"pk": "x"}), (Main, {"pk": 7}), (NamespaceConsumer, {})],
)
def test_kwargs_that_no_route_takes(consumer: Any, kwargs: dict[str, Any]) -> None:
    with pytest.raises(UnknownNamespace, match=consumer.__name__):
        reverse(consumer, **kwargs)


def test_a_site_that_names_no_routes(settings: Any) -> None:
    settings.REALTIME = {}
    with pytest.raises(ImproperlyConfigured, match="NAMESPACES"):
        resolve("/")


def test_a_namespace_is_resolved_once_unless_it_has_parameters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolved: list[str] = []
    resolve_anew = routing._resolve

    def note(namespace: str) -> Any:
        resolved.append(namespace)
        return resolve_anew(namespace)

    monkeypatch.setattr(routing, "_resolve", note)
    for _ in range(2):
        for namespace in ("/no-slash", "/shop/items/7"):
            assert resolve(namespace).consumer_class in (Bare, Item)
        with pytest.raises(UnknownNamespace):
            resolve("/nowhere")
    assert resolved == ["/no-slash", "/shop/items/7", "/nowhere", "/shop/items/7", "/nowhere"]


def test_kwargs_are_each_sockets_own() -> None:
    first, second = resolve("/no-slash"), resolve("/no-slash")
    third = resolve("/no-slash")
    first.kwargs["a"] = second.kwargs["b"] = 1
    assert third.kwargs == {}
    assert resolve("/no-slash").kwargs == {}


def test_few_namespaces_are_remembered(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "MAX_KNOWN", 3)
    serve(routes=[re_path(r"^any[0-9]+/$", Bare.as_asgi())])
    for n in range(9):
        assert resolve(f"/any{n}").consumer_class is Bare
    assert list(routing._known) == ["/any0", "/any1", "/any2"]


def test_other_settings_other_namespaces(serve: Serve) -> None:
    assert resolve("/").consumer_class is Main
    serve(routes=[path("", Bare.as_asgi())])
    assert resolve("/").consumer_class is Bare
