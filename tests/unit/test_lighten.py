"""Objects that keep only what they have alone."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.transports.lighten import Diet, lighten

DIET = Diet(
    packages=(("pytest", (999, 0)),),
    shared=("owner", "call"),
    needless=("request",),
    made={"queue": lambda protocol: [protocol.name]},
)


@pytest.fixture
def kind() -> type:
    """A server's class, new for each test."""

    class Protocol:
        def __init__(self, name: str, owner: object, call: Any) -> None:
            self.name = name
            self.owner = owner
            self.call = call
            self.request = {"name": name}
            self.queue: list[str] = []
            self.frames: list[str] = []
            self.open = True
            self.timer: object = None

        def close(self) -> None:
            self.open = False

    return Protocol


def new(kind: type, name: str = "first", owner: object = None, call: Any = print) -> Any:
    return kind(name, owner, call)


def test_what_all_have_the_same_of_is_kept_once(kind: type) -> None:
    owner = object()
    first, second = new(kind, "first", owner), new(kind, "second", owner)
    for each in (first, second):
        lighten(each, DIET)
    assert vars(first) == {"frames": []}
    assert vars(second) == {"frames": [], "name": "second"}
    assert (second.name, second.owner, second.open, second.timer) == ("second", owner, True, None)
    assert type(second) is type(first)
    assert isinstance(second, kind)
    assert (type(second).__name__, type(second).__module__) == (kind.__name__, kind.__module__)


def test_each_has_its_own_values(kind: type) -> None:
    first, second = new(kind, "first", object()), new(kind, "second", object())
    owner = second.owner
    second.timer = timer = object()
    for each in (first, second):
        lighten(each, DIET)
    second.close()
    assert (first.open, second.open) == (True, False)
    assert (second.owner, second.timer) == (owner, timer)
    assert (first.owner is second.owner, first.timer) == (False, None)


def test_what_is_asked_for_is_made_once(kind: type) -> None:
    first, second = new(kind, "first"), new(kind, "second")
    for each in (first, second):
        each.queue.append("before")
        lighten(each, DIET)
    assert "queue" not in vars(second)
    second.queue.append("after")
    assert second.queue == ["second", "after"]
    assert first.queue == ["first"]


def test_what_is_needless_is_none(kind: type) -> None:
    thing = new(kind)
    lighten(thing, DIET)
    assert thing.request is None


def test_a_function_stays_one(kind: type) -> None:
    def call() -> str:
        return "called"

    for _ in range(2):
        thing = new(kind, call=call)
        lighten(thing, DIET)
        assert thing.call() == "called"


def test_an_attribute_that_one_does_not_have_is_not_given_to_it(kind: type) -> None:
    first, second = new(kind), new(kind)
    first.late = 1
    for each in (first, second):
        lighten(each, DIET)
    assert first.late == 1
    assert not hasattr(second, "late")


@pytest.mark.parametrize("package", [("django", (4, 0)), ("no-such-package", (1, 0))])
def test_nothing_is_done_beside_what_is_not_known(
    kind: type, package: tuple[str, tuple[int, int]]
) -> None:
    thing = new(kind)
    before = dict(vars(thing))
    lighten(thing, DIET._replace(packages=(*DIET.packages, package)))
    assert vars(thing) == before
    assert type(thing) is kind
