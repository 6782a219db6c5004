"""What hubs tell of themselves, what is believed of that, and what the live page is told."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest

from realtime.admin import live
from realtime.cluster.envelopes import HUBS, Beat, encode, pack
from realtime.cluster.reports import MAX_ITEMS, check_report

from .conftest import Server, Start

NEWS = {
    "number": 1,
    "at": 1.7e9,
    "kind": "connect",
    "sid": "s" * 26,
    "namespace": "/",
    "user": "ann",
    "address": "127.0.0.1",
    "transport": "polling",
    "reason": "",
}
GOOD = {
    "host": "web-1",
    "pid": 7,
    "uptime": 3.5,
    "connections": 2,
    "rooms": 1,
    "events_in": 5,
    "events_out": 6,
    "news": [NEWS],
}

BAD: dict[str, dict[str, Any]] = {
    "nothing that the page needs": {"sockets": 1},
    **{f"no {name}": {k: v for k, v in GOOD.items() if k != name} for name in list(GOOD)[:-1]},
    "a text for a number": GOOD | {"connections": "<script>"},
    "a list for a number": GOOD | {"uptime": [1]},
    "null for a number": GOOD | {"rooms": None},
    "true for a number": GOOD | {"rooms": True},
    "fewer than none": GOOD | {"events_in": -1},
    "beyond JavaScript": GOOD | {"events_out": 2**60},
    "no number": GOOD | {"uptime": math.nan},
    "for ever": GOOD | {"uptime": math.inf},
    "a number for a text": GOOD | {"host": 5},
    "a host without end": GOOD | {"host": "x" * 10_000},
    "news that are no list": GOOD | {"news": {"a": NEWS}},
    "too many news": GOOD | {"news": [NEWS] * (MAX_ITEMS + 1)},
    "news that are no news": GOOD | {"news": ["x"]},
    "news of a kind that there is not": GOOD | {"news": [NEWS | {"kind": "constructor"}]},
    "news without a sid": GOOD | {"news": [{k: v for k, v in NEWS.items() if k != "sid"}]},
    "news whose sid is no text": GOOD | {"news": [NEWS | {"sid": 7}]},
    "news beyond all dates": GOOD | {"news": [NEWS | {"at": 1e300}]},
    "news before all dates": GOOD | {"news": [NEWS | {"at": -1e300}]},
    "news of never": GOOD | {"news": [NEWS | {"at": math.nan}]},
    "news with a text without end": GOOD | {"news": [NEWS | {"user": "x" * 10_000}]},
}


@pytest.mark.parametrize("report", BAD.values(), ids=BAD)
def test_what_cannot_be_true(report: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        check_report(report)


def test_what_is_not_known_is_left_out() -> None:
    known = check_report(GOOD | {"id": "another", "added in a later version": [{}]})
    assert known == GOOD


async def test_what_a_hub_tells_is_believed(start: Start) -> None:
    one = await start()
    await one.client("a", "b")
    told = one.hub.describe()
    assert check_report(json.loads(json.dumps(told))) == told


def beat(server: Server, name: str, report: dict[str, Any]) -> None:
    """Let a hub get a beat."""
    message = pack(name, HUBS, 0, 0, [encode(Beat(name, "channel", report=report))])
    server.cluster._receiver.handle(message)


@pytest.mark.parametrize("report", BAD.values(), ids=BAD)
async def test_a_report_that_cannot_be_true_is_ignored(
    start: Start, records: list[Any], report: dict[str, Any]
) -> None:
    one = await start()
    beat(one, "peer", GOOD)
    for name in ("peer", "forger"):
        beat(one, name, report)
    assert one.cluster.reports() == {"peer": GOOD}, "its last one stays"
    assert set(one.cluster.peers.names()) == {"peer", "forger"}, "a sign of life all the same"
    ignored = [each.realtime for each in records if each.args[0] == "layer-ignored"]
    assert [each["server"] for each in ignored] == ["peer", "forger"]
    assert [each["id"] for each in live.state(one.hub)["servers"]] == [one.hub.server_id, "peer"]


async def test_a_report_names_no_other_server(start: Start) -> None:
    one = await start()
    beat(one, "forger", GOOD | {"id": one.hub.server_id})
    assert [each["id"] for each in live.state(one.hub)["servers"]] == [one.hub.server_id, "forger"]


async def test_however_many_tell_the_page_is_told_little(
    start: Start, records: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.admin.activity_feed.TOLD_FOR", 600)  # the loop may take long
    one = await start()
    await one.client("a")
    text = "x" * 200
    news = NEWS | dict.fromkeys(("sid", "namespace", "user", "address", "reason"), text)
    for n in range(1_500):
        beat(one, f"forger {n}", GOOD | {"news": [news | {"at": float(n)}] * MAX_ITEMS})
        beat(one, f"liar {n}", BAD["a text for a number"])
    state = live.state(one.hub)
    assert state["servers"][0]["id"] == one.hub.server_id
    assert len(state["servers"][0]["news"]) == 1, "the newest of all"
    assert len(state["servers"]) == live.MAX_SERVERS
    assert len(json.dumps(state)) < 200_000
    assert len([each for each in records if each.args[0] == "layer-ignored"]) < 20
