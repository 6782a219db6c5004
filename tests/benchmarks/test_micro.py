"""The micro-benchmarks measure what they say they do: each is run once, and not timed."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from benchmarks.micro import costly_payloads
from tests.processes import ROOT


def test_all_of_them() -> None:
    options = ("-c", "benchmarks/micro/pytest.ini", "--rootdir", ".", "--benchmark-disable")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "benchmarks/micro", *options, "-p", "no:cacheprovider"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_the_search_for_costly_payloads_knows_each_way_in() -> None:
    found = costly_payloads.measure_kinds(5000)
    found |= costly_payloads.measure_kinds(5000, costly_payloads.PACKETS)
    assert found.keys() == costly_payloads.KINDS.keys()
    assert costly_payloads.search(seconds=0.5, size=5000, seed=7)


def test_the_search_finds_what_is_costly() -> None:
    slow = msgspec.json.Decoder().decode
    way = costly_payloads.Way("[", "0]", slow, lambda text: [text])
    cost = costly_payloads.measure(
        costly_payloads.Payload("slow", ("1e300",)), 300_000, ways={"slow": way}
    )
    assert cost.excess > 2 * costly_payloads.ALLOWED
