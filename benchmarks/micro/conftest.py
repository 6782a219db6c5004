"""Django's settings, which the encoding of its types needs."""

from __future__ import annotations

import os

os.environ.setdefault("BENCH_DATABASE", ":memory:")
os.environ.setdefault("BENCH_REALTIME", '{"PRESENCE": false}')  # it has no tables
os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.peers.realtime.settings"

import django

django.setup()
