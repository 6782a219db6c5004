"""The site's authenticators, asked in turn, and what becomes of their answers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError
from pytest_django import Settings

from realtime.authenticators import AuthenticationFailed, Credentials
from realtime.exceptions import ConnectionRefused
from realtime.execution.calls import call_apart
from realtime.hub.hub import Hub
from realtime.identity import outages
from realtime.identity.authentication import (
    SESSION,
    Authenticated,
    Unanswered,
    authenticate,
    find_authenticators,
)

from ..probes import DEADLINE

HERE = __name__
ANN, BOB = User(pk=1, username="ann"), User(pk=2, username="bob")

# What `one` and `other` answer in a test, and who was asked.
answers: dict[str, Any] = {}
asked: list[str] = []


def _answer(name: str, credentials: Credentials) -> Any:
    asked.append(name)
    answer = answers.get(name)
    return answer(credentials) if callable(answer) else answer


def one(credentials: Credentials) -> Any:
    return _answer("one", credentials)


async def other(credentials: Credentials) -> Any:
    await asyncio.sleep(0)
    return _answer("other", credentials)


NO_FUNCTION = 7


@pytest.fixture(autouse=True)
def _nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "lines", outages.Log())
    answers.clear()
    asked.clear()


Ask = Callable[..., Any]


@pytest.fixture
def ask(hub: Hub, settings: Settings) -> Ask:
    """A function that shows `auth` to `paths`, by default `one` and `other`."""

    async def ask(*paths: str, user: Any = None, **auth: Any) -> Authenticated | None:
        paths = paths or (f"{HERE}.one", f"{HERE}.other")
        settings.REALTIME = {**settings.REALTIME, "AUTHENTICATORS": list(paths)}
        call = partial(call_apart, slots=hub.sync_handlers)
        shown = Credentials(auth, "/", {"user": user, "headers": []})
        return await authenticate(hub, shown, call, find_authenticators())

    return ask


async def test_the_first_who_knows(ask: Ask) -> None:
    assert await ask() is None
    assert asked == ["one", "other"]
    answers["other"] = BOB
    assert (await ask()).user == BOB
    answers["one"] = ANN
    found = await ask()
    assert (found.user, found.expires, found.authenticator.path) == (ANN, None, f"{HERE}.one")
    assert asked == ["one", "other", "one", "other", "one"]


async def test_they_see_what_is_shown(ask: Ask) -> None:
    answers["one"] = lambda credentials: ANN if credentials.token("Bearer") == "abc" else None
    assert await ask(token="def") is None
    assert (await ask(token="abc")).credentials.auth == {"token": "abc"}


async def test_somebody_who_is_nobody_is_as_none(ask: Ask) -> None:
    answers["one"], answers["other"] = AnonymousUser(), (AnonymousUser(), 7)
    assert await ask() is None
    assert asked == ["one", "other"]


async def test_the_session_is_asked_in_its_turn(ask: Ask) -> None:
    answers["one"] = ANN
    assert (await ask(SESSION, f"{HERE}.one", user=BOB)).user == BOB
    assert not asked
    assert (await ask(SESSION, f"{HERE}.one", user=AnonymousUser())).user == ANN
    assert (await ask(SESSION, f"{HERE}.one")).user == ANN


MOMENT = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expires", "seconds"),
    [
        (None, None),
        (MOMENT, MOMENT.timestamp()),
        (MOMENT.astimezone(timezone(timedelta(hours=5))), MOMENT.timestamp()),
        (7, 7.0),
        (7.5, 7.5),
        (math.inf, None),
    ],
)
async def test_the_end(ask: Ask, expires: Any, seconds: float | None) -> None:
    answers["one"] = (ANN, expires)
    assert (await ask()).expires == seconds


async def test_a_time_without_a_zone_is_in_that_of_the_site(ask: Ask, settings: Settings) -> None:
    settings.TIME_ZONE = "Asia/Yekaterinburg"
    answers["one"] = (ANN, datetime(2030, 1, 1, 5))
    assert (await ask()).expires == MOMENT.timestamp()


@pytest.mark.parametrize("name", ["one", "other"])
async def test_what_is_wrong_is_refused_and_nobody_else_asked(ask: Ask, name: str) -> None:
    def refuse(credentials: Credentials) -> Any:
        raise AuthenticationFailed("no such token")

    answers[name] = refuse
    with pytest.raises(AuthenticationFailed, match="no such token"):
        await ask(f"{HERE}.{name}", SESSION, user=BOB)


@pytest.mark.parametrize("name", ["one", "other"])
@pytest.mark.parametrize(
    "answer",
    [
        True,
        "ann",
        ANN.pk,
        (ANN, "tomorrow"),
        (ANN, True),
        (ANN, math.nan),
        (ANN, None, None),
        [ANN, None],
        ("ann", 7),
        lambda credentials: 1 / 0,
        lambda credentials: exec("raise SystemExit"),
    ],
)
async def test_a_fault_lets_nobody_in(ask: Ask, records: list[Any], name: str, answer: Any) -> None:
    """Nor does it fill the log, however many clients come."""
    answers[name] = answer
    for _ in range(3):
        with pytest.raises(Unanswered) as refused:
            await ask(f"{HERE}.{name}", SESSION, user=BOB)
    assert isinstance(refused.value, ConnectionRefused)
    assert refused.value.data == {"code": 503, "retry_after": 5}
    (line,) = [record for record in records if record.levelname == "ERROR"]
    assert "step=authenticate" in line.getMessage()
    assert f"authenticator={HERE}.{name}" in line.getMessage()
    assert line.exc_info


@pytest.mark.parametrize("name", ["one", "other"])
async def test_a_database_that_is_away(ask: Ask, records: list[Any], name: str) -> None:
    def fail(credentials: Credentials) -> Any:
        raise OperationalError("no connection")

    answers[name] = fail
    with pytest.raises(Unanswered):
        await ask(f"{HERE}.{name}")
    (line,) = [record for record in records if record.levelname == "ERROR"]
    assert not line.exc_info


async def test_one_who_does_not_answer(
    hub: Hub, ask: Ask, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    monkeypatch.setattr(hub.settings, "LOOKUP_TIMEOUT", 0.01)
    with pytest.raises(Unanswered):
        async with asyncio.timeout(DEADLINE):
            await ask(f"{HERE}.never")
    (line,) = [record for record in records if record.levelname == "ERROR"]
    assert "no answer within 0.01 seconds" in line.getMessage()


async def never(credentials: Credentials) -> Any:
    await asyncio.Event().wait()


def test_by_default_nobody_is_asked(settings: Settings) -> None:
    assert find_authenticators() == ()
    settings.REALTIME = {**settings.REALTIME, "AUTHENTICATORS": [SESSION, f"{HERE}.one"]}
    assert [each.path for each in find_authenticators()] == [SESSION, f"{HERE}.one"]


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("nowhere.at_all", "No module named"),
        (f"{HERE}.nobody", "does not define"),
        (f"{HERE}.NO_FUNCTION", "is a int and no function"),
    ],
)
def test_one_that_cannot_be_loaded(settings: Settings, path: str, fault: str) -> None:
    settings.REALTIME = {**settings.REALTIME, "AUTHENTICATORS": [path]}
    with pytest.raises(ImproperlyConfigured, match=fault):
        find_authenticators()
