"""What a client's consumer shares: which values, and how much."""

from __future__ import annotations

import datetime
import threading
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.utils.translation import gettext_lazy

from realtime import NamespaceConsumer, event
from realtime.sockets.sharing import MAX_BYTES, MAX_DEPTH, NOTHING, add_shared, read_shared

from ..conftest import Connect, Serve


def nested(depth: int) -> Any:
    value: Any = "core"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("Ada №1 🙂", "Ada №1 🙂"),
        ([1, 2.5, True, None, {"a": {}}], [1, 2.5, True, None, {"a": {}}]),
        ((1, 2), [1, 2]),
        ({1: "one", None: "none"}, {"1": "one", "null": "none"}),
        (2**53 + 1, 2**53 + 1),
        (float("nan"), None),
        (float("inf"), None),
        (Decimal("1.50"), "1.50"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (gettext_lazy("user"), "user"),
        ("a\0b", "a\ufffdb"),
        ({"k\0": ["\0"]}, {"k\ufffd": ["\ufffd"]}),
        (r"\u0000", r"\u0000"),
        ("\ud800", "\ufffd"),
        ({"\udc00": "?\ud83d"}, {"\ufffd": "?\ufffd"}),
        (nested(MAX_DEPTH), nested(MAX_DEPTH)),
    ],
)
def test_values_are_kept_as_json(value: Any, kept: Any) -> None:
    text = add_shared(NOTHING, {"value": value})
    assert read_shared(text) == {"value": kept}
    assert "\\u0000" not in text.replace("\\\\", "")
    text.encode()


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (object(), TypeError, "'value' cannot be shared: a value of type object"),
        ([b"bytes"], TypeError, "JSON has no form for bytes"),
        ({"deep": [memoryview(b"")]}, TypeError, "JSON has no form for bytes"),
        ({(1, 2): 3}, TypeError, "a dict's key"),
        (print, TypeError, "builtin_function"),
        (nested(MAX_DEPTH + 1), ValueError, f"nested more than {MAX_DEPTH} deep"),
        pytest.param(nested(100_000), ValueError, "nested too deeply", id="100,000 deep"),
        ("x" * MAX_BYTES, ValueError, f"may be {MAX_BYTES}"),
        ("№" * (MAX_BYTES // 3), ValueError, f"may be {MAX_BYTES}"),
        pytest.param(10**5000, ValueError, "'value' cannot be shared", id="10**5000"),
    ],
)
def test_what_cannot_be_kept_is_said_at_the_call(
    value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        add_shared(NOTHING, {"value": value})


def test_a_loop_is_said_at_the_call() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="stands in itself"):
        add_shared(NOTHING, {"value": loop})


def test_all_of_it_counts_and_other_values_take_their_place() -> None:
    half = "x" * (MAX_BYTES // 2)
    text = add_shared(NOTHING, {"one": half})
    with pytest.raises(ValueError, match="a table of your own"):
        add_shared(text, {"two": half})
    text = add_shared(text, {"one": 1, "two": half})
    assert read_shared(text) == {"one": 1, "two": half}


class Main(NamespaceConsumer):
    """Shares what its client says."""

    async def connect(self, auth: dict[str, Any]) -> None:
        self.share(**auth)

    async def disconnect(self, reason: str) -> None:
        await self.share(gone=True)  # for nobody, and harms nobody

    @event("share")
    def on_share(self, values: dict[str, Any]) -> dict[str, Any]:
        self.share(**values)
        return self.shared

    @event("change copy")
    async def change_copy(self) -> dict[str, Any]:
        self.shared["list"].append(1)
        return self.shared

    @event("share at once")
    def share_at_once(self) -> int:
        barrier = threading.Barrier(8)

        def share(number: int) -> None:
            barrier.wait(10)
            self.share(**{f"n{number}": number})

        threads = [threading.Thread(target=share, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        return len(self.shared)


async def test_a_tests_client_sees_it_without_a_database(connect: Connect, serve: Serve) -> None:
    serve(Main)
    client = await connect(auth={"name": "Ada"})
    assert client.shared == {"name": "Ada"}
    assert await client.call("share", {"list": []}) == {"name": "Ada", "list": []}
    assert await client.call("change copy") == {"name": "Ada", "list": []}
    assert (await client.call("share", {"list": "x" * 5000}))["error"]["code"] == "server_error"
    assert client.shared == {"name": "Ada", "list": []}
    await client.disconnect()
    assert client.shared == {}


async def test_threads_that_share_at_once_lose_nothing(connect: Connect, serve: Serve) -> None:
    serve(Main)
    client = await connect()
    assert await client.call("share at once") == 8
