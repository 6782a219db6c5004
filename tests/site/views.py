"""Views that send to rooms of "/cluster", sync and async."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

import realtime


@csrf_exempt
def act(request: HttpRequest) -> JsonResponse:
    """Do what the JSON body says: {"room", "do", "args"}."""
    body = json.loads(request.body)
    room = realtime.of("/cluster").to(body["room"])
    if body["do"] == "say":
        for arg in body["args"]:
            room.emit("said", arg)
    elif body["do"] == "call":
        return _answer(room.call("question", *body["args"], timeout=5))
    else:
        getattr(room, body["do"])(*body["args"])
    return JsonResponse({})


@csrf_exempt
async def aact(request: HttpRequest) -> JsonResponse:
    """The same, async."""
    body = json.loads(request.body)
    room = realtime.of("/cluster").to(body["room"])
    if body["do"] == "say":
        for arg in body["args"]:
            await room.emit("said", arg)
    elif body["do"] == "call":
        return _answer(await room.acall("question", *body["args"], timeout=5))
    else:
        await getattr(room, body["do"])(*body["args"])
    return JsonResponse({})


def _answer(answers: Any) -> JsonResponse:
    return JsonResponse({"answers": answers, "missing": answers.missing})
