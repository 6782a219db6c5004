"""What a consumer's class may look like: what is refused when it is created, and what is not."""

from __future__ import annotations

import functools
from textwrap import dedent
from typing import Any, Generic, Protocol, TypeVar  # noqa: F401

import pytest
from asgiref.sync import async_to_sync, sync_to_async  # noqa: F401
from channels.db import database_sync_to_async  # noqa: F401

from realtime import EventError, NamespaceConsumer, event
from realtime.exceptions import InvalidConsumer, InvalidEventName
from realtime.sockets.overrides import own_names

from ..conftest import Connect, Serve


def hiding(function: Any) -> Any:
    """Decorate without functools.wraps, as much code does."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def wrapping(function: Any) -> Any:
    """Decorate a method, of whatever kind it is, with a plain function."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


T = TypeVar("T")


def define(source: str) -> type[NamespaceConsumer]:
    """Run a module of a site; return its class Chat."""
    module: dict[str, Any] = {**globals(), "__name__": "site.consumers"}
    exec(dedent(source), module)
    chat: type[NamespaceConsumer] = module["Chat"]
    return chat


def body(*lines: str) -> str:
    """Return a module with a class of these lines."""
    return "\n    ".join(["class Chat(NamespaceConsumer):", *lines])


def refuse(source: str) -> InvalidConsumer:
    """Return what is said of a class that is refused when it is created."""
    with pytest.raises(InvalidConsumer) as caught:
        define(source)
    assert caught.value.hint
    assert "site.consumers." in caught.value.message or "@event" in caught.value.message
    return caught.value


def test_all_names_of_an_instance_are_known(serve: Serve) -> None:
    consumer = NamespaceConsumer()

    class Connection:
        scope: dict[str, Any] = {}

    class Hub:
        recovery = None

    class Socket:
        namespace = "/"
        connection = Connection()
        hub = Hub()
        user = None

    consumer._attach(Socket(), {}, "")  # type: ignore[arg-type]
    assert consumer.scope
    assert consumer.data == {}
    assert set(vars(consumer)) <= own_names(NamespaceConsumer)


OWN = sorted(
    name
    for name in own_names(NamespaceConsumer)
    if name not in ("connect", "disconnect") and (not name.endswith("__") or name == "__init__")
)


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("name", OWN)
def test_a_handler_replaces_nothing_of_the_consumers(name: str, kind: str) -> None:
    said = refuse(body("@event", f"{kind} {name}(self, *args): ..."))
    assert f"Chat.{name} (line 2)" in said.message
    assert "@event(" in said.hint
    if name not in ("receive", "handle"):
        assert f'@event("{name}") {kind} on_{name.strip("_")}(self' in said.hint


@pytest.mark.parametrize("name", ["connect", "disconnect"])
def test_hooks_are_no_handlers(name: str) -> None:
    with pytest.raises(InvalidEventName, match=rf"Chat\.{name} .* without @event"):
        define(body("@event", f"async def {name}(self, *args): ..."))
    said = refuse(body('@event("hello")', f"async def {name}(self, *args): ..."))
    assert "hook" in said.message


def test_handlers_of_mixins_replace_nothing_either() -> None:
    mixin = "class Mixin:\n    @event\n    async def join(self, room): ...\n"
    for bases in ("Mixin, NamespaceConsumer", "NamespaceConsumer, Mixin"):
        assert "Mixin.join" in refuse(f"{mixin}class Chat({bases}): ...").message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("rooms = []", "one value for all clients"),
        ("data = {}", "one value for all clients"),
        ("user = None", "one value for all clients"),
        ("session: Any = None", "one value for all clients"),
        ("namespace = '/chat'", "one value for all clients"),
        ("kwargs = {}", "one value for all clients"),
        ("def user(self): ...", "is a method"),
        ("async def rooms(self): ...", "is a method"),
        ("@staticmethod\n    def scope(): ...", "is a method"),
        ("to = []", "is no method"),
        ("close = True", "is no method"),
        ("call = property(lambda self: 5)", "is no method"),
        ("connect = None", "is no method"),
        ("_attach = functools.partial(print)", "uses itself"),
        ("def close(self, ticket): ...", "cannot be called as"),
        ("def emit(self, text): ...", "cannot be called as"),
        ("def to(self): ...", "cannot be called as"),
        ("async def close(self): ...", "has to be awaited"),
        ("async def join(self, *rooms): ...", "has to be awaited"),
        ("def _move(self, *args): ...", "uses itself"),
        ("_query = ''", "uses itself"),
        ("_socket = None", "uses itself"),
        ("channel_layer_alias = 5", "is 5"),
    ],
)
def test_what_the_consumer_has_is_not_replaced(line: str, said: str) -> None:
    assert said in refuse(body(line)).message


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("async def connect(self): ...", "async def connect(self, auth)"),
        ("def connect(self): ...", "def connect(self, auth)"),
        ("async def connect(auth): ...", "async def connect(self, auth)"),
        ("async def connect(self, auth, token): ...", "connect(self, auth)"),
        ("@staticmethod\n    def connect(self, auth): ...", "def connect(auth)"),
        ("async def receive(self): ...", "receive(self, event, *args)"),
        ("async def receive(self, event, data=None): ...", "receive(self, event, *args)"),
        ("async def receive(self, *, event): ...", "receive(self, event, *args)"),
        ("def disconnect(self): ...", "def disconnect(self, reason)"),
        ("async def disconnect(self, reason, *, late): ...", "disconnect(self, reason)"),
        ("async def handle(self, event): ...", "async def handle(self, event, args)"),
        ("def handle(self, event, args): ...", "async def handle(self, event, args)"),
        ("async def connect(self, auth): yield 1", "self.emit"),
        ("def disconnect(self, reason): yield 1", "self.emit"),
        ("async def receive(self, event, *args): yield 1", "self.emit"),
        ("async def handle(self, event, args): yield 1", "self.emit"),
    ],
)
def test_hooks_are_called_as_the_server_calls_them(line: str, hint: str) -> None:
    assert hint in refuse(body(line)).hint


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["@event", "async def hi(self): yield 1"], "is a generator"),
        (["@event", "def hi(self): yield 1"], "is a generator"),
        (["@event", "async def hi(): ..."], "has no `self`"),
        (["@event", "async def hi(text: str): ..."], "has no `self`"),
        (["@event", "async def hi(*, text): ..."], "has no `self`"),
        (["@event", "async def hi(self, *, text): ..."], "'text', which stands behind a *"),
        (["@event", "@staticmethod", "def hi(text): ..."], "not on a staticmethod"),
        (["@staticmethod", "@event", "def hi(text): ..."], "is a staticmethod"),
        (["@event('x')", "@classmethod", "def hi(cls): ..."], "not on a classmethod"),
        (["@classmethod", "@event", "def hi(cls): ..."], "is a classmethod"),
        (["@event", "@property", "def hi(self): ..."], "not on a property"),
        (["@property", "@event", "def hi(self): ..."], "is a property"),
        (["@functools.cached_property", "@event", "def hi(self): ..."], "is a cached_property"),
        (["@event", "@sync_to_async", "def hi(self): ..."], "not on a SyncToAsync"),
        (["@sync_to_async", "@event", "def hi(self): ..."], "is a SyncToAsync"),
        (["@event", "@database_sync_to_async", "def hi(self): ..."], "DatabaseSyncToAsync"),
        (["@async_to_sync", "@event", "async def hi(self): ..."], "its @event hides it"),
        (["@hiding", "@event", "async def hi(self): ..."], "its @event hides it"),
        (["@event('a')", "@event('b')", "def hi(self): ..."], "has @event twice"),
        (["hi = event(functools.partial(print, 1))"], "not on a partial"),
        (["hi = event('x')(functools.partialmethod(print))"], "not on a partialmethod"),
        (["@event", "class Inner: ..."], "not on the class Chat.Inner"),
        (["class Inner:", "    @event", "    def hi(self): ..."], "Chat.Inner.hi (line 3)"),
        (["@event('x', room=5)", "def hi(self): ..."], "a room's name is a text"),
        (["@event('x', room=['a'])", "def hi(self): ..."], "a room's name is a text"),
        (["@event('x', room='y' * 256)", "def hi(self): ..."], "256 characters"),
        (["@event", "def hi(self): ...", "@event", "def hi(self): ..."], "again in line 4"),
        (["@event", "def hi(self): ...", "def hi(self): ..."], "again in line 4"),
        (["@event('x')", "def a(self): ...", "@event('x')", "def b(self): ..."], "both handle"),
        (
            [
                "@event('x', room='r')",
                "def a(self): ...",
                "@event('x', room='r')",
                "def b(self): 0",
            ],
            "'x' in the room 'r'",
        ),
    ],
)
def test_handlers_that_cannot_work(lines: list[str], said: str) -> None:
    assert said in refuse(body(*lines)).message


@pytest.mark.parametrize("name", [5, b"x", ["a", "b"], 1.5])
def test_an_event_is_named_by_a_text(name: Any) -> None:
    with pytest.raises(InvalidEventName, match=r"Chat\.hi \(line 2\): .* is a text, not"):
        define(body(f"@event({name!r})", "def hi(self): ..."))


PARENT = """
class Parent(NamespaceConsumer):
    @event
    def status(self): ...
"""


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("status = 'open'", "is a str"),
        ("status = property(lambda self: 5)", "is a property"),
        ("async def status(self): yield 1", "is a generator"),
        ("async def status(): ...", "has no `self`"),
    ],
)
def test_what_replaces_a_handler_of_a_parent(lines: str, said: str) -> None:
    assert said in refuse(f"{PARENT}class Chat(Parent):\n    {lines}").message


def test_two_mixins_with_one_event() -> None:
    source = """
        class First:
            @event("ping")
            def first(self): ...

        class Second:
            @event("ping")
            def second(self): ...

        class Chat(First, Second, NamespaceConsumer): {}
    """
    said = refuse(source.format("..."))
    assert "First.first" in said.message
    assert "Second.second" in said.message
    define(source.format('first = event("ping")(lambda self: 1); second = None'))


def test_mixins_stand_before_the_consumer() -> None:
    mixin = "class Mixin:\n    async def connect(self, auth): ...\n"
    assert (
        "Mixin.connect (line 2) never runs"
        in refuse(f"{mixin}class Chat(NamespaceConsumer, Mixin): ...").message
    )
    define(f"{mixin}class Chat(Mixin, NamespaceConsumer): ...")


@pytest.mark.parametrize(
    "line",
    [
        "@property\n    def user(self): ...",
        "@functools.cached_property\n    def data(self): ...",
        "rooms: frozenset[str]",
        "def emit(self, event, *args, callback=None): return super().emit(event, *args)",
        "def join(self, room): return super().join('x' + room)",
        "@staticmethod\n    def connect(auth): ...",
        "@database_sync_to_async\n    def connect(self, auth): ...",
        "@hiding\n    async def connect(self, auth): ...",
        "@wrapping\n    async def handle(self, event, args): ...",
        "async def connect(self, auth=None, *rest, **more): ...",
        "async def receive(self, *args): ...",
        "hi = event(lambda self, text: text)",
        "@event\n    async def hi(self, *, late=False, **more): ...",
        "@event\n    async def hi(_, text): ...",
        "@event\n    @hiding\n    def hi(self): ...",
        "@wrapping\n    @event\n    def hi(self): ...",
        "def __init__(self, **initkwargs): super().__init__(**initkwargs)",
        "class Meta: ...",
        "class Inner(NamespaceConsumer):\n        @event\n        def hi(self): ...",
        "status = None",
    ],
)
def test_what_is_fine(line: str) -> None:
    define(body(line)).as_asgi()


@pytest.mark.parametrize(
    "source",
    [
        PARENT + "class Chat(Parent):\n    status = None",
        PARENT + "class Chat(Parent):\n    @event('status')\n    def other(self): ...",
        PARENT + "class Chat(Parent):\n    @event('renamed')\n    def status(self): ...",
        "class Chat(NamespaceConsumer, Generic[T]): ...",
        "class Sends(Protocol):\n    def emit(self): ...\n\n"
        "class Chat(NamespaceConsumer, Sends): ...",
    ],
)
def test_classes_that_are_fine(source: str) -> None:
    define(source).as_asgi()


def test_a_class_whose_mixin_keeps_the_check_from_running() -> None:
    chat = define("""
        class Silent:
            def __init_subclass__(cls): ...

        class Chat(Silent, NamespaceConsumer):
            @event
            async def join(self, room): ...
    """)
    with pytest.raises(InvalidConsumer, match=r"Chat\.join"):
        chat.as_asgi()


class Options(NamespaceConsumer):
    size = 20

    @property
    def fixed(self) -> int:
        return 5

    @event
    async def hi(self) -> None: ...


@pytest.mark.parametrize(
    ("initkwargs", "said"),
    [
        ({"sise": 5}, "no such attribute"),
        ({"rooms": []}, "the consumer's own"),
        ({"data": {}}, "the consumer's own"),
        ({"emit": print}, "the consumer's own"),
        ({"fixed": 6}, "cannot be set"),
        ({"hi": print}, "is a handler"),
        ({"rate_limits": {"hi": "often"}}, "a rate is a text"),
        ({"rate_limits": ["5/s"]}, "a dict of rates"),
        ({"rate_limits": None}, "a dict of rates"),
    ],
)
def test_what_as_asgi_cannot_set(initkwargs: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConsumer, match=said):
        Options.as_asgi(**initkwargs)


def test_what_as_asgi_sets() -> None:
    Options.as_asgi(size=50, rate_limits={"hi": "5/s"}, channel_layer_alias="other")


def test_a_consumer_that_cannot_be_made() -> None:
    chat = define(body("def __init__(self, size): ...", "size = 5"))
    with pytest.raises(InvalidConsumer, match="missing a required argument: 'size'"):
        chat.as_asgi()
    chat.as_asgi(size=5)


# What decorators of a site's own make of hooks and handlers


class Decorated(NamespaceConsumer):
    @wrapping
    async def connect(self, auth: dict[str, Any]) -> None:
        self.data["connected"] = True

    @event
    @hiding
    def sum(self, *numbers: int) -> int:
        return sum(numbers)

    @event
    @wrapping
    async def wrapped(self, number: int) -> Any:
        if number < 0:
            raise EventError("too small")
        return self.data["connected"], number

    later = event(lambda self, text: self.acall("question", text))


@pytest.mark.parametrize(
    ("name", "args", "answer"),
    [("sum", (1, 2, 3), 6), ("wrapped", (5,), (True, 5)), ("later", ("?",), "yes")],
)
async def test_decorators_of_a_site(
    serve: Serve, connect: Connect, name: str, args: tuple[Any, ...], answer: Any
) -> None:
    serve(Decorated)
    client = await connect()
    client.answer("question", "yes")
    assert await client.call(name, *args) == answer


async def test_what_decorated_handlers_raise(serve: Serve, connect: Connect) -> None:
    serve(Decorated)
    client = await connect()
    assert (await client.call("wrapped", -1))["error"]["message"] == "too small"
    assert (await client.call("wrapped", "x"))["error"]["code"] == "invalid_arguments"
