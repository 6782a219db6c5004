"""
Searches the grammar of JSON for a payload that costs the server much more than `json.loads`.

    python -m benchmarks.micro.costly_payloads [--seconds 60] [--size 1000000]

A payload is a few fragments, again and again. The worst of each kind is printed first; then the
search keeps those that took the longest beside `json.loads` of the same text, and changes them. It
exits with 1 where one took more than ALLOWED times as long, and FLOOR seconds more: what little
one look at a text takes holds nobody, whatever it is compared with. What polling payloads of many
small packets take in all is printed beside that.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from realtime.exceptions import ProtocolError
from realtime.protocol import decoding, engineio, plain

ALLOWED = 3.0
FLOOR = 0.010
KEPT = 12
# What a text cut into small packets takes for each of them besides JSON.
PACKET_SIZES = (40, 250, 1000, 4000, 16_000)

KINDS: dict[str, tuple[str, ...]] = {
    "integers": ("0", "12", "-7", "1" * 19, "1" * 30, "1" * 300, "1" * 4000),
    "floats": (
        *("-0.0", "1.5", "0.1234567890123456789", "0.8374659283746592", "1" * 300 + ".5"),
        *("9007199254740993.0", "9007199254740993.1", "0." + "0" * 300 + "1234567890123456"),
        *("0.500000000000000055511151231257827021181583404541015625", "1" + "0" * 23 + ".0"),
        "0." + "0" * 700 + "1",
    ),
    "exponents": (
        *("1e5", "1e22", "1e23", "1E+300", "1e300", "1e-300", "1e308", "1.5e300", "5e-324"),
        *("1.7976931348623157e308", "2.2250738585072011e-308", "0.0000001e310", "0e99999"),
        *("1e-99999", "1" * 200 + "e99", "0." + "0" * 200 + "1e-99"),
    ),
    "words": ("true", "false", "null"),
    "short texts": ('""', '"a"', '"ab"', '"?"', '"e1"', '"1.5"', '"[[{{"', '"é"', '"№"', '"🙂"'),
    "long texts": (
        *('"' + text * 100 + '"' for text in ("a", "é", "№", "🙂", "e.", "?", "[{", "1e3", "1.5")),
        '"' + "a" * 3000 + '"',
    ),
    "escapes": (
        *('"\\n"', '"\\\\"', '"\\""', '"\\u0000"', '"\\u00e9"', '"\\u2116"', '"\\u0041b"'),
        *('"' + text * 100 + '"' for text in ("\\n", "\\\\", '\\"', "\\u0041", "\\u2116")),
    ),
    "pairs": ('"\\ud83d\\ude42"', '"' + "\\ud83d\\ude42" * 100 + '"', '"a\\uD83D\\uDE42"'),
    "halves": (
        *('"\\ud83d"', '"\\ude42"', '"\\uD83D"', '"?\\ud83d"', '"№\\ud83d"', '"\\ud83d🙂"'),
        *('"\\ud83d\\ud83d\\ude42"', '"\\\\\\ud83d"', '"\\n\\ud83d"', '"\\u0041\\ud83d"'),
        *('"' + "\\ud83d" * count + '"' for count in (2, 4, 8, 100)),
        *('"' + "a" * count + '\\ud83d"' for count in (5, 20, 50, 100, 300, 1000)),
        *('"' + ("a" * count + "\\ud83d") * 50 + '"' for count in (2, 8, 20, 50, 200)),
        *('"' + "🙂" * count + '\\ud83d"' for count in (3, 10, 100)),
        *('"' + "\\n" * 50 + '\\ud83d"', '"' + "\\\\" * 50 + '\\ud83d"'),
        *('"' + "\\n\\ud83d" * 50 + '"', '"' + "\\\\\\ud83d" * 50 + '"'),
        *('["\\ud83d"]', '{"\\ud83d":1}', '{"a":"\\ud83d"}'),
    ),
    "lists": ("[]", "[[]]", "[1]", "[[1,2],[3]]", "[" * 94 + "]" * 94, "[" * 9 + "0" + "]" * 9),
    "objects": (
        *("{}", '{"":0}', '{"a":1}', '{"a":{"a":{}}}', '{"a":1,"b":2}', '{"abcdefgh":[]}'),
        *('{"a":1,"a":1,"a":1,"a":1}', '{"%s":1}' % ("k" * 100), '{"\\u0061":1}', '{"№":1}'),
        '{"a":' * 90 + "1" + "}" * 90,
    ),
    "whitespace": (" " * 50 + "1", "\n1", "\t[\r]", " { } ", ' "a" '),
    "placeholders": (
        *('{"_placeholder":false,"num":0}', '{"_placeholder":1}', '{"num":0,"_placeholder":null}'),
        *('"_placeholder"', '[{"_placeholder":0}]', '{"\\u005fplaceholder":false}'),
    ),
    "bytes": ('{"$bytes":""}', '{"$bytes":"eA=="}', '{"$bytes":"","a":1}', '{"$bytes":[]}'),
}
ATOMS = tuple(atom for atoms in KINDS.values() for atom in atoms)
WRAPPINGS = (
    *("[%s]", '{"":%s}', '{"a":%s}', '{"$bytes":%s}', '[%s,"a"]', " %s", '["e",%s]'),
    *("[" * 9 + "%s" + "]" * 9, '{"_placeholder":%s,"num":0}'),
)


class Way(NamedTuple):
    """A way in: what stands around the payload's values, what reads it, and what to compare."""

    head: str
    tail: str
    read: Callable[[Any], Any]
    standard: Callable[[str], list[str]]
    arrives: Callable[[str], Any] = str


def _values_of(text: str) -> list[str]:
    return [text[next(at for at, char in enumerate(text) if char in "[{") :]]


def _packet(text: str) -> Any:
    decoder = decoding.Decoder(max_attachments=1, max_bytes=100)
    packet = decoder.add(text)
    return packet or decoder.add(b"x")


def _packets(size: int) -> Way:
    """Return the way of a polling payload of packets of that size."""

    def read(body: bytes) -> None:
        decoder = decoding.Decoder(max_attachments=1, max_bytes=100)
        packets = engineio.decode_payload(body)
        for packet in packets:
            decoder.add(engineio.encode_packet(packet), 1)

    def standard(text: str) -> list[str]:
        return [part[2:] for part in text.split(engineio.SEPARATOR)]

    return Way(f"{size}", "", read, standard, str.encode)


def _frame(text: str) -> Any:
    return plain.decode(text)


WAYS = {
    "event": Way('2["e",', "0]", _packet, _values_of),
    "event with an id": Way('2/a,7["e",', "0]", _packet, _values_of),
    "binary event": Way('51-["e",{"_placeholder":true,"num":0},', "0]", _packet, _values_of),
    "ack": Way("31[", "0]", _packet, _values_of),
    "binary ack": Way('61-1[{"_placeholder":true,"num":0},', "0]", _packet, _values_of),
    "auth": Way('0{"a":[', "0]}", _packet, _values_of),
    "plain": Way('{"event":"e","args":[', "0]}", _frame, _values_of),
}
# Others have their turn between the packets of one payload: these are for what they take in all.
PACKETS = {f"packets of {size}": _packets(size) for size in PACKET_SIZES}


class Payload(NamedTuple):
    """Values that are repeated until the text is full, on one of the ways in."""

    way: str
    values: tuple[str, ...]
    last: str = ""

    def text(self, size: int, way: Way) -> str:
        if way.head.isdecimal():
            packet = self._fill(int(way.head), '42["e",', "0]")
            count = size // (len(packet.encode()) + 1)
            return engineio.SEPARATOR.join([packet] * max(1, count))
        return self._fill(size, way.head, way.tail)

    def _fill(self, size: int, head: str, tail: str) -> str:
        unit = ",".join(self.values) + ","
        if self.last:
            tail = f"{self.last},{tail}"
        room = size - len((head + tail).encode())
        return head + unit * (room // len(unit.encode())) + tail


class Cost(NamedTuple):
    """The best of some measurements, in seconds."""

    ours: float
    standard: float

    @property
    def excess(self) -> float:
        """How many times as long as `json.loads` it takes, but for FLOOR."""
        return (self.ours - FLOOR) / self.standard


def measure(payload: Payload, size: int, times: int = 2, ways: Mapping[str, Way] = WAYS) -> Cost:
    """Return what a payload costs, here and by `json.loads`."""
    way = ways[payload.way]
    text = payload.text(size, way)
    texts, frame = way.standard(text), way.arrives(text)
    pairs = [(_seconds(way.read, [frame]), _seconds(json.loads, texts)) for _ in range(times)]
    return Cost(min(ours for ours, _ in pairs), min(theirs for _, theirs in pairs))


def _seconds(read: Callable[[Any], Any], texts: Iterable[Any]) -> float:
    """Return the processor's time: others may compute beside this."""
    started = time.thread_time()
    for text in texts:
        try:
            value = read(text)
        except (ProtocolError, ValueError):
            value = None
        del value  # it takes time to forget it, too
    return time.thread_time() - started


def measure_kinds(size: int, ways: Mapping[str, Way] = WAYS) -> dict[str, tuple[Cost, Payload]]:
    """Return the costliest payload of each kind that is made of one fragment."""
    worst = {}
    for kind, atoms in KINDS.items():
        payloads = [Payload(way, (atom,)) for way in ways for atom in atoms]
        worst[kind] = max(
            ((measure(payload, size, 3, ways), payload) for payload in payloads),
            key=lambda one: one[0].excess,
        )
        payload = worst[kind][1]
        worst[kind] = measure(payload, size, 10, ways), payload
    return worst


def measure_base64(size: int) -> Cost:
    """Return what an attachment costs in a polling payload, beside base64 itself."""
    text = "b" + base64.b64encode(bytes(size // 4 * 3)).decode()
    body = text.encode()
    pairs = [(_seconds(_payload, [body]), _seconds(base64.b64decode, [text[1:]])) for _ in "ab"]
    return Cost(min(ours for ours, _ in pairs), min(theirs for _, theirs in pairs))


def _payload(body: bytes) -> Any:
    return list(engineio.decode_payload(body))


def _value(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.4:
        texts = [atom[1:-1] for atom in ATOMS if atom.startswith('"')]
        return '"' + "".join(rng.choices(texts, k=rng.randint(1, 6))) + '"'
    value = rng.choice(ATOMS)
    return rng.choice(WRAPPINGS) % value if kind < 0.7 else value


def _change(payload: Payload, rng: random.Random) -> Payload:
    values = list(payload.values)
    what = rng.randrange(6)
    if what == 0:
        values.insert(rng.randint(0, len(values)), _value(rng))
    elif what == 1 and len(values) > 1:
        values.pop(rng.randrange(len(values)))
    elif what == 2:
        values[rng.randrange(len(values))] = _value(rng)
    elif what == 3:
        values.append(rng.choice(values))
    elif what == 4:
        return payload._replace(way=rng.choice(list(WAYS)))
    else:
        return payload._replace(last=_value(rng))
    return payload._replace(values=tuple(values[:8]))


def search(seconds: float, size: int, seed: int) -> list[tuple[Cost, Payload]]:
    """Return the costliest payloads that were found, the worst first."""
    rng = random.Random(seed)
    starts = [Payload(way, (value,)) for value in ATOMS for way in WAYS]
    rng.shuffle(starts)
    found: list[tuple[Cost, Payload]] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if starts and (not found or rng.random() < 0.5):
            payload = starts.pop()
        else:
            payload = _change(rng.choice(found)[1], rng)
        if payload in (known for _, known in found):
            continue
        cost = measure(payload, size)
        if cost.excess > ALLOWED:
            cost = measure(payload, size, 10)  # it may have been the machine
        found = sorted([*found, (cost, payload)], key=lambda one: -one[0].excess)[:KEPT]
    return found


def _report(name: str, cost: Cost, payload: Payload) -> None:
    text = " ".join([*payload.values, payload.last])[:60]
    print(f"{name:14} {cost.excess:6.2f} x  {cost.ours * 1e3:7.1f} ms", end=", ")
    print(f"json.loads {cost.standard * 1e3:6.1f} ms  {payload.way}: {text}", flush=True)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--size", type=int, default=1_000_000, help="MAX_PAYLOAD")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(arguments)
    kinds = measure_kinds(options.size)
    for ways in kinds, measure_kinds(options.size, PACKETS):
        for kind, (cost, payload) in ways.items():
            _report(kind, cost, payload)
    print(f"base64 {measure_base64(options.size).excess:.2f} x")
    seed = options.seed if options.seed is not None else random.randrange(10**9)
    print(f"seed {seed}")
    found = search(options.seconds, options.size, seed)
    for cost, payload in found:
        _report("found", cost, payload)
    costs = [cost for cost, _ in [*kinds.values(), *found]]
    return int(max(cost.excess for cost in costs) > ALLOWED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
