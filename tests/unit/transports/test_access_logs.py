"""Session ids in what web servers log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from realtime.logs import HideSessionIds, cut_secrets
from realtime.transports.access_logs import UVICORN_LOGGERS, hide_session_ids

SID = "AbCdEf0123456789_-xyzXYZ"
CUT = "AbCdEf012345..."


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        (f"/socket.io/?EIO=4&sid={SID}", f"/socket.io/?EIO=4&sid={CUT}"),
        (f"/socket.io?sid={SID}&EIO=4", f"/socket.io?sid={CUT}&EIO=4"),
        (f"GET /site/socket.io/?a=1&sid={SID} 200", f"GET /site/socket.io/?a=1&sid={CUT} 200"),
        (f'"/socket.io/?sid={SID}"', f'"/socket.io/?sid={CUT}"'),
        (f"/socket.io/?sid={SID} /socket.io/?sid={SID}", f"/socket.io/?sid={CUT} " * 2),
        ("/socket.io/?sid=short", "/socket.io/?sid=short"),
        (f"/socket.io/?aside={SID}", f"/socket.io/?aside={SID}"),
        (f"/pages/?sid={SID}", f"/pages/?sid={SID}"),
        (f"/?next=/socket.io/ and sid={SID}", f"/?next=/socket.io/ and sid={SID}"),
        (f"/ws/?pid={SID}", f"/ws/?pid={CUT}"),
        (f"/ws/a/7/?a=1&pid={SID}&offset=1 x", f"/ws/a/7/?a=1&pid={CUT}&offset=1 x"),
        (f'"/site/ws/a?pid={SID}" /ws/?pid={SID}', f'"/site/ws/a?pid={CUT}" /ws/?pid={CUT}'),
        (f"/ws/?rapid={SID}", f"/ws/?rapid={SID}"),
        (f"/ws/?sid={SID}", f"/ws/?sid={SID}"),
        (f"/socket.io/?pid={SID}", f"/socket.io/?pid={SID}"),
        (f"/pages/?pid={SID}", f"/pages/?pid={SID}"),
    ],
)
def test_ids_are_cut(text: str, cut: str) -> None:
    assert cut_secrets(text) == cut.strip()


def test_the_path_is_that_of_the_settings(settings: Settings) -> None:
    settings.REALTIME = {**settings.REALTIME, "PATH": "/live/"}
    assert cut_secrets(f"/live/?sid={SID}") == f"/live/?sid={CUT}"
    assert cut_secrets(f"/socket.io/?sid={SID}") == f"/socket.io/?sid={SID}"
    settings.REALTIME = {**settings.REALTIME, "PLAIN_PATH": "/bare/"}
    assert cut_secrets(f"/bare/a?pid={SID}") == f"/bare/a?pid={CUT}"
    assert cut_secrets(f"/ws/a?pid={SID}") == f"/ws/a?pid={SID}"
    settings.REALTIME = {**settings.REALTIME, "PLAIN_PATH": None}
    assert cut_secrets(f"/ws/a?pid={SID}") == f"/ws/a?pid={SID}"


@pytest.fixture
def _no_filters() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in UVICORN_LOGGERS]
    before = [logger.filters[:] for logger in loggers]
    for logger in loggers:
        logger.filters.clear()
    yield
    for logger, filters in zip(loggers, before, strict=True):
        logger.filters[:] = filters


@pytest.mark.usefixtures("_no_filters")
def test_filters_are_added_once() -> None:
    hide_session_ids()
    hide_session_ids()
    assert [len(logging.getLogger(name).filters) for name in UVICORN_LOGGERS] == [1, 1]


@pytest.mark.parametrize(
    ("message", "args"),
    [
        ("GET %s %d", (f"/socket.io/?sid={SID}", 200)),
        ("GET %(path)s %(status)d", ({"path": f"/socket.io/?sid={SID}", "status": 200},)),
        (f"GET /socket.io/?sid={SID} 200", ()),
    ],
)
def test_records_of_any_shape(message: str, args: tuple[Any, ...]) -> None:
    record = logging.LogRecord("any", logging.INFO, "", 0, message, args, None)
    assert HideSessionIds().filter(record)
    assert record.getMessage() == f"GET /socket.io/?sid={CUT} 200"


def test_records_without_a_text_stay_as_they_are() -> None:
    error = ValueError("sid=")
    record = logging.LogRecord("any", logging.INFO, "", 0, error, None, None)  # type: ignore[arg-type]
    assert HideSessionIds().filter(record)
    assert record.msg is error  # type: ignore[comparison-overlap]
