"""What a page is given of the browser client."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from django.template import Context, Template
from django.urls import get_script_prefix, set_script_prefix
from pytest_django import Settings

from .conftest import Serve


def render(text: str = "{% realtime_script %}", **context: Any) -> str:
    return Template("{% load realtime %}" + text).render(Context(context))


@pytest.fixture(autouse=True)
def _prefix_is_put_back() -> Any:
    before = get_script_prefix()
    yield
    set_script_prefix(before)


def test_script_and_path(serve: Serve) -> None:
    serve(PATH="/io/")
    assert 'src="/static/realtime/realtime.js" data-path="/io/"' in render()
    assert render("{% realtime_path %}") == "/io/"
    set_script_prefix("/app")
    assert 'data-path="/app/io/"' in render()
    assert render("{% realtime_path %}") == "/app/io/"


def test_what_settings_say_is_escaped(serve: Serve, settings: Settings) -> None:
    settings.STATIC_URL = 'https://cdn.example.com/"><script>alert(1)</script>/'
    serve(PATH='/"><b>/')
    assert "<b>" not in render() + render("{% realtime_path %}")
    assert "alert(1)</script>" not in render()


def test_one_element_without_a_nonce() -> None:
    assert len(re.findall("<script", render())) == 1
    assert "nonce" not in render()
    assert 'onerror="' in render()
    for nothing in (None, ""):
        assert "nonce" not in render(csp_nonce=nothing, request=SimpleNamespace(csp_nonce=nothing))


class Lazy:
    """A nonce that is made when it is first asked for, as Django's and django-csp's."""

    def __str__(self) -> str:
        return "a-nonce"


@pytest.mark.parametrize(
    "context",
    [
        {"csp_nonce": "a-nonce"},
        {"csp_nonce": Lazy()},
        {"request": SimpleNamespace(csp_nonce=Lazy())},
    ],
    ids=["context", "lazy", "request"],
)
def test_a_nonce_is_on_all_scripts_and_no_handler_is_inline(context: dict[str, Any]) -> None:
    html = render(**context)
    scripts = re.findall("<script[^>]*", html)
    assert len(scripts) == 2
    assert all(' nonce="a-nonce"' in script for script in scripts)
    assert "onerror" not in html


def test_only_developers_are_given_a_hint(settings: Settings) -> None:
    hint = "Does the site serve its static files?"
    text = "This page is not live: /static/realtime/realtime.js could not be loaded."
    settings.DEBUG = False
    assert f'data-missing="{text}"' in render()
    settings.DEBUG = True
    assert f'data-missing="{text} {hint}"' in render()
