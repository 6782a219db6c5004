"""Emits to a room from a process that serves no clients, with a write-only manager."""

import os
import sys

import socketio

from benchmarks.emitting import emit_for

manager = socketio.RedisManager(os.environ["BENCH_REDIS"], write_only=True)
emit_for(float(sys.argv[1]), lambda text: manager.emit("news", text, room="room0"))
