"""What `manage.py check` says of regular expressions in CORS_ORIGINS."""

from __future__ import annotations

import re

import pytest
from pytest_django import Settings

from realtime.checks.origins import find_stranger

from .conftest import DEFAULTS
from .test_checks import found, ids


@pytest.mark.parametrize(
    ("pattern", "stranger", "hint"),
    [
        (r".*", "https://stranger.invalid", "Name the domain"),
        (r"https?://.+", "https://stranger.invalid", "Name the domain"),
        (r"[\s\S]*", "https://stranger.invalid", '"*"'),
        (r"http://\w+(\.\w+)+:\d+", "http://stranger.invalid:8443", "Name the domain"),
        (r"https://.*\.com", "https://strangerwhomnobodyknows.com", "Name the domain"),
        (r"https://.+\.(dev|app)", "https://strangerwhomnobodyknows.dev", "Name the domain"),
        (r"https://.*example\.com", "https://strangerexample.com", r"\.example\.com"),
        (r"^https://[\w.-]*example\.com$", "https://strangerexample.com", r"\.example\.com"),
        (r"https://example\.com.*", "https://example.com.stranger.invalid", "end with"),
        (r"https://(.+\.)?example\..+", "https://example.stranger.invalid", "whole domain"),
        (r"http://localhost.*", "http://localhost.stranger.invalid", "whole domain"),
        (r"https://app.example.com", "https://appxexample.com", r"app\.example\.com"),
        (r"https://.+\.example.com", "https://app.examplexcom", r"example\.com"),
        (r"https://App.Example\.com", "https://appxexample.com", r"app\.example\.com"),
    ],
)
def test_strangers_are_found(pattern: str, stranger: str, hint: str) -> None:
    found = find_stranger(re.compile(pattern))
    assert found is not None
    assert found[0] == stranger
    assert hint in found[1]


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            r"https://app\.example\.com",
            r"^https://app\.example\.com$",
            r"https://app[.]example\.com",
        ),
        *(r"https://(.+\.)?example\.com", r"https?://[a-z0-9-]+\.example\.(com|org)(:\d+)?"),
        *(r"https://pr-\d+\.preview\.example\.dev", r"https?://localhost(:\d+)?", r"null"),
        *(r"http://127\.0\.0\.1:[0-9]+", r"https?://192\.168\.\d+\.\d+", r"chrome-extension://.+"),
        *(r"https://[\w-]+--site\.netlify\.app", r"(?i)HTTPS://APP\.EXAMPLE\.COM", ""),
    ],
)
def test_nothing_is_said_of_others(pattern: str) -> None:
    assert find_stranger(re.compile(pattern)) is None


def test_check_warns_of_each(settings: Settings) -> None:
    origins = [re.compile(r".*"), "https://*.example.com", re.compile(r"https://a\.example\.com")]
    settings.REALTIME = {**DEFAULTS, "CORS_ORIGINS": [*origins, re.compile(r"https://a.b.com")]}
    first, second = found()
    assert ids([first, second]) == ["realtime.W016", "realtime.W016"]
    assert "'.*' lets in https://stranger.invalid" in first.msg
    assert "'https://a.b.com' lets in https://axb.com" in second.msg
    assert first.hint
    assert second.hint
    settings.REALTIME = {**DEFAULTS, "CORS_ORIGINS": [re.compile(b".*")]}
    assert ids(found()) == ["realtime.E001"]
