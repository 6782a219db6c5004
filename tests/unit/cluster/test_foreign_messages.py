"""Messages that a hub does not understand, and those that are forged."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from realtime import logs
from realtime.cluster.envelopes import (
    HUBS,
    VERSION,
    Beat,
    encode,
    group_name,
    pack,
)
from realtime.cluster.sequence_tracking import MAX_LOST
from realtime.hub import asking
from realtime.utils.limits import Rate
from tests.unit.cluster.test_hubs import Three, said

from .conftest import until
from .layer import Bus


@pytest.mark.parametrize(
    "message",
    [
        {"type": "realtime.envelope", "version": VERSION + 1, "news": [1]},
        {"type": "somebody.elses", "text": "hi"},
        {"type": "realtime.envelope", "version": VERSION},
        {
            "type": "realtime.envelope",
            "version": VERSION,
            "server": "newone",
            "lane": "x",
            "number": "x",
            "place": None,
            "bodies": [b""],
        },
        {
            "type": "realtime.envelope",
            "version": VERSION,
            "server": "newone",
            "lane": "x",
            "number": 0,
            "place": 0,
            "bodies": [b"\xc1", b"\x91\xa6beacon", b"\x92\xa4emit\x01"],
        },
    ],
    ids=["newer", "foreign", "empty", "mistyped", "unknown envelopes"],
)
async def test_what_is_not_understood_is_logged_and_ignored(
    three: Three, bus: Bus, records: list[Any], message: dict[str, Any]
) -> None:
    client = await three[1].client("a")
    stranger = bus.connect()
    await stranger.group_send(HUBS, message)
    three[0].emit(("a",), "hi")
    assert await said(client) == "hi"
    words = [record.args[0] for record in records if record.args[0].startswith("layer-")]
    assert set(words) == {"layer-ignored"}


# What somebody says in a server's name who can write to the layer


@pytest.mark.parametrize("number", [10**6, 2**40, 2**53, 2**60, 2**63 - 1])
async def test_a_forged_number_silences_nobody(three: Three, bus: Bus, number: int) -> None:
    near, far = await three[0].client("a"), await three[1].client("a")
    three[0].emit(("a",), "before")
    assert await said(far) == "before"
    group, server = group_name("/", "a"), three[0].hub.server_id
    stranger = bus.connect()
    for place in (1, 2, number):
        await stranger.group_send(group, pack(server, group, number, place, []))
    forged = Beat(server, three[0].cluster.beats.channel, tails={group: (number, number)})
    await stranger.group_send(HUBS, pack(server, HUBS, 0, 0, [encode(forged)]))
    for text in range(20):
        three[0].emit(("a",), text)
        await three[0].cluster.flush_cluster()
    assert [await said(far) for _ in range(20)] == list(range(20))
    assert [await said(near) for _ in range(21)] == ["before", *range(20)]
    assert three[1].cluster.lost <= MAX_LOST
    assert three[0].knows(three[1], three[2])


@pytest.mark.expiry
async def test_a_forged_goodbye(three: Three, bus: Bus) -> None:
    client = await three[1].client("a")
    server = three[1].hub.server_id
    goodbye = Beat(server, "", leaving=True)
    stranger = bus.connect()
    await stranger.group_send(HUBS, pack(server, HUBS, 0, 0, [encode(goodbye)]))
    await until(lambda: server not in three[0].cluster.peers)
    three[0].emit(("a",), "still here")
    assert await said(client) == "still here"
    await until(lambda: server in three[0].cluster.peers)
    assert await asking.send_to_client(three[0].hub, client.sid, None, "said", ("again",))
    assert await said(client) == "again"


async def test_a_beat_in_another_ones_name(
    three: Three, bus: Bus, records: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(logs._LINE_RATES, logging.WARNING, Rate(100, 1.0))
    own, peer = three[0].hub.server_id, three[1].hub.server_id
    stranger = bus.connect()
    for server, named in (("nobody", own), ("nobody", peer), (peer, own)):
        for leaving in (False, True):
            beat = Beat(named, "nowhere", leaving=leaving)
            await stranger.group_send(HUBS, pack(server, HUBS, 0, 0, [encode(beat)]))
    await until(lambda: len([r for r in records if r.args[0] == "layer-ignored"]) >= 12)
    assert three[0].knows(three[1], three[2])
    assert three[0].cluster.peers.channel(peer) == three[1].cluster.beats.channel


@pytest.mark.parametrize("name", ["x" * 201, "x" * 1_000_000])
async def test_names_that_nobody_has(three: Three, bus: Bus, records: list[Any], name: str) -> None:
    stranger = bus.connect()
    for server, lane in ((name, "a"), ("server", name)):
        await stranger.group_send(HUBS, pack(server, lane, 1, 1, []))
    await until(lambda: len([r for r in records if r.args[0] == "layer-ignored"]) >= 6)
    assert name not in three[0].cluster._receiver._incoming._known.lanes
