"""All that can be done with clients, in all ways: each is honoured, or refused with a hint."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from itertools import permutations
from typing import Any

import pytest
from django.db import transaction

import realtime
from realtime import Broadcaster, RemoteClient
from realtime.cluster.targets import Target
from realtime.sockets.messages import Message

SID = "server" + "A" * 20

# Nobody is made before the tests run: that would load the namespaces of another site.
WHO: dict[str, tuple[type, Callable[[], Any]]] = {
    "all": (Broadcaster, realtime.of),
    "rooms": (Broadcaster, lambda: realtime.to("a", "b").excluding("c")),
    "user": (Broadcaster, lambda: realtime.to_user(7)),
    "client": (RemoteClient, lambda: realtime.to_client(SID)),
    "client elsewhere": (RemoteClient, lambda: realtime.to_client(SID, "/users")),
}

PLAIN = {"emit": ("x", 1), "join": ("room",), "leave": ("room",), "close": ()}
QUESTIONS = {
    Broadcaster: {
        "call": ("x",),
        "acall": ("x",),
        "count": (),
        "acount": (),
        "sockets": (),
        "rooms": (),
    },
    RemoteClient: {"call": ("x",), "acall": ("x",), "deliver": ("x",), "adeliver": ("x",)},
}

MODIFIERS: dict[str, Callable[[Any], Any]] = {
    "volatile": lambda who: who.volatile(),
    "on_commit": lambda who: who.on_commit(),
    "using": lambda who: who.on_commit(using="default"),
}
HONOURED = {"volatile": {"emit"}, "on_commit": {*PLAIN}, "using": {*PLAIN}}
WAYS = [way for count in (1, 2) for way in permutations(MODIFIERS, count)]


def cases(*, honoured: bool) -> list[Any]:
    """Return who is asked for what, in which way, where that is honoured or where it is refused."""
    return [
        pytest.param(make, call, way, id=f"{who}-{call}-{'-'.join(way)}")
        for who, (kind, make) in WHO.items()
        for call in {**PLAIN, **QUESTIONS[kind]}
        for way in WAYS
        if honoured == all(call in HONOURED[modifier] for modifier in way)
    ]


def do(make: Callable[[], Any], call: str, way: tuple[str, ...]) -> Any:
    """Call somebody, with these modifiers."""
    who = make()
    for modifier in way:
        who = MODIFIERS[modifier](who)
    result = getattr(who, call)(*{**PLAIN, **QUESTIONS[type(who)]}[call])
    return result.send(None) if inspect.iscoroutine(result) else result


class Recorder:
    """A gateway that notes what it is given."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, bool]] = []

    def emit(self, target: Target, message: Message) -> None:
        self.notes.append(("emit", message.volatile))

    def command(self, target: Target, action: str, names: tuple[str, ...]) -> None:
        self.notes.append((action, False))

    async def drain(self) -> None: ...

    flush_cluster = drain


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    for module in ("sending.plain_calls", "broadcast", "sending.remote"):
        monkeypatch.setattr(f"realtime.{module}.get_gateway", lambda: recorder)
    return recorder


def test_the_matrix_has_all_calls() -> None:
    for kind, questions in QUESTIONS.items():
        names = {name for name in dir(kind) if not name.startswith("_")}
        narrowing = {"to", "to_user", "excluding"} if kind is Broadcaster else set()
        assert names == {*PLAIN, *questions, "volatile", "on_commit"} | narrowing


@pytest.mark.parametrize(("make", "call", "way"), cases(honoured=False))
def test_refused(
    recorder: Recorder, make: Callable[[], Any], call: str, way: tuple[str, ...]
) -> None:
    with pytest.raises(TypeError, match=rf"{call}\(\) .*without (volatile|on_commit)\(\)"):
        do(make, call, way)
    assert recorder.notes == []


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("make", "call", "way"), cases(honoured=True))
def test_honoured(
    recorder: Recorder, make: Callable[[], Any], call: str, way: tuple[str, ...]
) -> None:
    waits = way != ("volatile",)
    done = [(call, "volatile" in way)]
    with transaction.atomic():
        do(make, call, way)
        assert recorder.notes == ([] if waits else done)
    assert recorder.notes == done
    recorder.notes.clear()
    with suppress(ZeroDivisionError), transaction.atomic():
        do(make, call, way)
        raise ZeroDivisionError
    assert recorder.notes == ([] if waits else done)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("call", PLAIN)
def test_what_waits_for_a_commit_cannot_be_awaited(recorder: Recorder, call: str) -> None:
    with transaction.atomic():
        pending = getattr(realtime.of().on_commit(), call)(*PLAIN[call])
        with pytest.raises(TypeError, match=rf"{call}\(\) after on_commit\(\) .*Do not await"):
            pending.__await__().send(None)
    assert [name for name, _ in recorder.notes] == [call]
