"""Statements for many rows."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from realtime.models import Server
from realtime.presence.statements import (
    AT_ONCE,
    DELETE,
    SELECT,
    SELECT_WITH,
    UPDATE,
    TextsStatement,
)


@pytest.mark.parametrize("number", [0, 1, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE + 1])
def test_few_statements_for_many_texts(number: int) -> None:
    now = timezone.now()
    names = [f"s{index}" for index in range(number)]
    Server.objects.bulk_create(
        Server(id=name, name=name, host="here", pid=1, started_at=now, seen_at=now)
        for name in [*names, "other"]
    )
    with CaptureQueriesContext(connection) as queries:
        TextsStatement("default", Server, UPDATE, "host", "software", "id").execute(
            names, "there", ""
        )
    assert len(queries) == -(-number // AT_ONCE)
    assert Server.objects.filter(host="there").count() == number
    with CaptureQueriesContext(connection) as queries:
        TextsStatement("default", Server, DELETE, "id").execute(names)
    assert len(queries) == -(-number // AT_ONCE)
    assert [server.pk for server in Server.objects.filter(host="here")] == ["other"]
    assert Server.objects.count() == 1


@pytest.mark.parametrize("number", [0, 1, AT_ONCE + 1])
def test_what_is_selected(number: int) -> None:
    now = timezone.now()
    names = sorted(f"s{index}" for index in range(number))
    Server.objects.bulk_create(
        Server(id=name, name=name, host=host, pid=1, started_at=now, seen_at=now)
        for host, some in {"here": names, "there": ["other", "third"]}.items()
        for name in some
    )
    asked = [*names, "other", "nobody"]
    found = TextsStatement("default", Server, SELECT, "id").find(asked)
    assert sorted(found) == sorted([*names, "other"])
    found = TextsStatement("default", Server, SELECT_WITH, "host", "id").find(asked, "here")
    assert found == names
