"""Emits to a room from a process that serves no clients."""

# ruff: noqa: E402 - Django is set up before what needs it is imported

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.peers.realtime.settings")

import django

django.setup()

import realtime
from benchmarks.emitting import emit_for

room = realtime.to("room0")
emit_for(float(sys.argv[1]), lambda text: room.emit("news", text))
