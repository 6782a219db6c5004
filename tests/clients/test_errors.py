"""What clients are told of errors, in a site's own shape."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.wire import open_socket
from tests.conftest import ServerFactory

LIMITED = {"RATE_LIMITS": {"/lab": {"nothing": "1/h"}}}


async def answers(kind: str, new_server: ServerFactory, shape: str) -> list[Any]:
    """Return the acknowledgements of an EventError, wrong arguments, a fault and a limit."""
    server = new_server(kind, realtime={**LIMITED, "ERROR_ACK": f"tests.site.errors.{shape}"})
    events = (("refuse",), ("typed", 5), ("boom",), ("nothing",), ("nothing",), ("echo", "well"))
    heard = []
    async with open_socket(server) as (wire, _):
        for number, event in enumerate(events):
            args = ",".join(f'"{each}"' if isinstance(each, str) else str(each) for each in event)
            await wire.send(f"42/lab,{number}[{args}]")
            frame = str(await wire.receive())
            head = f"43/lab,{number}"
            assert frame.startswith(head)
            heard.append(frame.removeprefix(head))
    assert heard[3:] == ["[]", heard[4], '["well"]']
    return [*heard[:3], heard[4]]


async def test_a_sites_own_shape(kind: str, new_server: ServerFactory) -> None:
    refused, wrong, fault, limited = await answers(kind, new_server, "node_style")
    assert refused == '[{"status":"error","reason":"no","more":{"why":"test"}},null]'
    assert wrong.startswith('[{"status":"invalid_arguments","reason":"')
    assert "name" in wrong
    assert fault == '[{"status":"server_error","reason":"server error","more":null},null]'
    assert limited.startswith('[{"status":"rate_limited","reason":"more than 1/h')


async def test_a_shape_that_fails(kind: str, new_server: ServerFactory) -> None:
    heard = await answers(kind, new_server, "failing")
    assert heard == [
        '[["server_error"]]',
        '[["invalid_arguments"]]',
        '[["server_error"]]',
        '[["rate_limited"]]',
    ]


@pytest.mark.parametrize("shape", ["nowhere", "LIMITED"])
async def test_no_shape_at_all(kind: str, new_server: ServerFactory, shape: str) -> None:
    """What `manage.py check` refuses still answers, as without the setting."""
    refused, *_, limited = await answers(kind, new_server, shape)
    server_error = '[{"error":{"code":"server_error","message":"server error","data":null}}]'
    assert [refused, limited] == [server_error] * 2
