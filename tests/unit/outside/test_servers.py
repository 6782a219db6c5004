"""Which servers a command means."""

from __future__ import annotations

import pytest

from realtime.outside.servers import FoundServer, choose

ONE = FoundServer("aB3_xq", "web-1", 4711, 3, draining=False)
OTHER = FoundServer("aB3-yz", "web-1", 4712, 0, draining=True)
THIRD = FoundServer("Zz9-yz", "web-2", 4711, 1, draining=False)
ALL = [ONE, OTHER, THIRD]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("aB3_xq", [ONE]),
        ("aB3_", [ONE]),
        ("Z", [THIRD]),
        ("web-1:4712", [OTHER]),
        ("web-1", [ONE, OTHER]),
        ("web-2", [THIRD]),
    ],
)
def test_a_server_by_what_it_is_called(text: str, meant: list[FoundServer]) -> None:
    assert choose(ALL, text) == meant


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aB3", "The ids of 2 servers start with 'aB3'."),
        ("ab3_", "There is no server 'ab3_'."),
        ("web-1:47", "There is no server 'web-1:47'."),
        ("web", "There is no server 'web'."),
        ("", "There is no server ''."),
    ],
)
def test_what_means_none_or_several(text: str, message: str) -> None:
    with pytest.raises(LookupError) as caught:
        choose(ALL, text)
    assert caught.value.args == (message,)


def test_an_id_comes_before_the_start_of_another_one() -> None:
    longer = ONE._replace(id="aB3_xqq")
    assert choose([longer, ONE], "aB3_xq") == [ONE]
