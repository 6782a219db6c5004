"""What a client's first request has said, as Django's own requests show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import QueryDict
from django.utils.datastructures import CaseInsensitiveMapping


def find_headers(scope: Mapping[str, Any]) -> Mapping[str, str]:
    """
    Return a request's headers by their names, whatever their case, as ``HttpRequest.headers`` does.

    Several of one name are joined by commas, bytes are read as Latin-1, and names with underscores,
    which some proxies take for others, are left out.
    """
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").title(), raw_value.decode("latin-1")
        if "_" not in name:
            comma = "; " if name == "Cookie" else ","
            found[name] = f"{found[name]}{comma}{value}" if name in found else value
    return CaseInsensitiveMapping(found)


def find_query(scope: dict[str, Any]) -> QueryDict:
    """
    Return a request's query, as ``HttpRequest.GET`` does: immutable.

    It has the first DATA_UPLOAD_MAX_NUMBER_FIELDS parameters. More are dropped, where Django
    refuses the whole request.
    """
    query: bytes = scope.get("query_string", b"")
    limit = settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
    if limit is not None and query.count(b"&") >= limit:
        query = b"&".join(query.split(b"&", limit)[:limit])
    return QueryDict(query)
