"""What REALTIME["RECOVERY"] may say."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.utils.recovery import RecoveryOptions, explain_recovery, parse_recovery


def test_there_is_none_without_the_setting() -> None:
    assert parse_recovery(None) is parse_recovery({}) is None


def test_what_is_given_takes_the_place_of_defaults() -> None:
    given = {"SECONDS": 60, "EVENTS": 5, "BYTES": 10_000, "PRESENCE_SECONDS": 0}
    assert parse_recovery(given) == RecoveryOptions(60, 5, 10_000, 0)
    assert parse_recovery({"SECONDS": 60, "AWAY_BYTES": 100_000}) == RecoveryOptions(
        60, away_bytes=100_000
    )
    assert parse_recovery({"SECONDS": 1.5}) == RecoveryOptions(1.5)


@pytest.mark.parametrize(
    "value",
    [None, {}, {"SECONDS": 120}, {"SECONDS": 1, "EVENTS": 1}, {"SECONDS": 1, "LOG": "redis"}],
)
def test_what_fits_needs_no_explanation(value: Any) -> None:
    assert explain_recovery(value) == ""


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (120, "a dict"),
        (True, "a dict"),
        ({"EVENTS": 5}, 'needs "SECONDS"'),
        ({"seconds": 120}, "no 'seconds'"),
        ({"SECONDS": 120, 5: 5}, "no 5"),
        ({"SECONDS": 0}, "'SECONDS'"),
        ({"SECONDS": "120"}, "'SECONDS'"),
        ({"SECONDS": True}, "'SECONDS'"),
        ({"SECONDS": float("nan")}, "'SECONDS'"),
        ({"SECONDS": 86_401}, "'SECONDS'"),
        ({"SECONDS": 120, "EVENTS": 0}, "'EVENTS'"),
        ({"SECONDS": 120, "LOG": "disk"}, '"memory" and "redis"'),
        ({"SECONDS": 120, "LOG": None}, '"memory" and "redis"'),
        ({"SECONDS": 120, "BYTES": 9_999}, "'BYTES'"),
        ({"SECONDS": 120, "AWAY_BYTES": 99_999}, "'AWAY_BYTES' a whole number of 100000 or more"),
        ({"SECONDS": 120, "PRESENCE_SECONDS": -1}, "'PRESENCE_SECONDS'"),
    ],
)
def test_what_does_not_fit_is_named(value: Any, said: str) -> None:
    assert said in explain_recovery(value)
