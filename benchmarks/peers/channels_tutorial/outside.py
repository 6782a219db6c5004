"""Sends to a group from a process that serves no clients, as Channels' documentation shows it."""

# ruff: noqa: E402 - Django is set up before what needs it is imported

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.peers.channels_tutorial.settings")

import django

django.setup()

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

from benchmarks.emitting import emit_for

layer = get_channel_layer()
send = async_to_sync(layer.group_send)
emit_for(float(sys.argv[1]), lambda text: send("room0", {"type": "news", "data": text}))
