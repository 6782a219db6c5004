"""What hubs say to each other, encoded and decoded."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from realtime.cluster.envelopes import Emit, encode, group_name, open_parcel, pack, unpack


def emit(size: int) -> Emit:
    """Return an event of that size."""
    return Emit("/", ("room",), (), False, f'42["news","{"x" * size}"]', ())


@pytest.mark.parametrize("size", [100, 16_384])
def test_encode(benchmark: BenchmarkFixture, size: int) -> None:
    assert benchmark(encode, emit(size))


def test_unpack(benchmark: BenchmarkFixture) -> None:
    message = pack("server", "lane", 1, 0, [encode(emit(100))] * 4)
    assert len(benchmark(lambda: list(unpack(open_parcel(message))))) == 4


def test_group_name(benchmark: BenchmarkFixture) -> None:
    assert benchmark(group_name, "/orders/7", "Room №1").startswith("rt.")
