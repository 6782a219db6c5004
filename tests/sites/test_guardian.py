"""Permissions of objects, as django-guardian keeps them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.live import environment, new_database
from tests.processes import ROOT

pytestmark = pytest.mark.slow

SETTINGS = "tests.site.guardian"

# What somebody with two permissions may, with one of a group, and as nobody.
SCRIPT = """
import asyncio

import django

django.setup()

from django.contrib.auth.models import AnonymousUser, Group, User
from guardian.shortcuts import assign_perm, remove_perm

from realtime import ConnectionRefused
from realtime.testing import Client

editors, readers = Group.objects.create(name="editors"), Group.objects.create(name="readers")
ann, bob = User.objects.create_user("ann"), User.objects.create_user("bob")
assign_perm("auth.view_group", ann, editors)
assign_perm("auth.change_group", ann, readers)
assign_perm("auth.view_group", readers, readers)
bob.groups.add(readers)


async def may(user, group, *rooms):
    client = Client(f"/groups/{group.pk}", user=user)
    try:
        await client.connect(60)
    except ConnectionRefused as refusal:
        return refusal.code
    answers = [await client.call("join", room, timeout=60) for room in rooms]
    await client.disconnect(60)
    return ["ok" in answer for answer in answers]


async def main():
    print(await may(ann, editors, "readers", "editors", "nowhere"))
    print(await may(ann, readers))
    print(await may(bob, readers, "readers"))
    print(await may(bob, editors))
    print(await may(AnonymousUser(), readers))
    await asyncio.to_thread(remove_perm, "auth.view_group", ann, editors)
    print(await may(await User.objects.aget(pk=ann.pk), editors))


asyncio.run(main())
"""


def test_permissions_of_objects() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        env=environment(SETTINGS, new_database(SETTINGS)),
        text=True,
        capture_output=True,
        timeout=180,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "[True, False, False]",
        "403",
        "[False]",
        "403",
        "401",
        "403",
    ], done.stderr
