"""Views that send to rooms of "/cluster", sync and async."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth.models import Group
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

import realtime
from realtime import Pending


@csrf_exempt
def act(request: HttpRequest) -> JsonResponse:
    """Do what the JSON body says: {"room" or "sid", "do", "args"}."""
    body = json.loads(request.body)
    if "sid" in body:
        result = getattr(realtime.to_client(body["sid"]), body["do"])(*body["args"])
        return JsonResponse({} if isinstance(result, Pending) else {"result": result})
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
@transaction.atomic
def save(request: HttpRequest) -> JsonResponse:
    """
    Save a group with the name in the JSON body, tell all of "/cluster" at the commit, and save
    another one in the commit's next hook. Answers the names of all groups that were there.
    """
    body = json.loads(request.body)
    names = list(Group.objects.order_by("pk").values_list("name", flat=True))
    Group.objects.create(name=body["name"])
    realtime.of("/cluster").on_commit().emit("saved", body["name"])
    transaction.on_commit(lambda: Group.objects.create(name=body["name"] + ", hooked"))
    return JsonResponse({"names": names})


def visit(request: HttpRequest) -> JsonResponse:
    """Give whoever comes a session."""
    request.session["visited"] = True
    return JsonResponse({})


@csrf_exempt
async def aact(request: HttpRequest) -> JsonResponse:
    """The same, async."""
    body = json.loads(request.body)
    if "sid" in body:
        result = await getattr(realtime.to_client(body["sid"]), body["do"])(*body["args"])
        return JsonResponse({"result": result})
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
