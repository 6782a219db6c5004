"""Which way leads to whom."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from realtime.cluster.envelopes import group_name, server_group
from realtime.cluster.router import JOIN_TIME, Router
from realtime.cluster.sequences import Lane
from realtime.cluster.targets import Target
from realtime.identity.user_rooms import user_rooms

SID = "serverAAAAAAAAAAAAAAAAAAAA"
WIDE = Lane(group_name("/a"), namespace="/a", wide=True)


def room(name: str) -> Lane:
    """Return the lane of a room's group."""
    return Lane(group_name("/a", name), namespace="/a")


@pytest.fixture
def router() -> Router:
    """A router that knows the server "server"."""
    return Router({"server": "its channel"}.get)


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A function that lets seconds pass."""
    now = [1000.0]
    monkeypatch.setattr("realtime.cluster.router.time.monotonic", lambda: now[0])

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    return pass_time


def test_lanes(router: Router) -> None:
    assert router.lanes(Target("/a")) == [WIDE]
    assert router.lanes(Target("/a", (), ("b",))) == [WIDE]
    assert router.lanes(Target("/a", ("b",))) == [room("b")]
    assert router.lanes(Target("/a", ("b",), ("c",))) == [room("b")]
    assert router.lanes(Target("/a", ("b", "c"))) == [WIDE]


def test_users_are_reached_by_the_namespace(router: Router) -> None:
    assert router.lanes(Target("/a", user_rooms([7]))) == [WIDE]
    assert router.lanes(Target("/a", (*user_rooms([7]), "b"))) == [WIDE]


def test_one_client(router: Router) -> None:
    assert router.lanes(Target("/a", (SID,))) == [Lane("its channel", True, "/a")]
    assert router.lanes(Target("/a", (SID, "b"))) == [WIDE]


def test_a_name_that_may_be_a_client_of_an_unknown_server(router: Router) -> None:
    name = "anyoneAAAAAAAAAAAAAAAAAAAA"
    group = Lane(server_group("anyone"), namespace="/a")
    assert router.lanes(Target("/a", (name,))) == [group, room(name)]


def test_a_room_that_others_may_be_joining(
    router: Router, pass_time: Callable[[float], None]
) -> None:
    router.note_join("/a", ("b", "c"))
    assert router.lanes(Target("/a", ("b",))) == [WIDE]
    assert router.lanes(Target("/a", ("d",))) == [room("d")]
    assert router.lanes(Target("/x", ("b",))) == [Lane(group_name("/x", "b"), namespace="/x")]
    pass_time(JOIN_TIME / 2)
    router.note_join("/a", ("c",))
    pass_time(JOIN_TIME / 2 + 0.1)
    assert router.lanes(Target("/a", ("b",))) == [room("b")]
    assert router.lanes(Target("/a", ("c",))) == [WIDE]
    pass_time(JOIN_TIME)
    assert router.lanes(Target("/a", ("c",))) == [room("c")]
    assert not router._joined


def test_what_is_remembered_is_bounded(
    router: Router, pass_time: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.cluster.router.MAX_JOINED", 3)
    router.note_join("/a", ("b", "c", "d", "e", "f"))
    assert len(router._joined) == 3
    pass_time(JOIN_TIME + 1)
    router.note_join("/a", ("g",))
    assert list(router._joined) == [("/a", "g")]
