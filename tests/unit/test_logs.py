"""Log lines that no client can forge."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from realtime.logs import log


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("/orders/7", "/orders/7"),
        ("№1", "№1"),
        (5, "5"),
        (None, "None"),
        ("", '""'),
        ("two words", '"two words"'),
        ('a"b', r'"a\"b"'),
        ("a\\b c", r'"a\\b c"'),
        ('a\\" sid=forged', r'"a\\\" sid=forged"'),
        ("a\nERROR forged", r'"a\nERROR forged"'),
        ("a\r\nb", r'"a\r\nb"'),
        ("a\tb", r'"a\x09b"'),
        ("\x1b[31mred", r'"\x1b[31mred"'),
        ("\x00\x7f\x85\u2028", r'"\x00\x7f\x85\x2028"'),
        ("half \ud800", r'"half \ud800"'),
        ("x" * 300, "x" * 200),
    ],
)
def test_values(records: list[Any], value: Any, text: str) -> None:
    log(logging.INFO, "word", first=1, field=value)
    (record,) = records
    assert record.getMessage() == f"word first=1 field={text}"
    assert record.getMessage().isprintable()
    assert record.realtime == {"first": 1, "field": value}


def test_what_nobody_reads_is_not_made(records: list[Any]) -> None:
    class Unreadable:
        def __str__(self) -> str:
            raise AssertionError

    logging.getLogger("realtime").setLevel(logging.WARNING)
    log(logging.INFO, "word", field=Unreadable())
    assert records == []
