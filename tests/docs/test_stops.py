"""The deployment guide gives processes the time that the code may take for a stop."""

from __future__ import annotations

import re

import pytest

from tests.docs.blocks import blocks_of
from tests.docs.stops import DEPLOY, manifest, server_grace, step_bounds, table_bounds

UNITS = "".join(block.code for block in blocks_of(DEPLOY) if block.language == "ini")
LINES = {line.split()[0]: line for line in re.findall(r"^ExecStart=\S+/(.*)$", UNITS, re.M)}


def number(pattern: str, text: str) -> float:
    """Return the one number that stands there."""
    (found,) = re.findall(pattern, text)
    return float(found)


def test_the_table() -> None:
    assert table_bounds() == [*step_bounds(), server_grace(LINES["uvicorn"])]
    text = DEPLOY.read_text()
    assert f"That is {sum(table_bounds()):.0f} seconds, or {sum(step_bounds()):.0f} with" in text


@pytest.mark.parametrize("server", LINES)
def test_systemd_waits_long_enough(server: str) -> None:
    line = LINES[server]
    stop = sum(step_bounds()) + server_grace(line)
    assert number(r"TimeoutStopSec=(\d+)", UNITS) > stop
    if server == "gunicorn":
        assert number(r"--graceful-timeout (\d+)", line) > stop


def test_kubernetes_waits_long_enough() -> None:
    said = manifest()
    program, seconds = said.pre_stop
    assert program == "sleep"
    stop = sum(step_bounds()) + server_grace(" ".join(said.command))
    assert said.grace > float(seconds) + stop
    assert f"[the {stop:.0f} that daphne's stop may take]" in DEPLOY.read_text()
