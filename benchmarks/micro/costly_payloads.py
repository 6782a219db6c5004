"""
Searches the grammar of JSON for a payload that costs the server much more than `json.loads`.

    python -m benchmarks.micro.costly_payloads [--seconds 60] [--size 1000000]

A payload is a few fragments, again and again. The search keeps those that took the longest beside
`json.loads` of the same text, and changes them. It exits with 1 where one took more than
ALLOWED times as long, and FLOOR seconds more: so little holds nobody, whatever it is compared with.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from realtime.exceptions import ProtocolError
from realtime.protocol import plain, socketio

ALLOWED = 3.0
FLOOR = 0.03
KEPT = 12

NUMBERS = (
    *("0", "-0.0", "1", "1e5", "1e22", "1e23", "1E+300", "1e300", "1e-300", "1e308", "5e-324"),
    *("1.7976931348623157e308", "2.2250738585072011e-308", "0.0000001e310", "0e99999", "1e-99999"),
    *("9007199254740993.0", "9007199254740993.1", "0.1234567890123456789", "0.8374659283746592"),
    "0.500000000000000055511151231257827021181583404541015625",
    *("1" * 19, "1" * 30, "1" * 300 + ".5", "1" * 4000, "0." + "0" * 700 + "1"),
)
TEXTS = (
    *("", "a", "ab", "№", "🙂", "a" * 100, "?", "e1", "1.5", "[[{{"),
    *("\\u0000", "\\n", "\\\\", '\\"', "\\ud83d\\ude42", "\\ud83d", "\\ude42", "\\ud83d" * 8),
)
SCALARS = (*NUMBERS, *(f'"{text}"' for text in TEXTS), "true", "null")
WRAPPINGS = (
    "[%s]",
    '{"":%s}',
    '{"a":%s}',
    '{"$bytes":%s}',
    '[%s,"a"]',
    " %s",
    "[" * 9 + "%s" + "]" * 9,
)
EMPTY = ("[]", "{}", "[[]]", "[" * 94 + "]" * 94, '{"$bytes":""}', '{"a":{"a":{}}}')


class Way(NamedTuple):
    """A way in: what stands around the payload's values, and what reads it."""

    head: str
    tail: str
    read: Callable[[str], Any]


def _read_packet(text: str) -> Any:
    decoder = socketio.Decoder(max_attachments=1, max_bytes=100)
    packet = decoder.add(text)
    return packet or decoder.add(b"x")


WAYS = {
    "event": Way('2["e",', "0]", _read_packet),
    "binary event": Way('51-["e",{"_placeholder":true,"num":0},', "0]", _read_packet),
    "ack": Way("31[", "0]", _read_packet),
    "auth": Way('0{"a":[', "0]}", _read_packet),
    "plain": Way('{"event":"e","args":[', "0]}", plain.decode),
}


class Payload(NamedTuple):
    """Values that are repeated until the text is full, on one of the ways in."""

    way: str
    values: tuple[str, ...]
    last: str = ""

    def text(self, size: int, way: Way) -> str:
        head, tail, _ = way
        unit = ",".join(self.values) + ","
        if self.last:
            tail = f"{self.last},{tail}"
        return head + unit * ((size - len(head) - len(tail)) // len(unit)) + tail


class Cost(NamedTuple):
    """The best of some measurements, in seconds."""

    ours: float
    standard: float

    @property
    def excess(self) -> float:
        return (self.ours - FLOOR) / self.standard


def measure(payload: Payload, size: int, times: int = 2, ways: Mapping[str, Way] = WAYS) -> Cost:
    """Return what a payload costs, here and by `json.loads`."""
    way = ways[payload.way]
    text, read = payload.text(size, way), way.read
    standard = text[next(at for at, char in enumerate(text) if char in "[{") :]
    pairs = [(_seconds(read, text), _seconds(json.loads, standard)) for _ in range(times)]
    return Cost(min(ours for ours, _ in pairs), min(theirs for _, theirs in pairs))


def _seconds(read: Callable[[str], Any], text: str) -> float:
    started = time.perf_counter()
    try:
        value = read(text)
    except (ProtocolError, ValueError):
        value = None
    del value  # it takes time to forget it, too
    return time.perf_counter() - started


def _value(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.2:
        return rng.choice(EMPTY)
    if kind < 0.5:
        return '"' + "".join(rng.choices(TEXTS, k=rng.randint(1, 6))) + '"'
    value = rng.choice(SCALARS)
    return rng.choice(WRAPPINGS) % value if kind < 0.75 else value


def _change(payload: Payload, rng: random.Random) -> Payload:
    values = list(payload.values)
    what = rng.randrange(4)
    if what == 0:
        values.insert(rng.randint(0, len(values)), _value(rng))
    elif what == 1 and len(values) > 1:
        values.pop(rng.randrange(len(values)))
    elif what == 2:
        values[rng.randrange(len(values))] = _value(rng)
    else:
        return payload._replace(last=_value(rng))
    return payload._replace(values=tuple(values[:6]))


def search(seconds: float, size: int, seed: int) -> list[tuple[Cost, Payload]]:
    """Return the costliest payloads that were found, the worst first."""
    rng = random.Random(seed)
    starts = [Payload(way, (value,)) for value in (*SCALARS, *EMPTY) for way in WAYS]
    rng.shuffle(starts)
    found: list[tuple[Cost, Payload]] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if starts and (not found or rng.random() < 0.7):
            payload = starts.pop()
        else:
            payload = _change(rng.choice(found)[1], rng)
        cost = measure(payload, size)
        if cost.excess > ALLOWED:
            cost = measure(payload, size, 10)  # it may have been the machine
        found = sorted([*found, (cost, payload)], key=lambda one: -one[0].excess)[:KEPT]
    return found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--size", type=int, default=1_000_000, help="MAX_PAYLOAD")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.randrange(10**9)
    print(f"seed {seed}")
    found = search(options.seconds, options.size, seed)
    for cost, payload in found:
        text = " ".join([*payload.values, payload.last])[:70]
        print(f"{cost.ours * 1e3:7.1f} ms, json.loads {cost.standard * 1e3:6.1f} ms", end="  ")
        print(f"{payload.way}: {text}")
    return int(found[0][0].excess > ALLOWED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
