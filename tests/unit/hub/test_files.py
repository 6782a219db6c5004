"""A process that may open no more files says so: it refuses clients."""

from __future__ import annotations

import errno
import os
import resource
from typing import Any

import pytest

from realtime.hub.files import Files
from realtime.outside.process import ensure_hub


def words(records: list[Any]) -> list[str]:
    return [record.args[0] for record in records]


def test_a_process_without_free_descriptors(records: list[Any]) -> None:
    files = Files(lambda: 7)
    files.check()
    assert not files.exhausted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.open(os.devnull, os.O_RDONLY)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))  # the lowest free one is too high
    try:
        files.check()
        files.check()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert files.exhausted
    assert words(records) == ["files-exhausted"] * 2
    fields = records[0].realtime
    assert (fields["error"], fields["connections"], fields["limit"]) == ("EMFILE", 7, probe)
    files.check()
    assert not files.exhausted
    assert words(records)[2:] == ["files-free"]


@pytest.mark.parametrize("error", [errno.ENFILE, errno.EMFILE])
def test_a_machine_without_free_files(
    monkeypatch: pytest.MonkeyPatch, records: list[Any], error: int
) -> None:
    def fail(*args: Any) -> int:
        raise OSError(error, "no files")

    monkeypatch.setattr("realtime.hub.files.os.open", fail)
    files = Files(lambda: 0)
    files.check()
    assert records[0].realtime["error"] == errno.errorcode[error]


def test_other_errors_say_nothing(monkeypatch: pytest.MonkeyPatch, records: list[Any]) -> None:
    def fail(*args: Any) -> int:
        raise PermissionError(errno.EACCES, "a strict machine")

    monkeypatch.setattr("realtime.hub.files.os.open", fail)
    files = Files(lambda: 0)
    files.check()
    assert not files.exhausted
    assert not records


async def test_a_hub_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = ensure_hub()
    assert hub.describe()["problems"] == []
    hub.files.exhausted = True
    assert hub.describe()["problems"] == [{"problem": "files-exhausted"}]
