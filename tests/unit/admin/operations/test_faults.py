"""Operations that fail, or whose end is not confirmed."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import AsyncClient

from realtime.admin import running
from realtime.exceptions import LayerUnavailable
from realtime.hub.hub import Hub

from .conftest import (
    NEWS,
    Crowd,
    do,
    logged,
    said,
)


async def test_a_layer_that_fails(
    browser: AsyncClient, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, part: Any, data: Any) -> Any:
        raise LayerUnavailable("The channel layer did not take the message.")

    monkeypatch.setattr("realtime.admin.operations.Send.act", fail)
    response = await do(browser, "send_event", crowd["ann"].sid, **NEWS)
    reason = "Nothing was done. The channel layer did not take the message."
    assert said(response) == [("error", reason)]
    assert await logged() == []


async def test_servers_that_do_not_confirm(
    browser: AsyncClient, crowd: Crowd, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> None:
        await hub.loop.create_future()

    monkeypatch.setattr(running, "CONFIRM_TIME", 0.01)
    monkeypatch.setattr(hub, "flush_cluster", never)
    response = await do(browser, "leave_room", crowd["ann"].sid, **{"do-room": "a"})
    ((level, text),) = said(response)
    assert level == "warning"
    assert text.endswith("Not all servers have confirmed it yet.")
    assert len(await logged()) == 1
