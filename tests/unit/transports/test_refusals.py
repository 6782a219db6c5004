"""What the log says of refused requests: which setting would let them in, and no flood."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from realtime.conf import get_settings
from realtime.exceptions import HandshakeError
from realtime.transports import refusals
from realtime.transports.requests import check_origin
from tests.processes import ROOT

from ..conftest import DEFAULTS

HOST = "shop.example.com"


@pytest.fixture(autouse=True)
def _site(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DEBUG = False
    settings.ALLOWED_HOSTS = [HOST, "localhost"]
    settings.REALTIME = DEFAULTS
    monkeypatch.setattr(refusals, "lines", refusals.Log())


def refuse(origin: str | None, host: str = HOST, scheme: str = "http", **headers: str) -> None:
    """Have a request refused."""
    given = {"host": host, "origin": origin, **headers}
    scope = {
        "scheme": scheme,
        "headers": [
            (name.replace("_", "-").encode(), value.encode())
            for name, value in given.items()
            if value is not None
        ],
    }
    with pytest.raises(HandshakeError):
        check_origin(scope, get_settings())


PROXY = "SECURE_PROXY_SSL_HEADER"
NAMED = "REALTIME['CORS_ORIGINS']"


@pytest.mark.parametrize(
    ("request_", "setting"),
    [
        # A front end on a port of its own.
        ({"origin": "http://localhost:3000", "host": "localhost:7000"}, NAMED),
        ({"origin": "http://127.0.0.1:7000", "host": "localhost:7000"}, NAMED),
        ({"origin": "https://app.example.com"}, NAMED),
        ({"origin": f"http://{HOST}", "scheme": "https"}, NAMED),
        ({"origin": f"https://{HOST}:8443"}, NAMED),
        ({"origin": "null"}, NAMED),
        ({"origin": "nothing at all"}, NAMED),
        # Behind a proxy that ends TLS.
        ({"origin": f"https://{HOST}"}, PROXY),
        ({"origin": f"https://{HOST}", "scheme": "ws"}, PROXY),
        ({"origin": f"https://{HOST}:8443", "host": f"{HOST}:8443"}, PROXY),
        ({"origin": f"https://{HOST}", "x_forwarded_proto": "https"}, PROXY),
        # Behind a proxy that passes another host.
        (
            {"origin": f"https://{HOST}", "host": "app", "x_forwarded_host": HOST},
            "X_FORWARDED_HOST",
        ),
        (
            {"origin": f"http://{HOST}", "host": "localhost", "x_forwarded_host": HOST},
            "USE_X_FORWARDED_HOST = True",
        ),
        (
            {"origin": f"https://{HOST}:8443", "scheme": "https", "x_forwarded_port": "8443"},
            "$http",
        ),
        ({"origin": None, "host": "evil.example"}, "ALLOWED_HOSTS"),
        ({"origin": None, "host": "a", "x_forwarded_host": "evil.example"}, "ALLOWED_HOSTS"),
        ({"origin": None, "sec_fetch_site": "cross-site"}, "another site"),
    ],
)
def test_which_setting_would_let_it_in(
    records: list[Any], request_: dict[str, Any], setting: str
) -> None:
    refuse(**request_)
    (record,) = records
    assert record.args[0] == "forbidden"
    told = record.realtime
    assert told["host"] == request_.get("host", HOST)
    assert told["origin"] == (request_["origin"] or "-")
    assert setting in told["message"]
    assert len(told["message"]) < 200, "a log line has no more"
    others = {PROXY, NAMED, "ALLOWED_HOSTS"} - {setting}
    if setting in (PROXY, NAMED):
        assert not any(other in told["message"] for other in others)


def test_the_line_that_the_documentation_shows(records: list[Any]) -> None:
    refuse("http://localhost:3000", "localhost:8000")
    guide = ROOT / "docs" / "how-to" / "serve-other-origins.md"
    assert f"\n{records[0].getMessage()}\n" in guide.read_text()


def test_what_the_hints_say_does_let_in(settings: Settings, records: list[Any]) -> None:
    proxied: Any = {"x_forwarded_proto": "https", "x_forwarded_host": HOST}

    def let_in() -> None:
        headers = {"origin": f"https://{HOST}", "host": "10.0.0.1:8001", **proxied}
        encoded = [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()]
        check_origin({"scheme": "ws", "headers": encoded}, get_settings())

    refuse(f"https://{HOST}", "10.0.0.1:8001", **proxied)
    settings.USE_X_FORWARDED_HOST = True
    refuse(f"https://{HOST}", "10.0.0.1:8001", **proxied)
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_SSL", "on")
    refuse(f"https://{HOST}", "10.0.0.1:8001", **proxied)
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    let_in()
    messages = [record.realtime["message"] for record in records]
    for message, hint in zip(messages, ("USE_X_FORWARDED_HOST", PROXY, "X-Ssl: on"), strict=True):
        assert hint in message


def test_a_flood_is_told_in_few_lines(records: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(refusals, "lines", refusals.Log(lambda: now))
    for number in range(1000):
        refuse(f"https://evil{number}.example")
    assert len(records) == 10
    now += 1.5
    for _ in range(100):
        refuse("https://evil.example")
    assert len(records) == 11
    assert records[-1].realtime["times"] == 991
    now += 1
    refuse("https://evil.example")
    assert records[-1].realtime["times"] == 100
