"""Signed tokens of our own."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.template import Context, Template
from django.utils.functional import SimpleLazyObject
from pytest_django import Settings

from realtime.authenticators import AuthenticationFailed, Credentials, sign, signed, signed_tokens

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann", password="first")


def show(token: str, namespace: str = "/") -> Any:
    return signed(Credentials({"token": token}, namespace, {"headers": []}))


@pytest.mark.parametrize(
    "expires",
    [
        100,
        100.0,
        timedelta(seconds=100),
        lambda: datetime.now(UTC) + timedelta(seconds=100),
        lambda: datetime.now() + timedelta(seconds=100),
    ],
)
def test_who_comes_in_until_when(
    ann: User, settings: Settings, monkeypatch: pytest.MonkeyPatch, expires: Any
) -> None:
    settings.TIME_ZONE = "UTC"
    time.tzset()
    before = time.time()
    token = sign(ann, expires() if callable(expires) else expires)
    user, end = show(token)
    assert user == ann
    assert before + 100 <= end <= time.time() + 101
    monkeypatch.setattr(signed_tokens, "time", SimpleNamespace(time=lambda: end - 1))
    assert show(token)[0] == ann
    monkeypatch.setattr(signed_tokens, "time", SimpleNamespace(time=lambda: end))
    with pytest.raises(AuthenticationFailed, match="expired"):
        show(token)


def test_a_token_is_text_that_fits_everywhere(ann: User) -> None:
    """Also into a subprotocol, which has no colon, no slash and no equals sign."""
    token = sign(ann, namespace="/orders/7")
    assert set(token) <= {*"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."}
    in_header = Credentials({}, "/orders/7", {"headers": [(b"authorization", b"Bearer %b")]})
    in_header.scope["headers"][0] = (b"authorization", f"Bearer {token}".encode())
    assert signed(in_header)[0] == ann


def test_for_one_namespace(ann: User) -> None:
    token = sign(ann, namespace="/orders/7")
    assert show(token, "/orders/7")[0] == ann
    for other in ("/", "/orders/70", "/orders"):
        with pytest.raises(AuthenticationFailed, match="another namespace"):
            show(token, other)


def _set_password(user: User, settings: Settings) -> None:
    user.set_password("second")
    user.save()


def _deactivate(user: User, settings: Settings) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def _delete(user: User, settings: Settings) -> None:
    User.objects.filter(pk=user.pk).delete()


def _change_key(user: User, settings: Settings) -> None:
    settings.SECRET_KEY = "another"


@pytest.mark.parametrize("end", [_set_password, _deactivate, _delete, _change_key])
def test_what_ends_it(ann: User, settings: Settings, end: Callable[..., None]) -> None:
    token = sign(ann)
    end(ann, settings)
    with pytest.raises(AuthenticationFailed):
        show(token)


def test_an_older_key_is_good_as_long_as_it_is_named(ann: User, settings: Settings) -> None:
    token, key = sign(ann), settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [key]
    assert show(token)[0] == ann
    assert show(sign(ann))[0] == ann


def test_what_somebody_has_changed(ann: User) -> None:
    token = sign(ann)
    for position in range(len("signed."), len(token)):
        forged = "A" if token[position] != "A" else "B"
        with pytest.raises(AuthenticationFailed):
            show(token[:position] + forged + token[position + 1 :])
    for text in ("signed.", "signed..", "signed.abc", token + "A", token[:-1]):
        with pytest.raises(AuthenticationFailed):
            show(text)


def test_other_tokens_are_for_others() -> None:
    assert show("abc") is None
    assert show("") is None
    assert show("eyJhbGciOiJIUzI1NiJ9.e30.c2ln") is None


def test_it_tells_nobody_the_hash_of_the_password(ann: User) -> None:
    assert ann.get_session_auth_hash() not in sign(ann)


def test_nobody_is_signed_for() -> None:
    for user in (AnonymousUser(), User(username="unsaved"), None):
        with pytest.raises(ValueError, match="no user with a primary key"):
            sign(user)


@pytest.mark.parametrize("expires", [0, -1, float("nan"), float("inf"), timedelta(0)])
def test_an_end_that_is_past(ann: User, expires: Any) -> None:
    with pytest.raises(ValueError, match="some time yet"):
        sign(ann, expires)


@pytest.mark.parametrize("expires", ["1h", None, True])
def test_an_end_that_is_none(ann: User, expires: Any) -> None:
    with pytest.raises(TypeError, match="seconds, a timedelta or a datetime"):
        sign(ann, expires)


def test_a_namespace_that_is_none(ann: User) -> None:
    with pytest.raises(ValueError, match="starts with a slash"):
        sign(ann, namespace="orders")


def render(text: str, **context: Any) -> str:
    return Template("{% load realtime %}" + text).render(Context(context))


def test_the_template_tag(ann: User) -> None:
    request = SimpleNamespace(user=SimpleLazyObject(lambda: ann))
    user, end = show(render("{% realtime_token %}", request=request))
    assert user == ann
    assert 3_500 < end - time.time() < 3_700
    token = render("{% realtime_token expires=60 namespace='/a' %}", user=ann)
    assert show(token, "/a")[0] == ann
    with pytest.raises(AuthenticationFailed):
        show(token)
    for nobody in ({}, {"user": AnonymousUser()}, {"request": SimpleNamespace()}):
        assert render("{% realtime_token %}", **nobody) == ""
